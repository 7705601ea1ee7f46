//! What AWS says of a payload that is no JSON: the words of its parser, Jackson.

use super::error::LambdaError;

const SOURCE: &str = "REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)";
const EXPECTED: &str = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')";

/// The parser skips over strings without looking inside, so that their encoding is checked here.
pub(crate) fn check_utf8(body: &[u8]) -> Result<(), LambdaError> {
    match std::str::from_utf8(body) {
        Ok(_) => Ok(()),
        Err(err) => Err(said(body, &utf8(body[err.valid_up_to()]), err.valid_up_to())),
    }
}

/// `err` is what serde_json found at a line and a column of `body`.
pub(crate) fn refuse(body: &[u8], err: &serde_json::Error) -> LambdaError {
    let line_start = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(err.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let at = (line_start + err.column().saturating_sub(1)).min(body.len());
    if err.is_eof() || at == body.len() {
        return said(body, "Unexpected end-of-input", body.len());
    }
    let start = token_start(body, at);
    let token_byte = body[start];
    if token_byte.is_ascii_alphabetic() {
        let token: String = body[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .map(|byte| char::from(*byte))
            .collect();
        let end = start + token.len();
        let shown: String = token.chars().take(256).collect();
        return said(body, &format!("Unrecognized token '{shown}': was expecting {EXPECTED}"), end);
    }
    let byte = body[at];
    let words = match byte {
        0x80..=0xbf => format!(
            "Unexpected character ((CTRL-CHAR, code {byte})): expected a valid value {EXPECTED}"
        ),
        0xc0.. => utf8(byte),
        0..=31 => format!(
            "Unexpected character ((CTRL-CHAR, code {byte})): expected a valid value {EXPECTED}"
        ),
        _ => format!(
            "Unexpected character ('{}' (code {byte})): expected a valid value {EXPECTED}",
            char::from(byte)
        ),
    };
    said(body, &words, at)
}

fn utf8(byte: u8) -> String {
    format!("Invalid UTF-8 start byte 0x{byte:02x}")
}

fn token_start(body: &[u8], at: usize) -> usize {
    let before = body[..at].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    at - before
}

fn said(body: &[u8], words: &str, at: usize) -> LambdaError {
    let before = &body[..at.min(body.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    LambdaError::InvalidRequestContent(format!(
        "Could not parse request body into json: Could not parse payload into json: {words}\n at [Source: {SOURCE}; line: \
         {line}, column: {column}]"
    ))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(body: &[u8], expected: Expect) {
        let err = serde_json::from_slice::<serde::de::IgnoredAny>(body).unwrap_err();
        let text = refuse(body, &err).to_string();
        let text = text.replace(
            "Could not parse request body into json: Could not parse payload into json: ",
            "",
        );
        expected.assert_eq(&text.replace(SOURCE, "…"));
    }

    #[test]
    fn speaks_as_jackson_does() {
        check(
            b"foo bar",
            expect![[r#"
            Unrecognized token 'foo': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
             at [Source: …; line: 1, column: 4]"#]],
        );
        check(
            b"{\"a\": nope}",
            expect![[r#"
            Unrecognized token 'nope': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
             at [Source: …; line: 1, column: 11]"#]],
        );
        check(
            b"\x99abc",
            expect![[r#"
            Unexpected character ((CTRL-CHAR, code 153)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
             at [Source: …; line: 1, column: 1]"#]],
        );
        check(
            b"{\"a\":\n  }",
            expect![[r#"
            Unexpected character ('}' (code 125)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')
             at [Source: …; line: 2, column: 3]"#]],
        );
        check(
            b"{\"a\":1",
            expect![[r#"
            Unexpected end-of-input
             at [Source: …; line: 1, column: 7]"#]],
        );
        check(
            b"\xff",
            expect![[r#"
            Invalid UTF-8 start byte 0xff
             at [Source: …; line: 1, column: 1]"#]],
        );
    }
}
