//! `AWS::Serverless::HttpApi`: an HTTP API with its stage.

use super::openapi::{OpenApi, default_title};
use super::{authorizer, domain, http_authorizer, rest};
use crate::sam::code;
use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{is_intrinsic, is_no_value, reference};
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::property::{Kind, Property, optional, passed};
use crate::sam::core::resource::{Resource, Source};
use crate::sam::core::value::{Map, Text, Val, list, map};

pub(in crate::sam) const KIND: &str = "AWS::Serverless::HttpApi";
/// Properties that name a resource made of the API.
pub(in crate::sam) const REFERABLE: &[(&str, &str)] =
    &[("Stage", "AWS::ApiGatewayV2::Stage"), ("DomainName", "AWS::ApiGatewayV2::DomainName")];

const PROPERTIES: &[Property] = &[
    optional("__MANAGE_SWAGGER", Kind::Bool),
    passed("Name"),
    optional("StageName", Kind::TextOrMap),
    optional("Tags", Kind::Map),
    optional("PropagateTags", Kind::Bool),
    optional("DefinitionBody", Kind::Map),
    optional("DefinitionUri", Kind::TextOrMap),
    optional("StageVariables", Kind::Map),
    optional("CorsConfiguration", Kind::BoolOrMap),
    optional("AccessLogSettings", Kind::Map),
    optional("DefaultRouteSettings", Kind::Map),
    optional("Auth", Kind::Map),
    optional("RouteSettings", Kind::Map),
    optional("Domain", Kind::Map),
    optional("FailOnWarnings", Kind::Bool),
    optional("Description", Kind::Text),
    optional("DisableExecuteApiEndpoint", Kind::Bool),
];

const DEFAULT_STAGE: &str = "$default";
const CORS: &[&str] = &[
    "AllowMethods",
    "AllowHeaders",
    "AllowOrigins",
    "MaxAge",
    "ExposeHeaders",
    "AllowCredentials",
];
const AUTH: &[&str] = &["Authorizers", "DefaultAuthorizer", "EnableIamAuthorizer"];

pub(in crate::sam) fn expand(cx: &mut Context, id: &Text, body: &Map) -> Result<Vec<Resource>> {
    let mut source = Source::parse(id, KIND, &[PROPERTIES], body)?;
    for name in ["CorsConfiguration", "Domain"] {
        if let Some(value) = source.properties.get_mut(name) {
            let resolved = cx.parameters.resolve_shared(value)?;
            *value = resolved;
        }
    }
    let mut definition = source.get("DefinitionBody").cloned();
    let mut made = vec![http_api(cx, &mut source, &mut definition)?];
    made.extend(domain::http(cx, &mut source)?);
    let auth = source.map("Auth").filter(|auth| !auth.is_empty());
    for authorizer in
        auth.map(|auth| http_authorizer::read_all(id, auth)).transpose()?.unwrap_or_default()
    {
        if let Some(function) = authorizer.permitted_function() {
            let partition = "${AWS::Partition}";
            made.push(authorizer::permission(partition, &source, &authorizer.name, function)?);
        }
    }
    made.push(stage(&source)?);
    // Tags are the stage's and the domain's unless the definition is elsewhere.
    if let Some(tags) = source.map("Tags").filter(|tags| !tags.is_empty())
        && source.get("DefinitionBody").is_some()
    {
        made.iter_mut().for_each(|resource| resource.assign_tags(tags));
    }
    Ok(made)
}

fn http_api(cx: &Context, source: &mut Source, definition: &mut Option<Val>) -> Result<Resource> {
    let kind = "AWS::ApiGatewayV2::Api";
    let mut api =
        Resource::new(&source.id, kind, &source.attributes)?.depending_on(&source.depends_on);
    if source.truthy("DefinitionUri") && source.truthy("DefinitionBody") {
        return Err(source
            .problem("Specify either 'DefinitionUri' or 'DefinitionBody' property and not both."));
    }
    add_cors(source, definition)?;
    add_auth(cx, source, definition)?;
    add_tags(source, definition)?;
    let warnings = source.get("FailOnWarnings").filter(|fail| fail.truthy()).cloned();
    if let Some(disable) = source.get("DisableExecuteApiEndpoint") {
        let needed = "DisableExecuteApiEndpoint works only within 'DefinitionBody' property.";
        let body = given(definition).ok_or_else(|| source.problem(needed))?;
        let mut editor = OpenApi::new(body)?;
        editor.disable_endpoint(disable)?;
        *definition = Some(editor.document().into());
    }
    set_info(source, definition, "Name", "title")?;
    set_info(source, definition, "Description", "description")?;
    if warnings.is_some()
        && let Some(Val::Map(body)) = definition
    {
        let paths = body.map_mut("paths");
        if let Some(default) = paths.remove(DEFAULT_STAGE) {
            paths.insert(format!("/{DEFAULT_STAGE}"), default);
        }
    }
    api.set("FailOnWarnings", warnings.as_ref());
    if let Some(uri) = source.get("DefinitionUri").filter(|uri| uri.truthy()) {
        api.set("BodyS3Location", code::definition_location(uri, &source.id)?);
    } else if let Some(body) = given(definition) {
        api.set("Body", body);
    } else {
        return Err(source.problem(
            "'DefinitionUri' or 'DefinitionBody' are required properties of an 'AWS::Serverless::HttpApi'. Add a value \
             for one of these properties or add a 'HttpApi' event to an 'AWS::Serverless::Function'.",
        ));
    }
    Ok(api)
}

fn given(definition: &Option<Val>) -> Option<&Val> {
    definition.as_ref().filter(|body| body.truthy())
}

/// The definition, which `what` needs; `the` is how the translator words it.
fn needed<'a>(definition: &'a Option<Val>, id: &str, what: &str, the: &str) -> Result<&'a Val> {
    given(definition).ok_or_else(|| {
        let message = format!(
            "{what} works only with inline OpenApi specified in {the}'DefinitionBody' property."
        );
        Problem::resource(id, message)
    })
}

fn valid<'a>(body: &'a Val, id: &str, what: &str) -> Result<&'a Val> {
    if OpenApi::is_valid(body) {
        return Ok(body);
    }
    let message = format!(
        "Unable to add {what} because 'DefinitionBody' does not contain a valid OpenApi definition."
    );
    Err(Problem::resource(id, message))
}

fn add_cors(source: &Source, definition: &mut Option<Val>) -> Result<()> {
    let Some(cors) = source.get("CorsConfiguration").filter(|cors| cors.truthy()) else {
        return Ok(());
    };
    let body = needed(definition, &source.id, "Cors", "")?;
    let settings = match cors {
        Val::Bool(_) => map! { "AllowOrigins" => list!["*"] },
        cors if is_intrinsic(cors) => map! { "AllowOrigins" => cors },
        Val::Map(settings) => {
            if let Some(key) = settings.keys().iter().find(|key| !CORS.contains(&key.as_str())) {
                return Err(source.problem(format!("Invalid key '{key}' for 'Cors' property.")));
            }
            settings.clone()
        }
        _ => return Err(source.problem("Invalid value for 'Cors' property.")),
    };
    let body = valid(body, &source.id, "Cors configuration")?;
    let credentials = settings.get("AllowCredentials") == Some(&Val::Bool(true));
    if credentials && settings.get("AllowOrigins") == Some(&list!["*"]) {
        return Err(source.problem(
            "Unable to add Cors configuration because 'AllowCredentials' can not be true when 'AllowOrigin' is \
             \"'*'\" or not set.",
        ));
    }
    let mut editor = OpenApi::new(body)?;
    editor.add_cors(&settings)?;
    *definition = Some(editor.document().into());
    Ok(())
}

fn add_auth(cx: &Context, source: &Source, definition: &mut Option<Val>) -> Result<()> {
    let id = &source.id;
    let Some(auth) = source.map("Auth").filter(|auth| !auth.is_empty()) else { return Ok(()) };
    let body = needed(definition, id, "Auth", "the ")?;
    if auth.keys().iter().any(|key| !AUTH.contains(&key.as_str())) {
        return Err(source.problem("Invalid value for 'Auth' property"));
    }
    let mut editor = OpenApi::new(valid(body, id, "Auth configuration")?)?;
    let authorizers = http_authorizer::read_all(id, auth)?;
    for authorizer in &authorizers {
        editor.add_scheme(&authorizer.name, authorizer.scheme(id, cx.partition)?);
    }
    let default = auth.get("DefaultAuthorizer").filter(|d| d.truthy() && !is_no_value(d));
    if let Some(default) = default {
        let name = At::Resource(id, "Auth.DefaultAuthorizer").string(Some(default))?;
        let named = authorizers.iter().find(|authorizer| authorizer.name.as_str() == name);
        let named = named.ok_or_else(|| {
            source.problem(format!(
                "Unable to set DefaultAuthorizer because '{name}' was not defined in 'Authorizers'."
            ))
        })?;
        for path in editor.path_names() {
            editor.set_default_authorizer(&path, default, &named.scopes())?;
        }
    }
    *definition = Some(editor.document().into());
    Ok(())
}

/// Tags the definition, which is how HTTP APIs get tags; SAM's own tag too.
fn add_tags(source: &mut Source, definition: &mut Option<Val>) -> Result<()> {
    let tagged = source.truthy("Tags");
    if tagged {
        needed(definition, &source.id, "Tags", "the ")?;
    }
    let Some(body) = given(definition) else { return Ok(()) };
    if tagged {
        valid(body, &source.id, "`Tags`")?;
    }
    if !OpenApi::is_valid(body) {
        return Ok(());
    }
    let mut tags = source.map("Tags").cloned().unwrap_or_default();
    tags.insert("httpapi:createdBy", "SAM");
    let mut editor = OpenApi::new(body)?;
    editor.add_tags(&tags)?;
    source.properties.insert("Tags", tags);
    *definition = Some(editor.document().into());
    Ok(())
}

/// Puts name or description into the definition, unless it says one itself.
fn set_info(
    source: &Source,
    definition: &mut Option<Val>,
    property: &str,
    member: &str,
) -> Result<()> {
    let Some(value) = source.get(property).filter(|value| value.truthy()) else { return Ok(()) };
    let body = needed(definition, &source.id, property, "the ")?;
    let info = body.get("info");
    if info.is_some_and(|info| info.as_map().is_none()) {
        let end = if property == "Description" { "'." } else { "." };
        return Err(source.problem(format!(
            "Invalid 'DefinitionBody': The value of 'info' should be a map{end}"
        )));
    }
    let own = info.and_then(|info| info.get(member));
    let free = match property {
        "Name" => own == Some(&default_title()),
        _ => !own.is_some_and(Val::truthy),
    };
    if !free {
        return Err(source.problem(format!(
            "Unable to set {property} because it is already defined within inline OpenAPI specified in the \
             'DefinitionBody' property."
        )));
    }
    let mut editor = OpenApi::new(body)?;
    editor.set_info(member, value);
    *definition = Some(editor.document().into());
    Ok(())
}

fn stage(source: &Source) -> Result<Resource> {
    let name = source.get("StageName").filter(|name| name.truthy()).cloned();
    let name = name.unwrap_or_else(|| DEFAULT_STAGE.into());
    let id = if name.is_text(DEFAULT_STAGE) {
        format!("{}ApiGatewayDefaultStage", source.id).into()
    } else {
        rest::stage_id(&source.id, name.as_str().unwrap_or_default())
    };
    let mut stage = Resource::new(id, "AWS::ApiGatewayV2::Stage", &source.passed_on())?;
    stage.set("ApiId", reference(&source.id));
    stage.set("StageName", name);
    for name in
        ["StageVariables", "AccessLogSettings", "DefaultRouteSettings", "Tags", "RouteSettings"]
    {
        stage.set(name, source.value(name));
    }
    stage.set("AutoDeploy", true);
    Ok(stage)
}
