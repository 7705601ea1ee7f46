//! Tags of mappings, which TagResource, UntagResource and ListTags name by their ARN.

use std::collections::BTreeMap;
use std::sync::Arc;

use nilas_model::AuthContext;

use super::record::{MappingId, MappingRecord};
use crate::lambda::Lambda;
use crate::lambda::error::LambdaError;

/// The mapping that `arn` names, of the caller's account and region.
pub(in crate::lambda) fn mapping_of(
    lambda: &Lambda,
    auth: &AuthContext,
    arn: &str,
) -> Option<Mapping> {
    let uuid = arn.split(':').nth(6)?.to_owned();
    let id = MappingId { account: auth.account.clone(), region: auth.region.clone(), uuid };
    (id.arn() == arn).then_some(())?;
    lambda.mappings.store.get(&id).map(|_| Mapping(id))
}

/// A mapping that was there when it was looked for.
#[derive(Debug)]
pub(in crate::lambda) struct Mapping(MappingId);

pub(in crate::lambda) fn tags_of(
    lambda: &Lambda,
    mapping: &Mapping,
) -> Result<BTreeMap<String, String>, LambdaError> {
    Ok(find(lambda, &mapping.0)?.tags.clone())
}

pub(in crate::lambda) async fn tags_change(
    lambda: &Lambda,
    mapping: &Mapping,
    edit: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), LambdaError>,
) -> Result<(), LambdaError> {
    let writer = lambda.mappings.store.write().await;
    let mut next = MappingRecord::clone(&*find(lambda, &mapping.0)?);
    edit(&mut next.tags)?;
    writer.save(&mapping.0, next).await.map(drop)
}

fn find(lambda: &Lambda, id: &MappingId) -> Result<Arc<MappingRecord>, LambdaError> {
    lambda.mappings.store.get(id).ok_or_else(|| {
        LambdaError::ResourceNotFound(format!("Event source mapping not found: {}", id.arn()))
    })
}
