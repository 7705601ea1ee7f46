//! Objects by their URL, as CloudFormation's TemplateURL and SAM's CodeUri name them, and by bucket and key, as Lambda
//! does: always one of this server's own, whatever the host.

use bytes::Bytes;
use nilas_model::AuthContext;
use nilas_wire::{Fault, percent, s3_host};

use super::S3;
use super::error::S3Error;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectAddress {
    pub bucket: String,
    pub key: String,
    /// The newest if None.
    pub version_id: Option<String>,
}

impl ObjectAddress {
    /// Reads `s3://BUCKET/KEY`, `https://s3.amazonaws.com/BUCKET/KEY`, `https://s3.REGION.amazonaws.com/BUCKET/KEY`,
    /// `https://BUCKET.s3.REGION.amazonaws.com/KEY` and the same with `-` before the region, `http://HOST/BUCKET/KEY`,
    /// all perhaps with `?versionId=ID`. None if it is no such URL.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, path) = rest.split_once('/')?;
        let (bucket, key) = match (scheme.to_ascii_lowercase().as_str(), s3_host::bucket_of(host)) {
            ("s3", _) => (host, path),
            ("http" | "https", Some(bucket)) => (bucket, path),
            ("http" | "https", None) => path.split_once('/')?,
            _ => return None,
        };
        let key = percent::decode(key).into_owned();
        let version_id = percent::query_value(query, "versionId").map(|id| id.into_owned());
        let whole = !bucket.is_empty() && !key.is_empty();
        whole.then(|| Self { bucket: bucket.to_owned(), key, version_id })
    }
}

impl S3 {
    /// The whole object, for another service of this process that acts for `auth`.
    ///
    /// # Errors
    /// What GetObject would answer: NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied; more bytes than `bytes_max`.
    pub(crate) async fn read_object(
        &self,
        auth: &AuthContext,
        address: &ObjectAddress,
        bytes_max: u64,
    ) -> Result<Bytes, Fault> {
        let read = self.read_address(auth, address, bytes_max).await;
        read.map_err(|err: S3Error| {
            if let S3Error::Store(_) | S3Error::Record(_) = err {
                tracing::error!(bucket = address.bucket, key = address.key, error = %err, cause = std::error::Error::source(&err), "object not readable");
            }
            err.fault()
        })
    }

    async fn read_address(
        &self,
        auth: &AuthContext,
        address: &ObjectAddress,
        bytes_max: u64,
    ) -> Result<Bytes, S3Error> {
        let ObjectAddress { bucket, key, version_id } = address;
        self.own_bucket(auth, bucket, None).await?;
        let object = self.object(bucket, key, version_id.as_deref()).await?;
        let bytes = object.bytes();
        if bytes > bytes_max {
            return Err(S3Error::EntityTooLarge(format!(
                "The object has {bytes} bytes; at most {bytes_max} are allowed."
            )));
        }
        self.bytes(&object.segments, 0..bytes).await
    }

    /// The region of a bucket, if there is such a bucket.
    pub(crate) async fn region_of(&self, bucket: &str) -> Option<String> {
        self.bucket(bucket).await.ok().map(|bucket| bucket.value.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let parsed = |url: &str| {
            ObjectAddress::parse(url).map(|address| {
                let version = address.version_id.map(|id| format!("?{id}")).unwrap_or_default();
                format!("{} {}{version}", address.bucket, address.key)
            })
        };
        for (url, expected) in [
            ("s3://b/k/l.json", "b k/l.json"),
            ("https://s3.amazonaws.com/b/k", "b k"),
            (
                "https://s3.eu-west-1.amazonaws.com/b/serverless/1:2/t.json",
                "b serverless/1:2/t.json",
            ),
            ("https://s3-eu-west-1.amazonaws.com/b/k", "b k"),
            ("https://b.s3.amazonaws.com/a%20b/%C3%BC", "b a b/ü"),
            ("https://b.s3.eu-west-1.amazonaws.com/k?versionId=3", "b k?3"),
            ("https://b.s3-eu-west-1.amazonaws.com/k", "b k"),
            ("http://127.0.0.1:4566/b/k", "b k"),
            ("http://localhost:4566/b/k/", "b k/"),
            ("http://b.localhost:4566/k", "b k"),
            ("HTTPS://b.s3.localhost.localstack.cloud:4566/k", "b k"),
        ] {
            assert_eq!(parsed(url).as_deref(), Some(expected), "{url}");
        }
        for url in ["", "b/k", "ftp://b/k", "https://s3.amazonaws.com/b", "s3://b/", "http://h//k"]
        {
            assert_eq!(parsed(url), None, "{url}");
        }
    }
}
