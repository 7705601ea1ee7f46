//! Times as AWS writes and reads them. All are UTC.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// `2024-01-01T00:00:00.000+0000`: Lambda's `LastModified`.
pub fn last_modified(epoch_ms: u64) -> String {
    format(epoch_ms, "%Y-%m-%dT%H:%M:%S.%3f+0000")
}

/// `2024-01-01T00:00:00Z`: query and XML protocols.
pub fn iso8601(epoch_ms: u64) -> String {
    format(epoch_ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// `2024-01-01T00:00:00.000Z`: S3 listings and its error texts.
pub fn iso8601_millis(epoch_ms: u64) -> String {
    format(epoch_ms, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

/// `20240101T000000Z`: `X-Amz-Date`.
pub fn amz_date(epoch_ms: u64) -> String {
    format(epoch_ms, "%Y%m%dT%H%M%SZ")
}

/// `Mon, 01 Jan 2024 00:00:00 GMT`: HTTP's `Last-Modified` and `Date`.
pub fn http_date(epoch_ms: u64) -> String {
    format(epoch_ms, "%a, %d %b %Y %H:%M:%S GMT")
}

/// `01/Jan/2024:00:00:00 +0000`: as access logs and events of HTTP requests have it.
pub fn access_log(epoch_ms: u64) -> String {
    format(epoch_ms, "%d/%b/%Y:%H:%M:%S +0000")
}

/// `2024/01/01`: log stream names.
pub fn slashed_date(epoch_ms: u64) -> String {
    format(epoch_ms, "%Y/%m/%d")
}

/// Epoch seconds with milliseconds, as JSON protocols carry times.
pub fn epoch_seconds(epoch_ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay exact until the year 287396")]
    let ms = epoch_ms as f64;
    ms / 1_000.0
}

/// Reads `20240101T000000Z` into epoch seconds.
pub fn parse_amz_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i16> {
        let digits = &bytes[from..to];
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(digits.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0')))
    };
    let byte =
        |from: usize| -> Option<i8> { number(from, from + 2).and_then(|n| i8::try_from(n).ok()) };
    let when =
        DateTime::new(number(0, 4)?, byte(4)?, byte(6)?, byte(9)?, byte(11)?, byte(13)?, 0).ok()?;
    Some(TimeZone::UTC.to_timestamp(when).ok()?.as_second())
}

/// Reads `Mon, 01 Jan 2024 00:00:00 GMT` into epoch seconds.
pub fn parse_http_date(text: &str) -> Option<i64> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(Timestamp::as_second)
}

fn format(epoch_ms: u64, pattern: &str) -> String {
    // Only a broken clock is out of jiff's range (the year 9999), and it must not take the server down.
    let ms = i64::try_from(epoch_ms).unwrap_or(i64::MAX);
    let when = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    when.strftime(pattern).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_every_format() {
        let ms = 1_440_938_160_042;
        assert_eq!(last_modified(ms), "2015-08-30T12:36:00.042+0000");
        assert_eq!(iso8601(ms), "2015-08-30T12:36:00Z");
        assert_eq!(iso8601_millis(ms), "2015-08-30T12:36:00.042Z");
        assert_eq!(amz_date(ms), "20150830T123600Z");
        assert_eq!(http_date(ms), "Sun, 30 Aug 2015 12:36:00 GMT");
        assert_eq!(slashed_date(ms), "2015/08/30");
        assert_eq!(epoch_seconds(ms), 1_440_938_160.042);
        assert_eq!(last_modified(u64::MAX).len(), "9999-12-30T22:00:00.999+0000".len());
    }

    #[test]
    fn reads_what_clients_send() {
        assert_eq!(parse_amz_date("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(parse_http_date("Sun, 30 Aug 2015 12:36:00 GMT"), Some(1_440_938_160));
        for text in [
            "",
            "20150830T123600",
            "20151330T123600Z",
            "2015083éT123600Z",
            "20150830T12360+Z",
            "20150230T000000Z",
        ] {
            assert_eq!(parse_amz_date(text), None, "{text}");
        }
        assert_eq!(parse_http_date("30 Aug"), None);
    }
}
