//! CreateAlias, UpdateAlias, GetAlias, ListAliases and DeleteAlias.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, FunctionId, Qualifier, Version, limits};
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::{Deserialize, Serialize};

use super::error::LambdaError;
use super::functions::Function;
use super::lifecycle::new_revision_id;
use super::list::Page;
use super::record::{AdditionalVersion, AliasRecord};
use super::target::Target;
use super::validation::Violations;
use super::{Lambda, body, concurrency, patterns, provisioned, snap_start, target};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    /// Of CreateAlias; UpdateAlias has it in its path.
    name: Option<String>,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<RoutingInput>,
    revision_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RoutingInput {
    additional_version_weights: Option<BTreeMap<String, Option<f64>>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AliasConfiguration<'a> {
    alias_arn: String,
    name: &'a str,
    function_version: String,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_config: Option<RoutingConfig>,
    revision_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RoutingConfig {
    additional_version_weights: BTreeMap<String, f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput<'a> {
    aliases: Vec<AliasConfiguration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(crate) async fn alias_create(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let mut v = Violations::default();
    v.required("name", input.name.as_ref());
    target::check_alias_name(&mut v, input.name.as_deref());
    v.required("functionVersion", input.function_version.as_ref());
    input.check_members(&mut v, name);
    v.finish()?;
    let target = target::resolve(auth, "CreateAlias", name, None)?;
    let alias = input.name.unwrap_or_default();
    let named = input.function_version.unwrap_or_default();

    let writer = lambda.functions.write().await;
    let function = lambda.functions.get(&target.id);
    // A function that does not exist is missed by the version.
    let function = function.ok_or_else(|| version_not_found(&target.id, &named))?;
    let version = version_named(&function, &named)?;
    if function.record.aliases.contains_key(&alias) {
        let arn = alias_arn(&target.id, &alias);
        return Err(LambdaError::Conflict(format!("Alias already exists: {arn}")));
    }
    if function.record.aliases.len() >= limits::ALIASES_MAX {
        return Err(LambdaError::AliasLimitExceeded);
    }
    let additional = match input.routing_config {
        Some(routing) => routing.additional(&function)?,
        None => None,
    };
    let record = AliasRecord {
        published: published(version),
        description: input.description.unwrap_or_default(),
        revision_id: new_revision_id(),
        additional,
    };
    check_versions(&function, &record)?;
    let mut next = Function::clone(&function);
    next.record.aliases.insert(alias.clone(), record);
    let function = writer.save(next).await?;
    answer(StatusCode::CREATED, &function, &alias)
}

pub(crate) async fn alias_update(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
    alias: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let mut v = Violations::default();
    target::check_alias_name(&mut v, Some(alias));
    input.check_members(&mut v, name);
    v.finish()?;
    let target = target::resolve(auth, "UpdateAlias", name, None)?;

    let writer = lambda.functions.write().await;
    let function = get_function(lambda, &target)?;
    let mut next = Function::clone(&function);
    let record = next.record.aliases.get_mut(alias).ok_or_else(|| {
        LambdaError::ResourceNotFound(format!("Alias not found: {}", alias_arn(&target.id, alias)))
    })?;
    if input.revision_id.is_some_and(|seen| seen != record.revision_id) {
        return Err(LambdaError::RevisionMismatch);
    }
    if let Some(named) = &input.function_version {
        record.published = published(version_named(&function, named)?);
    }
    if let Some(description) = input.description {
        record.description = description;
    }
    if let Some(routing) = input.routing_config {
        record.additional = routing.additional(&function)?;
    }
    check_versions(&function, record)?;
    if function.record.provisioned.contains_key(alias) {
        provisioned::check_alias(&function, alias, record)?;
    }
    // A new one even if nothing has changed.
    record.revision_id = new_revision_id();
    let function = writer.save(next).await?;
    concurrency::apply(lambda, &function);
    answer(StatusCode::OK, &function, alias)
}

pub(crate) fn alias_get(
    lambda: &Lambda,
    auth: &AuthContext,
    name: &str,
    alias: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = check_path(auth, "GetAlias", name, alias)?;
    let function = lambda.functions.get(&target.id);
    let function = function.filter(|function| function.record.aliases.contains_key(alias));
    let function = function.ok_or_else(|| not_found(&target.id, alias))?;
    answer(StatusCode::OK, &function, alias)
}

pub(crate) fn alias_list(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let version = percent::query_value(&request.query, "FunctionVersion");
    let mut v = Violations::default();
    target::check_name(&mut v, Some(name));
    check_version(&mut v, version.as_deref());
    let page = Page::decode(&mut v, request)?;
    v.finish()?;
    let target = target::resolve(auth, "ListAliases", name, None)?;
    let function = get_function(lambda, &target)?;
    let aliases = function.record.aliases.iter();
    let wanted = aliases.filter(|(_, alias)| {
        version.as_ref().is_none_or(|version| alias.version().to_string() == **version)
    });
    let items = wanted
        .map(|(name, alias)| (name.clone(), AliasConfiguration::new(&function.id, name, alias)));
    let (aliases, next_marker) = page.of(items)?;
    body::answer(StatusCode::OK, &ListOutput { aliases, next_marker })
}

pub(crate) async fn alias_delete(
    lambda: &Lambda,
    auth: &AuthContext,
    name: &str,
    alias: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = check_path(auth, "DeleteAlias", name, alias)?;
    let writer = lambda.functions.write().await;
    let function = get_function(lambda, &target)?;
    // AWS answers 204 for an alias that does not exist, again and again.
    if function.record.aliases.contains_key(alias) {
        let mut next = Function::clone(&function);
        next.record.aliases.remove(alias);
        next.record.provisioned.remove(alias);
        next.record.policies.remove(alias);
        next.record.event_invokes.remove(alias);
        let function = writer.save(next).await?;
        concurrency::apply(lambda, &function);
    }
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

/// `Cannot find alias arn`, which most operations say of an alias.
pub(crate) fn not_found(id: &FunctionId, alias: &str) -> LambdaError {
    LambdaError::ResourceNotFound(format!("Cannot find alias arn: {}", alias_arn(id, alias)))
}

// === impl Input ===

impl Input {
    /// What both writing operations have.
    fn check_members(&self, v: &mut Violations, function: &str) {
        check_version(v, self.function_version.as_deref());
        v.length("description", self.description.as_deref(), 0, 256);
        let routing = self.routing_config.as_ref();
        if let Some(weights) = routing.and_then(|r| r.additional_version_weights.as_ref()) {
            v.weights("routingConfig.additionalVersionWeights", weights);
        }
        target::check_name(v, Some(function));
    }
}

impl RoutingInput {
    /// The one additional version; none for an empty map, which takes it away.
    fn additional(&self, function: &Function) -> Result<Option<AdditionalVersion>, LambdaError> {
        let weights = self.additional_version_weights.iter().flatten();
        let weights: Vec<(&String, &Option<f64>)> = weights.collect();
        match weights.as_slice() {
            [] => Ok(None),
            [(version, weight)] => {
                let number = published(version_named(function, version)?);
                let weight = weight.unwrap_or_default();
                Ok(number.map(|number| AdditionalVersion { number, weight }))
            }
            _ => Err(LambdaError::invalid(
                "Number of items in AdditionalVersionWeights cannot be greater than 1",
            )),
        }
    }
}

// === impl AliasConfiguration ===

impl<'a> AliasConfiguration<'a> {
    fn new(id: &FunctionId, name: &'a str, alias: &'a AliasRecord) -> Self {
        let weights = alias
            .additional
            .as_ref()
            .map(|additional| BTreeMap::from([(additional.number.to_string(), additional.weight)]));
        Self {
            alias_arn: alias_arn(id, name),
            name,
            function_version: alias.version().to_string(),
            description: &alias.description,
            routing_config: weights
                .map(|additional_version_weights| RoutingConfig { additional_version_weights }),
            revision_id: &alias.revision_id,
        }
    }
}

fn answer(
    status: StatusCode,
    function: &Function,
    alias: &str,
) -> Result<ApiResponse, LambdaError> {
    let record = function.record.aliases.get(alias);
    let record = record.ok_or_else(|| not_found(&function.id, alias))?;
    body::answer(status, &AliasConfiguration::new(&function.id, alias, record))
}

/// V constraints and the function of an operation that has nothing but its path.
fn check_path(
    auth: &AuthContext,
    operation: &'static str,
    name: &str,
    alias: &str,
) -> Result<Target, LambdaError> {
    let mut v = Violations::default();
    target::check_alias_name(&mut v, Some(alias));
    target::check_name(&mut v, Some(name));
    v.finish()?;
    target::resolve(auth, operation, name, None)
}

fn check_version(v: &mut Violations, version: Option<&str>) {
    v.length("functionVersion", version, 1, 1_024);
    v.pattern("functionVersion", version, &patterns::ALIAS_VERSION);
}

fn get_function(lambda: &Lambda, target: &Target) -> Result<Arc<Function>, LambdaError> {
    let not_found = || LambdaError::FunctionNotFound(target.id.arn(None));
    lambda.functions.get(&target.id).ok_or_else(not_found)
}

/// The version that a request names by its number or as `$LATEST`.
fn version_named(function: &Function, named: &str) -> Result<Version, LambdaError> {
    let version = match Qualifier::parse(named) {
        Ok(Qualifier::Latest) => Some(Version::Latest),
        Ok(Qualifier::Version(number)) => Some(Version::Published(number)),
        _ => None,
    };
    let existing = version.filter(|version| function.version(*version).is_some());
    let version = existing.ok_or_else(|| version_not_found(&function.id, named))?;
    snap_start::check_alias(function, version)?;
    Ok(version)
}

fn version_not_found(id: &FunctionId, named: &str) -> LambdaError {
    LambdaError::FunctionNotFound(id.arn(Some(Qualifier::Alias(named.to_owned()))))
}

fn published(version: Version) -> Option<u64> {
    match version {
        Version::Latest => None,
        Version::Published(number) => Some(number),
    }
}

fn alias_arn(id: &FunctionId, alias: &str) -> String {
    id.arn(Some(Qualifier::Alias(alias.to_owned()))).to_string()
}

/// What two versions of one alias must have in common; see "Configuring weighted alias routing" in AWS's guide.
fn check_versions(function: &Function, alias: &AliasRecord) -> Result<(), LambdaError> {
    let Some(additional) = &alias.additional else { return Ok(()) };
    let number = additional.number;
    if alias.published == Some(number) {
        return Err(LambdaError::invalid(format!(
            "Invalid function version {number}. Function version {number} is already included in routing configuration."
        )));
    }
    if alias.published.is_none() {
        return Err(LambdaError::InvalidParameterUntyped(
            "$LATEST is not supported for an alias pointing to more than 1 version".to_owned(),
        ));
    }
    let settings = |version| function.version(version).map(|record| &record.settings);
    let (Some(first), Some(second)) =
        (settings(alias.version()), settings(Version::Published(number)))
    else {
        return Err(version_not_found(&function.id, &number.to_string()));
    };
    if first.role != second.role {
        return Err(LambdaError::invalid(
            "Specified versions must be associated with the same execution role",
        ));
    }
    // AWS documents this condition too, but its words for it are not known.
    if first.dead_letter_target != second.dead_letter_target {
        return Err(LambdaError::invalid(
            "Specified versions must be associated with the same dead-letter queue configuration",
        ));
    }
    Ok(())
}
