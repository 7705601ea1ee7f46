//! `AWS::Serverless::Connector`: the policies that let one resource use another.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::context::Context;
use super::core::intrinsic::{logical_id, reference};
use super::core::problem::{Problem, Result};
use super::core::property::{Kind, Property, required};
use super::core::resource::{Resource, Source};
use super::core::value::{Map, Text, Val, list, map};
use super::{api, function, state_machine, table};

pub(super) const KIND: &str = "AWS::Serverless::Connector";

pub(super) const PROPERTIES: &[Property] = &[
    required("Source", Kind::Map),
    required("Destination", Kind::Maps),
    required("Permissions", Kind::ListOfText),
];

/// What each type of resource offers, and which it can be connected to how.
static PROFILES: LazyLock<Val> = LazyLock::new(|| {
    let json = serde_json::from_str(include_str!("data/connector_profiles.json"))
        .expect("the connector profiles are JSON");
    Val::from_json(&json)
});

/// One end of a connector.
#[derive(Debug, Default)]
struct End {
    id: Option<String>,
    kind: String,
    arn: Val,
    role_name: Val,
    queue_url: Val,
    resource_id: Val,
    name: Val,
    qualifier: Val,
}

pub(super) fn expand(cx: &mut Context, id: &Text, body: &Map) -> Result<Vec<Resource>> {
    let source = Source::parse(id, KIND, &[PROPERTIES], body)?;
    let (destinations, several) = match source.get("Destination") {
        Some(Val::List(destinations)) => (destinations.clone(), true),
        one => (vec![one.into()], false),
    };
    let from = source.map("Source").cloned().unwrap_or_default();
    let mut made = Vec::new();
    for (index, to) in destinations.iter().enumerate() {
        let to = to.as_map().cloned().unwrap_or_default();
        let destination = End::find(cx, &to, &from).map_err(|m| source.problem(m))?;
        let origin = End::find(cx, &from, &to).map_err(|m| source.problem(m))?;
        let suffix = if several { format!("Destination{index}") } else { String::new() };
        let connection = Connection { source: &source, origin, destination, suffix };
        made.extend(connection.expand(cx)?);
    }
    if made.is_empty() {
        return Err(source.problem("'Destination' is an empty list"));
    }
    replace_dependency(&mut cx.expanded, id, &made);
    Ok(made)
}

impl End {
    /// The resource that one end names, with what of it the other end can use.
    fn find(cx: &Context, given: &Map, other: &Map) -> Result<Self, String> {
        let by_id = given.has("Id");
        let by_others = given.keys().iter().any(|key| !matches!(key.as_str(), "Id" | "Qualifier"));
        if by_id == by_others {
            return Err(
                "Must provide 'Id' (with optional 'Qualifier') or a supported combination of other properties."
                    .to_owned(),
            );
        }
        let untyped = || "'Type' is missing or not a string.".to_owned();
        let Some(id) = given.get("Id").filter(|id| id.truthy()) else {
            let kind = given.text("Type").filter(|kind| !kind.is_empty()).ok_or_else(untyped)?;
            let value = |name: &str| Val::from(given.get(name));
            return Ok(Self {
                id: None,
                kind: expanded_kind(kind).to_owned(),
                arn: value("Arn"),
                role_name: value("RoleName"),
                queue_url: value("QueueUrl"),
                resource_id: value("ResourceId"),
                name: value("Name"),
                qualifier: value("Qualifier"),
            });
        };
        let id = id.as_str().ok_or("'Id' is missing or not a string.")?;
        let resource = cx.expanded.get(id).filter(|resource| resource.truthy());
        let resource =
            resource.ok_or_else(|| format!("Unable to find resource with logical ID '{id}'."))?;
        let kind = resource.get("Type").and_then(Val::as_str).filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(untyped)?;
        let offered = PROFILES.get("CfnResourceProperties").and_then(|all| all.get(kind));
        let offered = offered.cloned().unwrap_or_default();
        let values = HashMap::from([("logicalId", Val::from(id))]);
        let offered = replace(&offered, &values)?;
        let output = |name: &str| Val::from(offered.get("Outputs").and_then(|o| o.get(name)));
        let role = role(offered.get("Inputs"), resource.get("Properties"), other);
        Ok(Self {
            id: Some(id.to_owned()),
            kind: kind.to_owned(),
            arn: output("Arn"),
            role_name: role.and_then(logical_id).map(reference).unwrap_or_default(),
            queue_url: output("Url"),
            resource_id: output("Id"),
            name: output("Name"),
            qualifier: given.entry("Qualifier").cloned().unwrap_or_else(|| output("Qualifier")),
        })
    }
}

/// What a SAM resource becomes, as connectors know it.
fn expanded_kind(kind: &str) -> &str {
    match kind {
        function::KIND => "AWS::Lambda::Function",
        state_machine::KIND => "AWS::StepFunctions::StateMachine",
        api::rest::KIND => "AWS::ApiGateway::RestApi",
        api::http::KIND => "AWS::ApiGatewayV2::Api",
        table::KIND => "AWS::DynamoDB::Table",
        other => other,
    }
}

/// The role of a resource; a rule has one for each target.
fn role<'a>(inputs: Option<&Val>, properties: Option<&'a Val>, other: &Map) -> Option<&'a Val> {
    let properties = properties?;
    match inputs?.get("Role")? {
        Val::Text(name) => properties.get(name),
        Val::Map(function) if function.text("Function") == Some("GetEventsRuleRole") => {
            let targets = properties.get("Targets")?.as_list()?;
            let of_other = |target: &&Val| {
                let arn = target.get("Arn");
                let named = arn.and_then(logical_id).is_some_and(|id| other.text("Id") == Some(id));
                named || (other.truthy("Arn") && arn == other.get("Arn"))
            };
            targets.iter().find(of_other)?.get("RoleArn")
        }
        _ => None,
    }
}

struct Connection<'a> {
    source: &'a Source,
    origin: End,
    destination: End,
    /// What logical ids end with where there are several destinations.
    suffix: String,
}

impl Connection<'_> {
    fn expand(&self, cx: &mut Context) -> Result<Vec<Resource>> {
        let (from, to) = (self.origin.kind.as_str(), self.destination.kind.as_str());
        let profile = PROFILES.get("Permissions").and_then(|all| all.get(from)?.get(to));
        let Some(profile) = profile else {
            return Err(self.source.problem(format!(
                "Unable to create connector from {from} to {to}; it's not supported or the template is invalid."
            )));
        };
        let properties = profile.get("Properties").cloned().unwrap_or_default();
        self.check_permissions(&properties)?;
        let values = HashMap::from([
            ("Source.Arn", self.origin.arn.clone()),
            ("Destination.Arn", self.destination.arn.clone()),
            ("Source.ResourceId", self.origin.resource_id.clone()),
            ("Destination.ResourceId", self.destination.resource_id.clone()),
            ("Source.Name", self.origin.name.clone()),
            ("Destination.Name", self.destination.name.clone()),
            ("Source.Qualifier", self.origin.qualifier.clone()),
            ("Destination.Qualifier", self.destination.qualifier.clone()),
        ]);
        let properties = replace(&properties, &values).map_err(|m| self.source.problem(m))?;
        let mut made = match profile.get("Type").and_then(Val::as_str) {
            Some("AWS_IAM_ROLE_MANAGED_POLICY") => vec![self.managed_policy(cx, &properties)?],
            Some("AWS_SQS_QUEUE_POLICY") => {
                let kind = "AWS::SQS::QueuePolicy";
                let url = |end: &End| end.queue_url.clone();
                vec![self.resource_policy(&properties, kind, "Queue", "SQS queue URL", url)?]
            }
            Some("AWS_SNS_TOPIC_POLICY") => {
                let kind = "AWS::SNS::TopicPolicy";
                let arn = |end: &End| end.arn.clone();
                vec![self.resource_policy(&properties, kind, "Topic", "SNS topic ARN", arn)?]
            }
            _ => self.lambda_permissions(&properties)?,
        };
        self.add_metadata(cx, &mut made);
        Ok(made)
    }

    fn permissions(&self) -> Vec<&str> {
        let given = self.source.get("Permissions").and_then(Val::as_list).unwrap_or_default();
        let mut permissions: Vec<&str> = given.iter().filter_map(Val::as_str).collect();
        permissions.sort_unstable();
        permissions.dedup();
        permissions
    }

    fn check_permissions(&self, properties: &Val) -> Result<()> {
        let (from, to) = (&self.origin.kind, &self.destination.kind);
        let known = properties.get("AccessCategories").and_then(Val::as_map);
        let known: Vec<String> =
            known.map(Map::keys).unwrap_or_default().iter().map(ToString::to_string).collect();
        let names = known.join(", ");
        let given = self.permissions();
        if given.is_empty() {
            let message = format!("'Permissions' cannot be empty; valid values are: {names}.");
            return Err(self.source.problem(message));
        }
        let unsupported =
            format!("Unsupported 'Permissions' provided for connector from {from} to {to}");
        if given.iter().any(|permission| !known.iter().any(|known| known == permission)) {
            return Err(self.source.problem(format!("{unsupported}; valid values are: {names}.")));
        }
        let Some(combinations) = properties.get("ValidAccessCategories").and_then(Val::as_list)
        else {
            return Ok(());
        };
        let sorted = combinations.iter().filter_map(Val::as_list).map(|combination| {
            let mut names: Vec<&str> = combination.iter().filter_map(Val::as_str).collect();
            names.sort_unstable();
            names
        });
        let sorted: Vec<Vec<&str>> = sorted.collect();
        if sorted.contains(&given) {
            return Ok(());
        }
        let names: Vec<String> = sorted.iter().map(|names| names.join(" + ")).collect();
        Err(self
            .source
            .problem(format!("{unsupported}; valid combinations are: {}.", names.join(", "))))
    }

    fn statements(&self, properties: &Val) -> Map {
        let given = self.permissions();
        let mut statements = Vec::new();
        let categories = properties.get("AccessCategories").and_then(Val::as_map);
        for (name, category) in categories.into_iter().flat_map(Map::iter) {
            if given.contains(&name.as_str()) {
                let of_category = category.get("Statement").and_then(Val::as_list);
                statements.extend(of_category.unwrap_or_default().iter().cloned());
            }
        }
        map! { "Version" => "2012-10-17", "Statement" => statements }
    }

    /// The end that gets the policy, and the property that names it.
    fn holder(&self, properties: &Val) -> (&End, &'static str) {
        if properties.get("SourcePolicy").is_some_and(Val::truthy) {
            (&self.origin, "Source")
        } else {
            (&self.destination, "Destination")
        }
    }

    fn resource(&self, middle: &str, kind: &'static str) -> Result<Resource> {
        let id = format!("{}{middle}{}", self.source.id, self.suffix);
        let resource = Resource::new(id, kind, &self.source.attributes)?;
        Ok(resource.depending_on(&self.source.depends_on))
    }

    fn missing(&self, what: &str, property: &str) -> Problem {
        self.source.problem(format!("Unable to get {what} from '{property}' resource."))
    }

    fn managed_policy(&self, cx: &mut Context, properties: &Val) -> Result<Resource> {
        let (holder, property) = self.holder(properties);
        if !holder.role_name.truthy() {
            return Err(self.missing("IAM role name", property));
        }
        let mut policy = self.resource("Policy", "AWS::IAM::ManagedPolicy")?;
        policy.set("PolicyDocument", self.statements(properties));
        policy.set("Roles", list![&holder.role_name]);
        let depended_by = properties.get("DependedBy").and_then(Val::as_str);
        match (depended_by, &self.origin.id, &self.destination.id) {
            (Some("DESTINATION_EVENT_SOURCE_MAPPING"), Some(from), Some(to)) => {
                let mappings = mappings_between(&cx.expanded, from, to);
                if let [mapping] = mappings.as_slice() {
                    add_dependency(&mut cx.expanded, mapping, &policy.id);
                }
            }
            (Some("SOURCE"), Some(from), _) => add_dependency(&mut cx.expanded, from, &policy.id),
            _ => {}
        }
        Ok(policy)
    }

    fn resource_policy(
        &self,
        properties: &Val,
        kind: &'static str,
        noun: &str,
        what: &str,
        target: impl Fn(&End) -> Val,
    ) -> Result<Resource> {
        let (holder, property) = self.holder(properties);
        let target = target(holder);
        if !target.truthy() {
            return Err(self.missing(what, property));
        }
        let mut policy = self.resource(&format!("{noun}Policy"), kind)?;
        policy.set(&format!("{noun}s"), list![target]);
        policy.set("PolicyDocument", self.statements(properties));
        Ok(policy)
    }

    fn lambda_permissions(&self, properties: &Val) -> Result<Vec<Resource>> {
        let (holder, property) = self.holder(properties);
        if !holder.arn.truthy() {
            return Err(self.missing("Lambda function ARN", property));
        }
        let given = self.permissions();
        let mut made = Vec::new();
        let categories = properties.get("AccessCategories").and_then(Val::as_map);
        for (name, category) in categories.into_iter().flat_map(Map::iter) {
            if !given.contains(&name.as_str()) {
                continue;
            }
            let middle = format!("{name}LambdaPermission");
            let mut permission = self.resource(&middle, "AWS::Lambda::Permission")?;
            permission.set("FunctionName", &holder.arn);
            for name in ["Action", "Principal", "SourceArn", "SourceAccount"] {
                permission.set(name, category.get(name));
            }
            made.push(permission);
        }
        Ok(made)
    }

    /// Notes what was connected, in the types that the document gives.
    fn add_metadata(&self, cx: &Context, made: &mut [Resource]) {
        let kind = |end: &End| {
            let original = end.id.as_ref().and_then(|id| cx.resources.get(id)?.get("Type"));
            original.cloned().unwrap_or_else(|| end.kind.as_str().into())
        };
        let connected = map! {
            "Source" => map! { "Type" => kind(&self.origin) },
            "Destination" => map! { "Type" => kind(&self.destination) },
        };
        let connectors = map! { &self.source.id => connected };
        for resource in made {
            let metadata = resource.attributes.map_mut("Metadata");
            metadata.insert("aws:sam:connectors", connectors.clone());
        }
    }
}

/// Puts values into a profile: alone where they are all of a text, through `Fn::Sub` where they are a part.
fn replace(value: &Val, values: &HashMap<&str, Val>) -> Result<Val, String> {
    match value {
        Val::Map(map) => {
            let mut made = Map::new();
            for (key, value) in map.iter() {
                made.insert(key, replace(value, values)?);
            }
            Ok(made.into())
        }
        Val::List(list) => Ok(Val::List(
            list.iter().map(|value| replace(value, values)).collect::<Result<_, _>>()?,
        )),
        Val::Text(text) => replace_text(text, values),
        other => Ok(other.clone()),
    }
}

fn replace_text(text: &str, values: &HashMap<&str, Val>) -> Result<Val, String> {
    let mut text = text.to_owned();
    let mut variables = Map::new();
    for (name, value) in values {
        let pattern = format!("%{{{name}}}");
        if !text.contains(&pattern) {
            continue;
        }
        if value.is_null() {
            return Err(format!("{name} is missing."));
        }
        if text == pattern {
            return Ok(value.clone());
        }
        let variable: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
        text = text.replace(&pattern, &format!("${{{variable}}}"));
        variables.insert(variable, value.clone());
    }
    if !text.contains("${") {
        return Ok(text.into());
    }
    if variables.is_empty() {
        return Ok(super::core::intrinsic::sub(text));
    }
    Ok(super::core::intrinsic::sub_with(text, variables))
}

fn mappings_between(resources: &Map, source: &str, function: &str) -> Vec<String> {
    let names = |properties: &Val, name: &str, id: &str| {
        properties.get(name).and_then(logical_id).is_some_and(|named| named == id)
    };
    let between = resources.iter().filter(|(_, resource)| {
        resource.get("Type").is_some_and(|kind| kind.is_text("AWS::Lambda::EventSourceMapping"))
            && resource.get("Properties").is_some_and(|properties| {
                names(properties, "FunctionName", function)
                    && names(properties, "EventSourceArn", source)
            })
    });
    between.map(|(id, _)| id.as_str().to_owned()).collect()
}

fn dependencies(resource: &Map) -> Vec<Val> {
    match resource.entry("DependsOn") {
        None => Vec::new(),
        Some(Val::List(names)) => names.clone(),
        Some(one) => vec![one.clone()],
    }
}

fn add_dependency(resources: &mut Map, id: &str, on: &Text) {
    if let Some(Val::Map(resource)) = resources.get_mut(id) {
        let mut names = dependencies(resource);
        if !names.contains(&on.into()) {
            names.push(on.into());
        }
        resource.insert("DependsOn", names);
    }
}

/// What depends on the connector depends on what it became.
fn replace_dependency(resources: &mut Map, id: &Text, made: &[Resource]) {
    for (_, resource) in resources.iter_mut() {
        let Some(resource) = resource.as_map_mut() else { continue };
        let mut names = dependencies(resource);
        let Some(index) = names.iter().position(|name| name.is_text(id)) else { continue };
        names.remove(index);
        for made in made {
            if !names.contains(&(&made.id).into()) {
                names.push((&made.id).into());
            }
        }
        resource.insert("DependsOn", names);
    }
}
