//! AddLayerVersionPermission, GetLayerVersionPolicy and RemoveLayerVersionPermission.
//!
//! The policies are kept and shown. Layers of other accounts do not exist here, so that nobody needs them yet.

use http::StatusCode;
use nilas_model::{AuthContext, limits};
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::{Deserialize, Serialize};

use super::error::LambdaError;
use super::layer_store::{LayerId, LayerVersionRecord};
use super::layers::{check_name, is_own, parse_version, resolve};
use super::lifecycle::new_revision_id;
use super::policy::{ConditionRecord, Operator, PrincipalRecord, StatementRecord};
use super::{Lambda, body, patterns};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    statement_id: Option<String>,
    action: Option<String>,
    principal: Option<String>,
    organization_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddOutput<'a> {
    statement: String,
    revision_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetOutput<'a> {
    policy: String,
    revision_id: &'a str,
}

pub(crate) async fn add(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    layer: &str,
    version: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let mut v = check_name(layer);
    v.required("statementId", input.statement_id.as_ref());
    v.length("statementId", input.statement_id.as_deref(), 1, 100);
    v.pattern("statementId", input.statement_id.as_deref(), &patterns::STATEMENT);
    v.required("action", input.action.as_ref());
    v.pattern("action", input.action.as_deref(), &patterns::LAYER_ACTION);
    v.required("principal", input.principal.as_ref());
    v.pattern("principal", input.principal.as_deref(), &patterns::LAYER_PRINCIPAL);
    v.pattern("organizationId", input.organization_id.as_deref(), &patterns::ORGANIZATION);
    v.finish()?;
    let version = parse_version(version)?;
    let principal = PrincipalRecord::parse(input.principal.as_deref().unwrap_or_default());
    let organization = input.organization_id.map(|organization| {
        ConditionRecord::new(Operator::StringEquals, "aws:PrincipalOrgID", organization)
    });
    let statement = StatementRecord {
        sid: input.statement_id.unwrap_or_default(),
        // The pattern leaves nothing else.
        principal: principal.unwrap_or(PrincipalRecord::Anyone),
        action: input.action.unwrap_or_default(),
        conditions: organization.into_iter().collect(),
    };

    let writer = lambda.layers.write().await;
    let (id, mut record) = find(lambda, auth, layer, version)?;
    check_revision(request, &record)?;
    if record.policy.statement(&statement.sid).is_some() {
        return Err(LambdaError::Conflict(format!(
            "The statement id ({}) provided already exists. Please provide a new statement id, or remove the existing \
             statement.",
            statement.sid
        )));
    }
    let resource = id.version_arn(version);
    let shown = statement.document(&resource)?;
    record.policy.statements.push(statement);
    let bytes = record.policy.document(&resource)?.len();
    if bytes > limits::POLICY_BYTES_MAX {
        return Err(LambdaError::PolicyTooLong { bytes });
    }
    record.revision_id = new_revision_id();
    writer.replace(&id, version, record.clone()).await?;
    let output = AddOutput { statement: shown, revision_id: &record.revision_id };
    body::answer(StatusCode::CREATED, &output)
}

pub(crate) fn get(
    lambda: &Lambda,
    auth: &AuthContext,
    layer: &str,
    version: &str,
) -> Result<ApiResponse, LambdaError> {
    check_name(layer).finish()?;
    let version = parse_version(version)?;
    let (id, record) = find(lambda, auth, layer, version)?;
    if record.policy.statements.is_empty() {
        return Err(no_policy());
    }
    let policy = record.policy.document(&id.version_arn(version))?;
    body::answer(StatusCode::OK, &GetOutput { policy, revision_id: &record.revision_id })
}

pub(crate) async fn remove(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    (layer, version): (&str, &str),
    sid: &str,
) -> Result<ApiResponse, LambdaError> {
    let mut v = check_name(layer);
    v.length("statementId", Some(sid), 1, 100);
    v.pattern("statementId", Some(sid), &patterns::STATEMENT);
    v.finish()?;
    let version = parse_version(version)?;
    let writer = lambda.layers.write().await;
    let (id, mut record) = find(lambda, auth, layer, version)?;
    check_revision(request, &record)?;
    if record.policy.statements.is_empty() {
        return Err(no_policy());
    }
    if record.policy.statement(sid).is_none() {
        return Err(LambdaError::ResourceNotFound(format!(
            "Statement {sid} is not found in resource policy."
        )));
    }
    record.policy.statements.retain(|statement| statement.sid != sid);
    record.revision_id = new_revision_id();
    writer.replace(&id, version, record).await?;
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

fn find(
    lambda: &Lambda,
    auth: &AuthContext,
    layer: &str,
    version: u64,
) -> Result<(LayerId, LayerVersionRecord), LambdaError> {
    let id = resolve(auth, layer).filter(|id| is_own(auth, id));
    let found = id.and_then(|id| {
        let record = lambda.layers.version(&id, version)?;
        Some((id, LayerVersionRecord::clone(&record)))
    });
    found.ok_or_else(|| {
        let arn = resolve(auth, layer).map(|id| id.version_arn(version)).unwrap_or_default();
        LambdaError::ResourceNotFound(format!("Layer version {arn} does not exist."))
    })
}

fn check_revision(request: &ApiRequest, record: &LayerVersionRecord) -> Result<(), LambdaError> {
    let seen = percent::query_value(&request.query, "RevisionId");
    if seen.is_some_and(|seen| seen != record.revision_id) {
        return Err(LambdaError::PolicyRevisionMismatch { operation: "GetLayerPolicy" });
    }
    Ok(())
}

fn no_policy() -> LambdaError {
    LambdaError::ResourceNotFound("No policy is associated with the given resource.".to_owned())
}
