//! What an execution role may do, until IAM policies say so.
//!
//! A function is hostile and its role's credentials are its own to use. Without policies every role has what AWS's
//! managed policies `AWSLambdaBasicExecutionRole` and `AWSLambdaRole` give: it writes logs and invokes functions of
//! its account. Another function's code, variables and logs are none of its business.

use std::borrow::Cow;

use nilas_model::{AuthContext, FunctionRef, Principal};
use nilas_wire::{ApiRequest, Fault, FaultShape, Service};
use serde::Deserialize;

use crate::lambda::Operation;
use crate::{logs, sts};

const LOGS_ALLOWED: [&str; 3] = ["CreateLogGroup", "CreateLogStream", "PutLogEvents"];

/// The fault for what `auth` may not do; none if it may, or if there is no such operation.
pub(crate) fn refuse(service: Service, auth: &AuthContext, request: &ApiRequest) -> Option<Fault> {
    match (&auth.principal, service) {
        (Principal::Root, _) | (Principal::Role { .. }, Service::Sts) => None,
        (Principal::Role { .. }, Service::Lambda) => {
            let operation = Operation::of(request)?;
            let allowed = matches!(operation, Operation::Invoke { .. });
            (!allowed).then(|| {
                let resource = function_arn(auth, &operation, request);
                denied(auth, 403, "lambda", operation.name(), &resource)
            })
        }
        (Principal::Role { .. }, Service::Logs) => {
            let operation = logs::operation_name(request)?;
            let resource =
                format!("arn:aws:logs:{}:{}:*", auth.region.as_str(), auth.account.as_str());
            let allowed = LOGS_ALLOWED.contains(&operation);
            (!allowed).then(|| denied(auth, 400, "logs", operation, &resource))
        }
        (Principal::Role { .. }, Service::S3) => {
            Some(Fault::plain("AccessDenied", 403, "Access Denied"))
        }
    }
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
        Operation::CreateFunction => name_in(&request.body),
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

fn name_in(body: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(rename = "FunctionName", borrow)]
        name: Option<Cow<'a, str>>,
    }
    serde_json::from_slice::<Named<'_>>(body).ok()?.name
}
