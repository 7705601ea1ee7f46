//! Why a resource could not be made, changed or removed: the `ResourceStatusReason` of its event.

use uuid::Uuid;

use super::resource::Resource;
use crate::calls::Refusal;

/// A resource's step that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    /// The whole sentence, as an event shows it.
    pub(crate) reason: String,
    pub(crate) code: HandlerErrorCode,
    /// What a creation had made already: rolling back deletes it.
    pub(crate) made: Option<Box<Resource>>,
}

/// What a resource provider calls its failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandlerErrorCode {
    AccessDenied,
    AlreadyExists,
    GeneralServiceException,
    InternalFailure,
    InvalidRequest,
    NotFound,
    NotStabilized,
    ResourceConflict,
    ServiceInternalError,
    ServiceLimitExceeded,
    Throttling,
}

// === impl Failure ===

impl Failure {
    /// In the words of a resource provider: `Resource handler returned message: "…" (RequestToken: …, …)`.
    pub(crate) fn handler(code: HandlerErrorCode, message: impl AsRef<str>) -> Self {
        let (message, token) = (message.as_ref(), Uuid::new_v4());
        let reason = format!(
            "Resource handler returned message: \"{message}\" (RequestToken: {token}, HandlerErrorCode: {code:?})"
        );
        Self { reason, code, made: None }
    }

    /// The template asks for what the type does not take.
    pub(crate) fn invalid(message: impl AsRef<str>) -> Self {
        Self::handler(HandlerErrorCode::InvalidRequest, message)
    }

    pub(crate) fn already_exists(message: impl AsRef<str>) -> Self {
        Self::handler(HandlerErrorCode::AlreadyExists, message)
    }

    /// In these words, nothing added.
    pub(crate) fn plain(code: HandlerErrorCode, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), code, made: None }
    }

    /// The creation failed when `made` was there already.
    #[must_use]
    pub(crate) fn after(self, made: Resource) -> Self {
        Self { made: Some(Box::new(made)), ..self }
    }

    /// A service's answer lacks `member`: ours to mend.
    pub(crate) fn no_member(member: &str) -> Self {
        Self::handler(
            HandlerErrorCode::InternalFailure,
            format!("The service's answer has no {member}."),
        )
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.code == HandlerErrorCode::NotFound
    }

    pub(crate) fn is_already_exists(&self) -> bool {
        self.code == HandlerErrorCode::AlreadyExists
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let Refusal { service, status, message, request_id, .. } = &refusal;
        let service = display_name(service);
        let text = format!(
            "{message} (Service: {service}, Status Code: {status}, Request ID: {request_id})"
        );
        Self::handler(HandlerErrorCode::of(&refusal), text)
    }
}

impl HandlerErrorCode {
    /// What a provider makes of its service's error.
    fn of(refusal: &Refusal) -> Self {
        let code = refusal.code.as_str();
        let has = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
        // Lambda has one code for both kinds of conflict.
        let exists =
            code == "ResourceConflictException" && refusal.message.contains("already exist");
        if exists || has(&["AlreadyExist", "BucketAlready", "ResourceExists"]) {
            Self::AlreadyExists
        } else if has(&["NotFound", "NoSuch", "DoesNotExist", "NonExistent"]) {
            Self::NotFound
        } else if has(&["AccessDenied", "Unauthorized", "NotAuthorized"]) {
            Self::AccessDenied
        } else if has(&["Throttl", "TooManyRequests", "RequestLimit"]) {
            Self::Throttling
        } else if has(&["LimitExceeded", "StorageExceeded", "TooMany"]) {
            Self::ServiceLimitExceeded
        } else if has(&["Conflict", "InUse", "Precondition"]) {
            Self::ResourceConflict
        } else if refusal.status >= 500 {
            Self::ServiceInternalError
        } else if refusal.status == 404 {
            Self::NotFound
        } else if has(&["Valid", "Invalid", "BadRequest", "Malformed", "Unsupported"]) {
            Self::InvalidRequest
        } else {
            Self::GeneralServiceException
        }
    }
}

/// A service's name as its Java client writes it.
fn display_name(signing_name: &str) -> &str {
    match signing_name {
        "apigateway" => "ApiGateway",
        "cloudformation" => "CloudFormation",
        "ecr" => "Ecr",
        "events" => "EventBridge",
        "iam" => "Iam",
        "kms" => "Kms",
        "lambda" => "Lambda",
        "logs" => "CloudWatchLogs",
        "monitoring" => "CloudWatch",
        "s3" => "S3",
        "secretsmanager" => "SecretsManager",
        "ssm" => "Ssm",
        "sts" => "Sts",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_as_a_provider_tells_it() {
        let cases = [
            ("ResourceConflictException", 409, "Function already exist: f", "AlreadyExists"),
            ("ResourceConflictException", 409, "An update is in progress", "ResourceConflict"),
            ("NoSuchEntity", 404, "", "NotFound"),
            ("NotFoundException", 404, "", "NotFound"),
            ("InvalidParameterValueException", 400, "", "InvalidRequest"),
            ("ServiceException", 500, "", "ServiceInternalError"),
            ("TooManyRequestsException", 429, "", "Throttling"),
        ];
        for (code, status, message, expected) in cases {
            let refusal = Refusal {
                service: "lambda",
                status,
                code: code.to_owned(),
                message: message.to_owned(),
                request_id: "r".to_owned(),
            };
            let failure = Failure::from(refusal);
            assert_eq!(format!("{:?}", failure.code), expected, "{code}");
            let start = format!(
                "Resource handler returned message: \"{message} (Service: Lambda, Status Code: {status}, Request ID: r)\" (RequestToken: "
            );
            assert!(failure.reason.starts_with(&start), "{}", failure.reason);
        }
    }
}
