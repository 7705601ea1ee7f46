//! Layers: PublishLayerVersion, GetLayerVersion, GetLayerVersionByArn, ListLayerVersions, ListLayers,
//! DeleteLayerVersion, and which of them a request is about.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, FunctionName};
use nilas_wire::{ApiRequest, ApiResponse, percent, time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::code::{CodeInput, check_body_size};
use super::configuration::code_sha256;
use super::error::LambdaError;
use super::layer_store::{LayerId, LayerVersionRecord};
use super::lifecycle::new_revision_id;
use super::list::Page;
use super::policy::PolicyRecord;
use super::read::location;
use super::record::Architecture;
use super::validation::{ItemConstraint, Violations};
use super::{Lambda, body, layer_permissions, patterns};

/// A request about layers, parsed as far as its path says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LayerOperation<'a> {
    PublishLayerVersion { layer: Cow<'a, str> },
    GetLayerVersion { layer: Cow<'a, str>, version: Cow<'a, str> },
    GetLayerVersionByArn,
    ListLayerVersions { layer: Cow<'a, str> },
    ListLayers,
    DeleteLayerVersion { layer: Cow<'a, str>, version: Cow<'a, str> },
    AddLayerVersionPermission { layer: Cow<'a, str>, version: Cow<'a, str> },
    GetLayerVersionPolicy { layer: Cow<'a, str>, version: Cow<'a, str> },
    RemoveLayerVersionPermission { layer: Cow<'a, str>, version: Cow<'a, str>, sid: Cow<'a, str> },
}

impl<'a> LayerOperation<'a> {
    /// The operation at a path below `/2018-10-31/layers`.
    pub(crate) fn of(method: &str, segments: &[&'a str], query: &str) -> Option<Self> {
        let ["2018-10-31", "layers", rest @ ..] = segments else { return None };
        let find = || query.split('&').any(|pair| pair == "find=LayerVersion");
        let text = percent::decode;
        let operation = match (method, rest) {
            ("GET", []) if find() => Self::GetLayerVersionByArn,
            ("GET", []) => Self::ListLayers,
            ("POST", [layer, "versions"]) => Self::PublishLayerVersion { layer: text(layer) },
            ("GET", [layer, "versions"]) => Self::ListLayerVersions { layer: text(layer) },
            ("GET", [layer, "versions", version]) => {
                Self::GetLayerVersion { layer: text(layer), version: text(version) }
            }
            ("DELETE", [layer, "versions", version]) => {
                Self::DeleteLayerVersion { layer: text(layer), version: text(version) }
            }
            ("POST", [layer, "versions", version, "policy"]) => {
                Self::AddLayerVersionPermission { layer: text(layer), version: text(version) }
            }
            ("GET", [layer, "versions", version, "policy"]) => {
                Self::GetLayerVersionPolicy { layer: text(layer), version: text(version) }
            }
            ("DELETE", [layer, "versions", version, "policy", sid]) => {
                let (layer, version, sid) = (text(layer), text(version), text(sid));
                Self::RemoveLayerVersionPermission { layer, version, sid }
            }
            _ => return None,
        };
        Some(operation)
    }

    /// As IAM policies name it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::PublishLayerVersion { .. } => "PublishLayerVersion",
            Self::GetLayerVersion { .. } | Self::GetLayerVersionByArn => "GetLayerVersion",
            Self::ListLayerVersions { .. } => "ListLayerVersions",
            Self::ListLayers => "ListLayers",
            Self::DeleteLayerVersion { .. } => "DeleteLayerVersion",
            Self::AddLayerVersionPermission { .. } => "AddLayerVersionPermission",
            Self::GetLayerVersionPolicy { .. } => "GetLayerVersionPolicy",
            Self::RemoveLayerVersionPermission { .. } => "RemoveLayerVersionPermission",
        }
    }
}

pub(crate) async fn run(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    operation: LayerOperation<'_>,
) -> Result<ApiResponse, LambdaError> {
    match operation {
        LayerOperation::PublishLayerVersion { layer } => {
            publish(lambda, auth, request, &layer).await
        }
        LayerOperation::GetLayerVersion { layer, version } => {
            get(lambda, auth, request, &layer, &version)
        }
        LayerOperation::GetLayerVersionByArn => get_by_arn(lambda, request),
        LayerOperation::ListLayerVersions { layer } => list_versions(lambda, auth, request, &layer),
        LayerOperation::ListLayers => list(lambda, auth, request),
        LayerOperation::DeleteLayerVersion { layer, version } => {
            delete(lambda, auth, &layer, &version).await
        }
        LayerOperation::AddLayerVersionPermission { layer, version } => {
            layer_permissions::add(lambda, auth, request, &layer, &version).await
        }
        LayerOperation::GetLayerVersionPolicy { layer, version } => {
            layer_permissions::get(lambda, auth, &layer, &version)
        }
        LayerOperation::RemoveLayerVersionPermission { layer, version, sid } => {
            layer_permissions::remove(lambda, auth, request, (&layer, &version), &sid).await
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct PublishInput<'a> {
    description: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    compatible_architectures: Option<Vec<Option<String>>>,
    compatible_runtimes: Option<Vec<Option<String>>>,
    license_info: Option<String>,
}

/// `LayerVersionsListItem`, and with `Content` and `LayerArn` the answers about one version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerVersion<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_arn: Option<String>,
    layer_version_arn: String,
    description: &'a str,
    created_date: String,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible_architectures: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatible_runtimes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_info: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    location: String,
    code_sha256: String,
    code_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListVersionsOutput<'a> {
    layer_versions: Vec<LayerVersion<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput<'a> {
    layers: Vec<LayerItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerItem<'a> {
    layer_name: &'a str,
    layer_arn: String,
    latest_matching_version: LayerVersion<'a>,
}

/// The model's `Runtime`: layers may be for what functions cannot be made with any more.
const RUNTIMES: [&str; 51] = [
    "nodejs",
    "nodejs4.3",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "java8",
    "java8.al2",
    "java11",
    "java17",
    "java21",
    "java25",
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "nodejs4.3-edge",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided",
    "provided.al2",
    "provided.al2023",
    "nodejs26.x",
    "python3.15",
    "java8.al2023",
    "java11.al2023",
    "java17.al2023",
];

async fn publish(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    check_body_size(request, "PublishLayerVersion")?;
    let input: PublishInput<'_> = body::decode(&request.body)?;
    let source: CodeInput<'_> = match input.content {
        Some(content) => serde_json::from_str(content.get()).map_err(|err| body::refuse(&err))?,
        None => CodeInput::default(),
    };
    let (runtimes, architectures) =
        (input.compatible_runtimes.as_deref(), input.compatible_architectures.as_deref());
    let mut v = check_name(name);
    v.required("content", input.content.as_ref());
    source.check_members(&mut v, "content.");
    v.length("description", input.description.as_deref(), 0, 256);
    v.length("licenseInfo", input.license_info.as_deref(), 0, 512);
    v.list_length("compatibleRuntimes", runtimes, 0, 15);
    v.runtimes("compatibleRuntimes", runtimes, &RUNTIMES);
    v.list_length("compatibleArchitectures", architectures, 0, 2);
    let known = ItemConstraint::OneOf(&Architecture::NAMES);
    v.items("compatibleArchitectures", architectures, &known);
    v.finish()?;
    let id = resolve(auth, name).filter(|id| is_own(auth, id));
    let id = id.ok_or_else(|| LambdaError::OtherAccount {
        operation: "PublishLayerVersion",
        resource: name.to_owned(),
    })?;
    let zip = lambda.zip(auth, &source).await?;
    let (code, _hold) = lambda.accept_package(auth, zip, true).await?;
    let record = LayerVersionRecord {
        code,
        description: input.description.unwrap_or_default(),
        license_info: input.license_info,
        compatible_runtimes: input.compatible_runtimes.map(present),
        compatible_architectures: input.compatible_architectures.map(present),
        created_ms: lambda.clock.epoch_ms(),
        policy: PolicyRecord::default(),
        revision_id: new_revision_id(),
    };
    let version = lambda.layers.write().await.publish(&id, record.clone()).await?;
    answer(lambda, request, StatusCode::CREATED, &id, version, &record)
}

fn get(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
    version: &str,
) -> Result<ApiResponse, LambdaError> {
    check_name(name).finish()?;
    let version = parse_version(version)?;
    let id = resolve(auth, name).ok_or_else(absent)?;
    let record = lambda.layers.version(&id, version).ok_or_else(absent)?;
    answer(lambda, request, StatusCode::OK, &id, version, &record)
}

fn get_by_arn(lambda: &Lambda, request: &ApiRequest) -> Result<ApiResponse, LambdaError> {
    let arn = percent::query_value(&request.query, "Arn");
    let mut v = Violations::default();
    v.required("arn", arn.as_ref());
    v.length("arn", arn.as_deref(), 1, 2_048);
    v.pattern("arn", arn.as_deref(), &patterns::LAYER_VERSION);
    v.finish()?;
    let (id, version) = LayerId::parse_arn(&arn.unwrap_or_default()).ok_or_else(absent)?;
    let version = version.ok_or_else(absent)?;
    let record = lambda.layers.version(&id, version).ok_or_else(absent)?;
    answer(lambda, request, StatusCode::OK, &id, version, &record)
}

fn list_versions(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let mut v = check_name(name);
    let wanted = Wanted::decode(&mut v, request);
    let page = Page::decode_up_to(&mut v, request, 50)?;
    v.finish()?;
    let id = resolve(auth, name).ok_or_else(absent)?;
    let layer = lambda.layers.get(&id);
    let versions = layer.iter().flat_map(|layer| layer.versions.iter().rev());
    // Newest first: pages go by a position that grows.
    let items = versions.filter(|(_, record)| wanted.admits(record)).map(|(version, record)| {
        (format!("{:020}", u64::MAX - version), LayerVersion::listed(&id, *version, record))
    });
    let (layer_versions, next_marker) = page.of(items)?;
    body::answer(StatusCode::OK, &ListVersionsOutput { layer_versions, next_marker })
}

fn list(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
) -> Result<ApiResponse, LambdaError> {
    let mut v = Violations::default();
    let wanted = Wanted::decode(&mut v, request);
    let page = Page::decode_up_to(&mut v, request, 50)?;
    v.finish()?;
    let layers = lambda.layers.of(&auth.account, &auth.region);
    let items = layers.iter().filter_map(|(id, layer)| {
        let mut newest_first = layer.versions.iter().rev();
        let (version, record) = newest_first.find(|(_, record)| wanted.admits(record))?;
        let item = LayerItem {
            layer_name: &id.name,
            layer_arn: id.arn(),
            latest_matching_version: LayerVersion::listed(id, *version, record),
        };
        Some((id.name.clone(), item))
    });
    let (layers, next_marker) = page.of(items)?;
    body::answer(StatusCode::OK, &ListOutput { layers, next_marker })
}

async fn delete(
    lambda: &Lambda,
    auth: &AuthContext,
    name: &str,
    version: &str,
) -> Result<ApiResponse, LambdaError> {
    check_name(name).finish()?;
    let version = parse_version(version)?;
    // AWS answers 204 for a version that does not exist, again and again.
    if let Some(id) = resolve(auth, name).filter(|id| is_own(auth, id)) {
        let removed = lambda.layers.write().await.delete(&id, version).await?;
        lambda.blob_use.suspect(removed.and_then(|removed| removed.code.blob()));
    }
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

/// `CompatibleRuntime` and `CompatibleArchitecture` of the lists.
struct Wanted {
    runtime: Option<String>,
    architecture: Option<String>,
}

impl Wanted {
    fn decode(v: &mut Violations, request: &ApiRequest) -> Self {
        let value = |name| percent::query_value(&request.query, name).map(Cow::into_owned);
        let (runtime, architecture) = (value("CompatibleRuntime"), value("CompatibleArchitecture"));
        v.one_of("compatibleRuntime", runtime.as_deref(), &RUNTIMES);
        v.one_of("compatibleArchitecture", architecture.as_deref(), &Architecture::NAMES);
        Self { runtime, architecture }
    }

    fn admits(&self, record: &LayerVersionRecord) -> bool {
        let fits = |wanted: &Option<String>, has: &Option<Vec<String>>| {
            wanted.as_ref().is_none_or(|wanted| has.iter().flatten().any(|has| has == wanted))
        };
        fits(&self.runtime, &record.compatible_runtimes)
            && fits(&self.architecture, &record.compatible_architectures)
    }
}

impl<'a> LayerVersion<'a> {
    fn listed(id: &LayerId, version: u64, record: &'a Arc<LayerVersionRecord>) -> Self {
        Self::new(id, version, record)
    }

    fn new(id: &LayerId, version: u64, record: &'a LayerVersionRecord) -> Self {
        Self {
            content: None,
            layer_arn: None,
            layer_version_arn: id.version_arn(version),
            description: &record.description,
            created_date: time::last_modified(record.created_ms),
            version,
            compatible_architectures: record.compatible_architectures.as_deref(),
            compatible_runtimes: record.compatible_runtimes.as_deref(),
            license_info: record.license_info.as_deref(),
        }
    }
}

fn answer(
    lambda: &Lambda,
    request: &ApiRequest,
    status: StatusCode,
    id: &LayerId,
    version: u64,
    record: &LayerVersionRecord,
) -> Result<ApiResponse, LambdaError> {
    let code = &record.code;
    let (region, account) = (&id.region, &id.account);
    // Layers' names are of the same letters as functions'.
    let name = FunctionName::parse(&id.name).map_err(|_| absent())?;
    let location = location(lambda, &request.base_url(), (region, account), &name, code)?;
    let content =
        Content { location, code_sha256: code_sha256(&code.sha256), code_size: code.bytes };
    let shown = LayerVersion {
        content: Some(content),
        layer_arn: Some(id.arn()),
        ..LayerVersion::new(id, version, record)
    };
    body::answer(status, &shown)
}

/// V constraints of a layer's name or ARN.
pub(crate) fn check_name(name: &str) -> Violations {
    let mut v = Violations::default();
    v.length("layerName", Some(name), 1, 2_048);
    v.pattern("layerName", Some(name), &patterns::LAYER);
    v
}

/// The layer that a well-formed `LayerName` names: a bare name or an ARN.
pub(crate) fn resolve(auth: &AuthContext, name: &str) -> Option<LayerId> {
    if name.starts_with("arn:") {
        return LayerId::parse_arn(name).map(|(id, _)| id);
    }
    let (account, region) = (auth.account.clone(), auth.region.clone());
    Some(LayerId { account, region, name: name.to_owned() })
}

pub(crate) fn is_own(auth: &AuthContext, id: &LayerId) -> bool {
    id.account == auth.account && id.region == auth.region
}

pub(crate) fn parse_version(text: &str) -> Result<u64, LambdaError> {
    let number: i64 = text.parse().map_err(|_| {
        LambdaError::Serialization(format!("{text} can not be converted to a Long"))
    })?;
    match u64::try_from(number) {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(LambdaError::invalid("Layer Version Cannot be less than 1")),
    }
}

fn absent() -> LambdaError {
    LambdaError::ResourceNotFound("The resource you requested does not exist.".to_owned())
}

fn present(items: Vec<Option<String>>) -> Vec<String> {
    items.into_iter().flatten().collect()
}
