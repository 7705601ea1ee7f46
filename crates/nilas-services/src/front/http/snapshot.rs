//! HTTP APIs as the data plane reads them: immutable, replaced whole.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;

use super::cors::Cors;
use super::routes::{Pattern, Routes};
use crate::apigatewayv2::{ApiRecord, Definition, Members, flag, text, texts};

/// All APIs by id.
#[derive(Debug, Default)]
pub(crate) struct Doors(RwLock<HashMap<String, Arc<ApiSnapshot>>>);

impl Doors {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<ApiSnapshot>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn put(&self, api: ApiSnapshot) {
        let mut apis = self.0.write().unwrap_or_else(PoisonError::into_inner);
        apis.insert(api.id.clone(), Arc::new(api));
    }

    pub(crate) fn remove(&self, id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[derive(Debug)]
pub(crate) struct ApiSnapshot {
    pub(super) id: String,
    pub(super) account: String,
    pub(super) region: String,
    /// By name.
    pub(super) stages: HashMap<String, Stage>,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) variables: Vec<(String, String)>,
    deployment: String,
    pub(super) deployed: Arc<Deployed>,
}

/// What a deployment holds.
#[derive(Debug)]
pub(crate) struct Deployed {
    pub(super) cors: Option<Cors>,
    pub(super) is_disabled: bool,
    pub(super) routes: Routes,
}

#[derive(Debug)]
pub(super) struct Route {
    /// `GET /pets/{id}`, `$default`
    pub(super) key: String,
    pub(super) authorization: Authorization,
    pub(super) integration: Option<Integration>,
}

#[derive(Debug)]
pub(super) enum Authorization {
    None,
    Iam,
    Lambda(Arc<Authorizer>),
}

#[derive(Debug)]
pub(super) struct Integration {
    /// The function's ARN; stage variables in it are not yet replaced.
    pub(super) function: String,
    pub(super) has_role: bool,
    pub(super) is_v2: bool,
    pub(super) timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Authorizer {
    pub(super) id: String,
    pub(super) function: String,
    pub(super) has_role: bool,
    pub(super) is_v2: bool,
    pub(super) is_simple: bool,
    /// `$request.header.Authorization`
    pub(super) sources: Vec<String>,
}

impl ApiSnapshot {
    /// `deployed` by deployment's id; a stage without one is as if it were not there.
    pub(crate) fn of(record: &ApiRecord, deployed: &HashMap<String, Arc<Deployed>>) -> Self {
        let stage = |(name, members): (&String, &Members)| {
            let deployment = text(members, "deploymentId")?.to_owned();
            let deployed = Arc::clone(deployed.get(&deployment)?);
            let variables = members.get("stageVariables").and_then(Value::as_object);
            let variables = variables.into_iter().flatten();
            let variables = variables
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect();
            Some((name.clone(), Stage { name: name.clone(), variables, deployment, deployed }))
        };
        Self {
            id: record.id.clone(),
            account: record.account.clone(),
            region: record.region.clone(),
            stages: record.stages.iter().filter_map(stage).collect(),
        }
    }

    /// The deployment `id`, if a stage has it.
    pub(crate) fn deployed(&self, id: &str) -> Option<Arc<Deployed>> {
        let found = self.stages.values().find(|stage| stage.deployment == id)?;
        Some(Arc::clone(&found.deployed))
    }
}

impl Deployed {
    pub(crate) fn of(definition: &Definition) -> Self {
        let authorizers: HashMap<&str, Arc<Authorizer>> = definition
            .authorizers
            .iter()
            .map(|(id, members)| (id.as_str(), Arc::new(authorizer(id, members))))
            .collect();
        let mut routes = Routes::default();
        for members in definition.routes.values() {
            let key = text(members, "routeKey").unwrap_or_default().to_owned();
            let authorizer = text(members, "authorizerId").and_then(|id| authorizers.get(id));
            let authorization = match (text(members, "authorizationType"), authorizer) {
                (None | Some("NONE"), _) => Authorization::None,
                (Some("CUSTOM"), Some(authorizer)) => Authorization::Lambda(Arc::clone(authorizer)),
                // Anything else demands what nobody can show but a signer.
                _ => Authorization::Iam,
            };
            let integration = text(members, "target").and_then(|t| t.strip_prefix("integrations/"));
            let integration = integration.and_then(|id| definition.integrations.get(id));
            let route = Route { authorization, integration: integration.map(of_integration), key };
            match route.key.split_once(' ') {
                None => routes.default = Some(Arc::new(route)),
                Some((verb, path)) => {
                    let (verb, pattern) = (verb.to_owned(), Pattern::parse(path));
                    routes.put(verb, pattern, Arc::new(route));
                }
            }
        }
        Self {
            cors: definition.api.get("corsConfiguration").map(Cors::of),
            is_disabled: flag(&definition.api, "disableExecuteApiEndpoint"),
            routes,
        }
    }
}

fn of_integration(members: &Members) -> Integration {
    let timeout_ms = members.get("timeoutInMillis").and_then(Value::as_u64).unwrap_or(30_000);
    Integration {
        function: function_of(text(members, "integrationUri").unwrap_or_default()),
        has_role: members.contains_key("credentialsArn"),
        is_v2: text(members, "payloadFormatVersion") == Some("2.0"),
        timeout: Duration::from_millis(timeout_ms),
    }
}

fn authorizer(id: &str, members: &Members) -> Authorizer {
    Authorizer {
        id: id.to_owned(),
        function: function_of(text(members, "authorizerUri").unwrap_or_default()),
        has_role: members.contains_key("authorizerCredentialsArn"),
        is_v2: text(members, "authorizerPayloadFormatVersion") == Some("2.0"),
        is_simple: flag(members, "enableSimpleResponses"),
        sources: texts(members, "identitySource"),
    }
}

/// The function that a URI names: its ARN, or `arn:aws:apigateway:REGION:lambda:path/…/functions/ARN/invocations`.
fn function_of(uri: &str) -> String {
    let inner = uri.split_once("/functions/").map_or(uri, |(_, inner)| inner);
    inner.strip_suffix("/invocations").unwrap_or(inner).to_owned()
}
