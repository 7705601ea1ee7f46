//! Route responses: what makes a route of a WebSocket API answer its client.

use nilas_wire::Fault;

use super::fault::{absent, bad, not_found};
use super::members::{self, Members, ROUTE_RESPONSE, text};
use super::record::{ApiRecord, id};
use super::{Answer, Cx, created, no_content, ok, page};

fn missing(id: &str) -> Fault {
    not_found(format!("Invalid RouteResponse identifier specified {id}"))
}

fn no_route(id: &str) -> Fault {
    not_found(format!("Invalid Route identifier specified {id}"))
}

/// What follows `/v2/apis/ID/routes/ROUTE/routeresponses`.
pub(super) async fn route(
    cx: &Cx<'_>,
    verb: &str,
    (api, route): (&str, &str),
    rest: &[&str],
) -> Result<Answer, Fault> {
    match (verb, rest) {
        ("GET", []) => {
            let record = cx.apis.get(cx.auth, api)?;
            let all = record.definition.route_responses.get(route).cloned().unwrap_or_default();
            page(cx, all.into_values().map(Into::into).collect())
        }
        ("POST", []) => put(cx, (api, route), None).await,
        ("GET", [id]) => {
            let record = cx.apis.get(cx.auth, api)?;
            let all = record.definition.route_responses.get(route);
            Ok(ok(all.and_then(|all| all.get(*id)).cloned().ok_or_else(|| missing(id))?))
        }
        ("PATCH", [id]) => put(cx, (api, route), Some(id)).await,
        ("DELETE", [id]) => {
            let remove = |record: &mut ApiRecord| {
                let all = record.definition.route_responses.get_mut(route);
                all.and_then(|all| all.remove(*id)).map(drop).ok_or_else(|| missing(id))
            };
            cx.apis.change(cx.auth, api, remove).await?;
            Ok(no_content())
        }
        _ => Err(absent(format_args!("{verb} of '{}' of route responses", rest.join("/")))),
    }
}

async fn put(
    cx: &Cx<'_>,
    (api, route): (&str, &str),
    known: Option<&str>,
) -> Result<Answer, Fault> {
    let taken = members::take(ROUTE_RESPONSE, &members::body(&cx.request.body)?)?;
    let answer = cx.apis.change(cx.auth, api, |record| {
        if !record.definition.is_websocket() {
            return Err(bad("Route responses are supported for WebSocket APIs only"));
        }
        if !record.definition.routes.contains_key(route) {
            return Err(no_route(route));
        }
        let all = record.definition.route_responses.entry(route.to_owned()).or_default();
        let response_id = known.map_or_else(|| id(7), str::to_owned);
        let mut response = match known {
            None => Members::new(),
            Some(id) => all.get(id).cloned().ok_or_else(|| missing(id))?,
        };
        response.extend(taken);
        if text(&response, "routeResponseKey") != Some("$default") {
            return Err(bad("Route response key must be $default"));
        }
        response.insert("routeResponseId".to_owned(), response_id.as_str().into());
        if known.is_none() && !all.is_empty() {
            return Err(super::fault::conflict("Route response $default already exists"));
        }
        all.insert(response_id, response.clone());
        Ok(response)
    });
    let answer = answer.await?;
    Ok(if known.is_some() { ok(answer) } else { created(answer) })
}
