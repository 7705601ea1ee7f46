//! HTTP APIs as the data plane reads them: immutable, replaced whole.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;

use super::backend::Url;
use super::call;
use super::cors::Cors;
use super::decisions::Decisions;
use super::issuers::Issuers;
use super::jwt::Trust;
use super::parameters::{Change, Side};
use super::routes::{Pattern, Routes};
use crate::apigatewayv2::{ApiRecord, Definition, Members, flag, text, texts};
use crate::front::Place;
use crate::front::backends::Backends;
use crate::front::throttle::{Buckets, Throttle};

/// What AWS grants an account: the limits of a stage that says one of the two.
const ACCOUNT_RATE_PER_S: f64 = 10_000.0;
const ACCOUNT_BURST: f64 = 5_000.0;

/// All APIs by id, and what the data plane remembers between requests.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    apis: RwLock<HashMap<String, Arc<ApiSnapshot>>>,
    buckets: Buckets,
    pub(super) decisions: Decisions,
    pub(super) issuers: Issuers,
    pub(super) backends: Backends,
}

impl Doors {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<ApiSnapshot>> {
        self.apis.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn put(&self, api: ApiSnapshot) {
        let mut apis = self.apis.write().unwrap_or_else(PoisonError::into_inner);
        apis.insert(api.id.clone(), Arc::new(api));
    }

    pub(crate) fn remove(&self, id: &str) {
        self.apis.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Whether the rates of a stage let one more request to a route through.
    pub(in crate::front) fn admits(
        &self,
        api: &ApiSnapshot,
        stage: &Stage,
        key: &str,
        now_ms: u64,
    ) -> bool {
        let (limit, name) = match (stage.throttles.get(key), stage.throttle) {
            (Some(limit), _) => (*limit, key),
            (None, Some(limit)) => (limit, "*"),
            (None, None) => return true,
        };
        self.buckets.take(format!("{}/{}/{name}", api.id, stage.name), limit, now_ms * 1_000)
    }
}

#[derive(Debug)]
pub(crate) struct ApiSnapshot {
    pub(in crate::front) id: String,
    pub(in crate::front) account: String,
    pub(in crate::front) region: String,
    /// By name.
    pub(super) stages: HashMap<String, Stage>,
}

#[derive(Debug)]
pub(in crate::front) struct Stage {
    pub(in crate::front) name: String,
    pub(in crate::front) variables: Vec<(String, String)>,
    pub(in crate::front) deployment: String,
    /// Of all routes together that have no limit of their own.
    throttle: Option<Throttle>,
    /// By route key.
    throttles: HashMap<String, Throttle>,
    pub(in crate::front) deployed: Arc<Deployed>,
}

/// What a deployment holds.
#[derive(Debug)]
pub(crate) struct Deployed {
    pub(super) cors: Option<Cors>,
    /// Whether the API answers by custom domains only.
    is_disabled: bool,
    pub(super) routes: Routes,
    /// Of a WebSocket API, instead of `routes`.
    pub(in crate::front) sockets: Option<SocketRoutes>,
}

/// Routes of messages.
#[derive(Debug)]
pub(in crate::front) struct SocketRoutes {
    /// `$request.body.action`
    pub(in crate::front) selection: String,
    pub(in crate::front) by_key: HashMap<String, Arc<Route>>,
}

#[derive(Debug, Default)]
pub(in crate::front) struct Route {
    /// `GET /pets/{id}`, `$default`
    pub(in crate::front) key: String,
    pub(super) authorization: Authorization,
    pub(in crate::front) integration: Option<Integration>,
    /// Whether a WebSocket's client gets what the function answers.
    pub(in crate::front) responds: bool,
}

#[derive(Debug, Default)]
pub(in crate::front) enum Authorization {
    #[default]
    None,
    Iam,
    Lambda(Arc<Authorizer>),
    Jwt {
        authorizer: Arc<TokenAuthorizer>,
        scopes: Vec<String>,
    },
}

/// Asks for a JSON Web Token.
#[derive(Debug)]
pub(super) struct TokenAuthorizer {
    pub(super) trust: Trust,
    /// `$request.header.Authorization`
    pub(super) source: String,
}

#[derive(Debug)]
pub(in crate::front) struct Integration {
    pub(super) target: Target,
    /// Of its payload format.
    pub(super) is_v2: bool,
    pub(super) timeout: Duration,
    /// What parameters change of requests.
    pub(super) request: Vec<Change>,
    /// And of answers, by status.
    pub(super) responses: HashMap<u16, Vec<Change>>,
}

/// What is behind a route.
#[derive(Debug)]
pub(super) enum Target {
    /// `arn` as it was given: stage variables in it are not yet replaced.
    Function {
        arn: String,
        has_role: bool,
    },
    Url(Url),
    VpcLink,
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
    /// How long its answers are kept; 0 for not at all.
    pub(super) ttl_s: u64,
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
            let (throttle, throttles) = throttles(members);
            let name = name.clone();
            let stage =
                Stage { name: name.clone(), variables, deployment, throttle, throttles, deployed };
            Some((name, stage))
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
    /// Whether nobody is let in at `place`.
    pub(in crate::front) fn refuses(&self, place: &Place) -> bool {
        self.is_disabled && !matches!(place, Place::Mapped { .. })
    }

    pub(crate) fn of(definition: &Definition) -> Self {
        let authorizers: HashMap<&str, Guard> = definition
            .authorizers
            .iter()
            .map(|(id, members)| (id.as_str(), Guard::of(id, members)))
            .collect();
        let mut routes = Routes::default();
        let selection = || text(&definition.api, "routeSelectionExpression").unwrap_or_default();
        let mut sockets = (text(&definition.api, "protocolType") == Some("WEBSOCKET"))
            .then(|| SocketRoutes { selection: selection().to_owned(), by_key: HashMap::new() });
        for members in definition.routes.values() {
            let key = text(members, "routeKey").unwrap_or_default().to_owned();
            let authorizer = text(members, "authorizerId").and_then(|id| authorizers.get(id));
            let authorization = match (text(members, "authorizationType"), authorizer) {
                (None | Some("NONE"), _) => Authorization::None,
                (Some("CUSTOM"), Some(Guard::Lambda(authorizer))) => {
                    Authorization::Lambda(Arc::clone(authorizer))
                }
                (Some("JWT"), Some(Guard::Jwt(authorizer))) => Authorization::Jwt {
                    authorizer: Arc::clone(authorizer),
                    scopes: texts(members, "authorizationScopes"),
                },
                // Anything else demands what nobody can show but a signer.
                _ => Authorization::Iam,
            };
            let integration = text(members, "target").and_then(|t| t.strip_prefix("integrations/"));
            let integration = integration.and_then(|id| definition.integrations.get(id));
            let responds = text(members, "routeResponseSelectionExpression").is_some()
                && text(members, "routeId").is_some_and(|id| {
                    definition.route_responses.get(id).is_some_and(|all| !all.is_empty())
                });
            let integration = integration.map(Integration::of);
            let route = Route { key, authorization, integration, responds };
            if let Some(sockets) = &mut sockets {
                sockets.by_key.insert(route.key.clone(), Arc::new(route));
                continue;
            }
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
            sockets,
        }
    }
}

/// An authorizer of either kind.
enum Guard {
    Lambda(Arc<Authorizer>),
    Jwt(Arc<TokenAuthorizer>),
}

impl Guard {
    fn of(id: &str, members: &Members) -> Self {
        if text(members, "authorizerType") != Some("JWT") {
            return Self::Lambda(Arc::new(authorizer(id, members)));
        }
        let none = Members::new();
        let said = members.get("jwtConfiguration").and_then(Value::as_object).unwrap_or(&none);
        let issuer = text(said, "issuer").unwrap_or_default().to_owned();
        let trust = Trust { issuer, audience: texts(said, "audience") };
        let source = texts(members, "identitySource").into_iter().next().unwrap_or_default();
        Self::Jwt(Arc::new(TokenAuthorizer { trust, source }))
    }
}

/// The limits of a stage and of its routes. What a route does not say is as the stage says.
fn throttles(stage: &Members) -> (Option<Throttle>, HashMap<String, Throttle>) {
    let limits = |said: &Value, or: Option<Throttle>| {
        let rate_per_s = said.get("throttlingRateLimit").and_then(Value::as_f64);
        let burst = said.get("throttlingBurstLimit").and_then(Value::as_f64);
        rate_per_s.or(burst).map(|_| Throttle {
            rate_per_s: rate_per_s.or(or.map(|or| or.rate_per_s)).unwrap_or(ACCOUNT_RATE_PER_S),
            burst: burst.or(or.map(|or| or.burst)).unwrap_or(ACCOUNT_BURST),
        })
    };
    let default = stage.get("defaultRouteSettings").and_then(|said| limits(said, None));
    let routes = stage.get("routeSettings").and_then(Value::as_object).into_iter().flatten();
    let routes = routes.filter_map(|(key, said)| Some((key.clone(), limits(said, default)?)));
    (default, routes.collect())
}

impl Integration {
    fn of(members: &Members) -> Self {
        let timeout_ms = members.get("timeoutInMillis").and_then(Value::as_u64).unwrap_or(30_000);
        let uri = text(members, "integrationUri").unwrap_or_default();
        let target = match (text(members, "integrationType"), text(members, "connectionType")) {
            (Some("HTTP_PROXY"), Some("VPC_LINK")) => Target::VpcLink,
            (Some("HTTP_PROXY"), _) => {
                let verb = text(members, "integrationMethod").unwrap_or("ANY").to_owned();
                Target::Url(Url { uri: uri.to_owned(), verb })
            }
            _ => Target::Function {
                arn: function_of(uri),
                has_role: members.contains_key("credentialsArn"),
            },
        };
        let responses = members.get("responseParameters").and_then(Value::as_object);
        let responses = responses.into_iter().flatten().filter_map(|(status, mapping)| {
            Some((status.parse().ok()?, changes(Side::Response, Some(mapping))))
        });
        Self {
            target,
            is_v2: text(members, "payloadFormatVersion") == Some("2.0"),
            timeout: Duration::from_millis(timeout_ms),
            request: changes(Side::Request, members.get("requestParameters")),
            responses: responses.collect(),
        }
    }

    /// The function behind it, if it is one. `source` is whom the function's policy must allow.
    pub(super) fn function<'a>(&'a self, source: &'a str) -> Option<call::Function<'a>> {
        let Target::Function { arn, has_role } = &self.target else { return None };
        let source = (!has_role).then_some(source);
        Some(call::Function { arn, source, timeout: self.timeout })
    }
}

/// A mapping as it was checked when it was stored.
fn changes(side: Side, mapping: Option<&Value>) -> Vec<Change> {
    let mapping = mapping.and_then(Value::as_object).into_iter().flatten();
    let change = |(to, from): (&String, &Value)| Change::parse(side, to, from.as_str()?).ok();
    mapping.filter_map(change).collect()
}

fn authorizer(id: &str, members: &Members) -> Authorizer {
    Authorizer {
        id: id.to_owned(),
        function: function_of(text(members, "authorizerUri").unwrap_or_default()),
        has_role: members.contains_key("authorizerCredentialsArn"),
        is_v2: text(members, "authorizerPayloadFormatVersion") == Some("2.0"),
        is_simple: flag(members, "enableSimpleResponses"),
        sources: texts(members, "identitySource"),
        ttl_s: members.get("authorizerResultTtlInSeconds").and_then(Value::as_u64).unwrap_or(0),
    }
}

/// The function that a URI names: its ARN, or `arn:aws:apigateway:REGION:lambda:path/…/functions/ARN/invocations`.
fn function_of(uri: &str) -> String {
    let inner = uri.split_once("/functions/").map_or(uri, |(_, inner)| inner);
    inner.strip_suffix("/invocations").unwrap_or(inner).to_owned()
}
