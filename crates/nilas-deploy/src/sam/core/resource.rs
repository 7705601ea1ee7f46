//! Resources: those of the template that are expanded, and those they are expanded into.

use super::intrinsic::{get_att, reference};
use super::problem::{Problem, Result};
use super::property::{self, Property};
use super::value::{Map, Text, Val, map};

/// The attributes of a resource that the ones made of it get too.
const PASSED_ON: &[&str] = &["Condition", "DeletionPolicy", "UpdateReplacePolicy"];
/// The attributes that a SAM resource may have.
const ATTRIBUTES: &[&str] =
    &["DeletionPolicy", "UpdatePolicy", "Condition", "UpdateReplacePolicy", "Metadata"];

/// A resource that the translator makes.
#[derive(Clone, Debug)]
pub(in crate::sam) struct Resource {
    pub(in crate::sam) id: Text,
    pub(in crate::sam) kind: &'static str,
    pub(in crate::sam) depends_on: Val,
    pub(in crate::sam) attributes: Map,
    pub(in crate::sam) properties: Map,
}

impl Resource {
    pub(in crate::sam) fn new(
        id: impl Into<Text>,
        kind: &'static str,
        attributes: &Map,
    ) -> Result<Self> {
        let id = id.into();
        check_id(&id)?;
        let attributes = attributes.clone();
        Ok(Self { id, kind, depends_on: Val::Null, attributes, properties: Map::new() })
    }

    pub(in crate::sam) fn depending_on(mut self, depends_on: impl Into<Val>) -> Self {
        self.depends_on = depends_on.into();
        self
    }

    /// Sets a property, unless the value is null.
    pub(in crate::sam) fn set(&mut self, name: &str, value: impl Into<Val>) {
        self.properties.insert_some(name, value);
    }

    pub(in crate::sam) fn get(&self, name: &str) -> Option<&Val> {
        self.properties.get(name)
    }

    pub(in crate::sam) fn passed_on(&self) -> Map {
        passed_on(&self.attributes)
    }

    /// What names the resource's ARN in a template.
    pub(in crate::sam) fn arn(&self) -> Val {
        match self.kind {
            "AWS::Lambda::Alias"
            | "AWS::Lambda::Version"
            | "AWS::SNS::Topic"
            | "AWS::StepFunctions::StateMachine"
            | "AWS::StepFunctions::StateMachineVersion"
            | "AWS::StepFunctions::StateMachineAlias" => reference(&self.id),
            _ => get_att(&self.id, "Arn"),
        }
    }

    /// What names a function or an alias where a function's name or ARN is wanted.
    pub(in crate::sam) fn name_or_arn(&self) -> Val {
        reference(&self.id)
    }

    /// Gives the resource these tags, if it takes any.
    pub(in crate::sam) fn assign_tags(&mut self, tags: &Map) {
        match self.kind {
            "AWS::ApiGatewayV2::Stage" | "AWS::ApiGatewayV2::DomainName" => {
                self.set("Tags", tags.clone())
            }
            kind if TAGGED.contains(&kind) => self.set("Tags", tag_list(tags)),
            _ => {}
        }
    }

    pub(in crate::sam) fn into_val(self) -> Val {
        let mut body = map! { "Type" => self.kind };
        if self.depends_on.truthy() {
            body.insert("DependsOn", self.depends_on);
        }
        body.update(&self.attributes);
        body.insert("Properties", self.properties);
        body.into()
    }
}

/// Types whose `Tags` is a list of keys and values.
const TAGGED: &[&str] = &[
    "AWS::ApiGateway::ApiKey",
    "AWS::ApiGateway::DomainName",
    "AWS::ApiGateway::DomainNameAccessAssociation",
    "AWS::ApiGateway::DomainNameV2",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::ApiGateway::UsagePlan",
    "AWS::CloudFormation::Stack",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::DynamoDB::Table",
    "AWS::IAM::Role",
    "AWS::IoT::TopicRule",
    "AWS::Lambda::Function",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::StepFunctions::StateMachine",
];

pub(in crate::sam) fn passed_on(attributes: &Map) -> Map {
    let mut passed = Map::new();
    for name in PASSED_ON {
        if let Some(value) = attributes.entry(name) {
            passed.insert(*name, value.clone());
        }
    }
    passed
}

/// A map of tags as a list of keys and values.
pub(in crate::sam) fn tag_list(tags: &Map) -> Vec<Val> {
    tags.iter()
        .map(|(key, value)| {
            let value = if value.is_null() { "".into() } else { value.clone() };
            map! { "Key" => key, "Value" => value }.into()
        })
        .collect()
}

fn check_id(id: &str) -> Result<()> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Problem::resource(id, "Logical ids must be alphanumeric."))
}

/// A resource of the template, or an event of one, with its properties checked.
#[derive(Clone, Debug)]
pub(in crate::sam) struct Source {
    pub(in crate::sam) id: Text,
    pub(in crate::sam) kind: &'static str,
    pub(in crate::sam) depends_on: Val,
    pub(in crate::sam) attributes: Map,
    pub(in crate::sam) properties: Map,
}

impl Source {
    /// Reads and checks a resource whose type is `kind`.
    pub(in crate::sam) fn parse(
        id: &Text,
        kind: &'static str,
        tables: &[&[Property]],
        body: &Map,
    ) -> Result<Self> {
        check_id(id)?;
        let properties = match body.entry("Properties") {
            None => Map::new(),
            Some(Val::Map(properties)) => properties.clone(),
            Some(_) => {
                return Err(Problem::resource(id, "Properties of a resource must be an object."));
            }
        };
        property::known(tables, kind, id, &properties)?;
        let mut attributes = Map::new();
        for name in ATTRIBUTES {
            if let Some(value) = body.entry(name) {
                attributes.insert(*name, value.clone());
            }
        }
        property::check(tables, id, &properties)?;
        let depends_on = body.entry("DependsOn").cloned().unwrap_or_default();
        Ok(Self { id: id.clone(), kind, depends_on, attributes, properties })
    }

    pub(in crate::sam) fn get(&self, name: &str) -> Option<&Val> {
        self.properties.get(name)
    }

    /// The property, or null.
    pub(in crate::sam) fn value(&self, name: &str) -> Val {
        self.properties.get(name).cloned().unwrap_or_default()
    }

    pub(in crate::sam) fn map(&self, name: &str) -> Option<&Map> {
        self.properties.get(name).and_then(Val::as_map)
    }

    pub(in crate::sam) fn text(&self, name: &str) -> Option<&str> {
        self.properties.text(name)
    }

    pub(in crate::sam) fn truthy(&self, name: &str) -> bool {
        self.properties.truthy(name)
    }

    pub(in crate::sam) fn passed_on(&self) -> Map {
        passed_on(&self.attributes)
    }

    pub(in crate::sam) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::resource(&self.id, message)
    }

    /// Hands the source's tags to what was made of it, where it asks for that.
    pub(in crate::sam) fn propagate_tags(&self, made: &mut [Resource]) {
        if !self.truthy("PropagateTags") {
            return;
        }
        if let Some(tags) = self.map("Tags").filter(|tags| !tags.is_empty()) {
            made.iter_mut().for_each(|resource| resource.assign_tags(tags));
        }
    }
}
