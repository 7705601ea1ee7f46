//! Gateway responses: what API Gateway itself answers when a request does not get through.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use nilas_wire::{ApiResponse, Fault};
use serde_json::Value;

use super::event;
use super::exchange::Exchange;
use super::snapshot::GatewayResponse;

/// Why a request was not answered by its integration.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// No such route.
    MissingToken,
    AccessDenied {
        explicit: bool,
    },
    /// By the API's resource policy.
    Policy(String),
    Unauthorized,
    AuthorizerFailure,
    AuthorizerConfiguration,
    InvalidKey,
    Signature(Fault),
    Throttled,
    QuotaExceeded,
    BadBody,
    BadParameters(String),
    UnsupportedMediaType,
    /// The backend's answer is of no use.
    BadGateway,
    Timeout,
    /// The API is not set up right; the log says more.
    Configuration,
    IntegrationFailure,
}

/// Type, status, `x-amzn-errortype` and text of each.
type Row = (&'static str, u16, &'static str, Option<String>);

impl Refusal {
    fn row(&self) -> Row {
        let row = |kind, status, error, text: &str| (kind, status, error, Some(text.to_owned()));
        match self {
            Self::MissingToken => row(
                "MISSING_AUTHENTICATION_TOKEN",
                403,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ),
            Self::AccessDenied { explicit: false } => row(
                "ACCESS_DENIED",
                403,
                "AccessDeniedException",
                "User is not authorized to access this resource",
            ),
            Self::AccessDenied { explicit: true } => row(
                "ACCESS_DENIED",
                403,
                "AccessDeniedException",
                "User is not authorized to access this resource with an explicit deny",
            ),
            Self::Policy(text) => row("ACCESS_DENIED", 403, "AccessDeniedException", text),
            Self::InvalidKey => row("INVALID_API_KEY", 403, "ForbiddenException", "Forbidden"),
            Self::Unauthorized => row("UNAUTHORIZED", 401, "UnauthorizedException", "Unauthorized"),
            Self::AuthorizerFailure => {
                ("AUTHORIZER_FAILURE", 500, "AuthorizerConfigurationException", None)
            }
            Self::AuthorizerConfiguration => {
                ("AUTHORIZER_CONFIGURATION_ERROR", 500, "AuthorizerConfigurationException", None)
            }
            Self::Signature(fault) => signature(fault),
            Self::Throttled => {
                row("THROTTLED", 429, "TooManyRequestsException", "Too Many Requests")
            }
            Self::QuotaExceeded => {
                row("QUOTA_EXCEEDED", 429, "LimitExceededException", "Limit Exceeded")
            }
            Self::BadBody => {
                row("BAD_REQUEST_BODY", 400, "BadRequestException", "Invalid request body")
            }
            Self::BadParameters(text) => {
                row("BAD_REQUEST_PARAMETERS", 400, "BadRequestException", text)
            }
            Self::UnsupportedMediaType => {
                row("UNSUPPORTED_MEDIA_TYPE", 415, "BadRequestException", "Unsupported Media Type")
            }
            Self::BadGateway => {
                row("DEFAULT_5XX", 502, "InternalServerErrorException", "Internal server error")
            }
            Self::Timeout => row(
                "INTEGRATION_TIMEOUT",
                504,
                "InternalServerErrorException",
                "Endpoint request timed out",
            ),
            Self::Configuration => row(
                "API_CONFIGURATION_ERROR",
                500,
                "InternalServerErrorException",
                "Internal server error",
            ),
            Self::IntegrationFailure => row(
                "INTEGRATION_FAILURE",
                504,
                "InternalServerErrorException",
                "Network error communicating with endpoint",
            ),
        }
    }
}

/// What is wrong with a signature, under its own name.
fn signature(fault: &Fault) -> Row {
    let kind = match fault.code.as_ref() {
        "MissingAuthenticationTokenException" => "MISSING_AUTHENTICATION_TOKEN",
        "ExpiredTokenException" => "EXPIRED_TOKEN",
        "InvalidSignatureException" => "INVALID_SIGNATURE",
        _ => "DEFAULT_4XX",
    };
    let error = match fault.code.as_ref() {
        "MissingAuthenticationTokenException" => "MissingAuthenticationTokenException",
        "ExpiredTokenException" => "ExpiredTokenException",
        "IncompleteSignatureException" => "IncompleteSignatureException",
        "UnrecognizedClientException" => "UnrecognizedClientException",
        _ => "InvalidSignatureException",
    };
    (kind, fault.status, error, fault.message.clone())
}

/// The answer, as the API has it or else as AWS has.
pub(super) fn answer(exchange: &Exchange, refusal: &Refusal) -> ApiResponse {
    let (kind, status, error, text) = refusal.row();
    let responses = &exchange.stage.routes.responses;
    let default = if status >= 500 { "DEFAULT_5XX" } else { "DEFAULT_4XX" };
    let own = responses.get(kind).or_else(|| responses.get(default));
    let message = text.map_or(Value::Null, Value::from);
    let status = own.and_then(|own| own.status).unwrap_or(status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match own {
        None => {
            // AWS's own two writers differ by a blank.
            let blank = if status.is_server_error() && !message.is_null() { " " } else { "" };
            let name = if matches!(refusal, Refusal::Policy(_)) { "Message" } else { "message" };
            let body = format!("{{\"{name}\":{blank}{message}}}");
            ApiResponse::with_body(status, "application/json", body)
        }
        Some(own) => own_answer(exchange, own, status, kind, &message),
    };
    response.set_header("x-amzn-errortype", error);
    if let Some(own) = own {
        for (name, source) in &own.parameters {
            let Some(name) = name.strip_prefix("gatewayresponse.header.") else { continue };
            let Some(value) = exchange.mapped(source) else { continue };
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value))
            {
                response.headers.insert(name, value);
            }
        }
    }
    response
}

fn own_answer(
    exchange: &Exchange,
    own: &GatewayResponse,
    status: StatusCode,
    kind: &str,
    message: &Value,
) -> ApiResponse {
    let accepted = exchange.headers.header_text("accept").unwrap_or_default();
    let accepted = accepted.split([',', ';']).next().unwrap_or_default().trim();
    let by_type = |wanted: &str| own.templates.iter().find(|(known, _)| known == wanted);
    let template = by_type(accepted).or_else(|| by_type("application/json"));
    let Some((content_type, template)) = template.or_else(|| own.templates.first()) else {
        let body = format!("{{\"message\":{message}}}");
        return ApiResponse::with_body(status, "application/json", body);
    };
    let mut response = ApiResponse::empty(status);
    response.set_header("content-type", content_type);
    response.body = Bytes::from(fill(exchange, template, kind, message));
    response
}

/// `template` with `$context.x` and `$stageVariables.x` replaced: AWS runs no template engine here.
fn fill(exchange: &Exchange, template: &str, kind: &str, message: &Value) -> String {
    let mut context = event::context(exchange);
    context["error"] = serde_json::json!({
        "message": message,
        "messageString": message.to_string(),
        "responseType": kind,
        "validationErrorString": message,
    });
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest[1..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
            .map_or(rest.len(), |end| end + 1);
        let name = rest[1..end].trim_end_matches('.');
        let value = if let Some(path) = name.strip_prefix("context.") {
            path.split('.').try_fold(&context, |at, key| at.get(key)).cloned()
        } else {
            name.strip_prefix("stageVariables.")
                .and_then(|name| exchange.stage_variable(name))
                .map(Value::from)
        };
        match value {
            Some(Value::String(text)) => out.push_str(&text),
            Some(Value::Null) if name.starts_with("context.error") => out.push_str("null"),
            Some(Value::Null) => {}
            Some(other) => out.push_str(&other.to_string()),
            None => out.push_str(&rest[..=name.len()]),
        }
        rest = &rest[1 + name.len()..];
    }
    out.push_str(rest);
    out
}
