//! Secrets as the store holds them.

use nilas_model::limits::SECRETS_MAX;
use nilas_wire::{Fault, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Cx, fault};
use crate::json_api;

pub(super) const CURRENT: &str = "AWSCURRENT";
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Secret {
    pub(super) name: String,
    /// With six random characters, so that another secret of the same name has another ARN.
    pub(super) arn: String,
    pub(super) description: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) created_epoch_ms: u64,
    pub(super) changed_epoch_ms: u64,
    pub(super) accessed_epoch_ms: Option<u64>,
    /// When it goes, and whether it was asked to.
    pub(super) deletion: Option<Deletion>,
    pub(super) tags: Vec<(String, String)>,
    /// The oldest first.
    pub(super) versions: Vec<Version>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Deletion {
    pub(super) asked_epoch_ms: u64,
    pub(super) due_epoch_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub(super) id: String,
    /// Sealed, in base64.
    pub(super) sealed: String,
    /// Whether it was `SecretBinary`: then base64 is what is sealed.
    pub(super) is_binary: bool,
    pub(super) stages: Vec<String>,
    pub(super) created_epoch_ms: u64,
}

impl Secret {
    pub(super) fn at_stage(&self, stage: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.stages.iter().any(|known| known == stage))
    }

    pub(super) fn version(&self, id: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// `VersionIdsToStages`: versions without a label are not told.
    pub(super) fn stages(&self) -> Value {
        let labelled = self.versions.iter().filter(|version| !version.stages.is_empty());
        labelled.map(|version| (version.id.clone(), json!(version.stages))).collect()
    }
}

impl Cx<'_> {
    fn key(&self, name: &str) -> String {
        json_api::scope(self.auth) + name
    }

    pub(super) fn new_arn(&self, name: &str) -> String {
        let suffix = super::password::characters(6, super::password::ALPHANUMERIC);
        json_api::arn(self.auth, Service::SecretsManager, &format!("secret:{name}-{suffix}"))
    }

    /// By name, ARN, or ARN without its random characters. One whose time is up is gone.
    pub(super) async fn find(&self, id: &str) -> Result<Option<Secret>, Fault> {
        let Some((_, name)) = id.split_once(":secret:").filter(|_| id.starts_with("arn:")) else {
            return self.find_named(id).await;
        };
        if let Some((stem, _)) = name.rsplit_once('-')
            && let Some(secret) = self.find_named(stem).await?
            && secret.arn == id
        {
            return Ok(Some(secret));
        }
        let found = self.find_named(name).await?;
        Ok(found.filter(|secret| secret.arn.starts_with(id)))
    }

    pub(super) async fn find_named(&self, name: &str) -> Result<Option<Secret>, Fault> {
        let secret: Option<Secret> = self.shelf.get(&self.key(name)).await?;
        Ok(secret.filter(|secret| !self.is_gone(secret)))
    }

    fn is_gone(&self, secret: &Secret) -> bool {
        secret.deletion.is_some_and(|deletion| deletion.due_epoch_ms <= self.now_ms)
    }

    /// Deleted or not.
    pub(super) async fn any(&self, id: &str) -> Result<Secret, Fault> {
        self.find(id).await?.ok_or_else(fault::not_found)
    }

    /// One that is not marked for deletion.
    pub(super) async fn secret(&self, id: &str) -> Result<Secret, Fault> {
        let secret = self.any(id).await?;
        if secret.deletion.is_some() { Err(fault::deleted()) } else { Ok(secret) }
    }

    /// All of this account and region, by name. Those whose time is up go on this occasion.
    pub(super) async fn secrets(&self) -> Result<Vec<Secret>, Fault> {
        let found = self.shelf.list::<Secret>(&self.key(""), SECRETS_MAX).await?;
        let mut secrets = Vec::with_capacity(found.len());
        for (key, secret) in found {
            match self.is_gone(&secret) {
                true => drop(self.shelf.delete(&key).await?),
                false => secrets.push(secret),
            }
        }
        Ok(secrets)
    }

    pub(super) async fn store(&self, secret: &Secret) -> Result<(), Fault> {
        self.shelf.put(&self.key(&secret.name), secret).await
    }

    pub(super) async fn remove(&self, secret: &Secret) -> Result<(), Fault> {
        self.shelf.delete(&self.key(&secret.name)).await.map(drop)
    }
}
