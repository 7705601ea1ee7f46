//! The canonical request: one text that client and server must both arrive at.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::claim::Parts;

const UNRESERVED_KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH_KEPT: &AsciiSet = &UNRESERVED_KEPT.remove(b'/');

/// Which of AWS's two ways to write a path applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathStyle {
    /// S3: encoded once, dots and double slashes kept, since they are parts of keys.
    Plain,
    /// Everything else: normalised, and what was sent is encoded once more.
    NormalisedDouble,
}

/// The canonical request of `parts`. `X-Amz-Signature` in the query is left out.
pub(crate) fn canonical_request(
    parts: &Parts<'_>,
    signed_headers: &str,
    payload_hash: &str,
    style: PathStyle,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b'\n');
    canonical_path(parts.path, style, &mut out);
    out.push(b'\n');
    canonical_query(parts.query, &mut out);
    out.push(b'\n');
    for name in signed_headers.split(';') {
        canonical_header(parts, name, &mut out);
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    out
}

fn canonical_path(path: &str, style: PathStyle, out: &mut Vec<u8>) {
    match style {
        PathStyle::Plain => {
            let decoded: Cow<'_, [u8]> = percent_decode(path.as_bytes()).into();
            extend(percent_encode(&decoded, PATH_KEPT), out);
        }
        PathStyle::NormalisedDouble => {
            extend(percent_encode(normalise(path).as_bytes(), PATH_KEPT), out)
        }
    }
    if path.is_empty() {
        out.push(b'/');
    }
}

/// Removes empty and dot segments (RFC 3986, 5.2.4), keeping a trailing slash.
fn normalise(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() || path.ends_with('/') {
        out.push('/');
    }
    Cow::Owned(out)
}

fn canonical_query(query: &str, out: &mut Vec<u8>) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (recode(name), recode(value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

/// Brings a name or value of the query to the one canonical encoding; a `+` is a space.
fn recode(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let spaced =
        if text.contains('+') { Cow::Owned(text.replace('+', "%20")) } else { Cow::Borrowed(text) };
    let decoded: Cow<'_, [u8]> = percent_decode(spaced.as_bytes()).into();
    Cow::Owned(percent_encode(&decoded, UNRESERVED_KEPT).to_string())
}

/// `name:value,value\n`, each value trimmed and its inner runs of blanks made one.
fn canonical_header(parts: &Parts<'_>, name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    for (index, value) in parts.headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        collapse_blanks(value.as_bytes(), out);
    }
    out.push(b'\n');
}

fn collapse_blanks(value: &[u8], out: &mut Vec<u8>) {
    let value = value.trim_ascii();
    let mut after_blank = false;
    for &byte in value {
        let blank = byte == b' ' || byte == b'\t';
        if !blank {
            out.push(byte);
        } else if !after_blank {
            out.push(b' ');
        }
        after_blank = blank;
    }
}

fn extend<'a>(pieces: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_encoded_twice_except_for_s3() {
        let check = |path: &str, double: &str, plain: &str| {
            for (style, expected) in
                [(PathStyle::NormalisedDouble, double), (PathStyle::Plain, plain)]
            {
                let mut out = Vec::new();
                canonical_path(path, style, &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{path} {style:?}");
            }
        };
        check("", "/", "/");
        check("/", "/", "/");
        check("/a/b", "/a/b", "/a/b");
        check("/a/../b//c/./", "/b/c/", "/a/../b//c/./");
        check("/../..", "/", "/../..");
        check("/f%3Alive", "/f%253Alive", "/f%3Alive");
        check("/a:b", "/a%3Ab", "/a%3Ab");
        check("/%e1%88%b4", "/%25e1%2588%25b4", "/%E1%88%B4");
        check("/%7Eme/~me", "/%257Eme/~me", "/~me/~me");
    }

    #[test]
    fn queries_are_recoded_and_sorted_by_their_encoded_form() {
        let check = |query: &str, expected: &str| {
            let mut out = Vec::new();
            canonical_query(query, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("", "");
        check("b&a=2&a=1", "a=1&a=2&b=");
        check("a=x+y&X-Amz-Signature=0", "a=x%20y");
        check("a=%7e%2f/&&", "a=~%2F%2F");
        check("A=1&a=1&-=1", "-=1&A=1&a=1");
        check("x=a=b", "x=a%3Db");
        check("x=%ff%zz", "x=%FF%25zz");
    }
}
