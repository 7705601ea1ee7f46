//! The bucket `awslambda-REGION-tasks`, where `Code.Location` of GetFunction points: it holds deployment packages.

use http::{Method, StatusCode};
use nilas_model::{AccountId, AuthContext, FunctionName, Region};
use nilas_store::Blobs;
use nilas_wire::{ApiRequest, ApiResponse, Fault, percent};

use crate::lambda::Lambda;

/// Path of a package: `/awslambda-REGION-tasks/snapshots/ACCOUNT/NAME-SHA256`.
pub(crate) fn package_path(
    region: &Region,
    account: &AccountId,
    name: &FunctionName,
    sha256: &str,
) -> String {
    format!("/{}/snapshots/{}/{}-{sha256}", bucket(region), account.as_str(), name.as_str())
}

/// Whether `path` is in the bucket.
pub(super) fn is_of(region: &Region, path: &str) -> bool {
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(&bucket(region)));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `path` is the request's, with the bucket in it.
pub(super) async fn get(
    lambda: &Lambda,
    blobs: &Blobs,
    auth: &AuthContext,
    request: &ApiRequest,
    path: &str,
) -> Result<ApiResponse, Fault> {
    let path = percent::decode(path);
    let key = path.split('/').skip(2).collect::<Vec<_>>().join("/");
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(Fault::plain(
            "MethodNotAllowed",
            405,
            "The specified method is not allowed against this resource.",
        ));
    }
    let no_such_key = || {
        Fault::plain("NoSuchKey", 404, "The specified key does not exist.").with_extra("Key", &key)
    };
    let (name, sha256) = parse_key(&key, &auth.account).ok_or_else(no_such_key)?;
    let blob = lambda.package_blob(auth, name, sha256).ok_or_else(no_such_key)?;
    let zip = blobs.read(&blob).await.map_err(|err| {
        tracing::error!(blob = %blob, error = %err, "package not readable");
        Fault::service("InternalError", 500, "We encountered an internal error. Please try again.")
    })?;
    let mut response = ApiResponse::with_body(StatusCode::OK, "application/zip", zip);
    response.set_header("etag", &format!("\"{}\"", &sha256[..32]));
    response.set_header("accept-ranges", "bytes");
    Ok(response)
}

fn bucket(region: &Region) -> String {
    format!("awslambda-{}-tasks", region.as_str())
}

/// Name and hash of `snapshots/ACCOUNT/NAME-SHA256`.
fn parse_key<'a>(key: &'a str, account: &AccountId) -> Option<(&'a str, &'a str)> {
    let (owner, object) = key.strip_prefix("snapshots/")?.split_once('/')?;
    let (name, sha256) = object.rsplit_once('-')?;
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    (owner == account.as_str() && is_hash).then_some((name, sha256))
}
