//! Keys and aliases as the store holds them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_model::limits::KMS_KEYS_MAX;
use nilas_wire::{Fault, Service};
use serde::{Deserialize, Serialize};

use super::{Cx, fault};
use crate::json_api;
use crate::seal::Seal;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Key {
    /// A UUID.
    pub(super) id: String,
    pub(super) description: String,
    pub(super) created_epoch_ms: u64,
    pub(super) is_enabled: bool,
    /// When it goes; it serves nobody until then.
    pub(super) deletion_epoch_ms: Option<u64>,
    pub(super) policy: String,
    pub(super) tags: Vec<(String, String)>,
    /// The key itself, sealed, in base64.
    pub(super) material: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    /// `alias/NAME`
    pub(super) name: String,
    pub(super) key_id: String,
    pub(super) created_epoch_ms: u64,
    pub(super) updated_epoch_ms: u64,
}

impl Cx<'_> {
    fn key_key(&self, id: &str) -> String {
        format!("{}key/{id}", json_api::scope(self.auth))
    }

    /// `name` begins with `alias/`.
    fn alias_key(&self, name: &str) -> String {
        json_api::scope(self.auth) + name
    }

    /// Of a key by its id, or of an alias by its name.
    pub(super) fn arn(&self, id: &str) -> String {
        let resource = if id.starts_with("alias/") { id.to_owned() } else { format!("key/{id}") };
        json_api::arn(self.auth, Service::Kms, &resource)
    }

    /// By id, ARN, alias, or an alias's ARN.
    pub(super) async fn key(&self, given: &str) -> Result<Key, Fault> {
        let own = self.arn("alias/");
        let own = own.strip_suffix("alias/").unwrap_or(&own);
        let id = given.strip_prefix(own).unwrap_or(given);
        let id = id.strip_prefix("key/").unwrap_or(id);
        if id.starts_with("arn:") {
            return Err(fault::no_key(given));
        }
        let id = match id.starts_with("alias/") {
            false => id.to_owned(),
            true => {
                let alias = self.find_alias(id).await?;
                alias.ok_or_else(|| fault::no_alias(&self.arn(id)))?.key_id
            }
        };
        let key: Option<Key> = self.shelf.get(&self.key_key(&id)).await?;
        let key = key.filter(|key| !self.is_gone(key));
        key.ok_or_else(|| fault::no_key(&self.arn(&id)))
    }

    /// One that may be used.
    pub(super) async fn usable_key(&self, given: &str) -> Result<Key, Fault> {
        let key = self.key(given).await?;
        let arn = self.arn(&key.id);
        match key {
            Key { deletion_epoch_ms: Some(_), .. } => {
                Err(fault::invalid_state(format!("{arn} is pending deletion.")))
            }
            Key { is_enabled: false, .. } => Err(fault::disabled(&arn)),
            key => Ok(key),
        }
    }

    fn is_gone(&self, key: &Key) -> bool {
        key.deletion_epoch_ms.is_some_and(|due| due <= self.now_ms)
    }

    /// All of this account and region. Those whose time is up go on this occasion, material and all.
    pub(super) async fn keys(&self) -> Result<Vec<Key>, Fault> {
        let found = self.shelf.list::<Key>(&self.key_key(""), KMS_KEYS_MAX).await?;
        let mut keys = Vec::with_capacity(found.len());
        for (name, key) in found {
            match self.is_gone(&key) {
                true => drop(self.shelf.delete(&name).await?),
                false => keys.push(key),
            }
        }
        Ok(keys)
    }

    pub(super) async fn store_key(&self, key: &Key) -> Result<(), Fault> {
        self.shelf.put(&self.key_key(&key.id), key).await
    }

    pub(super) async fn find_alias(&self, name: &str) -> Result<Option<Alias>, Fault> {
        self.shelf.get(&self.alias_key(name)).await
    }

    pub(super) async fn aliases(&self) -> Result<Vec<Alias>, Fault> {
        let found = self.shelf.list(&self.alias_key("alias/"), KMS_KEYS_MAX).await?;
        Ok(found.into_iter().map(|(_, alias)| alias).collect())
    }

    pub(super) async fn store_alias(&self, alias: &Alias) -> Result<(), Fault> {
        self.shelf.put(&self.alias_key(&alias.name), alias).await
    }

    pub(super) async fn remove_alias(&self, name: &str) -> Result<bool, Fault> {
        self.shelf.delete(&self.alias_key(name)).await
    }

    /// New material of the key `id`, sealed.
    pub(super) fn new_material(&self, id: &str) -> String {
        let material = crate::seal::random::<{ crate::seal::KEY_BYTES }>();
        BASE64.encode(self.seal.seal(id.as_bytes(), &material))
    }

    /// What `key` encrypts with.
    pub(super) fn cipher(&self, key: &Key) -> Result<Seal, Fault> {
        let sealed = BASE64.decode(&key.material).unwrap_or_default();
        Ok(Seal::of(&self.seal.open_own(key.id.as_bytes(), &sealed)?))
    }
}
