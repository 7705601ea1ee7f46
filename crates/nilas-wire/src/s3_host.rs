//! Virtual hosts of S3: the bucket in front of the endpoint's name.

/// Names in front of which there is a bucket only if it is none of the endpoint's own parts.
const NO_BUCKETS: [&str; 4] = [".execute-api.", ".lambda-url.", ".s3-website.", ".s3-website-"];

/// The bucket in a host such as `BUCKET.localhost:4566`, `BUCKET.s3.REGION.amazonaws.com` or `BUCKET.s3-REGION.…`.
/// None of an address, of an endpoint itself, and of what belongs to another service.
pub fn bucket_of(host: &str) -> Option<&str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if name.starts_with("s3.") || name.starts_with("s3-") || name.starts_with('[') {
        return None;
    }
    if NO_BUCKETS.iter().any(|mark| name.contains(mark)) {
        return None;
    }
    let before = |mark: &str| name.find(mark).map(|at| &name[..at]);
    let bucket = before(".s3.").or_else(|| before(".s3-")).or_else(|| before(".localhost"))?;
    (!bucket.is_empty()).then_some(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_buckets_in_hosts() {
        for (host, bucket) in [
            ("localhost:4566", None),
            ("127.0.0.1:4566", None),
            ("[::1]:4566", None),
            ("s3.amazonaws.com", None),
            ("s3.eu-west-1.amazonaws.com", None),
            ("s3-eu-west-1.amazonaws.com", None),
            ("s3.localhost.localstack.cloud:4566", None),
            ("localhost.localstack.cloud:4566", None),
            ("a1b2c3d4e5.execute-api.us-east-1.localhost:4566", None),
            ("url.lambda-url.us-east-1.localhost:4566", None),
            ("my-bucket.localhost:4566", Some("my-bucket")),
            ("my.bucket.localhost", Some("my.bucket")),
            ("my-bucket.localhost.localstack.cloud", Some("my-bucket")),
            ("my-bucket.s3.localhost.localstack.cloud:4566", Some("my-bucket")),
            ("my.bucket.s3.amazonaws.com", Some("my.bucket")),
            ("b.s3.eu-west-1.amazonaws.com:443", Some("b")),
            ("b.s3-eu-west-1.amazonaws.com", Some("b")),
            ("example.com", None),
        ] {
            assert_eq!(bucket_of(host), bucket, "{host}");
        }
    }
}
