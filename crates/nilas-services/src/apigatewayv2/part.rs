//! Routes, integrations and authorizers: one shape of operation for all three.

use std::collections::BTreeMap;

use nilas_wire::Fault;
use serde_json::json;

use super::fault::{absent, bad, conflict, not_found};
use super::members::{self, Members, Table, text};
use super::record::{ApiRecord, Definition, id};
use super::{Answer, Cx, created, integration, no_content, ok, page, sockets};

/// A kind of part that an API has many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Route,
    Integration,
    Authorizer,
}

impl Kind {
    pub(super) fn of(segment: &str) -> Option<Self> {
        Some(match segment {
            "routes" => Self::Route,
            "integrations" => Self::Integration,
            "authorizers" => Self::Authorizer,
            _ => return None,
        })
    }

    fn table(self) -> Table {
        match self {
            Self::Route => members::ROUTE,
            Self::Integration => members::INTEGRATION,
            Self::Authorizer => members::AUTHORIZER,
        }
    }

    fn id_name(self) -> &'static str {
        match self {
            Self::Route => "routeId",
            Self::Integration => "integrationId",
            Self::Authorizer => "authorizerId",
        }
    }

    fn missing(self, id: &str) -> Fault {
        not_found(match self {
            Self::Route => format!("Invalid Route identifier specified {id}"),
            Self::Integration => format!("Invalid Integration identifier specified {id}"),
            Self::Authorizer => format!("Invalid Authorizer identifier specified {id}"),
        })
    }

    fn parts(self, definition: &Definition) -> &BTreeMap<String, Members> {
        match self {
            Self::Route => &definition.routes,
            Self::Integration => &definition.integrations,
            Self::Authorizer => &definition.authorizers,
        }
    }

    fn parts_mut(self, definition: &mut Definition) -> &mut BTreeMap<String, Members> {
        match self {
            Self::Route => &mut definition.routes,
            Self::Integration => &mut definition.integrations,
            Self::Authorizer => &mut definition.authorizers,
        }
    }
}

/// What follows `/v2/apis/ID/KIND`.
pub(super) async fn route(
    cx: &Cx<'_>,
    kind: Kind,
    verb: &str,
    api: &str,
    rest: &[&str],
) -> Result<Answer, Fault> {
    match (verb, rest) {
        ("GET", []) => {
            let record = cx.apis.get(cx.auth, api)?;
            page(cx, kind.parts(&record.definition).values().cloned().map(Into::into).collect())
        }
        ("POST", []) => put(cx, kind, api, None).await,
        ("GET", [id]) => {
            let record = cx.apis.get(cx.auth, api)?;
            let found = kind.parts(&record.definition).get(*id).cloned();
            Ok(ok(found.ok_or_else(|| kind.missing(id))?))
        }
        ("PATCH", [id]) => put(cx, kind, api, Some(id)).await,
        ("DELETE", [id]) => {
            let remove = |record: &mut ApiRecord| {
                check_unused(kind, id, &record.definition)?;
                let removed = kind.parts_mut(&mut record.definition).remove(*id);
                if kind == Kind::Route {
                    record.definition.route_responses.remove(*id);
                }
                removed.map(drop).ok_or_else(|| kind.missing(id))
            };
            cx.apis.change(cx.auth, api, remove).await?;
            Ok(no_content())
        }
        _ => Err(absent(format_args!("{verb} of '{}' of APIs", rest.join("/")))),
    }
}

/// Makes a part, or changes the one that is there.
async fn put(cx: &Cx<'_>, kind: Kind, api: &str, known: Option<&str>) -> Result<Answer, Fault> {
    let taken = members::take(kind.table(), &members::body(&cx.request.body)?)?;
    let answer = cx.apis.change(cx.auth, api, |record| {
        let part_id = known.map_or_else(|| id(7), str::to_owned);
        let mut part = match known {
            None => Members::new(),
            Some(id) => {
                let found = kind.parts(&record.definition).get(id).cloned();
                found.ok_or_else(|| kind.missing(id))?
            }
        };
        if kind == Kind::Integration {
            integration::merge(&mut part, taken);
        } else {
            part.extend(taken);
        }
        part.insert(kind.id_name().to_owned(), part_id.as_str().into());
        complete(kind, &mut part, &part_id, &record.definition)?;
        kind.parts_mut(&mut record.definition).insert(part_id, part.clone());
        Ok(part)
    });
    let answer = answer.await?;
    Ok(if known.is_some() { ok(answer) } else { created(answer) })
}

fn complete(kind: Kind, part: &mut Members, id: &str, all: &Definition) -> Result<(), Fault> {
    match (kind, all.is_websocket()) {
        (Kind::Route, _) => complete_route(part, id, all),
        (Kind::Integration, false) => integration::complete(part),
        (Kind::Authorizer, false) => complete_authorizer(part),
        (Kind::Integration, true) => sockets::complete_integration(part),
        (Kind::Authorizer, true) => sockets::complete_authorizer(part),
    }
}

fn complete_route(route: &mut Members, id: &str, all: &Definition) -> Result<(), Fault> {
    route.entry("apiKeyRequired").or_insert(json!(false));
    route.entry("authorizationType").or_insert(json!("NONE"));
    let key = text(route, "routeKey").unwrap_or_default();
    if all.is_websocket() {
        sockets::check_route(route)?
    } else {
        check_route_key(key)?
    }
    let twin =
        |(known, other): (&String, &Members)| known != id && text(other, "routeKey") == Some(key);
    if all.routes.iter().any(twin) {
        return Err(conflict(format!("Route with key {key} already exists for this API")));
    }
    if let Some(target) = text(route, "target") {
        let integration = target.strip_prefix("integrations/").unwrap_or_default();
        if !all.integrations.contains_key(integration) {
            return Err(bad(format!("Invalid integration identifier specified {integration}")));
        }
    }
    match (text(route, "authorizationType"), text(route, "authorizerId")) {
        (Some("NONE" | "AWS_IAM"), _) => Ok(()),
        (Some(kind @ ("CUSTOM" | "JWT")), id) => {
            let wanted = if kind == "JWT" { "JWT" } else { "REQUEST" };
            let found = id.and_then(|id| all.authorizers.get(id));
            match found.and_then(|found| text(found, "authorizerType")) {
                Some(found) if found == wanted => Ok(()),
                _ => Err(bad("Invalid authorizer identifier specified")),
            }
        }
        (other, _) => Err(bad(format!("Invalid authorizationType {}", other.unwrap_or_default()))),
    }
}

/// `$default`, or a verb and a path: `GET /pets/{id}`, `ANY /{proxy+}`.
pub(super) fn check_route_key(key: &str) -> Result<(), Fault> {
    const VERBS: [&str; 8] = ["ANY", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    let legal = match key.split_once(' ') {
        None => key == "$default",
        Some((verb, path)) => VERBS.contains(&verb) && path.starts_with('/') && key.len() <= 512,
    };
    let text = "The provided route key is not formatted properly for HTTP protocol. Format should be \"<HTTP METHOD> \
                /<RESOURCE PATH>\" or \"$default\"";
    if legal { Ok(()) } else { Err(bad(text)) }
}

pub(super) fn complete_authorizer(authorizer: &mut Members) -> Result<(), Fault> {
    if text(authorizer, "name").is_none_or(str::is_empty) {
        return Err(bad("Authorizer name must not be empty"));
    }
    match text(authorizer, "authorizerType") {
        Some("REQUEST") => {}
        Some("JWT") => return complete_token_authorizer(authorizer),
        _ => return Err(bad("Invalid authorizer type specified")),
    }
    if text(authorizer, "authorizerUri").is_none_or(|uri| !uri.starts_with("arn:")) {
        return Err(bad("Invalid Authorizer URI"));
    }
    match text(authorizer, "authorizerPayloadFormatVersion") {
        Some("1.0" | "2.0") => {}
        _ => {
            return Err(bad(
                "AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer",
            ));
        }
    }
    // AWS keeps answers for five minutes where nothing else is said and something says whose they are.
    let has_identity = !members::texts(authorizer, "identitySource").is_empty();
    let default = if has_identity { 300 } else { 0 };
    authorizer.entry("authorizerResultTtlInSeconds").or_insert(json!(default));
    authorizer.entry("enableSimpleResponses").or_insert(json!(false));
    match authorizer["authorizerResultTtlInSeconds"].as_i64() {
        Some(0) => Ok(()),
        Some(1..=3_600) if !has_identity => {
            Err(bad("Identity source must be specified if authorizer caching is enabled"))
        }
        Some(1..=3_600) => Ok(()),
        _ => Err(bad("Authorizer result TTL should be between 0 and 3600 seconds")),
    }
}

fn complete_token_authorizer(authorizer: &Members) -> Result<(), Fault> {
    let none = Members::new();
    let said = authorizer.get("jwtConfiguration").and_then(serde_json::Value::as_object);
    let said = said.unwrap_or(&none);
    let issuer = text(said, "issuer").unwrap_or_default();
    if !issuer.starts_with("https://") && !issuer.starts_with("http://") {
        return Err(bad(format!("Invalid issuer: {issuer}. Issuer must be a URL")));
    }
    if members::texts(said, "audience").is_empty() {
        return Err(bad("Audience must be specified for a JWT authorizer"));
    }
    match members::texts(authorizer, "identitySource").as_slice() {
        [one] if one.starts_with("$request.") => Ok(()),
        _ => Err(bad("A JWT authorizer must have one identity source")),
    }
}

fn check_unused(kind: Kind, id: &str, all: &Definition) -> Result<(), Fault> {
    let uses = |route: &&Members| match kind {
        Kind::Route => false,
        Kind::Integration => {
            text(route, "target").is_some_and(|target| target.ends_with(&format!("/{id}")))
        }
        Kind::Authorizer => text(route, "authorizerId") == Some(id),
    };
    match all.routes.values().find(uses) {
        None => Ok(()),
        Some(route) => {
            let key = text(route, "routeKey").unwrap_or_default();
            let what = if kind == Kind::Integration { "integration" } else { "authorizer" };
            Err(conflict(format!("Cannot delete {what} '{id}' since it is used by route {key}")))
        }
    }
}
