//! Services of `serverless.yml`: the questions of the document are answered here, and its packages made.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use nilas_deploy::serverless::{
    self, Answer, Answers, Artifact, Contents, Loaded, Problem, Question, Release, Service,
    ServiceFunction,
};
use nilas_model::RequestId;
use nilas_wire::percent;
use serde_json::{Map, Value, json};

use super::{Kind, Made, Package, Project, ProjectError, ProjectFunction, Stored, dir_of, read};
use crate::cli::ProjectArgs;
use crate::client::ClientError;
use crate::failure::Failure;
use crate::package;
use crate::project::Surroundings;
use crate::stack::{Stack, StackOutput};

/// Rounds of questions: each may depend on the answers of the one before.
const ROUNDS_MAX: usize = 32;

pub(super) async fn load(
    file: &Path,
    args: &ProjectArgs,
    around: &Surroundings<'_>,
) -> Result<Project, Failure> {
    let dir = dir_of(file);
    let service = ask(file, &dir, args, around).await?;
    let mut packages = Vec::new();
    let mut archives = BTreeMap::new();
    for wanted in &service.packages {
        let zip = make(file, &dir, &service, wanted)?;
        archives.insert(wanted.name.clone(), packages.len());
        packages.push(Package::new(wanted.name.trim_end_matches(".zip"), zip));
    }
    let functions = service.functions.iter().map(|function| ProjectFunction {
        key: function.key.clone(),
        logical_id: function.logical_id.clone(),
        name: Some(function.name.clone()),
        handler: function.handler.clone(),
        runtime: Some(function.runtime.clone()),
        package: function.package.as_ref().and_then(|name| archives.get(name)).copied(),
    });
    Ok(Project {
        stack: service.stack_name.clone(),
        region: Some(service.region.clone()),
        bucket: service.deployment.bucket.clone(),
        tags: service.deployment.tags.clone(),
        parameters: service.deployment.parameters.clone(),
        functions: functions.collect(),
        packages,
        warnings: notices(file, &service),
        kind: Kind::Serverless(Box::new(service)),
        dir,
    })
}

async fn ask(
    file: &Path,
    dir: &Path,
    args: &ProjectArgs,
    around: &Surroundings<'_>,
) -> Result<Service, Failure> {
    let source = read(file)?;
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut options: BTreeMap<String, String> = args.options.iter().cloned().collect();
    options.extend(args.stage.clone().map(|stage| ("stage".to_owned(), stage)));
    options.extend(around.region.map(|region| ("region".to_owned(), region.to_owned())));
    let mut answers = Answers {
        env: around.env.clone(),
        options,
        params: args.params.iter().cloned().collect(),
        known: BTreeMap::new(),
        instance_id: RequestId::random().to_string(),
    };
    for _ in 0..ROUNDS_MAX {
        match serverless::load(name, &source, &answers).map_err(|err| located(dir, err))? {
            Loaded::Service(service) => return Ok(*service),
            Loaded::Asks(questions) => {
                for question in questions {
                    let answer = answer(dir, around, &question).await?;
                    answers.known.insert(question, answer);
                }
            }
        }
    }
    let message = "its variables refer to one another without end".to_owned();
    Err(ProjectError::Whole { file: file.to_owned(), message }.into())
}

async fn answer(
    dir: &Path,
    around: &Surroundings<'_>,
    question: &Question,
) -> Result<Answer, Failure> {
    let in_region = |region: &Option<String>| around.client.clone().in_region(region.as_deref());
    Ok(match question {
        Question::File(path) => match std::fs::read(dir.join(path)) {
            Ok(bytes) => Answer::Bytes(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Answer::Missing,
            Err(source) => {
                return Err(ProjectError::Read { path: dir.join(path), source }.into());
            }
        },
        Question::StackOutput { stack, output, region } => {
            let found = Stack::find(&in_region(region), stack).await?;
            let outputs = found.map(|stack| stack.outputs).unwrap_or_default();
            match outputs.into_iter().find(|known| known.key == *output) {
                Some(output) => Answer::Text(output.value),
                None => Answer::Missing,
            }
        }
        Question::SsmParameter { name, region, decrypt } => {
            let request = json!({ "Name": name, "WithDecryption": decrypt });
            let client = in_region(region);
            match client.target("ssm", "AmazonSSM.GetParameter", &request).await {
                Ok(found) => Answer::Parameter {
                    kind: found["Parameter"]["Type"].as_str().unwrap_or("String").to_owned(),
                    value: found["Parameter"]["Value"].as_str().unwrap_or_default().to_owned(),
                },
                Err(ClientError::Refused { code, .. }) if code == "ParameterNotFound" => {
                    Answer::Missing
                }
                Err(error) => return Err(error.into()),
            }
        }
        Question::S3Object { bucket, key } => {
            let target = format!("/{bucket}/{}", percent::encode_path(key));
            match around.client.s3(Method::GET, target, Bytes::new()).await {
                Ok(found) => Answer::Bytes(found.body.to_vec()),
                Err(ClientError::Refused { code, .. }) if code.starts_with("NoSuch") => {
                    Answer::Missing
                }
                Err(error) => return Err(error.into()),
            }
        }
        Question::AccountId => Answer::Text(around.account.to_owned()),
    })
}

fn make(
    file: &Path,
    dir: &Path,
    service: &Service,
    wanted: &serverless::Package,
) -> Result<Bytes, Failure> {
    let (directory, rules) = match &wanted.contents {
        Contents::Archive(path) if path.starts_with("s3://") => {
            let message = format!("the artifact {path} is in S3; name a local file");
            return Err(ProjectError::Whole { file: file.to_owned(), message }.into());
        }
        Contents::Archive(path) => return Ok(package::package(&dir.join(path))?.zip),
        Contents::Files { directory, rules } => (directory, rules),
    };
    let root = dir.join(directory);
    let mut names = Vec::new();
    for directory in rules.directories() {
        let outside = root.join(&directory);
        if directory.is_empty() {
            names.extend(package::names_below(&root)?);
        } else if outside.is_dir() {
            let below = package::names_below(&outside)?;
            names.extend(below.into_iter().map(|name| format!("{directory}/{name}")));
        }
    }
    let content = |name: &str| std::fs::read(root.join(name)).ok();
    let chosen =
        serverless::choose(&names, rules, &content).map_err(|problem| located(dir, problem))?;
    for function in &service.functions {
        if wanted.functions.contains(&function.key) {
            check_handler(file, function, &chosen)?;
        }
    }
    Ok(package::of_files(&root, &chosen)?)
}

/// A handler that no file of the package can hold is found here, and not by the first caller.
fn check_handler(
    file: &Path,
    function: &ServiceFunction,
    names: &[String],
) -> Result<(), ProjectError> {
    let endings: &[&str] = if function.runtime.starts_with("nodejs") {
        &["js", "mjs", "cjs"]
    } else if function.runtime.starts_with("python") {
        &["py", "pyc", "so"]
    } else {
        return Ok(());
    };
    let Some(handler) = &function.handler else { return Ok(()) };
    let stem = handler.rsplit_once('.').map_or(handler.as_str(), |(stem, _)| stem);
    let stem = stem.strip_prefix("./").unwrap_or(stem);
    let is_python = function.runtime.starts_with("python");
    let stem = if is_python { stem.replace('.', "/") } else { stem.to_owned() };
    let fits = |name: &String| {
        let Some(rest) = name.strip_prefix(stem.as_str()) else { return false };
        endings.iter().any(|ending| rest.strip_prefix('.') == Some(ending))
            || (is_python && rest == "/__init__.py")
    };
    // A handler in a layer or a wrapper is an absolute path.
    if handler.starts_with('/') || names.iter().any(fits) {
        return Ok(());
    }
    let message = format!(
        "the function \"{}\" has the handler \"{handler}\", and no file {stem}.{} is in its package",
        function.key, endings[0]
    );
    Err(ProjectError::At {
        file: file.to_owned(),
        line: function.at.line,
        column: function.at.column,
        message,
    })
}

/// Packages are in the order of the service's; `own_bucket` says that the stack makes its bucket itself.
pub(super) fn template(
    service: &Service,
    dir: &Path,
    stored: &[Stored],
    own_bucket: bool,
) -> Result<Made, Failure> {
    let mut service = service.clone();
    if !own_bucket && let Some(first) = stored.first() {
        service.deployment.bucket = Some(first.bucket.clone());
    }
    let artifact = |stored: &Stored| Artifact {
        key: stored.key.clone(),
        sha256: STANDARD.encode(from_hex(&stored.sha256)),
    };
    let names = service.packages.iter().map(|package| package.name.clone());
    let release = Release {
        // By content, so that a service that is the same is no change.
        id: String::new(),
        artifacts: names.zip(stored.iter().map(artifact)).collect(),
    };
    let compiled = service.template(&release).map_err(|problem| located(dir, problem))?;
    if let Some(existing) = compiled.existing_buckets.first() {
        let message = format!(
            "the function \"{}\" has an s3 event of an existing bucket, which is not set up by this command",
            existing.function
        );
        let error = ProjectError::Whole { file: dir.join("serverless.yml"), message };
        return Err(Failure::from(error).hint(
            "take the event out, and set the bucket's notification with `aws s3api put-bucket-notification-configuration`",
        ));
    }
    let warnings = compiled.warnings.into_iter().map(|notice| notice.message).collect();
    Ok(Made { template: compiled.template, warnings })
}

pub(super) fn settings_of(service: &Service, key: &str) -> Map<String, Value> {
    let mut settings = Map::new();
    let function = service.functions.iter().find(|function| function.key == key);
    let Some(function) = function else { return settings };
    settings.insert("Timeout".to_owned(), function.timeout_s.into());
    settings.insert("MemorySize".to_owned(), function.memory_mb.into());
    // What CloudFormation computes is known to a stack only.
    let known = function.environment.iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name.clone(), Value::from(text.as_str()))),
        Value::Number(_) | Value::Bool(_) => Some((name.clone(), Value::from(value.to_string()))),
        _ => None,
    });
    settings.insert("Environment".to_owned(), json!({ "Variables": Map::from_iter(known) }));
    settings
}

/// `GET - http://…/dev/hello`, as the Framework prints it.
pub(super) fn endpoints(service: &Service, outputs: &[StackOutput]) -> Vec<String> {
    let output = |key: &str| outputs.iter().find(|output| output.key == key);
    let mut shown = Vec::new();
    for endpoint in &service.endpoints {
        let base = match endpoint.kind {
            "http" => output("ServiceEndpoint"),
            "httpApi" => output("HttpApiUrl"),
            "websocket" => output("ServiceEndpointWebsocket"),
            _ => {
                let function =
                    service.functions.iter().find(|known| known.key == endpoint.function);
                function.and_then(|function| {
                    let logical_id = function.logical_id.as_str();
                    let id = logical_id.strip_suffix("LambdaFunction").unwrap_or(logical_id);
                    output(&format!("{id}LambdaFunctionUrl"))
                })
            }
        };
        let Some(base) = base else { continue };
        let base = base.value.trim_end_matches('/');
        shown.push(match (endpoint.kind, endpoint.method.as_str()) {
            ("url", _) => base.to_owned(),
            ("websocket", _) => format!("{} - {base}", endpoint.method),
            (_, method) => format!("{method} - {base}{}", endpoint.path),
        });
    }
    shown.sort();
    shown.dedup();
    shown
}

pub(super) fn is_internal(output: &str) -> bool {
    matches!(
        output,
        "ServerlessDeploymentBucketName"
            | "ServiceEndpoint"
            | "HttpApiUrl"
            | "HttpApiId"
            | "ServiceEndpointWebsocket"
    ) || output.ends_with("LambdaFunctionQualifiedArn")
        || output.ends_with("LambdaFunctionUrl")
}

fn notices(file: &Path, service: &Service) -> Vec<String> {
    let notice = |notice: &serverless::Notice| match notice.at {
        Some(at) => format!("{}:{at}: {}", file.display(), notice.message),
        None => notice.message.clone(),
    };
    let mut shown: Vec<String> = service.warnings.iter().map(notice).collect();
    if !service.plugins.is_empty() {
        shown.push(format!("plugins passed over: {}", service.plugins.join(", ")));
    }
    shown
}

fn located(dir: &Path, problem: Problem) -> Failure {
    let Problem { message, file, at, hint } = problem;
    let file = dir.join(file);
    let error = match at {
        Some(at) => ProjectError::At { file, line: at.line, column: at.column, message },
        None => ProjectError::Whole { file, message },
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    digits.filter_map(byte).collect()
}
