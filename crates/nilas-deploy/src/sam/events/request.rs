//! What an `Api` event says of its requests: model, validation, parameters.

use super::Event;
use super::api::route;
use crate::sam::api::swagger::Swagger;
use crate::sam::core::intrinsic::is_intrinsic;
use crate::sam::core::print;
use crate::sam::core::problem::Result;
use crate::sam::core::value::{Map, Text, Val, map};

pub(super) fn add_model(event: &Event, api: &Map, editor: &mut Swagger) -> Result<()> {
    let Some(request) = event.source.get("RequestModel").filter(|request| request.truthy()) else {
        return Ok(());
    };
    let request = event.at("RequestModel").map(Some(request))?;
    let Some(model) = request.get("Model").filter(|model| model.truthy()) else { return Ok(()) };
    let (path, method) = route(event);
    let name = print::text(model);
    let on = format!("[{name}] on API method [{method}] for path [{path}]");
    let unable =
        |why: &str| event.problem(format!("Unable to set RequestModel {on} because {why}"));
    let Some(models) = api.get("Models").filter(|models| models.truthy()) else {
        return Err(unable("the related API does not define any Models."));
    };
    if !is_intrinsic(models) && models.as_map().is_none() {
        return Err(unable("the related API Models defined is of invalid type."));
    }
    let Val::Text(model) = model else {
        return Err(unable("the related API does not contain valid Models."));
    };
    if !models.get(model).is_some_and(Val::truthy) {
        return Err(unable("it wasn't defined in the API's Models."));
    }
    editor.add_request_model(&path, &method, model, request.get("Required"))?;
    let (body, parameters) = (request.get("ValidateBody"), request.get("ValidateParameters"));
    if body.is_none() && parameters.is_none() {
        return Ok(());
    }
    let flag = |value: Option<&Val>| match value {
        None => Some(false),
        Some(Val::Bool(value)) => Some(*value),
        Some(_) => None,
    };
    let (Some(body), Some(parameters)) = (flag(body), flag(parameters)) else {
        return Err(event.problem(format!(
            "Unable to set Validator to RequestModel {on} ValidateBody and ValidateParameters must be a boolean type, \
             strings or intrinsics are not supported."
        )));
    };
    editor.add_request_validator(&path, &method, body, parameters)
}

pub(super) fn add_parameters(event: &Event, editor: &mut Swagger) -> Result<()> {
    let Some(Val::List(given)) = event.source.get("RequestParameters").filter(|g| g.truthy())
    else {
        return Ok(());
    };
    let fault = |what: &str| {
        event.problem(format!("Invalid value for 'RequestParameters' property. {what}"))
    };
    let mut parameters = Vec::new();
    for parameter in given {
        let (name, settings) = match parameter {
            Val::Text(name) => (name.clone(), None),
            Val::Map(map) => match map.iter().next() {
                Some((name, settings)) => (name.clone(), Some(settings)),
                None => return Err(fault("Property must be either a string or an object")),
            },
            _ => return Err(fault("Property must be either a string or an object")),
        };
        if !is_request_parameter(&name) {
            return Err(fault(
                "Keys must be in the format 'method.request.[querystring|path|header].{value}', e.g \
                 'method.request.header.Authorization'.",
            ));
        }
        let mut all = map! { "Required" => false, "Caching" => false };
        match settings {
            None => {}
            Some(Val::Map(given))
                if given
                    .keys()
                    .iter()
                    .all(|key| matches!(key.as_str(), "Required" | "Caching")) =>
            {
                all.update(given);
            }
            Some(_) => {
                return Err(fault(
                    "Values must be an object, e.g { Required: true, Caching: false }",
                ));
            }
        }
        parameters.push((name, all));
    }
    let (path, method) = route(event);
    editor.add_request_parameters(&path, &method, &parameters)
}

fn is_request_parameter(name: &Text) -> bool {
    name.strip_prefix("method.request.").is_some_and(|rest| {
        ["querystring.", "path.", "header."].iter().any(|place| rest.starts_with(place))
    })
}
