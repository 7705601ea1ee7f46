//! From a service to its CloudFormation template, in the Framework's order: the core, the role, layers, functions,
//! events, and at last what the document itself says under `resources`.

mod core;
mod events;
mod functions;
mod iam;
mod invoke_config;
mod layers;
mod resources;
mod url;
mod versions;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answers::Problem;
use super::service::{Artifact, Compiled, ExistingBucket, Notice, Release, Service};
use super::{json, naming};

pub(super) const ROLE: &str = "IamRoleLambdaExecution";

pub(super) fn core_template(service: &Service) -> Value {
    core::template(service)
}

pub(super) fn template(service: &Service, release: &Release) -> Result<Compiled, Problem> {
    let mut compiler = Compiler::new(service, release);
    iam::compile(&mut compiler)?;
    layers::compile(&mut compiler)?;
    functions::compile(&mut compiler)?;
    events::compile(&mut compiler)?;
    resources::finish(compiler)
}

/// A template in the making.
pub(super) struct Compiler<'a> {
    service: &'a Service,
    release: &'a Release,
    functions: Arc<[Function]>,
    template: Map<String, Value>,
    resources: Map<String, Value>,
    outputs: Map<String, Value>,
    existing_buckets: Vec<ExistingBucket>,
    warnings: Vec<Notice>,
}

/// A function as its events see it.
pub(super) struct Function {
    key: String,
    /// The key as a part of logical ids.
    id: String,
    /// Its section of the document.
    config: Value,
    /// The alias that callers go through, if there is one.
    alias: Option<Alias>,
}

#[derive(Clone, Copy)]
pub(super) struct Alias {
    name: &'static str,
    suffix: &'static str,
}

/// One entry of a function's `events`.
struct Event<'f> {
    function: &'f Function,
    /// Among the function's events, from 0.
    index: usize,
    kind: &'static str,
    value: &'f Value,
}

// === impl Compiler ===

impl<'a> Compiler<'a> {
    fn new(service: &'a Service, release: &'a Release) -> Self {
        let mut template = match core::template(service) {
            Value::Object(template) => template,
            _ => Map::new(),
        };
        let mut section = |name: &str| match template.shift_remove(name) {
            Some(Value::Object(section)) => section,
            _ => Map::new(),
        };
        let (resources, outputs) = (section("Resources"), section("Outputs"));
        let functions = json::members(&service.document["functions"])
            .map(|(key, config)| Function::new(key, config))
            .collect();
        let (existing_buckets, warnings) = (Vec::new(), Vec::new());
        Self {
            service,
            release,
            functions,
            template,
            resources,
            outputs,
            existing_buckets,
            warnings,
        }
    }

    fn provider(&self) -> &'a Value {
        &self.service.document["provider"]
    }

    fn function(&self, key: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.key == key)
    }

    /// Adds a resource that exists only where the function does.
    fn add(&mut self, id: impl Into<String>, function: &Function, mut resource: Value) {
        let condition = &function.config["condition"];
        if json::truthy(condition) {
            resource["Condition"] = condition.clone();
        }
        self.resources.insert(id.into(), resource);
    }

    fn output(&mut self, id: impl Into<String>, function: &Function, mut output: Value) {
        let condition = &function.config["condition"];
        if json::truthy(condition) {
            output["Condition"] = condition.clone();
        }
        self.outputs.insert(id.into(), output);
    }

    /// Lets the functions that share the role do more. Nothing if they have roles of their own.
    fn allow(&mut self, statement: Value) {
        if let Some(statements) = self.role_statements() {
            statements.push(statement);
        }
    }

    /// As [`Self::allow`], unless it is allowed already.
    fn allow_once(&mut self, statement: Value) {
        if let Some(statements) = self.role_statements()
            && !statements.contains(&statement)
        {
            statements.push(statement);
        }
    }

    fn role_statements(&mut self) -> Option<&mut Vec<Value>> {
        self.resources
            .get_mut(ROLE)?
            .pointer_mut("/Properties/Policies/0/PolicyDocument/Statement")?
            .as_array_mut()
    }

    /// The bucket that holds the archives.
    fn bucket(&self) -> Value {
        match &self.service.deployment.bucket {
            Some(bucket) => bucket.as_str().into(),
            None => json!({"Ref": "ServerlessDeploymentBucket"}),
        }
    }

    fn artifact(&self, package: &str) -> Result<&'a Artifact, Problem> {
        self.release
            .artifacts
            .get(package)
            .ok_or_else(|| Problem::new(format!("The archive \"{package}\" is not packaged")))
    }

    /// A problem with the part at `path` of the document.
    fn problem(&self, path: &[&str], message: impl Into<String>) -> Problem {
        Problem::new(message).at(self.service.position(path))
    }

    fn event_problem(&self, event: &Event<'_>, message: impl Into<String>) -> Problem {
        let index = event.index.to_string();
        self.problem(&["functions", &event.function.key, "events", &index, event.kind], message)
    }

    fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(Notice { message: message.into(), at: None });
    }
}

// === impl Function ===

impl Function {
    fn new(key: &str, config: &Value) -> Self {
        let alias = [
            ("durableConfig", "durable", "DurableLambdaAlias"),
            ("provisionedConcurrency", "provisioned", "ProvConcLambdaAlias"),
            ("snapStart", "snapstart", "SnapStartLambdaAlias"),
        ]
        .into_iter()
        .find(|(setting, ..)| json::truthy(&config[*setting]))
        .map(|(_, name, suffix)| Alias { name, suffix });
        Self { key: key.to_owned(), id: naming::resource(key), config: config.clone(), alias }
    }

    /// The function's name in Lambda.
    fn name(&self) -> &str {
        self.config["name"].as_str().unwrap_or_default()
    }

    fn logical_id(&self) -> String {
        format!("{}LambdaFunction", self.id)
    }

    fn alias_id(&self) -> Option<String> {
        self.alias.map(|alias| format!("{}{}", self.id, alias.suffix))
    }

    /// What events invoke: the function, or its alias.
    fn target(&self) -> Value {
        let arn = json!({"Fn::GetAtt": [self.logical_id(), "Arn"]});
        match self.alias {
            None => arn,
            Some(alias) => json!({"Fn::Join": [":", [arn, alias.name]]}),
        }
    }

    /// `DependsOn` of what invokes it.
    fn depends(&self) -> Value {
        self.alias_id().into()
    }
}

/// All entries of one kind, in the document's order. `- kind` alone is an entry whose value is its name.
fn events<'f>(functions: &'f [Function], kind: &'static str) -> Vec<Event<'f>> {
    let mut all = Vec::new();
    for function in functions {
        for (index, event) in json::items(&function.config["events"]).iter().enumerate() {
            let value = match event {
                Value::String(name) if name == kind => Some(event),
                event => event.get(kind),
            };
            all.extend(value.map(|value| Event { function, index, kind, value }));
        }
    }
    all
}
