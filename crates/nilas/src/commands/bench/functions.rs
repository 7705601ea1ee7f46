//! The functions of one run: made, invoked, and deleted with their logs.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use nilas_load::{Interpreter, LoadError};
use serde_json::{Value, json};

use crate::client::{Call, Client, ClientError};
use crate::commands::function::settle;
use crate::failure::Failure;
use crate::package::{self, PackageError};

/// What every right answer holds.
pub(super) const ANSWER: &str = "Hello World";
const FUNCTIONS: &str = "/2015-03-31/functions";
/// Lines of the last invocations are written by then; before, one could make a deleted log group anew.
const LOGGED: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Node,
    Python,
}

/// Functions on the server, by names that nobody else uses.
#[derive(Debug)]
pub(super) struct Functions<'a> {
    client: &'a Client,
    prefix: String,
    /// All that were asked for, also those whose answer never came.
    asked: Vec<String>,
}

// === impl Language ===

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Node => "Node",
            Self::Python => "Python",
        })
    }
}

impl Language {
    pub(super) fn interpreter(self) -> Result<Interpreter, LoadError> {
        match self {
            Self::Node => Interpreter::node(),
            Self::Python => Interpreter::python(),
        }
    }

    /// One that is named is run by any installed version, unless the server is strict.
    fn runtimes(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["nodejs22.x", "nodejs24.x", "nodejs20.x"],
            Self::Python => &["python3.13", "python3.14", "python3.12", "python3.11"],
        }
    }

    /// A file and its content; no two functions have the same.
    fn source(self, name: &str) -> (&'static str, String) {
        match self {
            Self::Node => (
                "index.js",
                format!("// {name}\nexports.handler = async () => ({{ message: '{ANSWER}' }})\n"),
            ),
            Self::Python => (
                "index.py",
                format!(
                    "# {name}\ndef handler(event, context):\n    return {{'message': '{ANSWER}'}}\n"
                ),
            ),
        }
    }
}

// === impl Functions ===

impl<'a> Functions<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        let prefix = format!("nilas-bench-{}-", std::process::id());
        Self { client, prefix, asked: Vec::new() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The first identifier the server takes, if it takes one.
    pub(super) async fn runtime_of(
        &mut self,
        language: Language,
    ) -> Result<Option<&'static str>, Failure> {
        for runtime in language.runtimes() {
            let (_, body) = self.request(language, runtime)?;
            match self.client.lambda(Method::POST, FUNCTIONS.to_owned(), &body).await {
                Ok(_) => return Ok(Some(runtime)),
                Err(ClientError::Refused { code, .. })
                    if code == "InvalidParameterValueException" => {}
                Err(error) => {
                    // Never sent: there is nothing to delete, and nobody to delete it.
                    if matches!(error, ClientError::Connect { .. }) {
                        self.asked.pop();
                    }
                    return Err(error.into());
                }
            }
        }
        Ok(None)
    }

    /// So many different ones, ready to be invoked.
    pub(super) async fn create(
        &mut self,
        language: Language,
        runtime: &str,
        count: usize,
    ) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for _ in 0..count {
            let (name, body) = self.request(language, runtime)?;
            self.client.lambda(Method::POST, FUNCTIONS.to_owned(), &body).await?;
            names.push(name);
        }
        for name in &names {
            settle(self.client, name).await?;
        }
        Ok(names)
    }

    /// What CreateFunction is to be asked for, and the name, which counts as asked for from now on.
    fn request(
        &mut self,
        language: Language,
        runtime: &str,
    ) -> Result<(String, Value), PackageError> {
        let name = format!("{}{}", self.prefix, self.asked.len());
        let (file, content) = language.source(&name);
        let code = STANDARD.encode(package::of_source(file, &content)?);
        self.asked.push(name.clone());
        let body = json!({
            "FunctionName": name, "Runtime": runtime, "Handler": "index.handler", "Timeout": 60,
            "Role": "arn:aws:iam::000000000000:role/nilas", "Code": { "ZipFile": code },
        });
        Ok((name, body))
    }

    /// Goes on after a failure, and gives the first.
    pub(super) async fn delete(&self) -> Result<(), ClientError> {
        let mut first = self.delete_functions().await;
        tokio::time::sleep(LOGGED).await;
        // What was asked for when the run was broken off may have been made only now.
        first = first.and(self.delete_functions().await);
        for name in &self.asked {
            let group = json!({ "logGroupName": format!("/aws/lambda/{name}") });
            first = first.and(unless_missing(self.client.logs("DeleteLogGroup", &group).await));
        }
        first
    }

    async fn delete_functions(&self) -> Result<(), ClientError> {
        let mut first = Ok(());
        for name in &self.asked {
            let target = format!("{FUNCTIONS}/{name}");
            let deleted = self.client.lambda(Method::DELETE, target, &Value::Null).await;
            first = first.and(unless_missing(deleted));
        }
        first
    }
}

fn unless_missing(deleted: Result<Value, ClientError>) -> Result<(), ClientError> {
    match deleted {
        Err(ClientError::Refused { code, .. }) if code == "ResourceNotFoundException" => Ok(()),
        deleted => deleted.map(drop),
    }
}

pub(super) fn invocation(name: &str) -> Call<'static> {
    Call {
        service: "lambda",
        method: Method::POST,
        target: format!("{FUNCTIONS}/{name}/invocations"),
        headers: vec![("content-type", "application/json".to_owned())],
        body: Bytes::from_static(b"{}"),
    }
}
