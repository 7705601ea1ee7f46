//! What is stored of a REST API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::shape::Members;

/// A REST API with all that is configured, its stages, and its deployments but for what they hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiRecord {
    pub(crate) id: String,
    pub(crate) account: String,
    pub(crate) region: String,
    /// The members of the API itself, `id`, `createdDate` and `tags` among them.
    pub(crate) api: Members,
    pub(crate) definition: Definition,
    /// By name.
    pub(crate) stages: BTreeMap<String, Members>,
    /// By id.
    pub(crate) deployments: BTreeMap<String, Members>,
}

/// What a deployment is a copy of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) resources: BTreeMap<String, Resource>,
    pub(crate) authorizers: BTreeMap<String, Members>,
    /// By name.
    pub(crate) models: BTreeMap<String, Members>,
    pub(crate) validators: BTreeMap<String, Members>,
    /// By type, such as `DEFAULT_4XX`.
    pub(crate) responses: BTreeMap<String, Members>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Resource {
    pub(crate) id: String,
    /// None of the root.
    pub(crate) parent: Option<String>,
    pub(crate) path_part: Option<String>,
    pub(crate) path: String,
    /// By verb, `ANY` among them; with their integration and responses.
    pub(crate) methods: BTreeMap<String, Members>,
}

/// A deployment: the API as it was, and stays whatever happens to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeploymentRecord {
    pub(crate) api: Members,
    pub(crate) definition: Definition,
}

impl Definition {
    pub(crate) fn root(&self) -> Option<&Resource> {
        self.resources.values().find(|resource| resource.parent.is_none())
    }

    /// Ids of `id` and of all below it.
    pub(crate) fn subtree(&self, id: &str) -> Vec<String> {
        let mut found = vec![id.to_owned()];
        let mut at = 0;
        while at < found.len() {
            let children =
                self.resources.values().filter(|child| child.parent.as_ref() == Some(&found[at]));
            let children: Vec<String> = children.map(|child| child.id.clone()).collect();
            found.extend(children);
            at += 1;
        }
        found
    }

    /// A new resource below `parent`, which exists.
    pub(crate) fn add(&mut self, parent: &str, path_part: &str) -> String {
        let base = self.resources.get(parent).map_or("/", |parent| parent.path.as_str());
        let path = format!("{}/{path_part}", base.trim_end_matches('/'));
        let id = resource_id();
        let (parent, path_part) = (Some(parent.to_owned()), Some(path_part.to_owned()));
        let methods = BTreeMap::new();
        self.resources
            .insert(id.clone(), Resource { id: id.clone(), parent, path_part, path, methods });
        id
    }
}

impl Resource {
    pub(crate) fn root() -> Self {
        let (id, path) = (resource_id(), "/".to_owned());
        Self { id, parent: None, path_part: None, path, methods: BTreeMap::new() }
    }

    /// As it is answered; with the methods' members if `embed`.
    pub(crate) fn shown(&self, embed: bool) -> Value {
        let mut shown = Members::new();
        shown.insert("id".to_owned(), self.id.as_str().into());
        if let Some(parent) = &self.parent {
            shown.insert("parentId".to_owned(), parent.as_str().into());
        }
        if let Some(part) = &self.path_part {
            shown.insert("pathPart".to_owned(), part.as_str().into());
        }
        shown.insert("path".to_owned(), self.path.as_str().into());
        if !self.methods.is_empty() {
            let methods = self.methods.iter().map(|(verb, method)| {
                let shown = if embed { method.clone() } else { Members::new() };
                (verb.clone(), Value::Object(shown))
            });
            shown.insert("resourceMethods".to_owned(), Value::Object(methods.collect()));
        }
        shown.into()
    }
}

/// Ten of `[a-z0-9]`.
pub(crate) fn api_id() -> String {
    random_id(10)
}

/// Six of `[a-z0-9]`, of what is inside an API.
pub(crate) fn resource_id() -> String {
    random_id(6)
}

pub(crate) fn random_id(chars: usize) -> String {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = String::with_capacity(chars);
    while id.len() < chars {
        let mut random = Uuid::new_v4().as_u128();
        for _ in 0..20.min(chars - id.len()) {
            id.push(char::from(DIGITS[(random % 36) as usize]));
            random /= 36;
        }
    }
    id
}
