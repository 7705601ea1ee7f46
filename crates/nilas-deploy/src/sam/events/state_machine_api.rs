//! `Api` of a state machine: a method of a REST API that starts an execution.

use super::api::{add_auth, lower_method, route, store};
use super::rule::start_role;
use super::{Event, Link, Target};
use crate::sam::api::swagger::Swagger;
use crate::sam::context::Context;
use crate::sam::core::intrinsic::sub;
use crate::sam::core::problem::Result;
use crate::sam::core::resource::Resource;
use crate::sam::core::value::{Map, Text, Val, map};

pub(super) fn expand(
    cx: &mut Context,
    event: &mut Event,
    target: &Target,
) -> Result<Vec<Resource>> {
    lower_method(event);
    let Link::Api { id, stage } = &event.link else { return Ok(Vec::new()) };
    let (id, stage) = (id.clone(), stage.clone());
    let role = start_role("apigateway.amazonaws.com", event, target)?;
    let Val::Text(id) = id else { return Ok(vec![role]) };
    let properties = cx.resources.get(&id).and_then(|api| api.get("Properties"));
    let mut api = properties.and_then(Val::as_map).cloned().unwrap_or_default();
    if api.truthy("__MANAGE_SWAGGER") {
        add_integration(cx, &mut api, &id, event, target, &role, &stage)?;
        store(cx, &id, api);
    }
    Ok(vec![role])
}

fn add_integration(
    cx: &Context,
    api: &mut Map,
    id: &Text,
    event: &Event,
    target: &Target,
    role: &Resource,
    stage: &Text,
) -> Result<()> {
    let Some(body) = api.get("DefinitionBody").cloned() else { return Ok(()) };
    let (path, method) = route(event);
    let mut editor = Swagger::new(&body)?;
    if editor.has_integration(&path, &method)? {
        let message =
            format!("API method \"{method}\" defined multiple times for path \"{path}\".");
        return Err(event.problem(message));
    }
    let uri = sub("arn:${AWS::Partition}:apigateway:${AWS::Region}:states:action/StartExecution");
    let condition = target.resource.attributes.entry("Condition");
    let template = request_template(event, target);
    editor.add_state_machine_integration(&path, &method, uri, role.arn(), template, condition)?;
    if let Some(auth) = event.source.map("Auth").filter(|auth| !auth.is_empty()) {
        add_auth(cx, auth, api, id, event, stage, &mut editor)?;
    }
    api.insert("DefinitionBody", editor.document());
    Ok(())
}

/// What makes the execution's input of the request's body.
fn request_template(event: &Event, target: &Target) -> Val {
    let input = if event.source.truthy("UnescapeMappingTemplate") {
        r#"$util.escapeJavaScript($input.json('$')).replaceAll("\\'","'")"#
    } else {
        "$util.escapeJavaScript($input.json('$'))"
    };
    let id = &target.resource.id;
    let text = format!(r#"{{"input": "{input}", "stateMachineArn": "${{{id}}}"}}"#);
    map! { "application/json" => sub(text) }.into()
}
