//! Methods, their responses, their integration and its responses.

use nilas_wire::Fault;
use serde_json::{Map, Value, json};

use super::fault::{bad, conflict, not_found};
use super::record::{ApiRecord, Definition};
use super::resource::no_resource;
use super::shape::{self, Member, Members, Shape, member, text};
use super::{Answer, Cx, tables};

/// A method of a resource of an API, there or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) api: &'a str,
    pub(super) resource: &'a str,
    pub(super) verb: &'a str,
}

/// What of a method is meant.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Method,
    Response(&'a str),
    Integration,
    IntegrationResponse(&'a str),
}

const VERBS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "ANY"];

impl<'a> Part<'a> {
    fn of(path: &[&'a str]) -> Result<Self, Fault> {
        Ok(match path {
            [] => Self::Method,
            ["responses", status] => Self::Response(status),
            ["integration"] => Self::Integration,
            ["integration", "responses", status] => Self::IntegrationResponse(status),
            _ => {
                let text = "There is no such operation of API Gateway.";
                return Err(Fault::plain("UnknownOperationException", 404, text));
            }
        })
    }

    fn members(self) -> &'static [Member] {
        match self {
            Self::Method => tables::METHOD,
            Self::Response(_) => tables::METHOD_RESPONSE,
            Self::Integration => tables::INTEGRATION,
            Self::IntegrationResponse(_) => tables::INTEGRATION_RESPONSE,
        }
    }

    fn missing(self) -> Fault {
        not_found(match self {
            Self::Method => "Invalid Method identifier specified",
            Self::Response(_) | Self::IntegrationResponse(_) => {
                "Invalid Response status code specified"
            }
            Self::Integration => "No integration defined for method",
        })
    }

    /// The part in `method`.
    fn find(self, method: &Members) -> Option<&Members> {
        let within = |name: &str| method.get(name).and_then(Value::as_object);
        match self {
            Self::Method => Some(method),
            Self::Response(status) => within("methodResponses")?.get(status)?.as_object(),
            Self::Integration => within("methodIntegration"),
            Self::IntegrationResponse(status) => {
                within("methodIntegration")?.get("integrationResponses")?.get(status)?.as_object()
            }
        }
    }

    /// The object that holds the part, and its name there.
    fn holder(self, method: &mut Members) -> Option<(&mut Members, &'a str)> {
        match self {
            Self::Method => None,
            Self::Response(status) => Some((object(method, "methodResponses"), status)),
            Self::Integration => Some((method, "methodIntegration")),
            Self::IntegrationResponse(status) => {
                let integration = method.get_mut("methodIntegration")?.as_object_mut()?;
                Some((object(integration, "integrationResponses"), status))
            }
        }
    }
}

fn object<'a>(members: &'a mut Members, name: &str) -> &'a mut Members {
    let value = members.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object above")
}

fn method_at<'a>(record: &'a ApiRecord, at: Place<'_>) -> Result<&'a Members, Fault> {
    let resource = record.definition.resources.get(at.resource).ok_or_else(no_resource)?;
    resource.methods.get(at.verb).ok_or_else(|| Part::Method.missing())
}

fn method_mut<'a>(record: &'a mut ApiRecord, at: Place<'_>) -> Result<&'a mut Members, Fault> {
    let resource = record.definition.resources.get_mut(at.resource).ok_or_else(no_resource)?;
    resource.methods.get_mut(at.verb).ok_or_else(|| Part::Method.missing())
}

pub(super) fn get(cx: &Cx<'_>, at: Place<'_>, path: &[&str]) -> Result<Answer, Fault> {
    let part = Part::of(path)?;
    let record = cx.apis.get(cx.auth, at.api)?;
    let found = part.find(method_at(&record, at)?).ok_or_else(|| part.missing())?;
    Ok(Answer::ok(found.clone()))
}

pub(super) async fn put(cx: &Cx<'_>, at: Place<'_>) -> Result<Answer, Fault> {
    let members = shape::take(tables::METHOD, &shape::body(cx.request)?)?;
    let change = |record: &mut ApiRecord| {
        if !record.definition.resources.contains_key(at.resource) {
            return Err(no_resource());
        }
        let method = new(&record.definition, at.verb, members)?;
        let resource = record.definition.resources.get_mut(at.resource).ok_or_else(no_resource)?;
        if resource.methods.contains_key(at.verb) {
            return Err(conflict("Method already exists for this resource"));
        }
        resource.methods.insert(at.verb.to_owned(), method.clone());
        Ok(method)
    };
    Ok(Answer::created(cx.apis.change(cx.auth, at.api, change).await?))
}

/// A method of `members`, checked and with defaults.
pub(super) fn new(
    definition: &Definition,
    verb: &str,
    mut members: Members,
) -> Result<Members, Fault> {
    if !VERBS.contains(&verb) {
        return Err(bad(
            "Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY",
        ));
    }
    members.entry("apiKeyRequired").or_insert_with(|| false.into());
    members.insert("httpMethod".to_owned(), verb.into());
    check(definition, &members)?;
    Ok(members)
}

fn check(definition: &Definition, members: &Members) -> Result<(), Fault> {
    let authorizer = text(members, "authorizerId");
    match text(members, "authorizationType") {
        Some("NONE" | "AWS_IAM") => {}
        Some("CUSTOM" | "COGNITO_USER_POOLS") => {
            if !authorizer.is_some_and(|id| definition.authorizers.contains_key(id)) {
                return Err(bad(
                    "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a valid authorizer.",
                ));
            }
        }
        _ => {
            return Err(bad(
                "Invalid authorizationType specified. Valid values are 'NONE', 'AWS_IAM', 'CUSTOM' or 'COGNITO_USER_POOLS'",
            ));
        }
    }
    if let Some(id) = text(members, "requestValidatorId").filter(|id| !id.is_empty())
        && !definition.validators.contains_key(id)
    {
        return Err(bad("Invalid Request Validator identifier specified"));
    }
    for (_, model) in shape::pairs(members, "requestModels") {
        if !definition.models.contains_key(&model) {
            return Err(bad(format!("Invalid model identifier specified: {model}")));
        }
    }
    for (name, _) in
        members.get("requestParameters").and_then(Value::as_object).into_iter().flatten()
    {
        let known =
            ["header.", "querystring.", "multivalueheader.", "multivaluequerystring.", "path."];
        let named = name.strip_prefix("method.request.").is_some_and(|rest| {
            known.iter().any(|kind| rest.strip_prefix(kind).is_some_and(|name| !name.is_empty()))
        });
        if !named {
            return Err(bad(format!(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: {name}]"
            )));
        }
    }
    Ok(())
}

pub(super) async fn put_response(
    cx: &Cx<'_>,
    at: Place<'_>,
    status: &str,
) -> Result<Answer, Fault> {
    let mut members = shape::take(tables::METHOD_RESPONSE, &shape::body(cx.request)?)?;
    check_status(status)?;
    members.insert("statusCode".to_owned(), status.into());
    let change = |record: &mut ApiRecord| {
        for (_, model) in shape::pairs(&members, "responseModels") {
            if !record.definition.models.contains_key(&model) {
                return Err(bad(format!("Invalid model identifier specified: {model}")));
            }
        }
        let responses = object(method_mut(record, at)?, "methodResponses");
        if responses.contains_key(status) {
            return Err(conflict("Response already exists for this resource"));
        }
        responses.insert(status.to_owned(), members.clone().into());
        Ok(members)
    };
    Ok(Answer::created(cx.apis.change(cx.auth, at.api, change).await?))
}

pub(super) async fn put_integration(cx: &Cx<'_>, at: Place<'_>) -> Result<Answer, Fault> {
    let mut body = shape::body(cx.request)?;
    // In the request it has a name of its own; in all answers it is `httpMethod`.
    if let Some(verb) = body.remove("integrationHttpMethod").or_else(|| body.remove("httpMethod")) {
        body.insert("httpMethod".to_owned(), verb);
    }
    let members = shape::take(tables::INTEGRATION, &body)?;
    let change = |record: &mut ApiRecord| {
        let method = method_mut(record, at)?;
        let integration = integration(at.resource, members)?;
        method.insert("methodIntegration".to_owned(), integration.clone().into());
        Ok(integration)
    };
    Ok(Answer::created(cx.apis.change(cx.auth, at.api, change).await?))
}

/// An integration of `members`, checked and with defaults.
pub(super) fn integration(resource: &str, mut members: Members) -> Result<Members, Fault> {
    let kind = text(&members, "type").unwrap_or_default().to_owned();
    if !matches!(kind.as_str(), "HTTP" | "HTTP_PROXY" | "AWS" | "AWS_PROXY" | "MOCK") {
        return Err(bad(
            "Invalid integration type specified. Valid values are 'HTTP', 'AWS', 'MOCK', 'HTTP_PROXY' and 'AWS_PROXY'",
        ));
    }
    if text(&members, "connectionType") == Some("VPC_LINK") {
        return Err(super::fault::absent("VPC links"));
    }
    if kind != "MOCK" {
        if text(&members, "httpMethod").is_none_or(str::is_empty) {
            return Err(bad("Enumeration value for HttpMethod must be non-empty"));
        }
        let uri = text(&members, "uri").unwrap_or_default();
        let is_aws = kind.starts_with("AWS");
        if is_aws && !uri.starts_with("arn:") {
            return Err(bad("Invalid ARN specified in the request"));
        }
        if !is_aws
            && !uri.starts_with("http://")
            && !uri.starts_with("https://")
            && !uri.starts_with("${")
        {
            return Err(bad("Invalid HTTP endpoint specified for URI"));
        }
    }
    let streams = text(&members, "responseTransferMode") == Some("STREAM");
    if let Some(limit) = members.get("timeoutInMillis").and_then(Value::as_i64)
        && !(50..=if streams { 900_000 } else { 300_000 }).contains(&limit)
    {
        return Err(bad(match streams {
            true => "Timeout should be between 50 ms and 900000 ms",
            false => "Timeout should be between 50 ms and 29000 ms",
        }));
    }
    match text(&members, "passthroughBehavior") {
        None => drop(members.insert("passthroughBehavior".to_owned(), "WHEN_NO_MATCH".into())),
        Some("WHEN_NO_MATCH" | "WHEN_NO_TEMPLATES" | "NEVER") => {}
        Some(_) => return Err(bad("Invalid passthrough behavior specified")),
    }
    if let Some(handling) = text(&members, "contentHandling")
        && !matches!(handling, "CONVERT_TO_BINARY" | "CONVERT_TO_TEXT")
    {
        return Err(bad("Invalid content handling strategy specified"));
    }
    match text(&members, "responseTransferMode") {
        None | Some("BUFFERED") => {}
        Some("STREAM") if kind.ends_with("_PROXY") => {}
        Some("STREAM") => {
            return Err(bad(
                "Response transfer mode STREAM is only supported for AWS_PROXY and HTTP_PROXY integrations",
            ));
        }
        Some(_) => return Err(bad("Invalid response transfer mode specified")),
    }
    members.entry("timeoutInMillis").or_insert_with(|| 29_000.into());
    members.entry("cacheNamespace").or_insert_with(|| resource.into());
    members.entry("cacheKeyParameters").or_insert_with(|| json!([]));
    Ok(members)
}

pub(super) async fn put_integration_response(
    cx: &Cx<'_>,
    at: Place<'_>,
    status: &str,
) -> Result<Answer, Fault> {
    let mut members = shape::take(tables::INTEGRATION_RESPONSE, &shape::body(cx.request)?)?;
    check_status(status)?;
    members.insert("statusCode".to_owned(), status.into());
    let change = |record: &mut ApiRecord| {
        let part = Part::IntegrationResponse(status);
        let method = method_mut(record, at)?;
        let (responses, _) = part
            .holder(method)
            .ok_or_else(|| not_found("Invalid Integration identifier specified"))?;
        responses.insert(status.to_owned(), members.clone().into());
        Ok(members)
    };
    Ok(Answer::created(cx.apis.change(cx.auth, at.api, change).await?))
}

pub(super) fn check_status(status: &str) -> Result<(), Fault> {
    match status.parse::<u16>() {
        Ok(100..=599) if status.len() == 3 => Ok(()),
        _ => Err(bad("Invalid statusCode specified")),
    }
}

pub(super) async fn update(cx: &Cx<'_>, at: Place<'_>, path: &[&str]) -> Result<Answer, Fault> {
    let part = Part::of(path)?;
    let patches = shape::patches(cx.request)?;
    let change = |record: &mut ApiRecord| {
        let mut changed =
            part.find(method_at(record, at)?).cloned().ok_or_else(|| part.missing())?;
        for patch in &patches {
            // The status of a response is its name.
            let known: &[Member] = match part {
                Part::Integration if patch.path == "/integrationHttpMethod" => {
                    &[member("integrationHttpMethod", Shape::Text)]
                }
                _ => part.members(),
            };
            shape::apply(known, &mut changed, patch)?;
        }
        if let Some(verb) = changed.remove("integrationHttpMethod") {
            changed.insert("httpMethod".to_owned(), verb);
        }
        match part {
            Part::Method => check(&record.definition, &changed)?,
            Part::Integration => drop(integration(at.resource, changed.clone())?),
            Part::Response(_) | Part::IntegrationResponse(_) => {}
        }
        let method = method_mut(record, at)?;
        match part.holder(method) {
            Some((holder, name)) => drop(holder.insert(name.to_owned(), changed.clone().into())),
            None => *method = changed.clone(),
        }
        Ok(changed)
    };
    let changed = cx.apis.change(cx.auth, at.api, change).await?;
    Ok(match part {
        // The one update that AWS answers as a creation.
        Part::Response(_) => Answer::created(changed),
        _ => Answer::ok(changed),
    })
}

pub(super) async fn delete(cx: &Cx<'_>, at: Place<'_>, path: &[&str]) -> Result<Answer, Fault> {
    let part = Part::of(path)?;
    let change = |record: &mut ApiRecord| {
        if part.find(method_at(record, at)?).is_none() {
            return Err(part.missing());
        }
        match part.holder(method_mut(record, at)?) {
            Some((holder, name)) => drop(holder.remove(name)),
            None => {
                let resource =
                    record.definition.resources.get_mut(at.resource).ok_or_else(no_resource)?;
                resource.methods.remove(at.verb);
            }
        }
        Ok(())
    };
    cx.apis.change(cx.auth, at.api, change).await?;
    Ok(Answer::no_content())
}
