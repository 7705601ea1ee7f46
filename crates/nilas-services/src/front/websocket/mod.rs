//! WebSocket APIs, data plane: who connects, which route a message takes, what goes back.
//!
//! The edge speaks the protocol and holds the [`Session`]; here is what its messages mean. `connections.rs` knows all
//! connections, `manage.rs` is the `@connections` API.

mod connections;
mod event;
mod manage;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use nilas_wire::{ApiResponse, percent};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::http::{ApiSnapshot, Cx, Exchange, Route, authorize, call_function, locate};
use super::{FrontRequest, Place, message};
use crate::services::Inner;
use connections::Connection;
pub(crate) use connections::Connections;
pub use connections::Outgoing;
pub(crate) use event::of_authorizer;
pub(crate) use manage::manage;

/// One connection of a client's, as the edge drives it.
#[derive(Debug)]
pub struct Session {
    services: Arc<Inner>,
    exchange: Arc<Exchange>,
    connection: Arc<Connection>,
    /// `Sec-WebSocket-Protocol` of the answer, if the function chose one.
    pub subprotocol: Option<String>,
    /// What others send to the client.
    pub outgoing: Receiver<Outgoing>,
}

/// Whether `api` is one for WebSockets at `place`.
pub(crate) fn is_websocket(api: &ApiSnapshot, place: &Place) -> bool {
    locate(api, place).is_some_and(|(stage, _)| stage.deployed.sockets.is_some())
}

/// Asks the route `$connect`; the answer that refuses a client, if it does.
pub(crate) async fn connect(
    services: &Arc<Inner>,
    api: Arc<ApiSnapshot>,
    place: &Place,
    front: FrontRequest,
) -> Result<Session, ApiResponse> {
    let forbidden = || message(StatusCode::FORBIDDEN, "Forbidden");
    let (stage, _) = locate(&api, place).ok_or_else(forbidden)?;
    let deployed = Arc::clone(&stage.deployed);
    let routes = deployed.sockets.as_ref().filter(|_| !deployed.refuses(place));
    let routes = routes.ok_or_else(forbidden)?;
    let now_ms = services.now_ms();
    let cx = Cx { lambda: services.lambda(), doors: services.http_apis().doors(), now_ms };
    let route = routes.by_key.get("$connect");
    if !cx.doors.admits(&api, stage, "$connect", now_ms) {
        return Err(message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"));
    }
    let mut exchange = Exchange::of_socket(&api, stage, route.cloned(), (place, front), now_ms);
    let (connection, outgoing) = services.connections().new_connection(&exchange);
    exchange.connection_id = Some(connection.id.clone());
    let mut subprotocol = None;
    if let Some(route) = route {
        exchange.authorizer = authorize::check(&cx, &exchange).await?;
        subprotocol = accepted(&cx, &exchange, &connection, route).await?;
    }
    if !services.connections().add(&connection) {
        return Err(message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"));
    }
    let (services, exchange) = (Arc::clone(services), Arc::new(exchange));
    Ok(Session { services, exchange, connection, subprotocol, outgoing })
}

/// What the function of `$connect` says: a subprotocol, or the answer that refuses.
async fn accepted(
    cx: &Cx<'_>,
    exchange: &Exchange,
    connection: &Connection,
    route: &Route,
) -> Result<Option<String>, ApiResponse> {
    if route.integration.is_none() {
        return Ok(None);
    }
    let bad_gateway = || {
        let body = event::failure("Internal server error", connection, &event::request_id());
        ApiResponse::with_body(StatusCode::BAD_GATEWAY, "application/json", body)
    };
    let payload = event::connect(exchange, connection, cx.now_ms);
    let said = ask(cx, exchange, route, payload).await.ok_or_else(bad_gateway)?;
    let status = match &said["statusCode"] {
        Value::Number(number) => number.as_u64().and_then(|status| u16::try_from(status).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or_else(bad_gateway)?;
    if !status.is_success() {
        let body = said["body"].as_str().unwrap_or_default().to_owned();
        // An answer of a status below 200 would be none.
        let status = if status.is_informational() { StatusCode::BAD_GATEWAY } else { status };
        return Err(ApiResponse::with_body(status, "application/json", body));
    }
    let headers = said["headers"].as_object().into_iter().flatten();
    let mut chosen =
        headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"));
    Ok(chosen.next().and_then(|(_, value)| value.as_str().map(str::to_owned)))
}

/// What the function of `route` answers; none if it fails, or there is none.
async fn ask(cx: &Cx<'_>, exchange: &Exchange, route: &Route, payload: Value) -> Option<Value> {
    let integration = route.integration.as_ref()?;
    let source = exchange.socket_arn(&route.key);
    let payload = Bytes::from(payload.to_string());
    let answered = call_function(cx, exchange, integration, &source, payload).await?;
    serde_json::from_slice(&answered).ok()
}

impl Session {
    /// Takes a message through its route. What comes back, if anything does, is for the client.
    pub fn message(&self, text: String) -> impl Future<Output = Option<String>> + Send + 'static {
        let services = Arc::clone(&self.services);
        let (exchange, connection) = (Arc::clone(&self.exchange), Arc::clone(&self.connection));
        async move { Box::pin(received(&services, &exchange, &connection, text)).await }
    }

    /// Notes that the client is there.
    pub fn touch(&self) {
        self.connection.touch(self.services.now_ms());
    }

    /// Tells the route `$disconnect` that the connection has ended. From here on nobody reaches it.
    pub async fn disconnect(self, status: u16, reason: &str) {
        self.services.connections().remove(&self.connection.id);
        let now_ms = self.services.now_ms();
        let doors = self.services.http_apis().doors();
        let cx = Cx { lambda: self.services.lambda(), doors, now_ms };
        let Some(route) = route(&self.exchange, &cx, "$disconnect") else { return };
        let payload = event::disconnect(&self.exchange, &self.connection, (status, reason), now_ms);
        // Best effort, as on AWS: whatever it answers goes nowhere.
        if ask(&cx, &self.exchange, &route, payload).await.is_none() {
            tracing::debug!(connection = self.connection.id, "the route of the end failed");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.services.connections().remove(&self.connection.id);
    }
}

/// A route as the stage has it now.
fn route(exchange: &Exchange, cx: &Cx<'_>, key: &str) -> Option<Arc<Route>> {
    let api = cx.doors.get(&exchange.api.id)?;
    let place = exchange.stage_place();
    let (stage, _) = locate(&api, &place)?;
    stage.deployed.sockets.as_ref()?.by_key.get(key).cloned()
}

async fn received(
    services: &Arc<Inner>,
    exchange: &Exchange,
    connection: &Connection,
    text: String,
) -> Option<String> {
    let now_ms = services.now_ms();
    connection.touch(now_ms);
    let cx = Cx { lambda: services.lambda(), doors: services.http_apis().doors(), now_ms };
    let request_id = event::request_id();
    let fail = |text: &str| Some(event::failure(text, connection, &request_id));
    let api = cx.doors.get(&exchange.api.id);
    let place = exchange.stage_place();
    let Some((api, stage)) =
        api.as_ref().and_then(|api| locate(api, &place).map(|(stage, _)| (api, stage)))
    else {
        return fail("Forbidden");
    };
    let Some(routes) = &stage.deployed.sockets else { return fail("Forbidden") };
    let selected = select(&routes.selection, &text);
    let found = selected.and_then(|key| routes.by_key.get(&key).filter(|_| !key.starts_with('$')));
    let Some(route) = found.or_else(|| routes.by_key.get("$default")).cloned() else {
        return fail("Forbidden");
    };
    if !cx.doors.admits(api, stage, &route.key, now_ms) {
        return fail("Too Many Requests");
    }
    let payload = event::message(exchange, connection, (&route.key, &text), &request_id, now_ms);
    match ask(&cx, exchange, &route, payload).await {
        None => fail("Internal server error"),
        Some(said) if route.responds => match said {
            Value::Object(said) => said.get("body").map(|body| match body {
                Value::String(text) => text.clone(),
                body => body.to_string(),
            }),
            _ => None,
        },
        Some(_) => None,
    }
}

/// The route key that the expression finds in a message: `$request.body.action`.
fn select(expression: &str, text: &str) -> Option<String> {
    let body: Value = serde_json::from_str(text).ok()?;
    let path = body_path(expression)?;
    let found = path.split('.').try_fold(&body, |at, name| at.get(name))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(found.to_string()),
        _ => None,
    }
}

/// `action` of `$request.body.action` and `${request.body.action}`.
pub(crate) fn body_path(expression: &str) -> Option<&str> {
    let inner = expression.strip_prefix("${").and_then(|inner| inner.strip_suffix('}'));
    let inner = inner.or_else(|| expression.strip_prefix('$'))?;
    inner.strip_prefix("request.body.").filter(|path| !path.is_empty())
}

/// The path below a stage, percent-decoded: `/@connections/ID`.
pub(crate) fn below_stage(api: &ApiSnapshot, place: &Place) -> Option<(String, String)> {
    let (stage, path) = locate(api, place)?;
    Some((stage.name.clone(), percent::decode(path).into_owned()))
}

/// What a plain request gets that neither connects nor manages connections.
pub(crate) fn upgrade_required() -> ApiResponse {
    let body = json!({ "message": "Upgrade Required" }).to_string();
    let mut response =
        ApiResponse::with_body(StatusCode::UPGRADE_REQUIRED, "application/json", body);
    response.set_header("upgrade", "websocket");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_select_by_the_body() {
        for (expression, text, key) in [
            ("$request.body.action", r#"{"action":"join"}"#, Some("join")),
            ("${request.body.action}", r#"{"action":"join"}"#, Some("join")),
            ("$request.body.a.b", r#"{"a":{"b":1}}"#, Some("1")),
            ("$request.body.action", r#"{"other":"join"}"#, None),
            ("$request.body.action", "join", None),
            ("$request.body.action", r#"{"action":{}}"#, None),
            ("$request.header.a", r#"{"a":"b"}"#, None),
        ] {
            assert_eq!(select(expression, text).as_deref(), key, "{expression} {text}");
        }
    }
}
