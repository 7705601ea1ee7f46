//! `nilas function …`: create, change, delete and look at functions.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use nilas_wire::percent;
use serde_json::{Map, Value, json};

use crate::cli::{CreateArgs, FunctionCommand, SettingArgs, UpdateArgs};
use crate::client::Client;
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::{table, text_of};
use crate::package;

/// How long a function may take to become active before we stop looking.
const SETTLE_MAX: Duration = Duration::from_secs(60);
const SETTLE_POLL: Duration = Duration::from_millis(20);

const FUNCTIONS: &str = "/2015-03-31/functions";

#[derive(Debug, thiserror::Error)]
enum FunctionError {
    #[error("the files in {path} do not tell the {what}")]
    NoGuess { path: String, what: &'static str },
    #[error("the function is not ready: {reason}")]
    NotReady { reason: String },
    #[error("nothing to change was named")]
    NothingToUpdate,
}

pub(crate) async fn run(cx: &Context, command: FunctionCommand) -> Result<ExitCode, Failure> {
    let client = cx.client()?;
    match command {
        FunctionCommand::List => list(cx, &client).await?,
        FunctionCommand::Create(args) => create(cx, &client, args).await?,
        FunctionCommand::Update(args) => update(cx, &client, args).await?,
        FunctionCommand::Delete { name } => {
            client.lambda(Method::DELETE, function(&name, ""), &Value::Null).await?;
            cx.output.note(&format!("deleted {name}"))?;
        }
        FunctionCommand::Show { name, qualifier } => {
            show(cx, &client, &name, qualifier.as_deref()).await?
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(cx: &Context, client: &Client) -> Result<(), Failure> {
    let mut functions = Vec::new();
    let mut marker = String::new();
    loop {
        let target = if marker.is_empty() {
            format!("{FUNCTIONS}/")
        } else {
            format!("{FUNCTIONS}/?Marker={}", percent::encode(&marker))
        };
        let mut page = client.lambda(Method::GET, target, &Value::Null).await?;
        if let Some(Value::Array(items)) = page.get_mut("Functions").map(Value::take) {
            functions.extend(items);
        }
        marker = text_of(&page, "/NextMarker");
        if marker.is_empty() {
            break;
        }
    }
    if cx.output.json {
        return cx.output.json(&Value::Array(functions));
    }
    if functions.is_empty() {
        return cx.output.note("no functions yet: `nilas function create NAME` makes one");
    }
    let row = |function: &Value| {
        vec![
            text_of(function, "/FunctionName"),
            text_of(function, "/Runtime"),
            format!("{} MiB", text_of(function, "/MemorySize")),
            format!("{} s", text_of(function, "/Timeout")),
            last_modified(function),
        ]
    };
    let header = ["NAME", "RUNTIME", "MEMORY", "TIMEOUT", "LAST MODIFIED"];
    cx.output.line(&table(&header, functions.iter().map(row).collect()))
}

async fn create(cx: &Context, client: &Client, args: CreateArgs) -> Result<(), Failure> {
    let package = package::package(&args.code)?;
    let runtime = args.runtime.or(package.guess.runtime.map(str::to_owned));
    let runtime = runtime.ok_or_else(|| no_guess(&args.code, "runtime", "--runtime nodejs22.x"))?;
    let handler = args.handler.or(package.guess.handler);
    let handler =
        handler.ok_or_else(|| no_guess(&args.code, "handler", "--handler FILE.FUNCTION"))?;
    let mut body = settings(&args.settings);
    body.insert("FunctionName".to_owned(), args.name.as_str().into());
    body.insert("Runtime".to_owned(), runtime.into());
    body.insert("Handler".to_owned(), handler.into());
    body.insert("Role".to_owned(), args.role.into());
    body.insert("Code".to_owned(), json!({ "ZipFile": STANDARD.encode(&package.zip) }));
    client.lambda(Method::POST, FUNCTIONS.to_owned(), &Value::Object(body)).await?;
    let configuration = settle(client, &args.name).await?;
    report(cx, "created", &configuration)
}

async fn update(cx: &Context, client: &Client, args: UpdateArgs) -> Result<(), Failure> {
    let mut changes = settings(&args.settings);
    let named = [("Runtime", args.runtime), ("Handler", args.handler), ("Role", args.role)];
    changes.extend(
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))),
    );
    if changes.is_empty() && args.code.is_none() {
        let failure = Failure::new(FunctionError::NothingToUpdate);
        return Err(failure.hint(
            "`--code PATH` replaces the code; `nilas function update --help` lists the settings",
        ));
    }
    if let Some(code) = &args.code {
        let package = package::package(code)?;
        let body = json!({ "ZipFile": STANDARD.encode(&package.zip) });
        client.lambda(Method::PUT, function(&args.name, "/code"), &body).await?;
        // AWS refuses a second change while the first is in progress.
        settle(client, &args.name).await?;
    }
    if !changes.is_empty() {
        client
            .lambda(Method::PUT, function(&args.name, "/configuration"), &Value::Object(changes))
            .await?;
    }
    let configuration = settle(client, &args.name).await?;
    report(cx, "updated", &configuration)
}

async fn show(
    cx: &Context,
    client: &Client,
    name: &str,
    qualifier: Option<&str>,
) -> Result<(), Failure> {
    let mut target = function(name, "");
    if let Some(qualifier) = qualifier {
        target.push_str("?Qualifier=");
        target.push_str(&percent::encode(qualifier));
    }
    let answer = client.lambda(Method::GET, target, &Value::Null).await?;
    if cx.output.json {
        return cx.output.json(&answer);
    }
    cx.output.line(&details(&answer))
}

/// What `show` tells people: a label and a value a line, only what is set.
fn details(answer: &Value) -> String {
    let configuration = &answer["Configuration"];
    let with_unit = |pointer: &str, unit: &str| match text_of(configuration, pointer) {
        text if text.is_empty() => text,
        text => format!("{text} {unit}"),
    };
    let mut lines = vec![
        ("Name", text_of(configuration, "/FunctionName")),
        ("ARN", text_of(configuration, "/FunctionArn")),
        ("Description", text_of(configuration, "/Description")),
        ("Version", text_of(configuration, "/Version")),
        ("State", text_of(configuration, "/State")),
        ("State reason", text_of(configuration, "/StateReason")),
        ("Runtime", text_of(configuration, "/Runtime")),
        ("Handler", text_of(configuration, "/Handler")),
        ("Role", text_of(configuration, "/Role")),
        ("Memory", with_unit("/MemorySize", "MiB")),
        ("Timeout", with_unit("/Timeout", "s")),
        ("/tmp", with_unit("/EphemeralStorage/Size", "MiB")),
        ("Log group", text_of(configuration, "/LoggingConfig/LogGroup")),
        ("Code size", with_unit("/CodeSize", "bytes")),
        ("Code SHA-256", text_of(configuration, "/CodeSha256")),
        ("Last modified", last_modified(configuration)),
    ];
    for (label, map) in
        [("Variable", &configuration["Environment"]["Variables"]), ("Tag", &answer["Tags"])]
    {
        for (key, value) in map.as_object().into_iter().flatten() {
            lines.push((label, format!("{key}={}", value.as_str().unwrap_or_default())));
        }
    }
    let shown = lines.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(label, value)| format!("{label:<15}{value}")).collect::<Vec<_>>().join("\n")
}

/// Waits until the last change has taken effect, as AWS's waiters do.
pub(super) async fn settle(client: &Client, name: &str) -> Result<Value, Failure> {
    let until = Instant::now() + SETTLE_MAX;
    loop {
        let configuration =
            client.lambda(Method::GET, function(name, "/configuration"), &Value::Null).await?;
        let state =
            (text_of(&configuration, "/State"), text_of(&configuration, "/LastUpdateStatus"));
        let reason = match (state.0.as_str(), state.1.as_str()) {
            ("Pending", _) => text_of(&configuration, "/StateReason"),
            ("Failed", _) => return Err(not_ready(text_of(&configuration, "/StateReason"))),
            (_, "InProgress") => text_of(&configuration, "/LastUpdateStatusReason"),
            (_, "Failed") => {
                return Err(not_ready(text_of(&configuration, "/LastUpdateStatusReason")));
            }
            _ => return Ok(configuration),
        };
        if Instant::now() > until {
            return Err(not_ready(reason));
        }
        tokio::time::sleep(SETTLE_POLL).await;
    }
}

fn not_ready(reason: String) -> Failure {
    Failure::new(FunctionError::NotReady { reason })
}

fn report(cx: &Context, what: &str, configuration: &Value) -> Result<(), Failure> {
    if cx.output.json {
        return cx.output.json(configuration);
    }
    let name = text_of(configuration, "/FunctionName");
    let runtime = text_of(configuration, "/Runtime");
    let handler = text_of(configuration, "/Handler");
    cx.output.note(&format!("{what} {name} ({runtime}, {handler})"))
}

/// The members that create and update share.
fn settings(args: &SettingArgs) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(memory) = args.memory {
        body.insert("MemorySize".to_owned(), memory.into());
    }
    if let Some(timeout) = args.timeout {
        body.insert("Timeout".to_owned(), timeout.into());
    }
    if let Some(description) = &args.description {
        body.insert("Description".to_owned(), description.as_str().into());
    }
    if !args.variables.is_empty() {
        let variables: Map<String, Value> = args
            .variables
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        body.insert("Environment".to_owned(), json!({ "Variables": variables }));
    }
    body
}

fn no_guess(path: &Path, what: &'static str, flag: &str) -> Failure {
    let path = path.display().to_string();
    Failure::new(FunctionError::NoGuess { path, what }).hint(format!("name it, as in `{flag}`"))
}

fn function(name: &str, below: &str) -> String {
    format!("{FUNCTIONS}/{}{below}", percent::encode(name))
}

/// `2026-11-23 08:25:15` of `2026-11-23T08:25:15.123+0000`.
fn last_modified(configuration: &Value) -> String {
    let text = text_of(configuration, "/LastModified");
    text.get(..19).map_or(text.clone(), |seconds| seconds.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn show_tells_what_is_set_and_nothing_else() {
        let answer = json!({ "Configuration": {
            "FunctionName": "hello", "Runtime": "nodejs22.x", "MemorySize": 128, "Timeout": 3, "Description": "",
            "LastModified": "2026-11-23T08:25:15.123+0000", "Environment": { "Variables": { "A": "1" } },
        }});
        expect![[r"
            Name           hello
            Runtime        nodejs22.x
            Memory         128 MiB
            Timeout        3 s
            Last modified  2026-11-23 08:25:15
            Variable       A=1"]]
        .assert_eq(&details(&answer));
    }

    #[test]
    fn names_are_encoded_in_paths() {
        assert_eq!(function("a:b/c", "/code"), "/2015-03-31/functions/a%3Ab%2Fc/code");
    }
}
