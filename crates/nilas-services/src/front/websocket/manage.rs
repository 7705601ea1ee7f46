//! The `@connections` API: messages to clients, what is known of them, their end.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-how-to-call-websocket-api-connections.html>

use http::{Method, StatusCode};
use nilas_model::limits;
use nilas_wire::{ApiResponse, time};
use serde_json::json;

use super::below_stage;
use super::connections::{Connections, Outgoing, Unsent};
use crate::front::http::ApiSnapshot;
use crate::front::{FrontRequest, Place, message};

/// Answers a request below `/STAGE/@connections/`; none if it is for something else.
pub(crate) fn manage(
    connections: &Connections,
    api: &ApiSnapshot,
    place: &Place,
    front: &FrontRequest,
) -> Option<ApiResponse> {
    let (stage, path) = below_stage(api, place)?;
    let id = path.strip_prefix("/@connections/")?;
    Some(answer(connections, api, &stage, id, front))
}

fn answer(
    connections: &Connections,
    api: &ApiSnapshot,
    stage: &str,
    id: &str,
    front: &FrontRequest,
) -> ApiResponse {
    if let Err(fault) = &front.caller {
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::FORBIDDEN);
        return refuse(status, &fault.code, fault.message.as_deref().unwrap_or_default());
    }
    let gone = || refuse(StatusCode::GONE, "GoneException", "");
    let Some(connection) = connections.get(&api.id, stage, id) else { return gone() };
    let sent = match front.request.method {
        Method::GET => {
            let time = |ms| time::iso8601(ms);
            let body = json!({
                "connectedAt": time(connection.connected_ms),
                "identity": { "sourceIp": connection.source_ip, "userAgent": connection.user_agent },
                "lastActiveAt": time(connection.active_ms()),
            });
            return ApiResponse::with_body(StatusCode::OK, "application/json", body.to_string());
        }
        Method::DELETE => match connection.send(Outgoing::Close) {
            Ok(()) => return ApiResponse::empty(StatusCode::NO_CONTENT),
            Err(unsent) => Err(unsent),
        },
        Method::POST if front.request.body.len() > limits::WEBSOCKET_MESSAGE_BYTES_MAX => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLargeException", "");
        }
        Method::POST => {
            let text = String::from_utf8_lossy(&front.request.body).into_owned();
            connections.send(&connection, text)
        }
        _ => return message(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
    };
    match sent {
        Ok(()) => ApiResponse::empty(StatusCode::OK),
        Err(Unsent::Gone) => gone(),
        Err(Unsent::Full) => refuse(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException", ""),
    }
}

fn refuse(status: StatusCode, code: &str, text: &str) -> ApiResponse {
    let mut response = message(status, text);
    response.set_header("x-amzn-errortype", code);
    response
}
