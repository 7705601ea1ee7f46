//! Parameters as the store holds them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_model::limits::SSM_PARAMETERS_MAX;
use nilas_wire::{Fault, Service};
use serde::{Deserialize, Serialize};

use super::{Cx, fault};
use crate::json_api;

/// A parameter with its versions, the oldest first; never without one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) tags: Vec<(String, String)>,
    pub(super) versions: Vec<Version>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) number: u64,
    /// `String`, `StringList` or `SecureString`
    pub(super) kind: String,
    /// Sealed and in base64 if it is a `SecureString`.
    pub(super) value: String,
    pub(super) description: Option<String>,
    pub(super) allowed_pattern: Option<String>,
    pub(super) key_id: Option<String>,
    /// `Standard` or `Advanced`
    pub(super) tier: String,
    pub(super) data_type: String,
    pub(super) modified_epoch_ms: u64,
    /// An ARN.
    pub(super) modified_by: String,
    pub(super) labels: Vec<String>,
}

impl Parameter {
    pub(super) fn newest(&self) -> &Version {
        self.versions.last().expect("a parameter has a version")
    }
}

impl Version {
    pub(super) fn is_secure(&self) -> bool {
        self.kind == "SecureString"
    }
}

impl Cx<'_> {
    fn prefix(&self) -> String {
        json_api::scope(self.auth)
    }

    pub(super) fn arn(&self, name: &str) -> String {
        let slash = if name.starts_with('/') { "" } else { "/" };
        json_api::arn(self.auth, Service::Ssm, &format!("parameter{slash}{name}"))
    }

    pub(super) async fn find(&self, name: &str) -> Result<Option<Parameter>, Fault> {
        self.shelf.get(&(self.prefix() + name)).await
    }

    pub(super) async fn parameter(&self, name: &str) -> Result<Parameter, Fault> {
        self.find(name).await?.ok_or_else(fault::not_found)
    }

    /// All of this account and region whose names begin with `start`, by name.
    pub(super) async fn parameters(&self, start: &str) -> Result<Vec<Parameter>, Fault> {
        let found = self.shelf.list(&(self.prefix() + start), SSM_PARAMETERS_MAX).await?;
        Ok(found.into_iter().map(|(_, parameter)| parameter).collect())
    }

    pub(super) async fn store(&self, parameter: &Parameter) -> Result<(), Fault> {
        self.shelf.put(&(self.prefix() + &parameter.name), parameter).await
    }

    /// Answers whether there was one.
    pub(super) async fn remove(&self, name: &str) -> Result<bool, Fault> {
        self.shelf.delete(&(self.prefix() + name)).await
    }

    pub(super) fn sealed(&self, name: &str, value: &str) -> String {
        BASE64.encode(self.seal.seal(name.as_bytes(), value.as_bytes()))
    }

    /// The value to answer: a secret one is told only if `decrypt` asks for it.
    pub(super) fn value(
        &self,
        name: &str,
        version: &Version,
        decrypt: bool,
    ) -> Result<String, Fault> {
        if !version.is_secure() || !decrypt {
            return Ok(version.value.clone());
        }
        let sealed = BASE64.decode(&version.value).unwrap_or_default();
        let plain = self.seal.open_own(name.as_bytes(), &sealed)?;
        Ok(String::from_utf8_lossy(&plain).into_owned())
    }
}
