//! Addresses of APIs as templates compose them, turned into those that this server answers.

/// `https://ID.execute-api.REGION.amazonaws.com/…` becomes `http://ID.execute-api.REGION.localhost:PORT/…`, and `wss:`
/// likewise `ws:`.
pub(super) fn rewrite(value: &str, port: u16) -> String {
    for (theirs, ours) in [("https://", "http://"), ("wss://", "ws://")] {
        let Some(rest) = value.strip_prefix(theirs) else { continue };
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let parts: Vec<&str> = host.split('.').collect();
        if let [id, "execute-api", region, "amazonaws", "com"] = parts.as_slice()
            && is_api_id(id)
        {
            return format!("{ours}{id}.execute-api.{region}.localhost:{port}{path}");
        }
    }
    value.to_owned()
}

/// Ids of APIs of this server.
fn is_api_id(id: &str) -> bool {
    id.len() == 10 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_apis_are_rewritten() {
        let rows = [
            (
                "https://abcde12345.execute-api.us-east-1.amazonaws.com/dev",
                "http://abcde12345.execute-api.us-east-1.localhost:4566/dev",
            ),
            (
                "https://abcde12345.execute-api.us-east-1.amazonaws.com",
                "http://abcde12345.execute-api.us-east-1.localhost:4566",
            ),
            (
                "wss://abcde12345.execute-api.eu-west-1.amazonaws.com/p",
                "ws://abcde12345.execute-api.eu-west-1.localhost:4566/p",
            ),
            ("https://example.com/x", "https://example.com/x"),
            (
                "abcde12345.execute-api.us-east-1.amazonaws.com",
                "abcde12345.execute-api.us-east-1.amazonaws.com",
            ),
        ];
        for (given, expected) in rows {
            assert_eq!(rewrite(given, 4566), expected);
        }
    }
}
