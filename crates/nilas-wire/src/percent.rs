//! Percent-encoding as AWS's signatures and paths use it.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As `QUERY`, with the slash left as it is.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Decodes `%XX`; bytes that are no UTF-8 become U+FFFD. `+` stays.
pub fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// Decodes one name or value of a query string, in which `+` is a space.
pub fn decode_query(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return decode(text);
    }
    Cow::Owned(decode(&text.replace('+', " ")).into_owned())
}

/// The pairs of a raw query string, decoded, in the order sent. A name without `=` has an empty value.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode_query(name), decode_query(value))
    })
}

/// The first value of `name` in a raw query string.
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query_pairs(query).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Encodes all but `A-Z a-z 0-9 - . _ ~`.
pub fn encode(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, QUERY).into()
}

/// As [`encode`], with slashes left as they are.
pub fn encode_path(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, PATH).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes() {
        for text in ["", "plain", "a b", "ü/ሴ", "100%", "a+b&c=d"] {
            assert_eq!(decode(&encode(text)), text);
            assert_eq!(decode(&encode_path(text)), text);
            assert_eq!(decode_query(&encode(text)), text);
        }
    }

    #[test]
    fn reads_query_strings() {
        let seen: Vec<_> = query_pairs("a=1&b&c=x%3Dy&&d=e+f").collect();
        let expected = [("a", "1"), ("b", ""), ("c", "x=y"), ("d", "e f")];
        assert_eq!(seen, expected.map(|(name, value)| (Cow::from(name), Cow::from(value))));
        assert_eq!(query_value("Qualifier=%24LATEST", "Qualifier").as_deref(), Some("$LATEST"));
        assert_eq!(query_value("", "Qualifier"), None);
    }
}
