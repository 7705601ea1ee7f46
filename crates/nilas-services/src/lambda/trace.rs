//! The X-Ray trace header of an invocation, which functions see as `_X_AMZN_TRACE_ID`.
//!
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>

use nilas_model::RequestId;

/// A caller's `X-Amzn-Trace-Id` longer than this is not taken over, bytes.
const HEADER_BYTES_MAX: usize = 512;

/// `Root=1-8 hex-24 hex;Parent=16 hex;Sampled=0|1`: the caller's root and sampling, or a new root, not sampled.
/// The parent is this invocation's own segment.
pub(crate) fn header(caller: Option<&str>, request_id: RequestId, now_ms: u64) -> String {
    let caller = caller.filter(|text| text.len() <= HEADER_BYTES_MAX).unwrap_or_default();
    let field = |name: &str| {
        caller.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let hex = request_id.hex();
    let root = match field("Root").filter(|root| is_root(root)) {
        Some(root) => root.to_owned(),
        None => format!("1-{:08x}-{}", now_ms / 1_000, &hex[..24]),
    };
    let sampled = if field("Sampled") == Some("1") { "1" } else { "0" };
    format!("Root={root};Parent={};Sampled={sampled}", &hex[16..])
}

/// `1-8 hex-24 hex`
fn is_root(text: &str) -> bool {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    match text.split('-').collect::<Vec<_>>().as_slice() {
        ["1", time, unique] => hex(time, 8) && hex(unique, 24),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(caller: Option<&str>, expected: &str) {
        let id = RequestId::parse("01234567-89ab-4def-8123-456789abcdef").expect("a UUID");
        assert_eq!(header(caller, id, 0x5bef_4de7 * 1_000), expected);
    }

    #[test]
    fn an_invocation_without_trace_starts_one() {
        let new = "Root=1-5bef4de7-0123456789ab4def81234567;Parent=8123456789abcdef;Sampled=0";
        for caller in
            [None, Some(""), Some("nonsense"), Some("Root=1-xyz-1"), Some("Root=1-5bef4de7-\u{e9}")]
        {
            check(caller, new);
        }
    }

    #[test]
    fn a_caller_s_trace_goes_on() {
        check(
            Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"),
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=8123456789abcdef;Sampled=1",
        );
    }
}
