//! What an execution role may do, until IAM policies say so.
//!
//! A function is hostile and its role's credentials are its own to use. Without policies every role has what AWS's
//! managed policies `AWSLambdaBasicExecutionRole` and `AWSLambdaRole` give: it writes to the function's log group and
//! invokes functions of its account. Another function's code, variables and logs are none of its business.

use std::borrow::Cow;

use nilas_model::{AuthContext, FunctionRef, Principal};
use nilas_wire::{ApiRequest, Fault, FaultShape, Protocol, Service};
use serde::Deserialize;

use crate::lambda::Operation;
use crate::{logs, sts};

const LOGS_ALLOWED: [&str; 3] = ["CreateLogGroup", "CreateLogStream", "PutLogEvents"];

/// The fault for what `auth` may not do; none if it may, or if there is no such operation.
pub(crate) fn refuse(service: Service, auth: &AuthContext, request: &ApiRequest) -> Option<Fault> {
    match (&auth.principal, service) {
        (Principal::Root | Principal::AssumedRole { .. }, _) => None,
        (Principal::Role { .. }, Service::Sts) => {
            let (operation, resource) = sts::asked(request)?;
            let fault = denied(auth, 403, "sts", &operation, &resource);
            Some(Fault { code: "AccessDenied".into(), shape: FaultShape::Plain, ..fault })
        }
        (Principal::Role { .. }, Service::Lambda) => {
            let operation = Operation::of(request)?;
            let allowed = matches!(
                operation,
                Operation::Invoke { .. } | Operation::InvokeWithResponseStream { .. }
            );
            (!allowed).then(|| {
                let resource = function_arn(auth, &operation, request);
                denied(auth, 403, "lambda", operation.name(), &resource)
            })
        }
        // An environment's session is named after its function.
        (Principal::Role { session, .. }, Service::Logs) => {
            let operation = logs::operation_name(request)?;
            let group = name_in(&request.body);
            let own = group.as_deref().and_then(|group| group.strip_prefix("/aws/lambda/"));
            let allowed = LOGS_ALLOWED.contains(&operation) && own == Some(session.as_str());
            (!allowed).then(|| {
                let (region, account) = (auth.region.as_str(), auth.account.as_str());
                let group = group.unwrap_or_default();
                let resource =
                    format!("arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:");
                denied(auth, 400, "logs", operation, &resource)
            })
        }
        (Principal::Role { .. }, Service::S3) => {
            Some(Fault::plain("AccessDenied", 403, "Access Denied"))
        }
        // Links in messages of topics; SNS knows which.
        (Principal::Anonymous, Service::S3 | Service::Sns) => None,
        (Principal::Anonymous, _) => {
            Some(Fault::plain("AccessDeniedException", 403, "Missing Authentication Token"))
        }
        (Principal::Role { .. }, service) => {
            let (name, code, status) = match service.protocol() {
                Protocol::Query { .. } => ("*", "AccessDenied", 403),
                Protocol::RestJson => ("*", "AccessDeniedException", 403),
                _ => (operation_name(service, request)?, "AccessDeniedException", 400),
            };
            let fault = denied(auth, status, service.signing_name(), name, "*");
            Some(Fault { code: code.into(), ..fault })
        }
    }
}

/// The operation that a request's `X-Amz-Target` names.
fn operation_name(service: Service, request: &ApiRequest) -> Option<&str> {
    request.header("x-amz-target")?.strip_prefix(service.target_prefix()?)?.strip_prefix('.')
}

/// AWS's sentence.
fn denied(auth: &AuthContext, status: u16, service: &str, name: &str, resource: &str) -> Fault {
    let (caller, action) = (sts::caller_arn(auth), format!("{service}:{name}"));
    let message = format!(
        "User: {caller} is not authorized to perform: {action} on resource: {resource} because no identity-based \
         policy allows the {action} action"
    );
    Fault::caller("AccessDeniedException", status, FaultShape::Capital, message)
}

/// `*` for operations on no single function.
fn function_arn(auth: &AuthContext, operation: &Operation<'_>, request: &ApiRequest) -> String {
    let name = match operation {
        Operation::CreateFunction => name_in(&request.body).map(Cow::Owned),
        operation => operation.function().map(Cow::Borrowed),
    };
    let Some(name) = name else { return "*".to_owned() };
    match FunctionRef::parse(&name) {
        Ok(function) => format!(
            "arn:aws:lambda:{}:{}:function:{}",
            auth.region.as_str(),
            auth.account.as_str(),
            function.name.as_str()
        ),
        Err(_) => name.into_owned(),
    }
}

/// What the request is about, in the members that name it.
#[derive(Deserialize)]
struct Subject {
    #[serde(rename = "FunctionName", alias = "logGroupName")]
    name: Option<String>,
}

/// None, too, if it is named twice.
fn name_in(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Subject>(body).ok()?.name
}
