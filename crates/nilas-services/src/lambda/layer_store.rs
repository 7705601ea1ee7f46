//! The layers that exist: a record a version in the store, the same in memory for reading.
//!
//! Invariant: what is in memory is in the store. A version and the number that was given to it are written together, so
//! that no number is ever used again.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use nilas_model::{AccountId, Region};
use nilas_store::{Change, Expect, Records};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use super::error::LambdaError;
use super::functions::{decode, encode, read_all};
use super::policy::PolicyRecord;
use super::record::Code;

/// One layer of an account in a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LayerId {
    pub account: AccountId,
    pub region: Region,
    pub name: String,
}

/// A layer with its versions: immutable, replaced whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    /// Numbers are never used again, even after deletion.
    pub last_version: u64,
    pub versions: BTreeMap<u64, Arc<LayerVersionRecord>>,
}

/// One version of a layer, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LayerVersionRecord {
    pub code: Code,
    pub description: String,
    pub license_info: Option<String>,
    pub compatible_runtimes: Option<Vec<String>>,
    pub compatible_architectures: Option<Vec<String>>,
    pub created_ms: u64,
    pub policy: PolicyRecord,
    /// Of the policy: nothing else of a version changes.
    pub revision_id: String,
}

/// What is left of a layer whose versions are all deleted.
#[derive(Debug, Serialize, Deserialize)]
struct NumberRecord {
    last_version: u64,
}

/// All layers of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Layers {
    records: Records,
    map: RwLock<BTreeMap<LayerId, Arc<Layer>>>,
    /// One writer at a time: each change is read, check, write.
    writer: Mutex<()>,
}

/// Proof that its holder is the only one changing layers.
#[derive(Debug)]
pub(crate) struct LayerWriter<'a> {
    layers: &'a Layers,
    _lock: MutexGuard<'a, ()>,
}

const LAYER_SPACE: &str = "lambda.layer";
const VERSION_SPACE: &str = "lambda.layer_version";

// === impl LayerId ===

impl LayerId {
    /// `arn:aws:lambda:REGION:ACCOUNT:layer:NAME`
    pub(crate) fn arn(&self) -> String {
        let Self { account, region, name } = self;
        format!("arn:aws:lambda:{}:{}:layer:{name}", region.as_str(), account.as_str())
    }

    pub(crate) fn version_arn(&self, version: u64) -> String {
        format!("{}:{version}", self.arn())
    }

    /// The layer, and the version if there is one, of an ARN.
    pub(crate) fn parse_arn(arn: &str) -> Option<(Self, Option<u64>)> {
        let parts: Vec<&str> = arn.split(':').collect();
        let (name, version) = match parts.get(6..)? {
            [name] => (*name, None),
            [name, version] => (*name, Some(version.parse().ok()?)),
            _ => return None,
        };
        let account = AccountId::parse(parts.get(4)?).ok()?;
        let region = Region::parse(parts.get(3)?).ok()?;
        let is_layer = parts[0] == "arn" && parts[2] == "lambda" && parts[5] == "layer";
        is_layer.then(|| (Self { account, region, name: name.to_owned() }, version))
    }

    /// `ACCOUNT/REGION/NAME`
    fn store_key(&self) -> String {
        format!("{}/{}/{}", self.account.as_str(), self.region.as_str(), self.name)
    }

    /// Twenty digits hold every number, so that keys sort as numbers do.
    fn version_key(&self, version: u64) -> String {
        format!("{}/{version:020}", self.store_key())
    }

    fn parse_store_key(key: &str) -> Option<Self> {
        let mut parts = key.splitn(3, '/');
        let account = AccountId::parse(parts.next()?).ok()?;
        let region = Region::parse(parts.next()?).ok()?;
        Some(Self { account, region, name: parts.next()?.to_owned() })
    }
}

// === impl Layers ===

impl Layers {
    pub(crate) async fn load(records: Records) -> Result<Self, LambdaError> {
        let mut map: BTreeMap<LayerId, Layer> = BTreeMap::new();
        for (key, stored) in read_all(&records, LAYER_SPACE).await? {
            let Some(id) = LayerId::parse_store_key(&key) else {
                tracing::warn!(key, "a layer's record has no valid key; ignored");
                continue;
            };
            let NumberRecord { last_version } = decode(&stored.value)?;
            map.insert(id, Layer { last_version, versions: BTreeMap::new() });
        }
        for (key, stored) in read_all(&records, VERSION_SPACE).await? {
            let parsed = key.rsplit_once('/').and_then(|(layer, version)| {
                Some((LayerId::parse_store_key(layer)?, version.parse::<u64>().ok()?))
            });
            let layer = parsed.and_then(|(id, version)| Some((map.get_mut(&id)?, version)));
            let Some((layer, version)) = layer else {
                tracing::warn!(key, "a layer version's record has no layer; ignored");
                continue;
            };
            layer.versions.insert(version, Arc::new(decode(&stored.value)?));
        }
        let map = map.into_iter().map(|(id, layer)| (id, Arc::new(layer))).collect();
        Ok(Self { records, map: RwLock::new(map), writer: Mutex::new(()) })
    }

    pub(crate) fn get(&self, id: &LayerId) -> Option<Arc<Layer>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn version(&self, id: &LayerId, version: u64) -> Option<Arc<LayerVersionRecord>> {
        self.get(id)?.versions.get(&version).cloned()
    }

    /// By name.
    pub(crate) fn of(&self, account: &AccountId, region: &Region) -> Vec<(LayerId, Arc<Layer>)> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let ours = map.iter().filter(|(id, _)| &id.account == account && &id.region == region);
        ours.map(|(id, layer)| (id.clone(), layer.clone())).collect()
    }

    /// Whether any version of any layer has this package.
    pub(crate) fn has_package(&self, sha256: &str) -> bool {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut versions = map.values().flat_map(|layer| layer.versions.values());
        versions.any(|version| version.code.sha256 == sha256)
    }

    pub(crate) async fn write(&self) -> LayerWriter<'_> {
        LayerWriter { layers: self, _lock: self.writer.lock().await }
    }

    fn install(&self, id: &LayerId, layer: Layer) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(id.clone(), Arc::new(layer));
    }
}

// === impl LayerWriter ===

impl LayerWriter<'_> {
    /// Makes `record` the layer's next version; its number.
    pub(crate) async fn publish(
        &self,
        id: &LayerId,
        record: LayerVersionRecord,
    ) -> Result<u64, LambdaError> {
        let mut layer =
            self.layers.get(id).map_or_else(Layer::default, |layer| Layer::clone(&layer));
        layer.last_version += 1;
        let version = layer.last_version;
        let put = |space: &str, key: String, value| Change::Put {
            space: space.to_owned(),
            key,
            value,
            expect: Expect::Any,
        };
        let changes = vec![
            put(VERSION_SPACE, id.version_key(version), encode(&record)?),
            put(LAYER_SPACE, id.store_key(), encode(&NumberRecord { last_version: version })?),
        ];
        self.layers.records.batch(changes).await?;
        layer.versions.insert(version, Arc::new(record));
        self.layers.install(id, layer);
        Ok(version)
    }

    /// Replaces a version's record; does nothing if there is no such version.
    pub(crate) async fn replace(
        &self,
        id: &LayerId,
        version: u64,
        record: LayerVersionRecord,
    ) -> Result<(), LambdaError> {
        let Some(layer) = self.layers.get(id).filter(|layer| layer.versions.contains_key(&version))
        else {
            return Ok(());
        };
        let value = encode(&record)?;
        let key = id.version_key(version);
        self.layers.records.put(VERSION_SPACE, &key, value, Expect::Any).await?;
        let mut layer = Layer::clone(&layer);
        layer.versions.insert(version, Arc::new(record));
        self.layers.install(id, layer);
        Ok(())
    }

    /// The version that is gone, if there was one.
    pub(crate) async fn delete(
        &self,
        id: &LayerId,
        version: u64,
    ) -> Result<Option<Arc<LayerVersionRecord>>, LambdaError> {
        let Some(layer) = self.layers.get(id).filter(|layer| layer.versions.contains_key(&version))
        else {
            return Ok(None);
        };
        self.layers.records.delete(VERSION_SPACE, &id.version_key(version), Expect::Any).await?;
        let mut layer = Layer::clone(&layer);
        let removed = layer.versions.remove(&version);
        self.layers.install(id, layer);
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_name_a_layer_or_a_version_of_one() {
        let arn = "arn:aws:lambda:us-east-1:000000000000:layer:l";
        let (id, version) = LayerId::parse_arn(arn).unwrap();
        assert_eq!((id.arn().as_str(), version), (arn, None));
        let (id, version) = LayerId::parse_arn(&format!("{arn}:7")).unwrap();
        assert_eq!((id.version_arn(7), version), (format!("{arn}:7"), Some(7)));
        for arn in
            ["l", "arn:aws:lambda:us-east-1:000000000000:function:l", "arn:aws:lambda:::awslayer:x"]
        {
            assert!(LayerId::parse_arn(arn).is_none(), "{arn}");
        }
    }
}
