//! An HTTP or WebSocket API as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::members::{Members, text};

/// One API: all but what its deployments hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiRecord {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) definition: Definition,
    /// By name.
    pub(crate) stages: BTreeMap<String, Members>,
    /// By id.
    pub(crate) deployments: BTreeMap<String, Members>,
}

/// What a deployment is made of, by id each.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) api: Members,
    pub(crate) routes: BTreeMap<String, Members>,
    pub(crate) integrations: BTreeMap<String, Members>,
    pub(crate) authorizers: BTreeMap<String, Members>,
    /// Of a WebSocket API's routes, by the route's id.
    #[serde(default)]
    pub(crate) route_responses: BTreeMap<String, BTreeMap<String, Members>>,
}

impl Definition {
    pub(crate) fn is_websocket(&self) -> bool {
        text(&self.api, "protocolType") == Some("WEBSOCKET")
    }
}

/// An id of `chars` of `[a-z0-9]`, as AWS's look.
pub(crate) fn id(chars: usize) -> String {
    let mut rest = Uuid::new_v4().as_u128();
    let mut id = String::with_capacity(chars);
    for _ in 0..chars {
        let digit = u32::try_from(rest % 36).unwrap_or_default();
        id.extend(char::from_digit(digit, 36));
        rest /= 36;
    }
    id
}
