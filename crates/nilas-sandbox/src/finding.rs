//! What was found out about the host: one feature, whether it is there, and what to do if not.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One thing nilas wants of the host. Shown at start and by `nilas doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub feature: Cow<'static, str>,
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What nilas cannot give without it.
    pub cost: Option<String>,
    /// The command that mends it.
    pub remedy: Option<String>,
}
