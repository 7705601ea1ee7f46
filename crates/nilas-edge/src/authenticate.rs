//! From a request's signature to proof of who sent it.

use bytes::Bytes;
use nilas_model::{AccountId, AuthContext, Origin, Principal, Region};
use nilas_wire::sigv4::{self, Parts, Rules, Verified, Verifier};
use nilas_wire::{Service, SigError, s3_host, sigv2};

use crate::guard;
use crate::identity::{Identity, Known};

/// The region of requests that name none: SigV2 has no scope.
const REGION_DEFAULT: &str = "us-east-1";

/// What every request is checked with.
#[derive(Debug)]
pub(crate) struct Authenticator<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) verifier: &'a Verifier,
    pub(crate) origin: Origin,
    /// The account of the root key.
    pub(crate) account: &'a AccountId,
    pub(crate) now_ms: u64,
}

/// A request whose key is known and whose form and time are right; its signature waits for the body.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    claim: Claim<'a>,
    known: Known<'a>,
}

#[derive(Debug)]
enum Claim<'a> {
    V4(sigv4::Claim<'a>),
    V2(sigv2::Claim),
}

impl<'a> Authenticator<'a> {
    /// All that can be checked before the body is read, so that strangers cannot make us read any.
    pub(crate) fn begin(
        &self,
        parts: &Parts<'a>,
        service: Service,
    ) -> Result<Pending<'a>, SigError> {
        let foreign_page = guard::may_be_foreign_page(parts.headers);
        let find = |id: &str, token: Option<&str>| {
            self.identity.find(id, token, self.origin, foreign_page, self.now_ms)
        };
        if service == Service::S3 && sigv2::is_presigned(parts.query) {
            let claim = sigv2::parse(parts, self.now_ms)?;
            let known = find(&claim.access_key_id, claim.token.as_deref())?;
            return Ok(Pending { claim: Claim::V2(claim), known });
        }
        let claim = sigv4::parse(parts, Rules::of(service.signing_name()), self.now_ms)?;
        let known = find(claim.credential.access_key_id(), claim.token.as_deref())?;
        Ok(Pending { claim: Claim::V4(claim), known })
    }

    /// Whoever sends a request without a signature: its service decides what he may read.
    pub(crate) fn nobody(&self) -> AuthContext {
        AuthContext {
            account: self.account.clone(),
            region: Region::parse(REGION_DEFAULT).expect("a region"),
            principal: Principal::Anonymous,
            access_key_id: String::new(),
            origin: self.origin,
        }
    }

    /// Checks the signature over request and body.
    pub(crate) fn finish(
        &self,
        pending: Pending<'_>,
        parts: &Parts<'_>,
        body: Bytes,
    ) -> Result<(AuthContext, Verified), SigError> {
        let Pending { claim, known } = pending;
        let (access_key_id, region, verified) = match &claim {
            Claim::V4(claim) => {
                let verified = self.verifier.verify(claim, parts, &known.secret, body)?;
                (claim.credential.access_key_id(), claim.credential.region(), verified)
            }
            Claim::V2(claim) => {
                let host = parts.headers.get("host").and_then(|host| host.to_str().ok());
                let bucket = host.and_then(s3_host::bucket_of);
                sigv2::verify(claim, parts, bucket, &known.secret)?;
                (
                    claim.access_key_id.as_str(),
                    REGION_DEFAULT,
                    Verified { body, trailers: Vec::new() },
                )
            }
        };
        let region = Region::parse(region).expect("sigv4::parse has checked the region");
        let auth = AuthContext {
            account: known.account.unwrap_or_else(|| self.account.clone()),
            region,
            principal: known.principal,
            access_key_id: access_key_id.to_owned(),
            origin: self.origin,
        };
        Ok((auth, verified))
    }
}
