//! Function URLs: CreateFunctionUrlConfig, GetFunctionUrlConfig, UpdateFunctionUrlConfig, DeleteFunctionUrlConfig and
//! ListFunctionUrlConfigs. What comes in at a URL is `front/function_url.rs`.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, FunctionId, Qualifier};
use nilas_wire::{ApiRequest, ApiResponse, percent, time};
use serde::{Deserialize, Serialize};

use super::error::LambdaError;
use super::functions::Function;
use super::list::Page;
use super::record::{UrlAuth, UrlCors, UrlRecord};
use super::target::{self, Target};
use super::validation::{ItemConstraint, Violations};
use super::{Lambda, body, patterns};

/// A request about a function's URLs, parsed as far as its path says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UrlOperation<'a> {
    CreateFunctionUrlConfig { name: Cow<'a, str> },
    GetFunctionUrlConfig { name: Cow<'a, str> },
    UpdateFunctionUrlConfig { name: Cow<'a, str> },
    DeleteFunctionUrlConfig { name: Cow<'a, str> },
    ListFunctionUrlConfigs { name: Cow<'a, str> },
}

impl<'a> UrlOperation<'a> {
    /// The operation at a path below `/2021-10-31/functions/NAME`.
    pub(crate) fn of(method: &str, segments: &[&'a str]) -> Option<Self> {
        let ["2021-10-31", "functions", name, place] = segments else { return None };
        let name = percent::decode(name);
        match (method, *place) {
            ("POST", "url") => Some(Self::CreateFunctionUrlConfig { name }),
            ("GET", "url") => Some(Self::GetFunctionUrlConfig { name }),
            ("PUT", "url") => Some(Self::UpdateFunctionUrlConfig { name }),
            ("DELETE", "url") => Some(Self::DeleteFunctionUrlConfig { name }),
            ("GET", "urls") => Some(Self::ListFunctionUrlConfigs { name }),
            _ => None,
        }
    }

    /// As IAM policies name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateFunctionUrlConfig { .. } => "CreateFunctionUrlConfig",
            Self::GetFunctionUrlConfig { .. } => "GetFunctionUrlConfig",
            Self::UpdateFunctionUrlConfig { .. } => "UpdateFunctionUrlConfig",
            Self::DeleteFunctionUrlConfig { .. } => "DeleteFunctionUrlConfig",
            Self::ListFunctionUrlConfigs { .. } => "ListFunctionUrlConfigs",
        }
    }

    pub(crate) fn function(&self) -> &str {
        match self {
            Self::CreateFunctionUrlConfig { name }
            | Self::GetFunctionUrlConfig { name }
            | Self::UpdateFunctionUrlConfig { name }
            | Self::DeleteFunctionUrlConfig { name }
            | Self::ListFunctionUrlConfigs { name } => name,
        }
    }
}

/// A URL, found by its id: whose it is and how it answers.
#[derive(Debug, Clone)]
pub(crate) struct FunctionUrl {
    /// With the alias, if it is one's.
    pub target: Target,
    pub record: UrlRecord,
    /// Whether the alias is still there.
    pub is_alive: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    auth_type: Option<String>,
    cors: Option<CorsInput>,
    invoke_mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CorsInput {
    allow_credentials: Option<bool>,
    allow_headers: Option<Vec<Option<String>>>,
    allow_methods: Option<Vec<Option<String>>>,
    allow_origins: Option<Vec<Option<String>>>,
    expose_headers: Option<Vec<Option<String>>>,
    max_age: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct UrlConfig<'a> {
    function_url: String,
    function_arn: String,
    auth_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<Cors<'a>>,
    creation_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoke_mode: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Cors<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_credentials: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_headers: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_methods: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_origins: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expose_headers: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput<'a> {
    function_url_configs: Vec<UrlConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(crate) async fn run(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    operation: UrlOperation<'_>,
) -> Result<ApiResponse, LambdaError> {
    match operation {
        UrlOperation::CreateFunctionUrlConfig { name } => {
            create(lambda, auth, request, &name).await
        }
        UrlOperation::GetFunctionUrlConfig { name } => get(lambda, auth, request, &name),
        UrlOperation::UpdateFunctionUrlConfig { name } => {
            update(lambda, auth, request, &name).await
        }
        UrlOperation::DeleteFunctionUrlConfig { name } => {
            delete(lambda, auth, request, &name).await
        }
        UrlOperation::ListFunctionUrlConfigs { name } => list(lambda, auth, request, &name),
    }
}

async fn create(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let mut v = Violations::default();
    v.required("authType", input.auth_type.as_ref());
    input.check_members(&mut v);
    let target = resolve(v, auth, "CreateFunctionUrlConfig", request, name)?;

    let writer = lambda.functions.write().await;
    let function = find(lambda, &target)?;
    let key = url_key(&target);
    if function.record.urls.contains_key(&key) {
        return Err(LambdaError::Conflict(format!(
            "Failed to create function url config for [functionArn = {}]. Error message:  FunctionUrlConfig exists for \
             this Lambda function",
            target.arn()
        )));
    }
    let now_ms = lambda.clock.epoch_ms();
    let mut record = UrlRecord {
        id: new_url_id(),
        auth: UrlAuth::Iam,
        cors: None,
        has_invoke_mode: false,
        streams: false,
        created_ms: now_ms,
        modified_ms: now_ms,
    };
    input.apply(&mut record);
    let mut next = Function::clone(&function);
    next.record.urls.insert(key.clone(), record);
    let function = writer.save(next).await?;
    let mut shown = UrlConfig::of(&function, &key, request).ok_or_else(absent)?;
    shown.last_modified_time = None;
    body::answer(StatusCode::CREATED, &shown)
}

fn get(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = resolve(Violations::default(), auth, "GetFunctionUrlConfig", request, name)?;
    let function = lambda.functions.get(&target.id).ok_or_else(absent)?;
    let shown = UrlConfig::of(&function, &url_key(&target), request).ok_or_else(absent)?;
    body::answer(StatusCode::OK, &shown)
}

async fn update(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let mut v = Violations::default();
    input.check_members(&mut v);
    let target = resolve(v, auth, "UpdateFunctionUrlConfig", request, name)?;

    let writer = lambda.functions.write().await;
    let function = find(lambda, &target)?;
    let key = url_key(&target);
    let mut next = Function::clone(&function);
    let record = next.record.urls.get_mut(&key).ok_or_else(absent)?;
    input.apply(record);
    record.modified_ms = lambda.clock.epoch_ms();
    let function = writer.save(next).await?;
    let shown = UrlConfig::of(&function, &key, request).ok_or_else(absent)?;
    body::answer(StatusCode::OK, &shown)
}

async fn delete(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = resolve(Violations::default(), auth, "DeleteFunctionUrlConfig", request, name)?;
    let writer = lambda.functions.write().await;
    let function = lambda.functions.get(&target.id).ok_or_else(absent)?;
    let mut next = Function::clone(&function);
    next.record.urls.remove(&url_key(&target)).ok_or_else(absent)?;
    writer.save(next).await?;
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

fn list(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let mut v = Violations::default();
    target::check_name(&mut v, Some(name));
    let page = Page::decode_up_to(&mut v, request, 50)?;
    v.finish()?;
    let target = target::resolve(auth, "ListFunctionUrlConfigs", name, None)?;
    let function = lambda.functions.get(&target.id).ok_or_else(no_function)?;
    let urls = function.record.urls.keys();
    let items =
        urls.filter_map(|key| Some((format!("{key}\0"), UrlConfig::of(&function, key, request)?)));
    let (function_url_configs, next_marker) = page.of(items)?;
    body::answer(StatusCode::OK, &ListOutput { function_url_configs, next_marker })
}

impl Lambda {
    /// The URL with this id, wherever its function is.
    pub(crate) fn function_url(&self, url_id: &str) -> Option<FunctionUrl> {
        let (id, key) = self.functions.url(url_id)?;
        let function = self.functions.get(&id)?;
        let record = function.record.urls.get(&key)?.clone();
        let qualifier = (!key.is_empty()).then(|| Qualifier::Alias(key.clone()));
        let is_alive = key.is_empty() || function.record.aliases.contains_key(&key);
        Some(FunctionUrl { target: Target { id, qualifier }, record, is_alive })
    }
}

impl Input {
    fn check_members(&self, v: &mut Violations) {
        v.one_of("authType", self.auth_type.as_deref(), &["NONE", "AWS_IAM"]);
        v.one_of("invokeMode", self.invoke_mode.as_deref(), &["RESPONSE_STREAM", "BUFFERED"]);
        let Some(cors) = &self.cors else { return };
        let lists = [
            ("cors.allowHeaders", &cors.allow_headers, 100, (0, 1_024)),
            ("cors.allowMethods", &cors.allow_methods, 6, (0, 6)),
            ("cors.allowOrigins", &cors.allow_origins, 100, (1, 253)),
            ("cors.exposeHeaders", &cors.expose_headers, 100, (0, 1_024)),
        ];
        for (member, items, most, (min, max)) in lists {
            v.list_length(member, items.as_deref(), 0, most);
            let pattern = &patterns::ANY;
            v.items(member, items.as_deref(), &ItemConstraint::Pattern { min, max, pattern });
        }
        v.range("cors.maxAge", cors.max_age, 0, 86_400);
    }

    fn apply(self, record: &mut UrlRecord) {
        if let Some(auth_type) = self.auth_type {
            record.auth = if auth_type == "NONE" { UrlAuth::None } else { UrlAuth::Iam };
        }
        if let Some(mode) = self.invoke_mode {
            record.has_invoke_mode = true;
            record.streams = mode == "RESPONSE_STREAM";
        }
        if let Some(cors) = self.cors {
            let items = |items: Option<Vec<Option<String>>>| {
                items.map(|items| items.into_iter().flatten().collect())
            };
            let cors = UrlCors {
                allow_credentials: cors.allow_credentials,
                allow_headers: items(cors.allow_headers),
                allow_methods: items(cors.allow_methods),
                allow_origins: items(cors.allow_origins),
                expose_headers: items(cors.expose_headers),
                max_age_s: cors.max_age.and_then(|seconds| u32::try_from(seconds).ok()),
            };
            record.cors = Some(cors).filter(|cors| *cors != UrlCors::default());
        }
    }
}

impl<'a> UrlConfig<'a> {
    fn of(function: &'a Arc<Function>, key: &str, request: &ApiRequest) -> Option<Self> {
        let record = function.record.urls.get(key)?;
        let qualifier = (!key.is_empty()).then(|| Qualifier::Alias(key.to_owned()));
        Some(Self {
            function_url: address(&function.id, &record.id, request),
            function_arn: function.id.arn(qualifier).to_string(),
            auth_type: match record.auth {
                UrlAuth::None => "NONE",
                UrlAuth::Iam => "AWS_IAM",
            },
            cors: record.cors.as_ref().map(|cors| Cors {
                allow_credentials: cors.allow_credentials,
                allow_headers: cors.allow_headers.as_deref(),
                allow_methods: cors.allow_methods.as_deref(),
                allow_origins: cors.allow_origins.as_deref(),
                expose_headers: cors.expose_headers.as_deref(),
                max_age: cors.max_age_s,
            }),
            creation_time: time::iso8601_millis(record.created_ms),
            last_modified_time: Some(time::iso8601_millis(record.modified_ms)),
            invoke_mode: record.has_invoke_mode.then_some(match record.streams {
                true => "RESPONSE_STREAM",
                false => "BUFFERED",
            }),
        })
    }
}

/// `http://URLID.lambda-url.REGION.localhost:PORT/`, on the port where the caller reached us.
fn address(id: &FunctionId, url_id: &str, request: &ApiRequest) -> String {
    let base = request.base_url();
    let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host);
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.unwrap_or_else(|| request.local.port());
    format!("http://{url_id}.lambda-url.{}.localhost:{port}/", id.region.as_str())
}

/// The function or alias that a request is about, once all of its members have been checked.
fn resolve(
    mut v: Violations,
    auth: &AuthContext,
    operation: &'static str,
    request: &ApiRequest,
    name: &str,
) -> Result<Target, LambdaError> {
    let qualifier = percent::query_value(&request.query, "Qualifier");
    v.length("qualifier", qualifier.as_deref(), 1, 128);
    v.pattern("qualifier", qualifier.as_deref(), &patterns::URL_QUALIFIER);
    target::check_name(&mut v, Some(name));
    v.finish()?;
    let target = target::resolve(auth, operation, name, qualifier.as_deref())?;
    match &target.qualifier {
        None | Some(Qualifier::Alias(_)) => Ok(target),
        // In the name, where the pattern of the parameter does not see it.
        Some(Qualifier::Latest | Qualifier::Version(_)) => Err(no_function()),
    }
}

fn find(lambda: &Lambda, target: &Target) -> Result<Arc<Function>, LambdaError> {
    let function = lambda.functions.get(&target.id).ok_or_else(no_function)?;
    target.version(&function).map_err(|_| no_function())?;
    Ok(function)
}

/// Where a function keeps the URL of `target`: empty for its own, else the alias's name.
fn url_key(target: &Target) -> String {
    match &target.qualifier {
        Some(Qualifier::Alias(name)) => name.clone(),
        _ => String::new(),
    }
}

/// Thirty-two of `[a-z0-9]`, which nobody can guess.
fn new_url_id() -> String {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut id = String::with_capacity(32);
    for _ in 0..2 {
        let mut random = uuid::Uuid::new_v4().as_u128();
        for _ in 0..16 {
            id.push(char::from(DIGITS[(random % 36) as usize]));
            random /= 36;
        }
    }
    id
}

fn no_function() -> LambdaError {
    LambdaError::ResourceNotFound("Function does not exist".to_owned())
}

fn absent() -> LambdaError {
    LambdaError::ResourceNotFound("The resource you requested does not exist.".to_owned())
}
