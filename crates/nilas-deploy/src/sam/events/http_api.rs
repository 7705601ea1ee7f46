//! `HttpApi`: a route of an HTTP API that invokes the function.

use std::sync::LazyLock;

use regex::Regex;

use super::api::{api_id, integration_uri, lower_method, route, store};
use super::{Event, Link, Permission, Target};
use crate::sam::api::editor::{self, ANY_METHOD, DEFAULT_PATH};
use crate::sam::api::openapi::OpenApi;
use crate::sam::context::{Context, arn_text};
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::sub_with;
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::resource::Resource;
use crate::sam::core::value::{Map, Text, Val, map};

static PATH_PARAMETER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{(.*?)\}").expect("the expression is well-formed"));

pub(super) fn link(cx: &Context, event: &Event) -> Result<Link> {
    match api_id(&event.source.value("ApiId")) {
        Val::Text(id) if cx.resources.has(&id) => Ok(Link::HttpApi { id }),
        _ => Err(event.problem(
            "ApiId must be a valid reference to an 'AWS::Serverless::HttpApi' resource in same template.",
        )),
    }
}

pub(super) fn expand(
    cx: &mut Context,
    event: &mut Event,
    target: &Target,
) -> Result<Vec<Resource>> {
    lower_method(event);
    let Link::HttpApi { id } = &event.link else { return Ok(Vec::new()) };
    let id = id.clone();
    let properties = cx.resources.get(&id).and_then(|api| api.get("Properties"));
    let mut api = properties.and_then(Val::as_map).cloned().unwrap_or_default();
    let permission = permission(event, &id, &api, target)?;
    add_integration(&mut api, &id, event, target)?;
    store(cx, &id, api);
    Ok(permission.into_iter().collect())
}

fn permission(event: &Event, id: &str, api: &Map, target: &Target) -> Result<Option<Resource>> {
    let (path, method) = route(event);
    let path = match path.as_str() {
        path if path.len() > 1 => path.strip_suffix('/').unwrap_or(path),
        path => path,
    };
    let mut definition = match api.get("DefinitionBody").filter(|body| body.truthy()) {
        Some(body) => {
            let editor = OpenApi::new(body);
            Some(editor.map_err(|problem| Problem::resource(id, problem.message()))?)
        }
        None => None,
    };
    // The permission for the default route covers all others of the same function.
    let path = if path == DEFAULT_PATH {
        String::new()
    } else {
        if let Some(definition) = &mut definition
            && definition.default_route_invokes(&target.resource.id)?
        {
            return Ok(None);
        }
        editor::path_pattern(path, false)
    };
    let any = matches!(method.as_str(), "any" | ANY_METHOD);
    let method = if any { "*".to_owned() } else { method.to_uppercase() };
    let mut resource = "${__ApiId__}/${__Stage__}".to_owned();
    if event.source.text("Method") == Some("any") && path == format!("/{DEFAULT_PATH}") {
        resource.push_str(&path);
    } else {
        resource.push_str(&format!("/{method}{path}"));
    }
    let text = arn_text("${AWS::Partition}", "execute-api", &resource);
    let variables = map! { "__ApiId__" => event.source.value("ApiId"), "__Stage__" => "*" };
    let permission = Permission {
        service: "apigateway.amazonaws.com",
        source_arn: sub_with(text, variables),
        ..Permission::default()
    };
    permission.build(&event.source.id, &target.resource).map(Some)
}

fn add_integration(api: &mut Map, id: &str, event: &Event, target: &Target) -> Result<()> {
    let Some(body) = api.get("DefinitionBody").cloned() else { return Ok(()) };
    let (path, method) = route(event);
    let mut editor = OpenApi::new(&body)?;
    if api.truthy("__MANAGE_SWAGGER") && editor.has_integration(&path, &method)? {
        let message = format!("API method '{method}' defined multiple times for path '{path}'.");
        return Err(event.problem(message));
    }
    let uri = integration_uri(target, "${AWS::Partition}", false).into();
    let condition = target.resource.attributes.entry("Condition");
    editor.add_lambda_integration(&path, &method, uri, condition)?;
    if let Some(auth) = event.source.map("Auth").filter(|auth| !auth.is_empty()) {
        add_auth(api, id, event, auth.clone(), &mut editor)?;
    }
    if let Some(timeout) = event.source.get("TimeoutInMillis").filter(|timeout| timeout.truthy()) {
        editor.add_to_integration(&path, &method, "timeoutInMillis", timeout)?;
    }
    let names: Vec<Text> =
        PATH_PARAMETER.captures_iter(&path).map(|found| Text::new(&found[1], true)).collect();
    if !names.is_empty() {
        editor.add_path_parameters(&path, &method, &names)?;
    }
    if let Some(version) =
        event.source.get("PayloadFormatVersion").filter(|version| version.truthy())
    {
        editor.add_to_integration(&path, &method, "payloadFormatVersion", version)?;
    }
    api.insert("DefinitionBody", editor.document());
    Ok(())
}

fn add_auth(api: &Map, id: &str, event: &Event, mut auth: Map, editor: &mut OpenApi) -> Result<()> {
    let (path, method) = route(event);
    let empty = Map::new();
    let api_auth = match api.get("Auth") {
        None => &empty,
        given => At::Resource(id, "Auth").map(given)?,
    };
    if !auth.truthy("Authorizer") {
        let Some(default) = api_auth.get("DefaultAuthorizer").filter(|default| default.truthy())
        else {
            return Err(event.problem(
                "'Auth' section requires either an explicit 'Authorizer' set or a 'DefaultAuthorizer' configured on \
                 the HttpApi.",
            ));
        };
        auth.insert("Authorizer", default.clone());
    }
    let authorizer = auth.get("Authorizer").cloned().unwrap_or_default();
    let authorizers = api_auth.get("Authorizers");
    let iam = api_auth.get("EnableIamAuthorizer") == Some(&Val::Bool(true));
    let on = format!("on API method [{method}] for path [{path}]");
    let name = print::text(&authorizer);
    let none = authorizer.is_text("NONE");
    let by_iam = authorizer.is_text("AWS_IAM") && iam;
    // The translator takes an empty `Auth` for an empty map of authorizers.
    let mapped = api_auth.is_empty() || authorizers.is_some_and(|all| all.as_map().is_some());
    let named = authorizer.as_str().filter(|_| mapped);
    if none && !api_auth.truthy("DefaultAuthorizer") {
        return Err(event.problem(format!(
            "Unable to set Authorizer {on} because 'NONE' is only a valid value when a DefaultAuthorizer on the API \
             is specified."
        )));
    }
    if !none && !by_iam {
        let unable =
            |why: &str| event.problem(format!("Unable to set Authorizer [{name}] {on}{why}"));
        let Some(named) = named else {
            return Err(unable(
                ". The method authorizer must be a string with a corresponding dict entry in the api authorizer.",
            ));
        };
        if !authorizers.is_some_and(Val::truthy) {
            return Err(unable(" because the related API does not define any Authorizers."));
        }
        if !authorizers.and_then(|all| all.get(named)).is_some_and(Val::truthy) {
            return Err(unable(" because it wasn't defined in the API's Authorizers."));
        }
    }
    let scopes = auth.get("AuthorizationScopes").filter(|scopes| scopes.truthy());
    if scopes.is_some_and(|scopes| scopes.as_list().is_none()) {
        return Err(event.problem(format!(
            "Unable to set Authorizer {on} because 'AuthorizationScopes' must be a list of strings."
        )));
    }
    let given = authorizers.and_then(Val::as_map);
    editor.add_authorizer(&path, &method, &authorizer, given, scopes)
}
