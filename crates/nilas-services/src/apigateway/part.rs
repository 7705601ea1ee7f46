//! What an API has besides its resources: authorizers, models, request validators, gateway responses.

use std::collections::BTreeMap;

use nilas_wire::Fault;
use serde_json::{Value, json};

use super::fault::{bad, conflict, not_found};
use super::list::page;
use super::method::check_status;
use super::record::{ApiRecord, Definition, resource_id};
use super::shape::{self, Member, Members, flag, text};
use super::{Answer, Cx, tables};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Authorizer,
    Model,
    RequestValidator,
    GatewayResponse,
}

/// Types of gateway responses with their status; the two defaults have none of their own.
pub(crate) const RESPONSE_TYPES: [(&str, &str); 21] = [
    ("ACCESS_DENIED", "403"),
    ("API_CONFIGURATION_ERROR", "500"),
    ("AUTHORIZER_CONFIGURATION_ERROR", "500"),
    ("AUTHORIZER_FAILURE", "500"),
    ("BAD_REQUEST_BODY", "400"),
    ("BAD_REQUEST_PARAMETERS", "400"),
    ("DEFAULT_4XX", ""),
    ("DEFAULT_5XX", ""),
    ("EXPIRED_TOKEN", "403"),
    ("INTEGRATION_FAILURE", "504"),
    ("INTEGRATION_TIMEOUT", "504"),
    ("INVALID_API_KEY", "403"),
    ("INVALID_SIGNATURE", "403"),
    ("MISSING_AUTHENTICATION_TOKEN", "403"),
    ("QUOTA_EXCEEDED", "429"),
    ("REQUEST_TOO_LARGE", "413"),
    ("RESOURCE_NOT_FOUND", "404"),
    ("THROTTLED", "429"),
    ("UNAUTHORIZED", "401"),
    ("UNSUPPORTED_MEDIA_TYPE", "415"),
    ("WAF_FILTERED", "403"),
];

impl Kind {
    /// The kind in the collection `name` of an API.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "authorizers" => Self::Authorizer,
            "models" => Self::Model,
            "requestvalidators" => Self::RequestValidator,
            "gatewayresponses" => Self::GatewayResponse,
            _ => return None,
        })
    }

    fn members(self) -> &'static [Member] {
        match self {
            Self::Authorizer => tables::AUTHORIZER,
            Self::Model => tables::MODEL,
            Self::RequestValidator => tables::REQUEST_VALIDATOR,
            Self::GatewayResponse => tables::GATEWAY_RESPONSE,
        }
    }

    fn parts(self, definition: &Definition) -> &BTreeMap<String, Members> {
        match self {
            Self::Authorizer => &definition.authorizers,
            Self::Model => &definition.models,
            Self::RequestValidator => &definition.validators,
            Self::GatewayResponse => &definition.responses,
        }
    }

    fn parts_mut(self, definition: &mut Definition) -> &mut BTreeMap<String, Members> {
        match self {
            Self::Authorizer => &mut definition.authorizers,
            Self::Model => &mut definition.models,
            Self::RequestValidator => &mut definition.validators,
            Self::GatewayResponse => &mut definition.responses,
        }
    }

    fn missing(self, id: &str) -> Fault {
        not_found(match self {
            Self::Authorizer => "Invalid Authorizer identifier specified".to_owned(),
            Self::Model => format!("Invalid model name specified: {id}"),
            Self::RequestValidator => "Invalid Request Validator identifier specified".to_owned(),
            Self::GatewayResponse => "Invalid Gateway Response type specified".to_owned(),
        })
    }

    fn check(self, members: &Members) -> Result<(), Fault> {
        match self {
            Self::Authorizer => check_authorizer(members),
            Self::Model => check_model(members),
            Self::RequestValidator => Ok(()),
            Self::GatewayResponse => text(members, "statusCode").map_or(Ok(()), check_status),
        }
    }
}

pub(super) async fn create(cx: &Cx<'_>, kind: Kind, api: &str) -> Result<Answer, Fault> {
    let members = shape::take(kind.members(), &shape::body(cx.request)?)?;
    let change = |record: &mut ApiRecord| {
        let (key, made) = new(kind, members)?;
        let parts = kind.parts_mut(&mut record.definition);
        let same_name = |known: &Members| text(known, "name") == text(&made, "name");
        if kind == Kind::Model && parts.contains_key(&key) {
            return Err(conflict(format!("Model name already exists for this REST API: {key}")));
        }
        if kind == Kind::Authorizer && parts.values().any(same_name) {
            return Err(conflict(
                "Authorizer name must be unique. Authorizer with the same name already exists in this RestApi.",
            ));
        }
        parts.insert(key, made.clone());
        Ok(made)
    };
    Ok(Answer::created(cx.apis.change(cx.auth, api, change).await?))
}

/// A part of `members`, checked and with defaults, and the key it is kept by.
pub(super) fn new(kind: Kind, mut members: Members) -> Result<(String, Members), Fault> {
    let id = resource_id();
    members.insert("id".to_owned(), id.as_str().into());
    match kind {
        Kind::Authorizer => {
            let wanted = text(&members, "type").unwrap_or_default();
            let auth_type =
                if wanted == "COGNITO_USER_POOLS" { "cognito_user_pools" } else { "custom" };
            members.entry("authType").or_insert_with(|| auth_type.into());
            members.entry("authorizerResultTtlInSeconds").or_insert_with(|| 300.into());
        }
        Kind::RequestValidator => {
            for name in ["validateRequestBody", "validateRequestParameters"] {
                members.entry(name).or_insert_with(|| false.into());
            }
        }
        Kind::Model | Kind::GatewayResponse => {}
    }
    kind.check(&members)?;
    let key = match kind {
        Kind::Model => text(&members, "name").unwrap_or_default().to_owned(),
        _ => id,
    };
    Ok((key, members))
}

fn check_authorizer(members: &Members) -> Result<(), Fault> {
    if text(members, "name").is_none_or(str::is_empty) {
        return Err(bad("Authorizer name must be non-empty"));
    }
    let ttl = members.get("authorizerResultTtlInSeconds").and_then(Value::as_i64).unwrap_or(300);
    if !(0..=3_600).contains(&ttl) {
        return Err(bad("Authorizer result TTL must be between 0 and 3600 seconds"));
    }
    let source = text(members, "identitySource").unwrap_or_default();
    match text(members, "type") {
        Some("TOKEN") if source.starts_with("method.request.header.") => {}
        Some("TOKEN") => {
            return Err(bad(
                "Invalid identity source for TOKEN authorizer: a header is expected, such as method.request.header.Authorization",
            ));
        }
        Some("REQUEST") if source.is_empty() && ttl > 0 => {
            return Err(bad(
                "Identity source is required for a REQUEST authorizer when authorization caching is on",
            ));
        }
        Some("REQUEST") => {}
        Some("COGNITO_USER_POOLS") => return Err(super::fault::absent("Cognito user pools")),
        _ => {
            return Err(bad(
                "Invalid authorizer type specified. Valid values are TOKEN, REQUEST and COGNITO_USER_POOLS",
            ));
        }
    }
    let uri = text(members, "authorizerUri").unwrap_or_default();
    if !uri.starts_with("arn:") {
        return Err(bad("Invalid Authorizer URI: must be the ARN of a function's invocations"));
    }
    Ok(())
}

fn check_model(members: &Members) -> Result<(), Fault> {
    let name = text(members, "name").unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(bad("Model name must be alphanumeric: ".to_owned() + name));
    }
    if text(members, "contentType").is_none_or(str::is_empty) {
        return Err(bad("Model content type must be non-empty"));
    }
    match text(members, "schema") {
        None | Some("") => {
            Err(bad("Model schema must have at least 1 property or array items defined"))
        }
        Some(schema) => crate::front::rest::schema_check(schema).map_err(|error| {
            bad(format!(
                "Invalid model specified: Validation Result: warnings : [], errors : [{error}]"
            ))
        }),
    }
}

pub(super) fn list(cx: &Cx<'_>, kind: Kind, api: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    let parts = kind.parts(&record.definition);
    let shown: Vec<Value> = match kind {
        Kind::GatewayResponse => RESPONSE_TYPES
            .iter()
            .map(|(name, _)| response(&record.definition, name).into())
            .collect(),
        _ => parts.values().cloned().map(Value::from).collect(),
    };
    page(cx, shown)
}

pub(super) fn get(cx: &Cx<'_>, kind: Kind, api: &str, id: &str) -> Result<Answer, Fault> {
    let record = cx.apis.get(cx.auth, api)?;
    if kind == Kind::GatewayResponse {
        check_response_type(id)?;
        return Ok(Answer::ok(response(&record.definition, id)));
    }
    let found = kind.parts(&record.definition).get(id).cloned();
    let found = found.ok_or_else(|| kind.missing(id))?;
    Ok(Answer::ok(found))
}

/// A gateway response, one's own or AWS's.
fn response(definition: &Definition, name: &str) -> Members {
    if let Some(own) = definition.responses.get(name) {
        return own.clone();
    }
    let status = RESPONSE_TYPES.iter().find(|(known, _)| *known == name).map_or("", |(_, s)| s);
    let mut shown = Members::new();
    shown.insert("responseType".to_owned(), name.into());
    if !status.is_empty() {
        shown.insert("statusCode".to_owned(), status.into());
    }
    shown.insert("responseParameters".to_owned(), json!({}));
    let template = json!({ "application/json": "{\"message\":$context.error.messageString}" });
    shown.insert("responseTemplates".to_owned(), template);
    shown.insert("defaultResponse".to_owned(), true.into());
    shown
}

pub(super) fn check_response_type(name: &str) -> Result<(), Fault> {
    match RESPONSE_TYPES.iter().any(|(known, _)| *known == name) {
        true => Ok(()),
        false => Err(bad(format!("Invalid gateway response type specified: {name}"))),
    }
}

pub(super) async fn put_response(cx: &Cx<'_>, api: &str, name: &str) -> Result<Answer, Fault> {
    let members = shape::take(tables::GATEWAY_RESPONSE, &shape::body(cx.request)?)?;
    check_response_type(name)?;
    let change = |record: &mut ApiRecord| {
        let made = own_response(name, members)?;
        record.definition.responses.insert(name.to_owned(), made.clone());
        Ok(made)
    };
    Ok(Answer::created(cx.apis.change(cx.auth, api, change).await?))
}

/// A gateway response of `members`, with what it does not say as AWS has it.
pub(super) fn own_response(name: &str, members: Members) -> Result<Members, Fault> {
    Kind::GatewayResponse.check(&members)?;
    let mut made = response(&Definition::default(), name);
    made.extend(members);
    made.insert("defaultResponse".to_owned(), false.into());
    Ok(made)
}

pub(super) async fn update(cx: &Cx<'_>, kind: Kind, api: &str, id: &str) -> Result<Answer, Fault> {
    let patches = shape::patches(cx.request)?;
    let change = |record: &mut ApiRecord| {
        let definition = &mut record.definition;
        let mut changed = if kind == Kind::GatewayResponse {
            check_response_type(id)?;
            response(definition, id)
        } else {
            kind.parts(definition).get(id).cloned().ok_or_else(|| kind.missing(id))?
        };
        shape::patch(kind.members(), &mut changed, &patches)?;
        if kind == Kind::GatewayResponse {
            changed.insert("defaultResponse".to_owned(), false.into());
        }
        kind.check(&changed)?;
        kind.parts_mut(definition).insert(id.to_owned(), changed.clone());
        Ok(changed)
    };
    let changed = cx.apis.change(cx.auth, api, change).await?;
    if kind == Kind::Authorizer {
        cx.apis.doors().flush_authorizers(api);
    }
    Ok(Answer::ok(changed))
}

pub(super) async fn delete(cx: &Cx<'_>, kind: Kind, api: &str, id: &str) -> Result<Answer, Fault> {
    let change = |record: &mut ApiRecord| {
        let definition = &mut record.definition;
        if let Some(method) = user(kind, definition, id) {
            return Err(conflict(format!("Cannot delete: it is used by method {method}")));
        }
        kind.parts_mut(definition).remove(id).map(drop).ok_or_else(|| kind.missing(id))
    };
    cx.apis.change(cx.auth, api, change).await?;
    Ok(Answer::accepted())
}

/// A method that uses the part, as `GET /pets`.
fn user(kind: Kind, definition: &Definition, id: &str) -> Option<String> {
    let uses = |method: &Members| match kind {
        Kind::Authorizer => text(method, "authorizerId") == Some(id),
        Kind::RequestValidator => text(method, "requestValidatorId") == Some(id),
        Kind::Model => shape::pairs(method, "requestModels").iter().any(|(_, model)| model == id),
        Kind::GatewayResponse => false,
    };
    definition.resources.values().find_map(|resource| {
        let (verb, _) = resource.methods.iter().find(|(_, method)| uses(method))?;
        Some(format!("{verb} {}", resource.path))
    })
}

/// Whether a validator looks at anything.
pub(crate) fn validates(validator: &Members) -> (bool, bool) {
    (flag(validator, "validateRequestBody"), flag(validator, "validateRequestParameters"))
}
