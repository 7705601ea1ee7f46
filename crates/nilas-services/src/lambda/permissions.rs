//! AddPermission, RemovePermission and GetPolicy, and whether a service or a stranger may invoke a function.
//!
//! A policy belongs to a function, a version or an alias, and shares its revision id.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use nilas_model::{AuthContext, FunctionId, FunctionRef, Qualifier, limits};
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::{Deserialize, Serialize};

use super::error::LambdaError;
use super::functions::Function;
use super::lifecycle::new_revision_id;
use super::policy::{
    Caller, CallerPrincipal, ConditionRecord, Operator, PrincipalRecord, StatementRecord,
};
use super::record::VersionRecord;
use super::target::{self, Target};
use super::validation::Violations;
use super::{Lambda, alias, body, patterns};

/// A request about a policy, parsed as far as its path says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PermissionOperation<'a> {
    AddPermission { name: Cow<'a, str> },
    RemovePermission { name: Cow<'a, str>, sid: Cow<'a, str> },
    GetPolicy { name: Cow<'a, str> },
}

impl<'a> PermissionOperation<'a> {
    /// The operation at a path below `/2015-03-31/functions/NAME/policy`.
    pub(crate) fn of(method: &str, segments: &[&'a str]) -> Option<Self> {
        let operation = match (method, segments) {
            ("POST", ["2015-03-31", "functions", name, "policy"]) => {
                Self::AddPermission { name: percent::decode(name) }
            }
            ("GET", ["2015-03-31", "functions", name, "policy"]) => {
                Self::GetPolicy { name: percent::decode(name) }
            }
            ("DELETE", ["2015-03-31", "functions", name, "policy", sid]) => {
                Self::RemovePermission { name: percent::decode(name), sid: percent::decode(sid) }
            }
            _ => return None,
        };
        Some(operation)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::AddPermission { .. } => "AddPermission",
            Self::RemovePermission { .. } => "RemovePermission",
            Self::GetPolicy { .. } => "GetPolicy",
        }
    }

    pub(crate) fn function(&self) -> &str {
        match self {
            Self::AddPermission { name }
            | Self::RemovePermission { name, .. }
            | Self::GetPolicy { name } => name,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    statement_id: Option<String>,
    action: Option<String>,
    principal: Option<String>,
    source_arn: Option<String>,
    source_account: Option<String>,
    event_source_token: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    revision_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddOutput {
    statement: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetOutput<'a> {
    policy: String,
    revision_id: &'a str,
}

pub(crate) async fn run(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    operation: PermissionOperation<'_>,
) -> Result<ApiResponse, LambdaError> {
    match operation {
        PermissionOperation::AddPermission { name } => add(lambda, auth, request, &name).await,
        PermissionOperation::RemovePermission { name, sid } => {
            remove(lambda, auth, request, &name, &sid).await
        }
        PermissionOperation::GetPolicy { name } => get(lambda, auth, request, &name),
    }
}

async fn add(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let input: Input = body::decode(&request.body)?;
    let mut v = Violations::default();
    input.check_members(&mut v);
    let target = target::asked(v, auth, "AddPermission", request, name)?;
    if target.qualifier == Some(Qualifier::Latest) {
        return Err(LambdaError::invalid(
            "We currently do not support adding policies for $LATEST.",
        ));
    }
    let statement = input.statement()?;

    let writer = lambda.functions.write().await;
    let function = find(lambda, &target)?;
    let key = policy_key(&target);
    check_revision(&function, &target, input.revision_id.as_deref())?;
    let mut next = Function::clone(&function);
    let policy = next.record.policies.entry(key).or_default();
    if policy.statement(&statement.sid).is_some() {
        return Err(LambdaError::Conflict(format!(
            "The statement id ({}) provided already exists. Please provide a new statement id, or remove the existing \
             statement.",
            statement.sid
        )));
    }
    let resource = target.arn().to_string();
    let shown = statement.document(&resource)?;
    policy.statements.push(statement);
    let bytes = policy.document(&resource)?.len();
    if bytes > limits::POLICY_BYTES_MAX {
        return Err(LambdaError::PolicyTooLong { bytes });
    }
    touch(&mut next, &target);
    writer.save(next).await?;
    body::answer(StatusCode::CREATED, &AddOutput { statement: shown })
}

async fn remove(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
    sid: &str,
) -> Result<ApiResponse, LambdaError> {
    let seen = percent::query_value(&request.query, "RevisionId");
    let mut v = Violations::default();
    v.length("statementId", Some(sid), 1, 100);
    v.pattern("statementId", Some(sid), &patterns::STATEMENT_TO_REMOVE);
    let target = target::asked(v, auth, "RemovePermission", request, name)?;

    let writer = lambda.functions.write().await;
    let function = lambda.functions.get(&target.id).ok_or_else(|| {
        LambdaError::ResourceNotFound(format!("No policy found for: {}", target.id.arn(None)))
    })?;
    let key = policy_key(&target);
    let mut next = Function::clone(&function);
    let policy = next.record.policies.get_mut(&key).ok_or_else(no_policy)?;
    if policy.statement(sid).is_none() {
        return Err(LambdaError::ResourceNotFound(format!(
            "Statement {sid} is not found in resource policy."
        )));
    }
    check_revision(&function, &target, seen.as_deref())?;
    policy.statements.retain(|statement| statement.sid != sid);
    if policy.statements.is_empty() {
        next.record.policies.remove(&key);
    }
    touch(&mut next, &target);
    writer.save(next).await?;
    Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
}

fn get(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let target = target::asked(Violations::default(), auth, "GetPolicy", request, name)?;
    let absent = || LambdaError::ResourceNotFound(NO_RESOURCE.to_owned());
    let function = lambda.functions.get(&target.id).ok_or_else(absent)?;
    let policy = function.record.policies.get(&policy_key(&target)).ok_or_else(absent)?;
    let revision_id = revision(&function, &target).ok_or_else(absent)?;
    let policy = policy.document(&target.arn().to_string())?;
    body::answer(StatusCode::OK, &GetOutput { policy, revision_id })
}

impl Lambda {
    /// Whether `service`, such as `apigateway.amazonaws.com`, may invoke `arn`, a function, version or alias, on behalf of
    /// the resource `source_arn`. The resource's account is the function's.
    pub(crate) fn service_may_invoke(&self, service: &str, source_arn: &str, arn: &str) -> bool {
        let Some(FunctionRef { region: Some(region), account: Some(account), name, qualifier }) =
            FunctionRef::parse(arn).ok()
        else {
            return false;
        };
        let owner = account.clone();
        let target = Target { id: FunctionId { account, region, name }, qualifier };
        let context = [("aws:sourcearn", source_arn), ("aws:sourceaccount", owner.as_str())];
        let caller = Caller { principal: CallerPrincipal::Service(service), context: &context };
        self.policy_allows(&target, &caller, "lambda:InvokeFunction")
    }

    /// Whether the policy of `target` allows `caller` the action.
    pub(crate) fn policy_allows(&self, target: &Target, caller: &Caller<'_>, action: &str) -> bool {
        let function = self.functions.get(&target.id);
        function.is_some_and(|function| {
            let policy = function.record.policies.get(&policy_key(target));
            policy.is_some_and(|policy| policy.allows(caller, action))
        })
    }
}

const NO_RESOURCE: &str = "The resource you requested does not exist.";

impl Input {
    fn check_members(&self, v: &mut Violations) {
        v.required("statementId", self.statement_id.as_ref());
        v.length("statementId", self.statement_id.as_deref(), 1, 100);
        v.pattern("statementId", self.statement_id.as_deref(), &patterns::STATEMENT);
        v.required("action", self.action.as_ref());
        v.pattern("action", self.action.as_deref(), &patterns::ACTION);
        v.required("principal", self.principal.as_ref());
        v.length("principal", self.principal.as_deref(), 0, 2_048);
        v.pattern("principal", self.principal.as_deref(), &patterns::PRINCIPAL);
        v.pattern("sourceArn", self.source_arn.as_deref(), &patterns::ARN);
        v.pattern("sourceAccount", self.source_account.as_deref(), &patterns::ACCOUNT);
        v.length("eventSourceToken", self.event_source_token.as_deref(), 0, 256);
        v.pattern("eventSourceToken", self.event_source_token.as_deref(), &patterns::TOKEN);
        let auth_type = self.function_url_auth_type.as_deref();
        v.one_of("functionUrlAuthType", auth_type, &["NONE", "AWS_IAM"]);
        v.length("principalOrgID", self.principal_org_id.as_deref(), 12, 34);
        v.pattern("principalOrgID", self.principal_org_id.as_deref(), &patterns::ORGANIZATION);
    }

    fn statement(&self) -> Result<StatementRecord, LambdaError> {
        let principal = PrincipalRecord::parse(self.principal.as_deref().unwrap_or_default());
        let principal = principal.ok_or_else(|| {
            LambdaError::invalid(
                "The provided principal was invalid. Please check the principal and try again.",
            )
        })?;
        let action = self.action.clone().unwrap_or_default();
        // See API_AddPermission, "FunctionUrlAuthType".
        if self.function_url_auth_type.is_some() && action != "lambda:InvokeFunctionUrl" {
            return Err(LambdaError::invalid(
                "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action",
            ));
        }
        let via_url = self.invoked_via_function_url.map(|via_url| via_url.to_string());
        let equals = Operator::StringEquals;
        let given = [
            (equals, "AWS:SourceAccount", &self.source_account),
            (equals, "lambda:FunctionUrlAuthType", &self.function_url_auth_type),
            (equals, "aws:PrincipalOrgID", &self.principal_org_id),
            (equals, "lambda:EventSourceToken", &self.event_source_token),
            (Operator::ArnLike, "AWS:SourceArn", &self.source_arn),
            (Operator::Bool, "lambda:InvokedViaFunctionUrl", &via_url),
        ];
        let conditions = given.into_iter().filter_map(|(operator, key, value)| {
            Some(ConditionRecord::new(operator, key, value.clone()?))
        });
        Ok(StatementRecord {
            sid: self.statement_id.clone().unwrap_or_default(),
            principal,
            action,
            conditions: conditions.collect(),
        })
    }
}

/// Where a function keeps the policy of `target`: empty for its own, else a version's number or an alias's name.
fn policy_key(target: &Target) -> String {
    match &target.qualifier {
        None | Some(Qualifier::Latest) => String::new(),
        Some(Qualifier::Version(number)) => number.to_string(),
        Some(Qualifier::Alias(name)) => name.clone(),
    }
}

/// The function, if it has the version or alias.
fn find(lambda: &Lambda, target: &Target) -> Result<Arc<Function>, LambdaError> {
    let missing = || match &target.qualifier {
        Some(Qualifier::Alias(name)) => alias::not_found(&target.id, name),
        _ => target.not_found(),
    };
    let function = lambda.functions.get(&target.id).ok_or_else(missing)?;
    target.version(&function).map_err(|_| missing())?;
    Ok(function)
}

/// The revision id that a policy has in common with what it belongs to.
fn revision<'a>(function: &'a Function, target: &Target) -> Option<&'a str> {
    match &target.qualifier {
        Some(Qualifier::Alias(name)) => {
            function.record.aliases.get(name).map(|alias| alias.revision_id.as_str())
        }
        _ => {
            let version = target.version(function).ok()?;
            function.version(version).map(|record| record.revision_id.as_str())
        }
    }
}

fn check_revision(
    function: &Function,
    target: &Target,
    seen: Option<&str>,
) -> Result<(), LambdaError> {
    match seen {
        Some(seen) if revision(function, target) != Some(seen) => {
            Err(LambdaError::PolicyRevisionMismatch { operation: "GetPolicy" })
        }
        _ => Ok(()),
    }
}

/// Gives what the policy belongs to a new revision id.
///
/// A version that is still being made ready keeps its own, by which its task knows it, and gets another one in the end.
fn touch(function: &mut Function, target: &Target) {
    if let Some(Qualifier::Alias(name)) = &target.qualifier {
        if let Some(alias) = function.record.aliases.get_mut(name) {
            alias.revision_id = new_revision_id();
        }
        return;
    }
    let Ok(version) = target.version(function) else { return };
    if !function.slots.contains_key(&version) {
        return;
    }
    match &target.qualifier {
        Some(Qualifier::Version(number)) => {
            if let Some(record) = function.published.get_mut(number) {
                let touched = VersionRecord {
                    revision_id: new_revision_id(),
                    ..VersionRecord::clone(record)
                };
                *record = Arc::new(touched);
            }
        }
        _ if function.record.latest.state.is_settled() => {
            function.record.latest.revision_id = new_revision_id();
        }
        _ => {}
    }
}

fn no_policy() -> LambdaError {
    LambdaError::ResourceNotFound("No policy is associated with the given resource.".to_owned())
}
