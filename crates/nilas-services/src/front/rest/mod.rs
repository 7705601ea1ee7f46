//! REST APIs: from a request at a stage to its answer.
//!
//! `snapshot.rs` is what is read, `exchange.rs` one request; then, in the order in which they are asked: `authorize.rs`,
//! `keys.rs`, `validate.rs`, `integrate.rs`. What goes wrong is a `Refusal`, which `refusal.rs` answers.

mod authorize;
mod event;
mod exchange;
mod http_call;
mod integrate;
mod keys;
mod mapping;
mod policy;
mod proxy_answer;
mod refusal;
mod schema;
mod snapshot;
mod validate;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderValue;
use nilas_model::{Clock, limits};
use nilas_wire::ApiResponse;

use super::backends::Backends;
use super::{Door, FrontRequest, Place, unknown_api};
use crate::apigateway::{Members, text};
use crate::lambda::Lambda;

pub(crate) use schema::schema_check;
pub(crate) use snapshot::{ApiSnapshot, Routes};

use exchange::{At, Exchange};
use keys::{KeyRing, Metered, Meters, Used};
use refusal::Refusal;
use snapshot::{Kind, StageSnapshot};

/// All REST APIs as the data plane sees them, and what it remembers between requests.
#[derive(Debug)]
pub(crate) struct Doors {
    clock: Arc<dyn Clock>,
    apis: RwLock<HashMap<String, Arc<ApiSnapshot>>>,
    keys: RwLock<Arc<KeyRing>>,
    /// Base paths of each custom domain, the longest first.
    domains: RwLock<HashMap<String, Vec<Mapping>>>,
    meters: Meters,
    decisions: authorize::Decisions,
    backends: Backends,
}

/// What a base path of a custom domain leads to: an API of any kind.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    /// Without slashes at its ends; empty for the rest.
    base: String,
    pub(super) api: String,
    /// None: it is in the path.
    pub(super) stage: Option<String>,
}

impl Doors {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            apis: RwLock::default(),
            keys: RwLock::default(),
            domains: RwLock::default(),
            meters: Meters::default(),
            decisions: authorize::Decisions::default(),
            backends: Backends::default(),
        }
    }

    pub(crate) fn put_api(&self, snapshot: ApiSnapshot) {
        let mut apis = self.apis.write().unwrap_or_else(PoisonError::into_inner);
        apis.insert(snapshot.id.clone(), Arc::new(snapshot));
    }

    pub(crate) fn remove_api(&self, id: &str) {
        self.apis.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.decisions.flush(id);
    }

    /// A deployment that is known already.
    pub(crate) fn routes(&self, api: &str, deployment: &str) -> Option<Arc<Routes>> {
        self.api(api)?.routes.get(deployment).cloned()
    }

    pub(crate) fn put_keys(&self, keys: &[Members], plans: &[Members]) {
        let ring = Arc::new(KeyRing::of(keys, plans));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    pub(crate) fn put_domains(&self, domains: &[Members]) {
        let mapping = |mapping: &serde_json::Value| {
            let base = mapping["basePath"].as_str().filter(|base| *base != "(none)");
            let stage = mapping["stage"].as_str().filter(|stage| !stage.is_empty());
            Some(Mapping {
                base: base.unwrap_or_default().trim_matches('/').to_owned(),
                api: mapping["restApiId"].as_str()?.to_owned(),
                stage: stage.map(str::to_owned),
            })
        };
        let domain = |domain: &Members| {
            let list = domain.get("mappings").and_then(serde_json::Value::as_array);
            let mut mappings: Vec<_> = list.into_iter().flatten().filter_map(mapping).collect();
            mappings.sort_by_key(|mapping| std::cmp::Reverse(mapping.base.len()));
            Some((text(domain, "domainName")?.to_owned(), mappings))
        };
        let map = domains.iter().filter_map(domain).collect();
        *self.domains.write().unwrap_or_else(PoisonError::into_inner) = map;
    }

    pub(crate) fn flush_authorizers(&self, api: &str) {
        self.decisions.flush(api);
    }

    pub(crate) fn has_domain(&self, host: &str) -> bool {
        self.domains.read().unwrap_or_else(PoisonError::into_inner).contains_key(host)
    }

    /// Where `path` of a custom domain leads, and the path below that.
    pub(super) fn mapped(&self, host: &str, path: &str) -> Option<(Mapping, String)> {
        let domains = self.domains.read().unwrap_or_else(PoisonError::into_inner);
        domains.get(host)?.iter().find_map(|mapping| {
            if mapping.base.is_empty() {
                return Some((mapping.clone(), path.to_owned()));
            }
            let rest = path.strip_prefix('/')?.strip_prefix(mapping.base.as_str())?;
            let whole = rest.is_empty() || rest.starts_with('/');
            whole.then(|| (mapping.clone(), format!("/{}", rest.trim_start_matches('/'))))
        })
    }

    fn api(&self, id: &str) -> Option<Arc<ApiSnapshot>> {
        self.apis.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Which stage `door` is of; none if there is no such.
    fn at(&self, door: &Door) -> Option<At> {
        match door {
            Door::Api { id, place } => {
                let api = self.api(id).filter(|api| !api.endpoint_disabled)?;
                let (name, route) = match place {
                    Place::Stage { stage, path } | Place::Mapped { stage, path, .. } => {
                        (stage.clone(), path.clone())
                    }
                    Place::Path(path) => first_part(path),
                };
                let stage = Arc::clone(api.stages.get(&name)?);
                let full_path = format!("/{name}{route}");
                Some(At { api, stage, path: route.clone(), route, full_path })
            }
            Door::Domain { host, path } => {
                let (mapping, rest) = self.mapped(host, path)?;
                let api = self.api(&mapping.api)?;
                let (name, route) = match mapping.stage {
                    Some(stage) => (stage, rest),
                    None => first_part(&rest),
                };
                let stage = Arc::clone(api.stages.get(&name)?);
                Some(At { api, stage, route, path: path.clone(), full_path: path.clone() })
            }
            Door::FunctionUrl { .. } | Door::StackCallback { .. } => None,
        }
    }
}

/// `dev` and `/pets` of `/dev/pets`.
fn first_part(path: &str) -> (String, String) {
    let path = path.trim_start_matches('/');
    match path.split_once('/') {
        Some((first, rest)) => (first.to_owned(), format!("/{rest}")),
        None => (path.to_owned(), "/".to_owned()),
    }
}

/// Answers a request to a REST API.
pub(crate) async fn answer(
    doors: &Doors,
    lambda: &Arc<Lambda>,
    front: FrontRequest,
) -> ApiResponse {
    let Some(at) = doors.at(&front.door) else { return unknown_api() };
    let mut exchange = Exchange::new(at, front, doors.clock.epoch_ms());
    let answered = serve(doors, lambda, &mut exchange).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = refusal::answer(&exchange, &refusal);
            response.set_header("x-amz-apigw-id", &exchange.extended_id);
            return response;
        }
    };
    let found = exchange.found.as_ref();
    let is_proxied = found.is_some_and(|found| found.method.integration.kind == Kind::HttpProxy);
    if response.body.len() > limits::API_PAYLOAD_BYTES_MAX {
        response = refusal::answer(&exchange, &Refusal::BadGateway);
    }
    response.set_header("x-amz-apigw-id", &exchange.extended_id);
    if !is_proxied
        && !response.headers.contains_key("x-amzn-trace-id")
        && let Ok(value) = HeaderValue::from_str(&exchange.trace)
    {
        response.headers.insert("x-amzn-trace-id", value);
    }
    response
}

async fn serve(
    doors: &Doors,
    lambda: &Arc<Lambda>,
    exchange: &mut Exchange,
) -> Result<ApiResponse, Refusal> {
    let named_key = authorize::authorize(doors, lambda, exchange).await?;
    let stage = Arc::clone(&exchange.stage);
    check_usage(doors, exchange, &stage, named_key)?;
    validate::validate(exchange)?;
    integrate::integrate(doors, lambda, exchange).await
}

/// Keys, quotas and rates.
fn check_usage(
    doors: &Doors,
    exchange: &mut Exchange,
    stage: &StageSnapshot,
    named_key: Option<String>,
) -> Result<(), Refusal> {
    let Some(found) = &exchange.found else { return Err(Refusal::MissingToken) };
    let refused = |used: Used| match used {
        Used::Rate => Refusal::Throttled,
        Used::Quota => Refusal::QuotaExceeded,
    };
    let api = Arc::clone(&exchange.api);
    let resource = found.resource.path.trim_start_matches('/').to_owned();
    let call = Metered {
        api: &api.id,
        resource: &resource,
        verb: &found.method.verb,
        now_us: doors.clock.monotonic_us(),
        now_ms: exchange.now_ms,
    };
    if found.method.key_required {
        let value = match stage.routes.key_from_authorizer {
            true => named_key,
            false => exchange.headers.header_text("x-api-key").map(str::to_owned),
        };
        let value = value.ok_or(Refusal::InvalidKey)?;
        let ring = Arc::clone(&doors.keys.read().unwrap_or_else(PoisonError::into_inner));
        let found = ring.find(&value, &api.id, &stage.name);
        let (id, plan) = found.ok_or(Refusal::InvalidKey)?;
        doors.meters.take_plan(plan, id, &stage.name, call).map_err(refused)?;
        exchange.api_key = Some((value, id.to_owned()));
    }
    doors.meters.take_stage(stage, call).map_err(refused)
}
