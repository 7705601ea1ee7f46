//! A service: what its document says once every variable is known.

use serde_json::Value;

use super::answers::Problem;
use super::compile;
use crate::yaml::{Node, Position};

/// What a `serverless.yml` describes.
#[derive(Debug, Clone)]
pub struct Service {
    pub name: String,
    pub stage: String,
    pub region: String,
    pub stack_name: String,
    /// In the document's order.
    pub functions: Vec<ServiceFunction>,
    pub layers: Vec<ServiceLayer>,
    /// Every archive that the template needs; functions that are packaged together share one.
    pub packages: Vec<Package>,
    pub deployment: Deployment,
    /// What can be called once it is deployed.
    pub endpoints: Vec<Endpoint>,
    /// Names under `plugins` that change nothing here and were passed over.
    pub plugins: Vec<String>,
    /// What the Framework would warn of: settings nobody reads, mostly.
    pub warnings: Vec<Notice>,
    /// The whole document with every variable in place, as `serverless print` shows it.
    pub document: Value,
    /// Where the document's parts are written.
    pub(super) tree: Node,
    pub(super) file: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceFunction {
    /// The name in the document, which `invoke -f` takes.
    pub key: String,
    /// The name in Lambda.
    pub name: String,
    /// `None` for a container image.
    pub handler: Option<String>,
    pub runtime: String,
    /// Where the handler is written.
    pub at: Position,
    /// Milliseconds would be finer than Lambda is: whole seconds.
    pub timeout_s: u64,
    pub memory_mb: u64,
    /// The `name` of its [`Package`]; `None` for a container image.
    pub package: Option<String>,
    /// The variables of the provider and its own; values that CloudFormation computes are objects.
    pub environment: serde_json::Map<String, Value>,
    /// Logical id of the function in the template.
    pub logical_id: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceLayer {
    pub key: String,
    /// The layer's name in Lambda.
    pub name: String,
    /// The `name` of its [`Package`].
    pub package: String,
}

/// An archive to be made, or to be taken as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    /// The archive's file name, unique in the service: `service.zip`, `function.zip`, `layer.zip`.
    pub name: String,
    pub contents: Contents,
    /// Keys of the functions that run from it; empty for a layer's.
    pub functions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Contents {
    /// Files below `directory` (relative to the service's directory, empty for itself) that the rules leave, with
    /// paths relative to it.
    Files { directory: String, rules: PackageRules },
    /// An archive that exists: a path relative to the service's directory, or `s3://bucket/key`.
    Archive(String),
}

/// Which files go into an archive. See [`super::choose`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageRules {
    /// Globs in the order they are applied: one with `!` takes files out, one without puts them back in. A file is in
    /// until one says otherwise.
    pub patterns: Vec<String>,
    /// Leave out what only `devDependencies` bring in.
    pub exclude_dev_dependencies: bool,
}

/// How the stack is deployed: what is no part of the template.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deployment {
    /// A bucket that exists; else the stack makes its own, `ServerlessDeploymentBucket`.
    pub bucket: Option<String>,
    /// Folder of all deployments in the bucket: `serverless` unless set. Artifacts are in
    /// `PREFIX/SERVICE/STAGE/MILLISECONDS-ISO_DATE/`.
    pub prefix: String,
    /// Of the stack: `provider.stackTags` with `STAGE`, as the Framework adds it.
    pub tags: Vec<(String, String)>,
    /// Parameters of the stack.
    pub parameters: Vec<(String, String)>,
    pub notification_arns: Vec<String>,
    /// The role CloudFormation is to act as.
    pub role: Option<String>,
    /// The stack's policy document.
    pub stack_policy: Option<Value>,
    pub disable_rollback: bool,
    /// `direct` instead of by change set.
    pub direct: bool,
    /// Old deployments to keep in the bucket.
    pub artifacts_max: u64,
}

/// A way to call a function, before its address is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub function: String,
    /// The event's kind in the document: `http`, `httpApi`, `websocket`, `url`.
    pub kind: &'static str,
    /// `GET`, …, `ANY`; a WebSocket's route; empty for a URL.
    pub method: String,
    /// With a leading slash; empty for WebSockets and URLs.
    pub path: String,
}

/// Something to tell the person who wrote the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub message: String,
    pub at: Option<Position>,
}

/// Where this deployment's archives are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Release {
    /// Part of the logical id of a REST API's deployment, which CloudFormation never updates. The Framework takes the
    /// milliseconds since 1970, so that the API is deployed each time; if it is empty here, a hash of the API's resources
    /// is taken, and a service that has not changed is the same template.
    pub id: String,
    /// By name of the [`Package`].
    pub artifacts: std::collections::BTreeMap<String, Artifact>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Artifact {
    /// The object's key in the deployment bucket.
    pub key: String,
    /// Of the archive's bytes, in Base64.
    pub sha256: String,
}

/// A template, and what there is to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    pub template: Value,
    /// What is to be done when the stack is there, for CloudFormation cannot.
    pub existing_buckets: Vec<ExistingBucket>,
    pub warnings: Vec<Notice>,
}

/// A bucket of somebody else's that is to notify a function (`s3` events with `existing: true`): add to its
/// notification configuration, leaving what is there. The template allows the bucket to invoke the function.
#[derive(Debug, Clone, PartialEq)]
pub struct ExistingBucket {
    /// A name, or a function of CloudFormation (`Ref` of a resource of the stack, mostly).
    pub bucket: Value,
    /// Key of the function.
    pub function: String,
    pub function_name: String,
    /// Alias to invoke.
    pub qualifier: Option<String>,
    pub events: Vec<BucketEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEvent {
    /// `s3:ObjectCreated:*`, …
    pub event: String,
    /// Pairs of `prefix` or `suffix` and its value.
    pub rules: Vec<(String, String)>,
}

// === impl ServiceFunction ===

impl ServiceFunction {
    /// Files of the archive of which one holds the handler, most usual first. None if the runtime looks it up otherwise.
    pub fn handler_files(&self) -> Vec<String> {
        let Some((path, _)) = self.handler.as_deref().and_then(|handler| handler.rsplit_once('.'))
        else {
            return Vec::new();
        };
        let path = path.trim_start_matches("./");
        let of =
            |endings: &[&str]| endings.iter().map(|ending| format!("{path}{ending}")).collect();
        match self.runtime.as_str() {
            runtime if runtime.starts_with("nodejs") => of(&[".js", ".mjs", ".cjs"]),
            runtime if runtime.starts_with("python") => {
                let path = path.replace('.', "/");
                vec![format!("{path}.py"), format!("{path}/__init__.py")]
            }
            runtime if runtime.starts_with("ruby") => of(&[".rb"]),
            _ => Vec::new(),
        }
    }
}

// === impl Service ===

impl Service {
    /// The template that makes only the deployment bucket; the first deployment of a stack without a bucket of its own
    /// begins with it.
    pub fn core_template(&self) -> Value {
        compile::core_template(self)
    }

    /// The whole template. Every package must have its artifact in `release`.
    pub fn template(&self, release: &Release) -> Result<Compiled, Problem> {
        compile::template(self, release).map_err(|problem| problem.in_file(&self.file))
    }

    /// Where the part at `path` of the document is written, or the nearest part around it.
    pub(super) fn position(&self, path: &[&str]) -> Position {
        let mut node = &self.tree;
        for step in path {
            let inner = match &node.value {
                crate::yaml::Value::List(items) => {
                    step.parse::<usize>().ok().and_then(|index| items.get(index))
                }
                _ => node.get(step),
            };
            match inner {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.at
    }

    pub(super) fn provider(&self) -> &Value {
        &self.document["provider"]
    }
}
