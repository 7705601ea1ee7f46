//! What a request says of itself: who signed it, for which scope, over which headers, when.

use std::borrow::Cow;

use http::header::{self, AsHeaderName};
use http::{HeaderMap, Method};
use nilas_model::Region;

use super::{ALGORITHM, DATE_HEADER, Rules, TERMINATOR, TOKEN_HEADER};
use crate::percent;
use crate::sig_error::SigError;
use crate::time;

/// The longest life of a presigned URL, seconds: a week.
const EXPIRES_S_MAX: u64 = 604_800;

/// A request as far as its signature sees it. With HTTP/2, `headers` must hold `:authority` as `host`.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    pub method: &'a Method,
    /// As sent.
    pub path: &'a str,
    /// As sent, without the question mark.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

/// `AKID/DATE/REGION/SERVICE/aws4_request`.
#[derive(Debug, Clone)]
pub struct Credential<'a> {
    text: Cow<'a, str>,
    /// Where the first four slashes are.
    slashes: [usize; 4],
}

/// Where the signature came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Header,
    /// A presigned URL.
    Query,
}

/// A well-formed claim to have signed a request, in time and for a scope that fits. Not verified yet.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    pub credential: Credential<'a>,
    pub signed_headers: Cow<'a, str>,
    pub signature: Cow<'a, str>,
    /// `YYYYMMDDTHHMMSSZ`.
    pub amz_date: Cow<'a, str>,
    pub token: Option<Cow<'a, str>>,
    pub kind: Kind,
    pub(super) rules: Rules,
}

// === impl Credential ===

impl<'a> Credential<'a> {
    fn parse(text: Cow<'a, str>) -> Option<Self> {
        let mut slashes = [0; 4];
        let mut seen = text.match_indices('/').map(|(at, _)| at);
        for slash in &mut slashes {
            *slash = seen.next()?;
        }
        if seen.next().is_some() || text.starts_with('/') {
            return None;
        }
        Some(Self { text, slashes })
    }

    pub fn access_key_id(&self) -> &str {
        &self.text[..self.slashes[0]]
    }

    pub fn date(&self) -> &str {
        &self.text[self.slashes[0] + 1..self.slashes[1]]
    }

    pub fn region(&self) -> &str {
        &self.text[self.slashes[1] + 1..self.slashes[2]]
    }

    pub fn service(&self) -> &str {
        &self.text[self.slashes[2] + 1..self.slashes[3]]
    }

    fn terminator(&self) -> &str {
        &self.text[self.slashes[3] + 1..]
    }

    /// `DATE/REGION/SERVICE/aws4_request`.
    pub(super) fn scope(&self) -> &str {
        &self.text[self.slashes[0] + 1..]
    }
}

/// The service that the credential scope names, for routing, before anything is checked.
pub fn service_hint<'a>(parts: &Parts<'a>) -> Option<Cow<'a, str>> {
    let credential = match header_text(parts.headers, header::AUTHORIZATION) {
        Some(authorization) => {
            let (_, rest) = authorization.split_once("Credential=")?;
            Cow::Borrowed(rest.split([',', ' ']).next()?)
        }
        None => percent::query_value(parts.query, "X-Amz-Credential")?,
    };
    match credential {
        Cow::Borrowed(text) => text.split('/').nth(3).map(Cow::Borrowed),
        Cow::Owned(text) => text.split('/').nth(3).map(|service| Cow::Owned(service.to_owned())),
    }
}

/// Reads the claim of a request and checks all that needs no key, in the order in which AWS does.
pub fn parse<'a>(parts: &Parts<'a>, rules: Rules, now_ms: u64) -> Result<Claim<'a>, SigError> {
    let now_s = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
    if let Some(authorization) = header_text(parts.headers, header::AUTHORIZATION) {
        parse_header(parts, authorization, rules, now_s)
    } else if parts.query.contains("X-Amz-Algorithm=") || parts.query.contains("X-Amz-Credential=")
    {
        parse_query(parts, rules, now_s)
    } else {
        Err(SigError::Missing)
    }
}

fn parse_header<'a>(
    parts: &Parts<'a>,
    authorization: &'a str,
    rules: Rules,
    now_s: i64,
) -> Result<Claim<'a>, SigError> {
    let (algorithm, rest) = authorization.trim().split_once(' ').unwrap_or((authorization, ""));
    if rules.s3 && algorithm != ALGORITHM {
        return Err(SigError::Mechanism { given: algorithm.to_owned() });
    }
    let [mut credential, mut signed_headers, mut signature] = [None; 3];
    // Blanks part items as commas do: `Credential= AKID/…` is two, of which the second is none.
    for item in rest.split([',', ' ']).filter(|item| !item.is_empty()) {
        let Some((name, value)) = item.split_once('=') else {
            return Err(SigError::NotKeyValue {
                item: item.to_owned(),
                authorization: authorization.to_owned(),
            });
        };
        match name {
            "Credential" => credential = Some(value),
            "SignedHeaders" => signed_headers = Some(value),
            "Signature" => signature = Some(value),
            _ => {}
        }
    }
    let sent_date = header_text(parts.headers, DATE_HEADER)
        .or_else(|| header_text(parts.headers, header::DATE));
    let (Some(credential), Some(signed_headers), Some(signature), Some(sent_date)) =
        (credential, signed_headers, signature, sent_date)
    else {
        return Err(SigError::MissingInHeader {
            credential: credential.is_none(),
            signature: signature.is_none(),
            signed_headers: signed_headers.is_none(),
            date: sent_date.is_none(),
            authorization: authorization.to_owned(),
        });
    };
    let (signed_s, amz_date) = read_date(sent_date)?;
    check_skew(&amz_date, sent_date, signed_s, now_s, rules)?;
    check_host_signed(signed_headers)?;
    if algorithm != ALGORITHM {
        return Err(SigError::Algorithm { given: algorithm.to_owned() });
    }
    let credential = check_scope(Cow::Borrowed(credential), &amz_date, rules, Kind::Header)?;
    Ok(Claim {
        credential,
        signed_headers: Cow::Borrowed(signed_headers),
        signature: Cow::Borrowed(signature),
        amz_date,
        token: header_text(parts.headers, TOKEN_HEADER).map(Cow::Borrowed),
        kind: Kind::Header,
        rules,
    })
}

fn parse_query<'a>(parts: &Parts<'a>, rules: Rules, now_s: i64) -> Result<Claim<'a>, SigError> {
    let value = |name: &str| percent::query_value(parts.query, name);
    let expires = value("X-Amz-Expires");
    let (Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(amz_date)) = (
        value("X-Amz-Algorithm"),
        value("X-Amz-Credential"),
        value("X-Amz-Signature"),
        value("X-Amz-SignedHeaders"),
        value("X-Amz-Date"),
    ) else {
        let required = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
            "X-Amz-Date",
        ];
        return Err(SigError::MissingInQuery {
            names: required.into_iter().filter(|name| value(name).is_none()).collect(),
        });
    };
    if rules.s3 && expires.is_none() {
        return Err(SigError::MissingInQuery { names: vec!["X-Amz-Expires"] });
    }
    if algorithm != ALGORITHM {
        return Err(SigError::Algorithm { given: algorithm.into_owned() });
    }
    let Some(signed_s) = time::parse_amz_date(&amz_date) else {
        return Err(SigError::DateFormat { given: amz_date.into_owned(), kind: Kind::Query });
    };
    match expires {
        Some(expires) => check_expiry(&amz_date, signed_s, &expires, now_s, rules)?,
        None => check_skew(&amz_date, &amz_date, signed_s, now_s, rules)?,
    }
    check_host_signed(&signed_headers)?;
    let credential = check_scope(credential, &amz_date, rules, Kind::Query)?;
    let token = value("X-Amz-Security-Token");
    Ok(Claim { credential, signed_headers, signature, amz_date, token, kind: Kind::Query, rules })
}

/// Epoch seconds and the ISO form of a date header, which may also be in HTTP's own form.
fn read_date(text: &str) -> Result<(i64, Cow<'_, str>), SigError> {
    if let Some(seconds) = time::parse_amz_date(text) {
        return Ok((seconds, Cow::Borrowed(text)));
    }
    let seconds = time::parse_http_date(text)
        .ok_or_else(|| SigError::DateFormat { given: text.to_owned(), kind: Kind::Header })?;
    Ok((seconds, Cow::Owned(iso(seconds))))
}

fn check_skew(
    amz_date: &str,
    sent: &str,
    signed_s: i64,
    now_s: i64,
    rules: Rules,
) -> Result<(), SigError> {
    let skew_s = i64::from(rules.skew_min) * 60;
    if (signed_s - now_s).abs() <= skew_s {
        return Ok(());
    }
    let early = signed_s > now_s;
    let bound_s = if early { now_s.saturating_add(skew_s) } else { now_s.saturating_sub(skew_s) };
    Err(SigError::Skewed {
        early,
        signed: amz_date.to_owned(),
        sent: sent.to_owned(),
        bound: iso(bound_s),
        now: iso(now_s),
        now_s,
        skew_min: rules.skew_min,
    })
}

fn check_expiry(
    amz_date: &str,
    signed_s: i64,
    expires: &str,
    now_s: i64,
    rules: Rules,
) -> Result<(), SigError> {
    if expires.starts_with('-') {
        return Err(SigError::Expires { why: "X-Amz-Expires must be non-negative" });
    }
    let Ok(expires_s) = expires.parse::<u64>() else {
        return Err(SigError::Expires { why: "X-Amz-Expires should be a number" });
    };
    if expires_s > EXPIRES_S_MAX {
        let why = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
                   than 604800 seconds";
        return Err(SigError::Expires { why });
    }
    if signed_s - now_s > i64::from(rules.skew_min) * 60 {
        return match rules.s3 {
            true => Err(SigError::PresignedEarly),
            false => check_skew(amz_date, amz_date, signed_s, now_s, rules),
        };
    }
    let expires_s = i64::try_from(expires_s).unwrap_or(i64::MAX);
    if now_s <= signed_s.saturating_add(expires_s) {
        return Ok(());
    }
    Err(SigError::PresignedExpired {
        signed: amz_date.to_owned(),
        expires_s: Some(expires_s),
        expired_at_s: signed_s.saturating_add(expires_s),
        now_s,
    })
}

fn check_host_signed(signed_headers: &str) -> Result<(), SigError> {
    match signed_headers.split(';').any(|name| name == "host") {
        true => Ok(()),
        false => Err(SigError::HostNotSigned),
    }
}

fn check_scope<'a>(
    text: Cow<'a, str>,
    amz_date: &str,
    rules: Rules,
    kind: Kind,
) -> Result<Credential<'a>, SigError> {
    // AWS forgives trailing slashes.
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches('/')),
        Cow::Owned(text) => Cow::Owned(text.trim_end_matches('/').to_owned()),
    };
    let given = text.clone();
    let Some(credential) = Credential::parse(text) else {
        return Err(SigError::CredentialForm { given: given.into_owned(), kind });
    };
    let mut faults = String::new();
    if Region::parse(credential.region()).is_err() {
        faults.push_str(&format!(
            "Credential should be scoped to a valid region, not '{}'. ",
            credential.region()
        ));
    }
    if credential.terminator() != TERMINATOR {
        let given = credential.terminator();
        faults.push_str(&format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{given}'. "
        ));
    }
    let day = amz_date.get(..8).unwrap_or(amz_date);
    if credential.date() != day {
        if rules.s3 {
            return Err(SigError::ScopeDate {
                given: credential.date().to_owned(),
                amz_date: amz_date.to_owned(),
                kind,
            });
        }
        let given = credential.date();
        faults.push_str(&format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{given}' != \
             '{day}', from '{amz_date}'."
        ));
    }
    if faults.is_empty() {
        Ok(credential)
    } else {
        Err(SigError::Scope { faults: faults.trim_end().to_owned(), kind })
    }
}

fn iso(epoch_s: i64) -> String {
    time::amz_date(u64::try_from(epoch_s).unwrap_or(0).saturating_mul(1_000))
}

fn header_text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
