//! `AWS::Serverless::Api`: a REST API with its deployment and stage.

use std::sync::LazyLock;

use regex::Regex;

use super::swagger::Swagger;
use super::{authorizer, cors, domain, finish, usage_plan};
use crate::sam::code;
use crate::sam::context::Context;
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{is_intrinsic, reference};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::property::{Kind, Property, literal, optional, required};
use crate::sam::core::resource::{Resource, Source, tag_list};
use crate::sam::core::value::{Map, Text, Val, list, map, ordered};

pub(in crate::sam) const KIND: &str = "AWS::Serverless::Api";
/// Properties that name a resource made of the API.
pub(in crate::sam) const REFERABLE: &[(&str, &str)] = &[
    ("Stage", "AWS::ApiGateway::Stage"),
    ("Deployment", "AWS::ApiGateway::Deployment"),
    ("DomainName", "AWS::ApiGateway::DomainName"),
    ("DomainNameV2", "AWS::ApiGateway::DomainNameV2"),
    ("UsagePlan", "AWS::ApiGateway::UsagePlan"),
    ("UsagePlanKey", "AWS::ApiGateway::UsagePlanKey"),
    ("ApiKey", "AWS::ApiGateway::ApiKey"),
];

const PROPERTIES: &[Property] = &[
    optional("__MANAGE_SWAGGER", Kind::Bool),
    optional("Name", Kind::TextOrMap),
    required("StageName", Kind::TextOrMap),
    optional("Tags", Kind::Map),
    optional("PropagateTags", Kind::Bool),
    optional("DefinitionBody", Kind::Map),
    optional("DefinitionUri", Kind::TextOrMap),
    literal("MergeDefinitions", Kind::Bool),
    optional("CacheClusterEnabled", Kind::Bool),
    optional("CacheClusterSize", Kind::Text),
    optional("Variables", Kind::Map),
    optional("EndpointConfiguration", Kind::TextOrMap),
    optional("MethodSettings", Kind::List),
    optional("BinaryMediaTypes", Kind::List),
    optional("MinimumCompressionSize", Kind::Int),
    optional("Cors", Kind::TextOrMap),
    optional("Auth", Kind::Map),
    optional("GatewayResponses", Kind::Map),
    optional("AccessLogSetting", Kind::Map),
    optional("CanarySetting", Kind::Map),
    optional("TracingEnabled", Kind::Bool),
    optional("OpenApiVersion", Kind::Text),
    optional("Models", Kind::Map),
    optional("Domain", Kind::Map),
    optional("FailOnWarnings", Kind::Bool),
    optional("Description", Kind::Text),
    optional("Mode", Kind::Text),
    optional("DisableExecuteApiEndpoint", Kind::Bool),
    optional("ApiKeySourceType", Kind::Text),
    literal("AlwaysDeploy", Kind::Bool),
    optional("Policy", Kind::TextOrMap),
    optional("SecurityPolicy", Kind::Text),
    optional("EndpointAccessMode", Kind::Text),
];

const AUTH: &[&str] = &[
    "Authorizers",
    "DefaultAuthorizer",
    "InvokeRole",
    "AddDefaultAuthorizerToCorsPreflight",
    "AddApiKeyRequiredToCorsPreflight",
    "ApiKeyRequired",
    "ResourcePolicy",
    "UsagePlan",
];

static OPENAPI_VERSION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\A[2-3](\.\d)(\.\d)?\n?\z").expect("the expression is well-formed")
});

pub(in crate::sam) fn expand(cx: &mut Context, id: &Text, body: &Map) -> Result<Vec<Resource>> {
    let mut source = Source::parse(id, KIND, &[PROPERTIES], body)?;
    for name in ["BinaryMediaTypes", "Domain", "Auth"] {
        if let Some(value) = source.properties.get_mut(name) {
            let resolved = cx.parameters.resolve_shared(value)?;
            *value = resolved;
        }
    }
    let mut definition = Definition { body: source.get("DefinitionBody").cloned() };
    let rest_api = rest_api(cx, &source, &mut definition)?;
    let domain = domain::rest(cx, &mut source)?;

    let attributes = source.passed_on();
    let kind = "AWS::ApiGateway::Deployment";
    let mut deployment = Resource::new(source.id.plus("Deployment"), kind, &attributes)?;
    deployment.set("RestApiId", reference(&source.id));
    if !source.truthy("OpenApiVersion") {
        deployment.set("StageName", "Stage");
    }
    let deployed = rest_api.get("Body").or_else(|| rest_api.get("BodyS3Location")).cloned();
    let stage = stage(cx, &source, &mut deployment, deployed.as_ref())?;
    let auth = source.map("Auth").filter(|auth| !auth.is_empty()).cloned();
    let mut made = vec![rest_api, deployment];
    let mut plan = Vec::new();
    if let Some(auth) = &auth {
        made.extend(authorizer::permissions(cx, &source, auth)?);
        plan = usage_plan::expand(cx, &source, auth, &stage.id)?;
    }
    made.push(stage);
    made.extend(domain);
    made.extend(plan);
    source.propagate_tags(&mut made);
    Ok(made)
}

/// The API's definition while properties are worked into it.
#[derive(Debug)]
struct Definition {
    body: Option<Val>,
}

impl Definition {
    fn given(&self) -> Option<&Val> {
        self.body.as_ref().filter(|body| body.truthy())
    }

    /// The definition, which `what` needs.
    fn needed(&self, id: &str, what: &str) -> Result<&Val> {
        self.given().ok_or_else(|| {
            let message = format!(
                "{what} works only with inline Swagger specified in 'DefinitionBody' property."
            );
            Problem::resource(id, message)
        })
    }

    fn valid(&self, id: &str, what: &str) -> Result<&Val> {
        self.given().filter(|body| Swagger::is_valid(body)).ok_or_else(|| {
            let message = format!(
                "Unable to add {what} because 'DefinitionBody' does not contain a valid Swagger definition."
            );
            Problem::resource(id, message)
        })
    }

    fn set(&mut self, body: Map) {
        self.body = Some(body.into());
    }
}

fn rest_api(cx: &Context, source: &Source, definition: &mut Definition) -> Result<Resource> {
    check(source)?;
    let id = &source.id;
    let mut api = Resource::new(id, "AWS::ApiGateway::RestApi", &source.attributes)?
        .depending_on(&source.depends_on);
    api.set("BinaryMediaTypes", source.value("BinaryMediaTypes"));
    api.set("MinimumCompressionSize", source.value("MinimumCompressionSize"));
    let edge = !matches!(cx.partition, "aws-us-gov" | "aws-cn" | "aws-eusc")
        && !cx.partition.starts_with("aws-iso");
    match source.get("EndpointConfiguration").filter(|endpoint| endpoint.truthy()) {
        Some(endpoint) => set_endpoint(&mut api, endpoint)?,
        None if !edge => set_endpoint(&mut api, &"REGIONAL".into())?,
        None => {}
    }
    if let Some(cors) = source.get("Cors").filter(|cors| cors.truthy()) {
        definition.set(cors::add(id, cors, definition.given())?);
    }
    add_auth(cx, source, definition)?;
    add_gateway_responses(source, definition)?;
    if let (Some(types), Some(body)) =
        (source.get("BinaryMediaTypes").filter(|types| types.truthy()), definition.given())
    {
        let mut editor = Swagger::new(body)?;
        editor.add_binary_media_types(types);
        definition.set(editor.document());
    }
    add_models(source, definition)?;
    if let Some(disable) = source.get("DisableExecuteApiEndpoint") {
        if definition.given().is_none() {
            let message = "DisableExecuteApiEndpoint works only within 'DefinitionBody' property.";
            return Err(source.problem(message));
        }
        let mut editor = Swagger::new(definition.given().unwrap_or(&Val::Null))?;
        editor.disable_endpoint(disable)?;
        definition.set(editor.document());
    }
    if let Some(uri) = source.get("DefinitionUri").filter(|uri| uri.truthy()) {
        api.set("BodyS3Location", code::definition_location(uri, id)?);
    } else if let Some(Val::Map(body)) = definition.given() {
        api.set("Body", finish::openapi(body.clone(), source.get("OpenApiVersion"))?);
    }
    for name in [
        "FailOnWarnings",
        "Name",
        "Description",
        "Mode",
        "ApiKeySourceType",
        "Policy",
        "SecurityPolicy",
        "EndpointAccessMode",
    ] {
        api.set(name, source.get(name).filter(|value| value.truthy()));
    }
    Ok(api)
}

fn check(source: &Source) -> Result<()> {
    let version = source.get("OpenApiVersion").filter(|version| version.truthy());
    let message = if source.truthy("DefinitionUri") && source.truthy("DefinitionBody") {
        "Specify either 'DefinitionUri' or 'DefinitionBody' property and not both."
    } else if source.truthy("DefinitionUri") && source.truthy("MergeDefinitions") {
        "Cannot set 'MergeDefinitions' to True when using `DefinitionUri`."
    } else if version.is_some_and(|version| !OPENAPI_VERSION.is_match(&print::text(version))) {
        "The OpenApiVersion value must be of the format '3.0.0'."
    } else {
        return Ok(());
    };
    Err(source.problem(message))
}

fn set_endpoint(api: &mut Resource, endpoint: &Val) -> Result<()> {
    let Some(settings) = endpoint.as_map().filter(|settings| settings.truthy("Type")) else {
        api.set("EndpointConfiguration", map! { "Types" => list![endpoint] });
        api.set("Parameters", map! { "endpointConfigurationTypes" => endpoint });
        return Ok(());
    };
    let kind = Val::from(settings.get("Type"));
    api.set("Parameters", map! { "endpointConfigurationTypes" => &kind });
    let mut configuration = map! { "Types" => list![kind] };
    let (old, new) = (settings.has("VPCEndpointIds"), settings.has("VpcEndpointIds"));
    if old && new {
        return Err(Problem::resource(
            &api.id,
            "'VPCEndpointIds' and 'VpcEndpointIds' cannot be used together in EndpointConfiguration.",
        ));
    }
    if old || new {
        let ids = settings.get("VPCEndpointIds").filter(|ids| ids.truthy());
        configuration.insert("VpcEndpointIds", ids.or_else(|| settings.get("VpcEndpointIds")));
    }
    if let Some(kind) = settings.entry("IpAddressType") {
        configuration.insert("IpAddressType", kind);
    }
    api.set("EndpointConfiguration", configuration);
    Ok(())
}

fn add_auth(cx: &Context, source: &Source, definition: &mut Definition) -> Result<()> {
    let id = &source.id;
    let Some(auth) = source.map("Auth").filter(|auth| !auth.is_empty()) else { return Ok(()) };
    definition.needed(id, "Auth")?;
    if auth.keys().iter().any(|key| !AUTH.contains(&key.as_str())) {
        return Err(source.problem("Invalid value for 'Auth' property"));
    }
    let mut editor = Swagger::new(definition.valid(id, "Auth configuration")?)?;
    let paths = editor.path_names();
    let flag = |name: &str| auth.entry(name).is_none_or(Val::truthy);
    let authorizers = authorizer::read_all(id, auth, true)?;
    for authorizer in &authorizers {
        let made = authorizer.definition(id, cx.partition)?;
        editor.add_security_definition(&authorizer.name, made)?;
    }
    let default = auth.get("DefaultAuthorizer").filter(|default| default.truthy());
    if let Some(default) = default.filter(|_| !authorizers.is_empty()) {
        let Val::Text(default) = default else {
            return Err(source.problem("DefaultAuthorizer is not a string."));
        };
        let named = authorizers.iter().find(|authorizer| authorizer.name == *default);
        let Some(named) = named else {
            return Err(source.problem(format!(
                "Unable to set DefaultAuthorizer because '{default}' was not defined in 'Authorizers'."
            )));
        };
        let names: Vec<Text> =
            authorizers.iter().map(|authorizer| authorizer.name.clone()).collect();
        let preflight = flag("AddDefaultAuthorizerToCorsPreflight");
        for path in &paths {
            editor.set_default_authorizer(path, default, &names, &named.scopes(), preflight)?;
        }
    }
    if auth.truthy("ApiKeyRequired") {
        editor.add_api_key_definition()?;
        for path in &paths {
            editor.set_default_api_key(path, flag("AddApiKeyRequiredToCorsPreflight"))?;
        }
    }
    if let Some(policy) = auth.get("ResourcePolicy").filter(|policy| policy.truthy()) {
        let policy = policy.as_map().ok_or_else(|| {
            Problem::document("ResourcePolicy must be a map (ResourcePolicyStatement).")
        })?;
        for path in &paths {
            editor.add_resource_policy(policy, path, &source.value("StageName"))?;
        }
        if let Some(statements) = policy.get("CustomStatements").filter(|s| s.truthy()) {
            editor.add_custom_statements(statements);
        }
    }
    definition.set(finish::openapi(editor.document(), source.get("OpenApiVersion"))?);
    Ok(())
}

fn add_gateway_responses(source: &Source, definition: &mut Definition) -> Result<()> {
    let id = &source.id;
    let responses = source.map("GatewayResponses").filter(|responses| !responses.is_empty());
    let Some(responses) = responses else { return Ok(()) };
    definition.needed(id, "GatewayResponses")?;
    for (name, response) in responses.iter() {
        check_gateway_response(source, name, response)?;
    }
    let mut editor = Swagger::new(definition.valid(id, "Auth configuration")?)?;
    let mut made = Map::ordered();
    for (name, response) in responses.iter() {
        made.insert(name, gateway_response(id, name, response)?);
    }
    for (name, response) in made.iter() {
        editor.add_gateway_response(name, response.as_map().cloned().unwrap_or_default());
    }
    definition.set(editor.document());
    Ok(())
}

fn check_gateway_response(source: &Source, name: &str, response: &Val) -> Result<()> {
    if is_intrinsic(response) {
        return Err(source.problem(
            "Unable to set GatewayResponses attribute because intrinsic functions are not supported for this field.",
        ));
    }
    let Val::Map(settings) = response else {
        return Err(source.problem(format!(
            "Invalid property type '{}' for GatewayResponses. Expected an object of type 'GatewayResponse'.",
            if response.as_text().is_some_and(|text| text.marked) { "Py27UniStr" } else { response.type_name() }
        )));
    };
    let known = ["ResponseParameters", "ResponseTemplates", "StatusCode"];
    match settings.keys().iter().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(source
            .problem(format!("Invalid property '{key}' in 'GatewayResponses' property '{name}'."))),
    }
}

fn gateway_response(id: &str, name: &str, response: &Val) -> Result<Map> {
    let mut parameters = Map::ordered();
    if let Some(given) = response.get("ResponseParameters").filter(|given| given.truthy()) {
        let path = format!("GatewayResponses.{name}.ResponseParameters");
        let given = At::Resource(id, &path).map(Some(given))?;
        let places = [("Headers", "header."), ("Paths", "path."), ("QueryStrings", "querystring.")];
        if let Some(key) =
            given.keys().iter().find(|key| !places.iter().any(|(place, _)| *place == key.as_str()))
        {
            return Err(Problem::resource(
                id,
                format!("Invalid gateway response parameter '{key}'"),
            ));
        }
        for (place, prefix) in places {
            let Some(values) = given.entry(place) else { continue };
            let path = format!("ResponseParameters.{place}");
            for (key, value) in At::Resource(id, &path).map(Some(values))?.iter() {
                parameters
                    .insert(Text::new(format!("gatewayresponse.{prefix}{key}"), key.marked), value);
            }
        }
    }
    let templates = response.get("ResponseTemplates").filter(|templates| templates.truthy());
    let mut made = ordered! {
        "responseParameters" => parameters,
        "responseTemplates" => templates.cloned().unwrap_or_else(|| Map::ordered().into()),
    };
    if let Some(status) = response.get("StatusCode") {
        let text = print::text(status);
        if status.truthy()
            && !((1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(Problem::resource(id, "Property 'StatusCode' must be numeric"));
        }
        // `str` of a string of the document is the string itself, mark and all.
        let marked = status.as_text().is_some_and(|text| text.marked);
        made.insert("statusCode", Text::new(text, marked));
    }
    Ok(made)
}

fn add_models(source: &Source, definition: &mut Definition) -> Result<()> {
    let Some(models) = source.map("Models").filter(|models| !models.is_empty()) else {
        return Ok(());
    };
    definition.needed(&source.id, "Models")?;
    let body = definition.valid(&source.id, "Models definitions")?;
    if models.iter().any(|(_, model)| model.as_map().is_none()) {
        return Err(source.problem("Invalid value for 'Models' property"));
    }
    let mut editor = Swagger::new(body)?;
    editor.add_models(models)?;
    definition.set(finish::openapi(editor.document(), source.get("OpenApiVersion"))?);
    Ok(())
}

fn stage(
    cx: &Context,
    source: &Source,
    deployment: &mut Resource,
    deployed: Option<&Val>,
) -> Result<Resource> {
    let name = source.text("StageName").unwrap_or_default();
    let id = stage_id(&source.id, name);
    let mut stage = Resource::new(id, "AWS::ApiGateway::Stage", &source.passed_on())?;
    stage.set("RestApiId", reference(&source.id));
    for name in [
        "StageName",
        "CacheClusterEnabled",
        "CacheClusterSize",
        "Variables",
        "MethodSettings",
        "AccessLogSetting",
        "CanarySetting",
        "TracingEnabled",
    ] {
        stage.set(name, source.value(name));
    }
    if let Some(deployed) = deployed.filter(|deployed| deployed.truthy()) {
        name_deployment(cx, source, deployment, deployed);
    }
    stage.set("DeploymentId", reference(&deployment.id));
    if let Some(tags) = source.map("Tags") {
        stage.set("Tags", tag_list(tags));
    }
    Ok(stage)
}

/// The logical id of a stage: with its name, or with its digest where the name is not alphanumeric.
pub(super) fn stage_id(api: &Text, name: &str) -> Text {
    if !name.is_empty() && name.chars().all(char::is_alphanumeric) {
        return Text::plain(format!("{api}{name}Stage"));
    }
    print::hashed_id(&format!("{api}Stage"), &name.into()).into()
}

/// Names the deployment by what it deploys, so that another definition is another deployment.
fn name_deployment(cx: &Context, source: &Source, deployment: &mut Resource, deployed: &Val) {
    let mut parts = vec![print::text(deployed)];
    if let Some(version) = source.get("OpenApiVersion").filter(|version| version.truthy()) {
        parts.push(print::text(version));
    }
    if let Some(domain) = source.get("Domain").filter(|domain| domain.truthy()) {
        parts.push(print::json(domain));
    }
    if let Some(names) = cx.function_names.get(source.id.as_str()).filter(|names| !names.is_empty())
    {
        parts.push(names.clone());
    }
    if source.truthy("AlwaysDeploy") {
        // Not even the clock is asked here: the caller passes a value that differs each time.
        parts = vec![cx.nonce.clone()];
    }
    let data = parts.join("||");
    let digest = print::digest(&data, 40);
    deployment.set("Description", format!("RestApi deployment id: {digest}"));
    deployment.id = print::hashed_id(&deployment.id, &data.into()).into();
}
