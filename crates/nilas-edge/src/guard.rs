//! Keeps web pages away from the key pair that everybody knows.
//!
//! `test`/`test` is root on loopback, and a page in the developer's browser can reach loopback, too: by a plain
//! cross-origin request with a presigned URL, or after rebinding its own name to 127.0.0.1. Whoever signs with a
//! secret key is none of that; so these checks hold for the known pair alone.

use http::{HeaderMap, HeaderName, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether the request may be a browser's, made for a page from elsewhere.
pub(crate) fn may_be_foreign_page(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let host_is_ours = text(header::HOST).is_some_and(is_loopback_authority);
    let cross_site = text(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site");
    let foreign_origin = text(header::ORIGIN).is_some_and(|origin| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        !authority.is_some_and(is_loopback_authority)
    });
    !host_is_ours || cross_site || foreign_origin
}

/// Whether `HOST[:PORT]` can only ever mean this machine; nobody can rebind these names.
fn is_loopback_authority(authority: &str) -> bool {
    if authority.starts_with("[::1]") {
        return true;
    }
    let host = authority.split(':').next().unwrap_or(authority);
    if let Ok(ip) = host.parse::<std::net::Ipv4Addr>() {
        return ip.is_loopback();
    }
    let host = host.to_ascii_lowercase();
    // LocalStack's tools use its public name, whose records all say 127.0.0.1.
    ["localhost", "localhost.localstack.cloud"].into_iter().any(|name| {
        host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(host: &str, extra: &[(&'static str, &'static str)], expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        for (name, value) in extra {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        assert_eq!(may_be_foreign_page(&headers), expected, "{host} {extra:?}");
    }

    #[test]
    fn tells_tools_from_pages() {
        for host in [
            "127.0.0.1:4566",
            "127.1.2.3",
            "localhost:4566",
            "LOCALHOST",
            "bucket.localhost:4566",
            "[::1]:4566",
            "b.s3.localhost.localstack.cloud:4566",
        ] {
            check(host, &[], false);
        }
        for host in ["evil.example:4566", "127.0.0.1.evil.example", "evillocalhost", "10.0.0.1", ""]
        {
            check(host, &[], true);
        }
        check("localhost", &[("origin", "http://localhost:4566")], false);
        check("localhost", &[("origin", "https://evil.example")], true);
        check("localhost", &[("origin", "null")], true);
        check("localhost", &[("sec-fetch-site", "cross-site")], true);
        check("localhost", &[("sec-fetch-site", "none")], false);
        assert!(may_be_foreign_page(&HeaderMap::new()));
    }
}
