//! Conditions on ETags and times, as RFC 9110 orders them and S3 has them.

use nilas_wire::time;
use s3s::dto::{ETagCondition, Timestamp, TimestampFormat};

use super::error::S3Error;
use super::record::ObjectRecord;

/// What a request to read names.
#[derive(Debug, Default)]
pub(crate) struct ReadConditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    /// Whether the object can be read now.
    pub(crate) fn check(&self, object: &ObjectRecord) -> Result<(), S3Error> {
        let failed = |condition| Err(S3Error::PreconditionFailed { condition });
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !holds(wanted, object) => return failed("If-Match"),
            (None, Some(since)) if modified_after(object, since) => {
                return failed("If-Unmodified-Since");
            }
            _ => {}
        }
        let not_modified = match (&self.if_none_match, &self.if_modified_since) {
            (Some(unwanted), _) => holds(unwanted, object),
            (None, Some(since)) => !modified_after(object, since),
            (None, None) => false,
        };
        if !not_modified {
            return Ok(());
        }
        Err(S3Error::NotModified {
            etag: object.etag.clone(),
            modified: time::http_date(object.modified_ms),
        })
    }

    /// As [`Self::check`], of the source of a copy, which is never just "not modified".
    pub(crate) fn check_source(&self, object: &ObjectRecord) -> Result<(), S3Error> {
        self.check(object).map_err(|err| match err {
            S3Error::NotModified { .. } => {
                S3Error::PreconditionFailed { condition: "x-amz-copy-source-If-None-Match" }
            }
            other => other,
        })
    }
}

/// Whether `key`, which has `now` as its newest version, can be written.
pub(crate) fn check_write(
    key: &str,
    now: Option<&ObjectRecord>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> Result<(), S3Error> {
    match (if_none_match, now) {
        (Some(unwanted), Some(now)) if holds(unwanted, now) => {
            return Err(S3Error::PreconditionFailed { condition: "If-None-Match" });
        }
        _ => {}
    }
    match (if_match, now) {
        (Some(_), None) => Err(S3Error::NoSuchKey { key: key.to_owned() }),
        (Some(wanted), Some(now)) if !holds(wanted, now) => {
            Err(S3Error::PreconditionFailed { condition: "If-Match" })
        }
        _ => Ok(()),
    }
}

fn holds(condition: &ETagCondition, object: &ObjectRecord) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    }
}

/// HTTP's times are in seconds.
fn modified_after(object: &ObjectRecord, since: &Timestamp) -> bool {
    object.modified_ms / 1_000 > epoch_ms(since).unwrap_or(0) / 1_000
}

/// None before 1970.
pub(crate) fn epoch_ms(time: &Timestamp) -> Option<u64> {
    let mut text = Vec::new();
    time.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let ms: u64 = digits.parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(ms)
}

pub(crate) fn timestamp(epoch_ms: u64) -> Timestamp {
    let since = std::time::Duration::from_millis(epoch_ms);
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    Timestamp::from(epoch.checked_add(since).unwrap_or(epoch))
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;

    use super::*;

    fn etag(value: &str) -> Option<ETagCondition> {
        Some(ETagCondition::ETag(ETag::Strong(value.to_owned())))
    }

    fn object() -> ObjectRecord {
        ObjectRecord { etag: "e".to_owned(), modified_ms: 5_500, ..ObjectRecord::default() }
    }

    #[test]
    fn reads_as_rfc_9110_orders() {
        let check = |conditions: ReadConditions, expected: &str| {
            let found = match conditions.check(&object()) {
                Ok(()) => "ok".to_owned(),
                Err(err) => err.fault().status.to_string(),
            };
            assert_eq!(found, expected, "{conditions:?}");
        };
        let none = ReadConditions::default;
        check(none(), "ok");
        check(ReadConditions { if_match: etag("e"), ..none() }, "ok");
        check(ReadConditions { if_match: etag("x"), ..none() }, "412");
        check(ReadConditions { if_none_match: etag("e"), ..none() }, "304");
        check(ReadConditions { if_none_match: etag("x"), ..none() }, "ok");
        check(ReadConditions { if_modified_since: Some(timestamp(5_000)), ..none() }, "304");
        check(ReadConditions { if_modified_since: Some(timestamp(4_000)), ..none() }, "ok");
        check(ReadConditions { if_unmodified_since: Some(timestamp(4_000)), ..none() }, "412");
        let both = ReadConditions {
            if_match: etag("e"),
            if_unmodified_since: Some(timestamp(4_000)),
            ..none()
        };
        check(both, "ok");
        let both = ReadConditions {
            if_none_match: etag("x"),
            if_modified_since: Some(timestamp(9_000)),
            ..none()
        };
        check(both, "ok");
    }

    fn check(
        now: Option<&ObjectRecord>,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> Option<String> {
        let checked = check_write("k", now, if_match, if_none_match);
        checked.err().map(|err| err.fault().code.into_owned())
    }

    #[test]
    fn writes_only_what_the_conditions_allow() {
        let now = object();
        let failed = Some("PreconditionFailed".to_owned());
        assert_eq!(check(Some(&now), None, Some(&ETagCondition::Any)), failed);
        assert_eq!(check(None, None, Some(&ETagCondition::Any)), None);
        assert_eq!(check(Some(&now), etag("x").as_ref(), None), failed);
        assert_eq!(check(Some(&now), etag("e").as_ref(), None), None);
        assert_eq!(check(None, etag("e").as_ref(), None), Some("NoSuchKey".to_owned()));
    }

    #[test]
    fn times_come_back() {
        for ms in [0, 1, 999, 1_440_938_160_042] {
            assert_eq!(epoch_ms(&timestamp(ms)), Some(ms));
        }
    }
}
