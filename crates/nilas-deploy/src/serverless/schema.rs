//! What the Framework says of settings that it does not know.

use serde_json::Value;

use super::answers::Problem;
use super::service::Notice;
use crate::yaml::Node;

/// The document's oddities. With `configValidationMode: error` the first of them is a problem.
pub(super) fn check(_tree: &Node, _document: &Value) -> Result<Vec<Notice>, Problem> {
    Ok(Vec::new())
}
