//! The layers of a function: which versions its configuration names, and whether they fit it.

use nilas_model::{AuthContext, limits};

use super::Lambda;
use super::error::LambdaError;
use super::layer_store::LayerId;
use super::record::{LayerRecord, VersionRecord};
use crate::blob_use::Hold;

/// Layers that were found, and what keeps their packages until a function has them.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub layers: Vec<LayerRecord>,
    pub _holds: Vec<Hold>,
}

/// Finds the layer versions of `arns`, in their order; their region and number have been checked. What a function has
/// `already` it may keep, though the version may have been deleted since.
pub(crate) async fn resolve(
    lambda: &Lambda,
    auth: &AuthContext,
    arns: &[String],
    already: &[LayerRecord],
) -> Result<Resolved, LambdaError> {
    let mut layers: Vec<LayerRecord> = Vec::new();
    let mut holds = Vec::new();
    for arn in arns {
        let missing = || LambdaError::invalid(format!("Layer version {arn} does not exist."));
        let (id, version) = LayerId::parse_arn(arn).ok_or_else(missing)?;
        if id.account != auth.account {
            return Err(LambdaError::OtherAccount {
                operation: "GetLayerVersion",
                resource: arn.clone(),
            });
        }
        let version = version.ok_or_else(missing)?;
        let known = match lambda.layers.version(&id, version) {
            Some(record) => Some(LayerRecord { arn: arn.clone(), code: record.code.clone() }),
            None => already.iter().find(|layer| &layer.arn == arn).cloned(),
        };
        let layer = known.ok_or_else(missing)?;
        let start = format!("{}:", id.arn());
        if let Some(other) = layers.iter().find(|other| other.arn.starts_with(&start)) {
            return Err(LambdaError::invalid(format!(
                "Two different versions of the same layer are not allowed to be referenced in the same function. {} and \
                 {arn} are versions of the same layer.",
                other.arn
            )));
        }
        holds.extend(lambda.hold_package(&layer.code).await);
        layers.push(layer);
    }
    // Deleted between the look and the hold: its package may be gone.
    for layer in &layers {
        let kept = already.iter().any(|known| known.code == layer.code);
        if !kept && !lambda.layers.has_package(&layer.code.sha256) {
            let arn = &layer.arn;
            return Err(LambdaError::invalid(format!("Layer version {arn} does not exist.")));
        }
    }
    Ok(Resolved { layers, _holds: holds })
}

/// Whether package and layers are within what one environment may have, unzipped; see "Lambda quotas".
pub(crate) fn check_size(version: &VersionRecord) -> Result<(), LambdaError> {
    let layers: u64 = version.settings.layers.iter().map(|layer| layer.code.unzipped_bytes).sum();
    let (bytes, max) = (layers + version.code.unzipped_bytes, limits::UNZIPPED_BYTES_MAX);
    if layers > 0 && bytes > max {
        return Err(LambdaError::invalid(format!(
            "Function code combined with layers exceeds the maximum allowed size of {max} bytes. The actual size is \
             {bytes} bytes."
        )));
    }
    Ok(())
}
