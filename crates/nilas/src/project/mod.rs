//! What is in the directory: a service of `serverless.yml`, or a template of SAM or CloudFormation.

mod serverless;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::cli::ProjectArgs;
use crate::client::Client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::package::PackageError;
use crate::stack::{self, StackOutput};

/// Names of project files, in the order they are looked for.
const SERVERLESS_FILES: [&str; 3] = ["serverless.yml", "serverless.yaml", "serverless.json"];
const TEMPLATE_FILES: [&str; 3] = ["template.yaml", "template.yml", "template.json"];

/// A project that was read, its packages made.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) dir: PathBuf,
    /// Stack in CloudFormation.
    pub(crate) stack: String,
    pub(crate) region: Option<String>,
    /// A bucket for packages that the project names.
    pub(crate) bucket: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) functions: Vec<ProjectFunction>,
    pub(crate) packages: Vec<Package>,
    /// Notes for the person.
    pub(crate) warnings: Vec<String>,
    kind: Kind,
}

/// The template that a project has come to.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) template: Value,
    /// What of the project is not part of it, and the like.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    Serverless(Box<nilas_deploy::serverless::Service>),
    Template(template::Template),
}

/// A function as people name it.
#[derive(Debug, Clone)]
pub(crate) struct ProjectFunction {
    /// What `-f` takes: the key in `serverless.yml`, the logical id in a template.
    pub(crate) key: String,
    pub(crate) logical_id: String,
    /// Where the project says it.
    pub(crate) name: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) runtime: Option<String>,
    /// Index in the project's packages.
    pub(crate) package: Option<usize>,
}

/// Code or content to be stored before the template can name it.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// What it is for, as people know it.
    pub(crate) label: String,
    pub(crate) zip: Bytes,
    /// In hex.
    pub(crate) sha256: String,
}

/// A package, stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) sha256: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    #[error("there is no serverless.yml and no template.yaml in {dir}", dir = dir.display())]
    Nothing { dir: PathBuf },
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{file}:{line}:{column}: {message}", file = file.display())]
    At { file: PathBuf, line: usize, column: usize, message: String },
    #[error("{file}: {message}", file = file.display())]
    Whole { file: PathBuf, message: String },
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("there is no function {key} in the project")]
    NoFunction { key: String },
    #[error("the function {key} is not deployed")]
    NotDeployed { key: String },
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Package(error) => error.into(),
            ProjectError::Nothing { .. } => Self::new(error)
                .hint("`nilas init` makes a project; `--template FILE` names another file"),
            error => Self::new(error),
        }
    }
}

/// What a project may ask about the world around it.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) client: &'a Client,
    pub(crate) account: &'a str,
    /// What `--region` gave.
    pub(crate) region: Option<&'a str>,
    /// The environment of the command.
    pub(crate) env: &'a BTreeMap<String, String>,
}

/// Reads the project that `args` name and makes its packages; answers with it the client for its region.
pub(crate) async fn load(cx: &Context, args: &ProjectArgs) -> Result<(Project, Client), Failure> {
    load_with(cx, args, cx.client()?).await
}

/// As [`load`], with another client than the command's own.
pub(crate) async fn load_with(
    cx: &Context,
    args: &ProjectArgs,
    client: Client,
) -> Result<(Project, Client), Failure> {
    let around = Surroundings {
        client: &client,
        account: cx.config.account.as_str(),
        region: cx.region.as_deref(),
        env: cx.env.everything(),
    };
    let project = read_project(args, &around).await?;
    let region = project.region.clone();
    Ok((project, client.in_region(region.as_deref())))
}

async fn read_project(args: &ProjectArgs, around: &Surroundings<'_>) -> Result<Project, Failure> {
    let file = find(args)?;
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.starts_with("serverless.") {
        serverless::load(&file, args, around).await
    } else {
        Ok(template::load(&file, args)?)
    }
}

/// The deployed function that `key` stands for, and the client for its region.
pub(crate) async fn function_name(
    cx: &Context,
    args: &ProjectArgs,
    key: &str,
) -> Result<(String, Client), Failure> {
    let (project, client) = load(cx, args).await?;
    let name = project.function_name(&client, key).await?;
    Ok((name, client))
}

fn find(args: &ProjectArgs) -> Result<PathBuf, ProjectError> {
    if let Some(file) = &args.template {
        return Ok(file.clone());
    }
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let names = SERVERLESS_FILES.into_iter().chain(TEMPLATE_FILES);
    let found = names.map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or(ProjectError::Nothing { dir })
}

// === impl Project ===

impl Project {
    pub(crate) fn function(&self, key: &str) -> Result<&ProjectFunction, ProjectError> {
        let found = self.functions.iter().find(|function| function.key == key);
        found.ok_or_else(|| ProjectError::NoFunction { key: key.to_owned() })
    }

    /// The name of a function as it is deployed: what the project says, else what the stack made.
    pub(crate) async fn function_name(
        &self,
        client: &Client,
        key: &str,
    ) -> Result<String, Failure> {
        let function = self.function(key)?;
        if let Some(name) = &function.name {
            return Ok(name.clone());
        }
        let resources = stack::resources(client, &self.stack).await?;
        let made = resources.into_iter().find(|row| row.logical_id == function.logical_id);
        let made = made.ok_or_else(|| ProjectError::NotDeployed { key: key.to_owned() })?;
        Ok(made.physical_id)
    }

    /// URLs to call, with their methods where the project says them.
    pub(crate) fn endpoints(&self, outputs: &[StackOutput]) -> Vec<String> {
        match &self.kind {
            Kind::Serverless(service) => serverless::endpoints(service, outputs),
            Kind::Template(_) => template::endpoints(outputs),
        }
    }

    /// Whether an output is there for tools, not for people.
    pub(crate) fn is_internal(&self, output: &str) -> bool {
        match &self.kind {
            Kind::Serverless(_) => serverless::is_internal(output),
            Kind::Template(_) => false,
        }
    }

    /// What CreateFunction takes of a function's settings, as far as the project says them without a stack.
    pub(crate) fn settings_of(&self, key: &str) -> Map<String, Value> {
        match &self.kind {
            Kind::Serverless(service) => serverless::settings_of(service, key),
            Kind::Template(template) => template.settings_of(key),
        }
    }

    /// The template, once every package is stored: `stored` is in the order of `packages`. `own_bucket` says that they
    /// are in a bucket that the stack itself makes.
    pub(crate) fn template(&self, stored: &[Stored], own_bucket: bool) -> Result<Made, Failure> {
        match &self.kind {
            Kind::Serverless(service) => {
                serverless::template(service, &self.dir, stored, own_bucket)
            }
            Kind::Template(template) => {
                Ok(Made { template: template.with_packages(stored), warnings: Vec::new() })
            }
        }
    }
}

impl Package {
    pub(crate) fn new(label: &str, zip: Bytes) -> Self {
        let sha256 = Sha256::digest(&zip).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { label: label.to_owned(), zip, sha256 }
    }
}

fn read(path: &Path) -> Result<String, ProjectError> {
    std::fs::read_to_string(path)
        .map_err(|source| ProjectError::Read { path: path.to_owned(), source })
}

/// The directory a file is in.
fn dir_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}
