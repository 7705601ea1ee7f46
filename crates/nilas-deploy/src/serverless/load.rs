//! From a document's text to a [`Service`]: variables first, then the shape, then what is made of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::answers::{Answer, Answers, Problem, Question};
use super::json::{self, either, members, text, truthy};
use super::service::{Deployment, Notice, Service, ServiceFunction, ServiceLayer};
use super::variables::{Resolved, Resolver};
use super::{dotenv, endpoints, naming, packages, plugins, schema, syntax};
use crate::yaml::{self, Key, Node, Value};

/// What came of a document.
#[derive(Debug, Clone)]
pub enum Loaded {
    Service(Box<Service>),
    /// The caller adds an answer to each and calls [`load`] again. It may have to ask more then.
    Asks(Vec<Question>),
}

/// The runtime of a function that names none, as the Framework has it.
const RUNTIME_DEFAULT: &str = "nodejs24.x";

/// Reads the service in `source`. `file_name` is the document's path relative to the service's directory:
/// `serverless.yml`, `.yaml` or `.json`.
pub fn load(file_name: &str, source: &str, answers: &Answers) -> Result<Loaded, Problem> {
    read(file_name, source, answers).map_err(|problem| problem.in_file(file_name))
}

fn read(file_name: &str, source: &str, answers: &Answers) -> Result<Loaded, Problem> {
    if [".js", ".cjs", ".mjs", ".ts"].iter().any(|end| file_name.ends_with(end)) {
        return Err(Problem::new(format!("\"{file_name}\" is a program, which is not run here")).hint(
            "write the service as serverless.yml, or deploy with osls and AWS_ENDPOINT_URL set to nilas",
        ));
    }
    let mut root = yaml::parse(source).map_err(|err| Problem::yaml(file_name, &err))?;
    if !matches!(root.value, Value::Map(_)) {
        return Err(Problem::new(format!(
            "Invalid configuration at \"{file_name}\": Plain object expected"
        ))
        .at(root.at));
    }
    syntax::modernize(&mut root);
    let env = match environment(&root, answers)? {
        Ok(env) => env,
        Err(questions) => return Ok(Loaded::Asks(questions)),
    };
    match Resolver::new(&root, answers, &env.variables).resolve(file_name)? {
        Resolved::Asks(questions) => Ok(Loaded::Asks(questions)),
        Resolved::Document(tree) => service(file_name, tree, answers, &env),
    }
}

/// The environment with what `.env` files add.
struct Environment {
    variables: BTreeMap<String, String>,
    /// What `serverless-dotenv-plugin` gives to the functions.
    functions: Vec<(String, String)>,
}

/// Gives the questions if files are still to be asked for.
fn environment(
    root: &Node,
    answers: &Answers,
) -> Result<Result<Environment, Vec<Question>>, Problem> {
    let mut env = Environment { variables: answers.env.clone(), functions: Vec::new() };
    let has_plugin = plugins::read(root)?.names.iter().any(|name| name == plugins::DOTENV);
    let is_on = root.get("useDotenv").is_some_and(|node| node.value == Value::Bool(true));
    if !has_plugin && !is_on {
        return Ok(Ok(env));
    }
    let mut early = Resolver::new(root, answers, &answers.env);
    let stage = answers.options.get("stage").cloned();
    let of_provider =
        early.early(&["provider", "stage"]).and_then(|node| node.as_str().map(str::to_owned));
    let stage = stage.or(of_provider).unwrap_or_else(|| "dev".to_owned());
    let mut questions = Vec::new();
    let mut content = |name: String| {
        let question = Question::File(name);
        match answers.known.get(&question) {
            Some(Answer::Bytes(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Some(_) => None,
            None => {
                questions.push(question);
                None
            }
        }
    };
    let mut texts = Vec::new();
    if is_on {
        texts.extend(content(format!(".env.{stage}")).or_else(|| content(".env".to_owned())));
    }
    let of_functions = texts.len();
    if has_plugin {
        let names = [
            format!(".env.{stage}.local"),
            format!(".env.{stage}"),
            ".env.local".to_owned(),
            ".env".to_owned(),
        ];
        texts.extend(names.into_iter().filter_map(content));
    }
    if !questions.is_empty() {
        return Ok(Err(questions));
    }
    for (n, text) in texts.iter().enumerate() {
        for (name, value) in dotenv::parse(text, &env.variables) {
            if n >= of_functions && !env.functions.iter().any(|(known, _)| *known == name) {
                env.functions.push((name.clone(), value.clone()));
            }
            env.variables.entry(name).or_insert(value);
        }
    }
    Ok(Ok(env))
}

fn service(
    file_name: &str,
    mut tree: Node,
    answers: &Answers,
    env: &Environment,
) -> Result<Loaded, Problem> {
    normalize(&mut tree, answers, env)?;
    let plugins = plugins::read(&tree)?;
    let mut document = tree.to_json().map_err(|err| Problem::yaml(file_name, &err))?;
    refuse_build(&tree, &document)?;
    legacy(&mut document);
    let mut warnings = schema::check(&tree, &document)?;
    let name = service_name(file_name, &tree, &document)?;
    let provider = &document["provider"];
    if provider["name"] != "aws" {
        let message = format!("Provider \"{}\" is not AWS", text(&provider["name"]));
        return Err(Problem::new(message).at(position(&tree, &["provider", "name"])));
    }
    let stage = text(&provider["stage"]);
    let region = text(either(&provider["region"], &json!("us-east-1")));
    let stack_name = stack_name(provider, &name, &stage, &mut warnings);
    check_functions(&tree, &document)?;
    name_functions(&mut document, &name, &stage);
    let mut service = Service {
        deployment: deployment(&document["provider"], &stage),
        name,
        stage,
        region,
        stack_name,
        functions: Vec::new(),
        layers: Vec::new(),
        packages: Vec::new(),
        endpoints: Vec::new(),
        plugins: plugins.names,
        warnings,
        document,
        tree,
        file: file_name.to_owned(),
    };
    service.layers = members(&service.document["layers"])
        .map(|(key, config)| ServiceLayer {
            key: key.to_owned(),
            name: text(either(&config["name"], &key.into())),
            package: format!("{key}.zip"),
        })
        .collect();
    service.functions = functions(&service);
    packages::plan(&mut service, plugins.local_path.as_deref())?;
    service.endpoints = endpoints::of(&service);
    Ok(Loaded::Service(Box::new(service)))
}

/// Lists of maps become maps, `provider: aws` becomes `provider: {name: aws}`, options take the document's place.
fn normalize(tree: &mut Node, answers: &Answers, env: &Environment) -> Result<(), Problem> {
    let Value::Map(members) = &mut tree.value else { return Ok(()) };
    for (key, node) in members.iter_mut() {
        match (key.text.as_str(), &node.value) {
            ("functions" | "resources", Value::List(_)) => merge_list(&key.text, node)?,
            ("provider", Value::Text(_)) => {
                let name = std::mem::replace(&mut node.value, Value::Null);
                let name = Node { value: name, at: node.at, tag: None };
                node.value = Value::Map(vec![(Key { text: "name".into(), at: node.at }, name)]);
            }
            _ => {}
        }
        if key.text == "functions"
            && let Value::Map(functions) = &mut node.value
        {
            functions.retain(|(_, function)| function.value != Value::Null);
        }
        if key.text == "provider" {
            for option in ["stage", "region"] {
                if let Some(value) = answers.options.get(option) {
                    set(node, option, Value::Text(value.clone()));
                }
            }
            if node.get("stage").is_none_or(|stage| stage.value == Value::Null) {
                set(node, "stage", Value::Text("dev".to_owned()));
            }
            environment_of_functions(node, env);
        }
    }
    Ok(())
}

fn environment_of_functions(provider: &mut Node, env: &Environment) {
    if env.functions.is_empty() {
        return;
    }
    if provider.get("environment").is_none() {
        set(provider, "environment", Value::Map(Vec::new()));
    }
    let Value::Map(members) = &mut provider.value else { return };
    let Some((_, own)) = members.iter_mut().find(|(key, _)| key.text == "environment") else {
        return;
    };
    for (name, value) in &env.functions {
        if own.get(name).is_none() {
            set(own, name, Value::Text(value.clone()));
        }
    }
}

fn set(node: &mut Node, name: &str, value: Value) {
    let at = node.at;
    let Value::Map(members) = &mut node.value else { return };
    match members.iter_mut().find(|(key, _)| key.text == name) {
        Some((_, known)) => known.value = value,
        None => members.push((Key { text: name.to_owned(), at }, Node { value, at, tag: None })),
    }
}

fn merge_list(name: &str, node: &mut Node) -> Result<(), Problem> {
    let Value::List(items) = std::mem::replace(&mut node.value, Value::Map(Vec::new())) else {
        return Ok(());
    };
    for item in items {
        match item.value {
            Value::Null => {}
            Value::Map(_) => merge_nodes(node, item),
            _ => {
                return Err(
                    Problem::new(format!("Non-object value specified in {name} array")).at(item.at)
                );
            }
        }
    }
    Ok(())
}

/// As [`json::merge`], with positions.
fn merge_nodes(target: &mut Node, source: Node) {
    match (&mut target.value, source.value) {
        (Value::Map(known), Value::Map(more)) => {
            for (key, node) in more {
                match known.iter_mut().find(|(own, _)| own.text == key.text) {
                    Some((_, own)) => merge_nodes(own, node),
                    None => known.push((key, node)),
                }
            }
        }
        (Value::List(known), Value::List(more)) => {
            for (index, node) in more.into_iter().enumerate() {
                match known.get_mut(index) {
                    Some(own) => merge_nodes(own, node),
                    None => known.push(node),
                }
            }
        }
        (known, other) => {
            *known = other;
            target.tag = source.tag;
        }
    }
}

/// Version 4 can bundle code on its way; nothing here does.
fn refuse_build(tree: &Node, document: &Json) -> Result<(), Problem> {
    if !truthy(&document["build"]) {
        return Ok(());
    }
    Err(Problem::new("\"build\" bundles code, which is not done here")
        .at(position(tree, &["build"]))
        .hint(
            "bundle it before (esbuild --bundle --platform=node), and name the bundle's handlers",
        ))
}

/// Settings that versions before 3 had elsewhere.
fn legacy(document: &mut Json) {
    let key = document["service"]["awsKmsKeyArn"].clone();
    let provider = &mut document["provider"];
    if !provider.is_object() {
        return;
    }
    if truthy(&key) && !truthy(&provider["kmsKeyArn"]) {
        provider["kmsKeyArn"] = key;
    }
    for name in ["apiKeys", "usagePlan", "resourcePolicy"] {
        let value = provider[name].clone();
        let api = &provider["apiGateway"];
        if truthy(&value) && !truthy(&api[name]) && (api.is_object() || api.is_null()) {
            provider["apiGateway"][name] = value;
        }
    }
    for function in document["functions"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let key = function["awsKmsKeyArn"].clone();
        if truthy(&key) && function.is_object() && !truthy(&function["kmsKeyArn"]) {
            function["kmsKeyArn"] = key;
        }
    }
}

/// Versions 1 and 2 know an object with the name in it.
fn service_name(file_name: &str, tree: &Node, document: &Json) -> Result<String, Problem> {
    let name = match &document["service"] {
        Json::Object(service) => service.get("name").cloned().unwrap_or_default(),
        name => name.clone(),
    };
    if !truthy(&name) {
        return Err(
            Problem::new(format!("\"service\" property is missing in {file_name}")).at(tree.at)
        );
    }
    if !document["provider"].is_object() {
        return Err(
            Problem::new(format!("\"provider\" property is missing in {file_name}")).at(tree.at)
        );
    }
    Ok(text(&name))
}

/// CloudFormation takes letters, digits and hyphens, a letter first. A service's name may be another; the Framework
/// fails to deploy it, here the stack is named as near to it as it can be.
fn stack_name(provider: &Json, name: &str, stage: &str, warnings: &mut Vec<Notice>) -> String {
    let wanted = match provider["stackName"].as_str() {
        Some(own) if !own.is_empty() => own.to_owned(),
        _ => format!("{name}-{stage}"),
    };
    let mut given: String =
        wanted.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    if !given.starts_with(|c: char| c.is_ascii_alphabetic()) {
        given.insert_str(0, "service-");
    }
    if given != wanted {
        warnings.push(Notice {
            message: format!(
                "\"{wanted}\" cannot be a stack's name on AWS; the stack is \"{given}\""
            ),
            at: None,
        });
    }
    given
}

fn check_functions(tree: &Node, document: &Json) -> Result<(), Problem> {
    let functions = &document["functions"];
    if !functions.is_object() && !functions.is_null() {
        return Err(Problem::new("Unexpected \"functions\" configuration: Expected object")
            .at(position(tree, &["functions"])));
    }
    for (key, config) in members(functions) {
        let at = position(tree, &["functions", key]);
        let message = match (truthy(&config["handler"]), truthy(&config["image"])) {
            _ if !config.is_object() => {
                format!(
                    "Unexpected \"{key}\" function configuration: Expected object received {config}"
                )
            }
            (false, false) => {
                format!(
                    "Either \"handler\" or \"image\" property needs to be set on function \"{key}\""
                )
            }
            (true, true) => format!(
                "Either \"handler\" or \"image\" property (not both) needs to be set on function \"{key}\"."
            ),
            _ => continue,
        };
        return Err(Problem::new(message).at(at));
    }
    Ok(())
}

fn name_functions(document: &mut Json, service: &str, stage: &str) {
    let Some(functions) = document["functions"].as_object_mut() else { return };
    for (key, function) in functions {
        if function.is_object() && !truthy(&function["name"]) {
            function["name"] = format!("{service}-{stage}-{key}").into();
        }
    }
}

fn functions(service: &Service) -> Vec<ServiceFunction> {
    let provider = service.provider();
    let number = |own: &Json, shared: &Json, default: u64| {
        let value = either(own, shared);
        value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .filter(|n| *n > 0)
            .unwrap_or(default)
    };
    let environment = |config: &Json| -> Map<String, Json> {
        let shared = members(&provider["environment"]);
        let all = shared.chain(members(&config["environment"]));
        all.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    };
    members(&service.document["functions"])
        .map(|(key, config)| ServiceFunction {
            key: key.to_owned(),
            name: text(&config["name"]),
            handler: config["handler"].as_str().map(str::to_owned),
            runtime: text(either(
                either(&config["runtime"], &provider["runtime"]),
                &RUNTIME_DEFAULT.into(),
            )),
            at: service.position(&["functions", key, "handler"]),
            timeout_s: number(&config["timeout"], &provider["timeout"], 6),
            memory_mb: number(&config["memorySize"], &provider["memorySize"], 1024),
            package: None,
            environment: environment(config),
            logical_id: naming::lambda(key),
        })
        .collect()
}

fn deployment(provider: &Json, stage: &str) -> Deployment {
    let bucket = &provider["deploymentBucket"];
    let bucket = bucket.as_str().or_else(|| bucket["name"].as_str()).map(str::to_owned);
    let pairs = |value: &Json| -> Vec<(String, String)> {
        members(value).map(|(key, value)| (key.to_owned(), text(value))).collect()
    };
    let mut tags = vec![("STAGE".to_owned(), stage.to_owned())];
    for (key, value) in pairs(&provider["tags"]).into_iter().chain(pairs(&provider["stackTags"])) {
        match tags.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => tags.push((key, value)),
        }
    }
    let parameters = json::items(&provider["stackParameters"])
        .iter()
        .map(|parameter| (text(&parameter["ParameterKey"]), text(&parameter["ParameterValue"])))
        .collect();
    let role = either(&provider["iam"]["deploymentRole"], &provider["cfnRole"]);
    let policy = &provider["stackPolicy"];
    Deployment {
        bucket,
        prefix: match &provider["deploymentPrefix"] {
            Json::Null => "serverless".to_owned(),
            prefix => text(prefix),
        },
        tags,
        parameters,
        notification_arns: json::items(&provider["notificationArns"]).iter().map(text).collect(),
        role: role.as_str().map(str::to_owned),
        stack_policy: truthy(policy).then(|| json!({"Statement": policy})),
        disable_rollback: truthy(&provider["disableRollback"]),
        direct: provider["deploymentMethod"] == "direct",
        artifacts_max: provider["deploymentBucket"]["maxPreviousDeploymentArtifacts"]
            .as_u64()
            .unwrap_or(5),
    }
}

fn position(tree: &Node, path: &[&str]) -> yaml::Position {
    path.iter().try_fold(tree, |node, step| node.get(step)).unwrap_or(tree).at
}
