//! The SAM transform: a template with `AWS::Serverless::*` resources to one of CloudFormation's own.
//!
//! What comes out is what AWS's translator makes of the same template, logical ids that are digests included. Its
//! messages are told in its words: people look for them.

mod api;
mod code;
mod connector;
mod context;
mod core;
mod deployment_preference;
mod embedded_connector;
mod events;
mod function;
mod globals;
mod implicit;
mod layer;
mod policies;
mod role;
mod state_machine;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map as JsonMap, Value};

use self::context::Context;
use self::core::check::At;
use self::core::problem::{Problem, Result};
use self::core::resolver;
use self::core::resource::Resource;
use self::core::value::{Map, Text, Val};
use self::implicit::Flavour;

/// What a transform depends on besides the template.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region of the stack: decides the partition in ARNs.
    pub region: String,
    /// The values given to the template's parameters. Defaults come from the template.
    pub parameters: JsonMap<String, Value>,
    /// Seconds since 1970: an API with `AlwaysDeploy` gets a new deployment each second.
    pub now_s: u64,
}

/// All that is wrong with a template, each fault in the translator's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamError {
    pub causes: Vec<String>,
}

impl fmt::Display for SamError {
    /// The message as CloudFormation gives it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Invalid Serverless Application Specification document. Number of errors found: {}. {}",
            self.causes.len(),
            self.causes.join(" ")
        )
    }
}

impl std::error::Error for SamError {}

/// Longest value of a parameter, bytes; AWS's limit.
const PARAMETER_BYTES_MAX: usize = 4_096;

/// Types that AWS's translator expands and this one does not.
const REFUSED: &[(&str, &str)] = &[
    ("AWS::Serverless::Application", "there is no Serverless Application Repository here."),
    ("AWS::Serverless::CapacityProvider", "there are no managed instances here."),
    ("AWS::Serverless::GraphQLApi", "there is no AppSync here."),
    ("AWS::Serverless::MicrovmImage", "there are no microVM images here."),
    ("AWS::Serverless::NetworkConnector", "there are no network connectors here."),
    ("AWS::Serverless::WebFunction", "there are no web functions here."),
    ("AWS::Serverless::WebSocketApi", "use AWS::ApiGatewayV2::Api with ProtocolType WEBSOCKET."),
];

/// Made resources that may take the logical id of the resource they are made of.
const SAME_ID: &[(&str, &str)] = &[
    ("AWS::Lambda::Function", function::KIND),
    ("AWS::Lambda::LayerVersion", layer::KIND),
    ("AWS::ApiGateway::RestApi", api::rest::KIND),
    ("AWS::ApiGatewayV2::Api", api::http::KIND),
    ("AWS::S3::Bucket", "AWS::S3::Bucket"),
    ("AWS::SNS::Topic", "AWS::SNS::Topic"),
    ("AWS::DynamoDB::Table", table::KIND),
    ("AWS::Cognito::UserPool", "AWS::Cognito::UserPool"),
    ("AWS::ApiGateway::DomainName", "AWS::ApiGateway::DomainName"),
    ("AWS::ApiGateway::BasePathMapping", "AWS::ApiGateway::BasePathMapping"),
    ("AWS::ApiGateway::DomainNameV2", "AWS::ApiGateway::DomainNameV2"),
    ("AWS::ApiGateway::BasePathMappingV2", "AWS::ApiGateway::BasePathMappingV2"),
    ("AWS::StepFunctions::StateMachine", state_machine::KIND),
];

/// Expands a template. Fails with all faults that are found, not only the first.
pub fn transform(template: &Value, settings: &Settings) -> std::result::Result<Value, SamError> {
    expand(template, settings)
        .map(|expanded| expanded.to_json())
        .map_err(|problem| SamError { causes: problem.causes() })
}

fn expand(template: &Value, settings: &Settings) -> Result<Val> {
    let Val::Map(mut template) = Val::from_json(template) else {
        return Err(Problem::document("'Resources' section is required"));
    };
    check_shape(&template)?;
    let mut parameters = Map::new();
    let old_order = implicit::wants_old_order(&template);
    if old_order {
        mark_document(&mut template);
    }
    for (name, value) in &settings.parameters {
        let value = Val::from_json(value);
        parameters.insert(name.as_str(), if old_order { value.marked() } else { value });
    }
    add_defaults(&mut parameters, &template, &settings.region)?;

    implicit::default_definitions(template.map_mut("Resources"));
    implicit::apply(&mut template, Flavour::Rest)?;
    implicit::apply(&mut template, Flavour::Http)?;
    globals::apply(&mut template)?;
    let mut problems = Vec::new();
    embedded_connector::take_all(template.map_mut("Resources"), &mut problems);

    let mut cx = Context::new(&settings.region, parameters, &template);
    cx.nonce = settings.now_s.to_string();
    if let Val::Map(copy) = Val::Map(cx.resources.clone()).deep_copy() {
        cx.expanded = copy;
    }
    for (id, kind) in in_order(&cx.resources) {
        match expand_resource(&mut cx, &id, kind) {
            Ok(made) => problems.extend(place(&mut cx, &id, made)),
            Err(problem @ Problem::Document(_)) => return Err(problem),
            Err(problem) => problems.push(problem),
        }
    }
    match deployment_preference::expand(&mut cx) {
        Ok(made) => made.into_iter().for_each(|resource| {
            cx.expanded.insert(resource.id.clone(), resource.into_val());
        }),
        Err(problem) => problems.push(problem),
    }
    if !problems.is_empty() {
        return Err(Problem::Document(problems));
    }
    finish(cx, template)
}

/// Puts the expanded resources in place and points references at them.
fn finish(cx: Context, mut template: Map) -> Result<Val> {
    template.remove("Transform");
    template.insert("Resources", cx.expanded);
    if !cx.conditions.is_empty() {
        template.insert("Conditions", cx.conditions);
    }
    let mut template = Val::Map(template);
    resolver::rename_dependencies(&mut template, &cx.made.renamed);
    let template = cx.made.resolve_ids(template)?;
    cx.made.resolve_properties(template)
}

fn check_shape(template: &Map) -> Result<()> {
    let resources = template.get("Resources").and_then(Val::as_map).filter(|all| !all.is_empty());
    let Some(resources) = resources else {
        return Err(Problem::document("'Resources' section is required"));
    };
    if resources.iter().any(|(_, resource)| resource.as_map().is_none()) {
        return Err(Problem::document(
            "All 'Resources' must be Objects. If you're using YAML, this may be an indentation issue.",
        ));
    }
    for (id, resource) in resources.iter() {
        let sam = resource.get("Type").and_then(Val::as_str).is_some_and(is_sam_resource);
        let properties = resource.as_map().and_then(|resource| resource.entry("Properties"));
        if sam && properties.is_some() {
            At::Attribute(id, "Properties")
                .map(properties)
                .map_err(|problem| Problem::Document(vec![problem]))?;
        }
    }
    Ok(())
}

fn is_sam_resource(kind: &str) -> bool {
    EXPANDED.contains(&kind) || REFUSED.iter().any(|(refused, _)| *refused == kind)
}

/// Holds what the document says of APIs and events as Python 2.7 did.
fn mark_document(template: &mut Map) {
    if let Some(Val::Map(globals)) = template.get_mut("Globals")
        && let Some(api) = globals.get_mut("Api")
    {
        *api = api.marked();
    }
    if let Some(Val::Map(parameters)) = template.get_mut("Parameters") {
        let mut marked = Map::ordered();
        for (name, parameter) in parameters.iter() {
            let mut parameter = parameter.clone();
            if let Some(default) = parameter.as_map_mut().and_then(|p| p.get_mut("Default")) {
                *default = default.marked();
            }
            marked.insert(Text::new(name.as_str(), true), parameter);
        }
        *parameters = marked;
    }
    if let Some(Val::Map(resources)) = template.get_mut("Resources") {
        let mut marked = Map::ordered();
        for (id, resource) in resources.iter() {
            let mut resource = resource.clone();
            if let Val::Map(resource) = &mut resource {
                mark_resource(resource);
            }
            marked.insert(Text::new(id.as_str(), true), resource);
        }
        *resources = marked;
    }
}

fn mark_resource(resource: &mut Map) {
    let kind = resource.text("Type").unwrap_or_default().to_owned();
    if resource.get("Properties").is_none() {
        return;
    }
    let mark = |map: &mut Map, name: &str| {
        if let Some(value) = map.get_mut(name) {
            *value = value.marked();
        }
    };
    match kind.as_str() {
        api::rest::KIND | api::http::KIND => mark(resource, "Properties"),
        function::KIND | state_machine::KIND => {
            mark(resource, "Condition");
            if let Some(Val::Map(properties)) = resource.get_mut("Properties") {
                mark(properties, "FunctionName");
                mark(properties, "Events");
            }
        }
        _ => {}
    }
}

fn add_defaults(parameters: &mut Map, template: &Map, region: &str) -> Result<()> {
    let defined = template.get("Parameters").and_then(Val::as_map);
    for (name, parameter) in defined.into_iter().flat_map(Map::iter) {
        let default = parameter.as_map().and_then(|parameter| parameter.entry("Default"));
        if let Some(default) = default.filter(|_| !parameters.has(name)) {
            parameters.insert(name, default);
        }
    }
    // A value is copied to each reference.
    for (name, value) in parameters.iter() {
        if self::core::print::text(value).len() > PARAMETER_BYTES_MAX {
            let message = format!(
                "The value of parameter '{name}' is longer than {PARAMETER_BYTES_MAX} bytes."
            );
            return Err(Problem::document(message));
        }
    }
    for (name, value) in [("AWS::Region", region), ("AWS::Partition", resolver::partition(region))]
    {
        if !parameters.has(name) {
            parameters.insert(name, value);
        }
    }
    Ok(())
}

/// Types in the order in which they are expanded: what changes others comes first.
const EXPANDED: &[&str] = &[
    function::KIND,
    state_machine::KIND,
    api::rest::KIND,
    api::http::KIND,
    layer::KIND,
    table::KIND,
    connector::KIND,
];

/// The resources to expand: functions, state machines, APIs, the others, connectors.
fn in_order(resources: &Map) -> Vec<(Text, &'static str)> {
    let rank = |kind: &str| match kind {
        function::KIND => 0,
        state_machine::KIND => 1,
        api::rest::KIND | api::http::KIND => 2,
        connector::KIND => 4,
        _ => 3,
    };
    let mut found: Vec<(Text, &'static str)> = resources
        .iter()
        .filter_map(|(id, resource)| {
            let kind = resource.get("Type").and_then(Val::as_str)?;
            let known = EXPANDED.iter().copied().chain(REFUSED.iter().map(|(kind, _)| *kind));
            Some((id.clone(), known.into_iter().find(|known| *known == kind)?))
        })
        .collect();
    found.sort_by_key(|(_, kind)| rank(kind));
    found
}

fn expand_resource(cx: &mut Context, id: &Text, kind: &'static str) -> Result<Vec<Resource>> {
    let Some(Val::Map(body)) = cx.resources.get(id).cloned() else { return Ok(Vec::new()) };
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == kind) {
        return Err(Problem::resource(id, format!("{kind} is not supported: {why}")));
    }
    if kind == function::KIND {
        note_function_name(cx, &body)?;
    }
    match kind {
        function::KIND => function::expand(cx, id, &body),
        state_machine::KIND => state_machine::expand(cx, id, &body),
        api::rest::KIND => api::rest::expand(cx, id, &body),
        api::http::KIND => api::http::expand(cx, id, &body),
        layer::KIND => layer::expand(cx, id, &body),
        table::KIND => table::expand(id, &body),
        _ => connector::expand(cx, id, &body),
    }
}

/// Notes the function's name with the APIs of its events: a renamed function takes another deployment.
fn note_function_name(cx: &mut Context, body: &Map) -> Result<()> {
    let Some(Val::Map(properties)) = body.get("Properties") else { return Ok(()) };
    let events = properties.get("Events").and_then(Val::as_map);
    for (_, event) in events.into_iter().flat_map(Map::iter) {
        let api = event.get("Properties").and_then(|properties| properties.get("RestApiId"));
        let is_api = event.get("Type").is_some_and(|kind| kind.is_text("Api"));
        let Some(api) = api.filter(|api| is_api && api.truthy()) else { continue };
        let Val::Text(api) = events::api_id(api) else { continue };
        let name = cx.parameters.resolve(properties.get("FunctionName").into())?;
        if name.truthy() {
            let names = cx.function_names.entry(api.to_string()).or_default();
            names.push_str(&self::core::print::text(&name));
        }
    }
    Ok(())
}

/// Replaces a resource by what was made of it; tells of ids that are taken.
fn place(cx: &mut Context, id: &Text, made: Vec<Resource>) -> Vec<Problem> {
    let kind = cx.resources.get(id).and_then(|resource| resource.get("Type"));
    let kind = kind.and_then(Val::as_str).unwrap_or_default();
    let referable = match kind {
        function::KIND => function::REFERABLE,
        api::rest::KIND => api::rest::REFERABLE,
        api::http::KIND => api::http::REFERABLE,
        _ => &[],
    };
    for (property, kind) in referable {
        if let Some(resource) = made.iter().rfind(|resource| resource.kind == *kind) {
            cx.made.add(id, property, &resource.id);
        }
    }
    cx.expanded.remove(id);
    let mut problems = Vec::new();
    for resource in made {
        let taken = cx.resources.get(&resource.id).map(|taken| Val::from(taken.get("Type")));
        let free = taken.is_none_or(|taken| {
            SAME_ID.iter().any(|(made, of)| *made == resource.kind && taken.is_text(of))
        });
        if free {
            cx.expanded.insert(resource.id.clone(), resource.into_val());
        } else {
            problems.push(Problem::Duplicate {
                id: id.to_string(),
                made: resource.id.to_string(),
                kind: resource.kind.to_owned(),
            });
        }
    }
    problems
}
