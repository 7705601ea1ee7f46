//! `Api`: a method of a REST API that invokes the function.

use super::{Event, Link, Permission, Target, request};
use crate::sam::api::editor;
use crate::sam::api::swagger::Swagger;
use crate::sam::context::{Context, arn_text};
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{shorthand, sub, sub_with};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::resource::Resource;
use crate::sam::core::value::{Map, Text, Val, map};

/// The API that an event names, and how its permission's logical id ends: with the API's stage.
pub(super) fn link(cx: &Context, event: &Event) -> Result<Link> {
    let given = event.source.value("RestApiId");
    let id = api_id(&given);
    let Some(text) = id.as_text() else {
        return Ok(Link::Api { id, stage: "AllStages".into() });
    };
    let api = cx.resources.get(text).and_then(Val::as_map).ok_or_else(|| {
        event.problem(
            "RestApiId property of Api event must reference a valid resource in the same template.",
        )
    })?;
    let empty = Map::new();
    let properties = match api.entry("Properties") {
        None => &empty,
        properties => At::Attribute(text, "Properties").map(properties)?,
    };
    let stage = match properties.get("StageName") {
        Some(Val::Text(stage)) if stage.is_empty() => {
            return Err(Problem::resource(text, "StageName cannot be empty."));
        }
        Some(Val::Text(stage)) => stage.clone(),
        _ => "Stage".into(),
    };
    Ok(Link::Api { id, stage })
}

/// The API's logical id, of a reference or as it is.
pub(in crate::sam) fn api_id(given: &Val) -> Val {
    match given.as_map().and_then(|map| map.entry("Ref")) {
        Some(id) => id.clone(),
        None => given.clone(),
    }
}

pub(super) fn expand(
    cx: &mut Context,
    event: &mut Event,
    target: &Target,
) -> Result<Vec<Resource>> {
    lower_method(event);
    let Link::Api { id, stage } = &event.link else { return Ok(Vec::new()) };
    let Val::Text(id) = id.clone() else {
        return Err(event.problem("RestApiId must be a valid reference to an 'AWS::Serverless::Api' resource in same template."));
    };
    let stage = stage.clone();
    let permission = permission(cx, event, target, &stage)?;
    let mut api = cx
        .resources
        .get(&id)
        .and_then(|api| api.get("Properties"))
        .and_then(Val::as_map)
        .cloned()
        .unwrap_or_default();
    if api.truthy("__MANAGE_SWAGGER") || api.truthy("MergeDefinitions") {
        add_integration(cx, &mut api, &id, event, target, &stage)?;
    }
    override_auth(cx, &mut api, &id, event, &stage)?;
    store(cx, &id, api);
    Ok(vec![permission])
}

/// Puts an API's properties back, where it has any.
pub(super) fn store(cx: &mut Context, id: &str, properties: Map) {
    if let Some(Val::Map(api)) = cx.resources.get_mut(id)
        && let Some(stored) = api.get_mut("Properties")
    {
        *stored = properties.into();
    }
}

pub(super) fn lower_method(event: &mut Event) {
    if let Some(Val::Text(method)) = event.source.properties.get_mut("Method") {
        *method = Text::new(method.to_lowercase(), method.marked);
    }
}

/// An event's path and method, as they are in the definition.
pub(super) fn route(event: &Event) -> (Text, Text) {
    let text = |name: &str| event.source.get(name).and_then(Val::as_text).cloned();
    (text("Path").unwrap_or_else(|| "".into()), text("Method").unwrap_or_else(|| "".into()))
}

fn permission(cx: &Context, event: &Event, target: &Target, stage: &str) -> Result<Resource> {
    let (path, method) = route(event);
    let path = match path.as_str() {
        path if path.len() > 1 => path.strip_suffix('/').unwrap_or(path),
        path => path,
    };
    let path = editor::path_pattern(path, true);
    let method = if method.as_str() == "any" { "*".to_owned() } else { method.to_uppercase() };
    let resource = format!("${{__ApiId__}}/${{__Stage__}}/{method}{path}");
    let text = arn_text(cx.partition, "execute-api", &resource);
    let variables = map! { "__ApiId__" => event.source.value("RestApiId"), "__Stage__" => "*" };
    let permission = Permission {
        service: "apigateway.amazonaws.com",
        source_arn: sub_with(text, variables),
        suffix: stage,
        ..Permission::default()
    };
    permission.build(&event.source.id, &target.resource)
}

/// What API Gateway invokes, as the definition says it.
pub(super) fn integration_uri(target: &Target, partition: &str, streams: bool) -> Map {
    let (version, path) = if streams {
        ("2021-11-15", "response-streaming-invocations")
    } else {
        ("2015-03-31", "invocations")
    };
    let arn = target.resource.arn();
    let text = format!(
        "arn:{partition}:apigateway:${{AWS::Region}}:lambda:path/{version}/functions/{}/{path}",
        shorthand(&arn)
    );
    // Text made of what the document says is the document's.
    let marked = arn.get("Fn::GetAtt").is_some() && target.resource.id.marked;
    let uri = sub(Text::new(text, marked));
    uri.as_map().map(Map::ordered_from).unwrap_or_default()
}

fn add_integration(
    cx: &Context,
    api: &mut Map,
    id: &Text,
    event: &Event,
    target: &Target,
    stage: &Text,
) -> Result<()> {
    let Some(body) = api.get("DefinitionBody").cloned() else { return Ok(()) };
    let merges = api.truthy("MergeDefinitions");
    let (path, method) = route(event);
    let mut editor =
        if merges { Swagger::new(&Swagger::skeleton().into())? } else { Swagger::new(&body)? };
    if editor.has_integration(&path, &method)? {
        let message =
            format!("API method \"{method}\" defined multiple times for path \"{path}\".");
        return Err(event.problem(message));
    }
    let streams = event.source.text("ResponseTransferMode") == Some("RESPONSE_STREAM");
    let empty = Map::new();
    let auth = match event.source.get("Auth").filter(|auth| auth.truthy()) {
        None => &empty,
        auth => event.at("Auth").map(auth)?,
    };
    let api_auth = match api.get("Auth").filter(|auth| auth.truthy()) {
        None => &empty,
        auth => At::Resource(id, "Auth").map(auth)?,
    };
    editor.add_lambda_integration(
        cx.partition,
        &path,
        &method,
        &crate::sam::api::swagger::Integration {
            uri: integration_uri(target, cx.partition, streams).into(),
            streams,
            auth,
            api_auth,
            condition: target.resource.attributes.entry("Condition"),
        },
    )?;
    if !auth.is_empty() {
        add_auth(cx, auth, api, id, event, stage, &mut editor)?;
    }
    if let Some(timeout) = event.source.get("TimeoutInMillis").filter(|timeout| timeout.truthy()) {
        editor.add_timeout(&path, &method, timeout)?;
    }
    request::add_model(event, api, &mut editor)?;
    request::add_parameters(event, &mut editor)?;
    let definition =
        if merges { merged(id, &body, &editor, &path, &method)? } else { editor.document().into() };
    api.insert("DefinitionBody", definition);
    Ok(())
}

/// Adds what was made for one method to the definition that the document gives.
fn merged(id: &str, body: &Val, editor: &Swagger, path: &Text, method: &Text) -> Result<Val> {
    let mut merged = body.as_map().map(Map::shallow_copy).unwrap_or_default();
    let shallow = |path: &str| {
        let message =
            format!("Property 'DefinitionBody' is invalid: The value of '{path}' should be a map");
        Problem::resource(id, message)
    };
    let given = match merged.get("paths").and_then(|paths| paths.as_map()?.get(path)) {
        None => None,
        Some(Val::Map(item)) => item.get(method),
        Some(_) => return Err(shallow(path)),
    };
    let mut definition = match given.filter(|given| given.truthy()) {
        None => Map::new(),
        given => {
            let at = format!("DefinitionBody.paths.{path}.{method}");
            At::Resource(id, &at).map(given)?.clone()
        }
    };
    let normal = editor::normal_method(method);
    let document = editor.document();
    let made = document.get("paths").and_then(|paths| paths.get(path)?.get(&normal));
    let mut plain = Map::new();
    plain.update(&definition);
    if let Some(Val::Map(made)) = made {
        plain.update(made);
    }
    definition = plain;
    if merged.truthy("paths") {
        let paths = merged.map_mut("paths");
        if !paths.has(path) {
            paths.insert(path, Map::new());
        }
        paths.map_mut(path).insert(method, definition);
    }
    Ok(merged.into())
}

/// Lets an event set the authorization of a method that the document defines itself.
fn override_auth(
    cx: &Context,
    api: &mut Map,
    id: &Text,
    event: &Event,
    stage: &Text,
) -> Result<()> {
    let Some(body) = api.get("DefinitionBody").filter(|body| body.truthy()) else { return Ok(()) };
    let Some(auth) = event.source.map("Auth").filter(|auth| auth.truthy("OverrideApiAuth")) else {
        return Ok(());
    };
    if !["Authorizer", "ApiKeyRequired", "ResourcePolicy"].iter().any(|name| auth.truthy(name)) {
        return Err(event.problem(
            "Must define one of: Authorizer, ApiKeyRequired or ResourcePolicy when using the OverrideApiAuth property.",
        ));
    }
    let mut editor = Swagger::new(body)?;
    add_auth(cx, auth, api, id, event, stage, &mut editor)?;
    api.insert("DefinitionBody", editor.document());
    Ok(())
}

/// Sets the authorization of an event's method.
pub(in crate::sam) fn add_auth(
    cx: &Context,
    auth: &Map,
    api: &mut Map,
    id: &Text,
    event: &Event,
    stage: &Text,
    editor: &mut Swagger,
) -> Result<()> {
    let (path, method) = route(event);
    let api_auth = match api.get_mut("Auth") {
        Some(api_auth) => cx.parameters.resolve_shared(api_auth)?,
        None => Val::Null,
    };
    let authorizer = auth.get("Authorizer").filter(|authorizer| authorizer.truthy());
    if let Some(authorizer) = authorizer {
        check_authorizer(event, id, authorizer, &api_auth)?;
    }
    if let Some(scopes) = auth.get("AuthorizationScopes").filter(|scopes| scopes.truthy()) {
        event.at("Auth.AuthorizationScopes").list(Some(scopes))?;
        if authorizer.is_none() {
            return Err(event.problem("AuthorizationScopes works only when Authorizer is set"));
        }
    }
    let key = auth.get("ApiKeyRequired");
    let api_key = api_auth.get("ApiKeyRequired").is_some_and(Val::truthy);
    if key.is_some_and(|key| !key.truthy()) && !api_key {
        return Err(event.problem(format!(
            "Unable to set ApiKeyRequired [False] on API method [{method}] for path [{path}] because the related API \
             does not specify any ApiKeyRequired."
        )));
    }
    if authorizer.is_some() || key.is_some() {
        editor.add_auth(&path, &method, auth, api.get("Auth"))?;
    }
    if let Some(policy) = auth.get("ResourcePolicy").filter(|policy| policy.truthy()) {
        let policy = At::Resource(&event.name, "Auth.ResourcePolicy").map(Some(policy))?;
        editor.add_resource_policy(policy, &path, &stage.into())?;
        if let Some(statements) = policy.get("CustomStatements").filter(|s| s.truthy()) {
            editor.add_custom_statements(statements);
        }
    }
    Ok(())
}

fn check_authorizer(event: &Event, id: &str, authorizer: &Val, api_auth: &Val) -> Result<()> {
    let (path, method) = route(event);
    let authorizers = api_auth.get("Authorizers").filter(|authorizers| authorizers.truthy());
    if authorizers.is_some() {
        At::Resource(id, "Auth.Authorizers").map(authorizers)?;
    }
    if authorizer.is_text("AWS_IAM") {
        return Ok(());
    }
    if authorizer.is_text("NONE") {
        if api_auth.get("DefaultAuthorizer").is_some_and(Val::truthy) {
            return Ok(());
        }
        return Err(event.problem(format!(
            "Unable to set Authorizer on API method [{method}] for path [{path}] because 'NONE' is only a valid value \
             when a DefaultAuthorizer on the API is specified."
        )));
    }
    let name = print::text(authorizer);
    let unable =
        format!("Unable to set Authorizer [{name}] on API method [{method}] for path [{path}]");
    let Some(authorizers) = authorizers else {
        return Err(event.problem(format!(
            "{unable} because the related API does not define any Authorizers."
        )));
    };
    let Some(authorizer) = authorizer.as_str() else {
        return Err(event.problem(format!(
            "{unable}. The method authorizer must be a string with a corresponding dict entry in the api authorizer."
        )));
    };
    if authorizers.get(authorizer).is_some_and(Val::truthy) {
        return Ok(());
    }
    Err(event.problem(format!("{unable} because it wasn't defined in the API's Authorizers.")))
}
