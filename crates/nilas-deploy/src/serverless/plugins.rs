//! Plugins: none runs here. Those that only help in developing are passed over, one is done natively, and those that
//! change what is deployed are refused by name.

use super::answers::Problem;
use crate::yaml::{Node, Value};

/// Reads `.env` files into the functions' environment; done natively.
pub(super) const DOTENV: &str = "serverless-dotenv-plugin";

/// What makes no difference to what is deployed.
const HARMLESS: &[&str] = &[
    DOTENV,
    "@serverless/dashboard-plugin",
    "@serverless/enterprise-plugin",
    "serverless-deployment-bucket",
    "serverless-dynamodb",
    "serverless-dynamodb-local",
    "serverless-jest-plugin",
    "serverless-localstack",
    "serverless-mocha-plugin",
    "serverless-offline",
    "serverless-offline-dynamodb-streams",
    "serverless-offline-kinesis",
    "serverless-offline-scheduler",
    "serverless-offline-sns",
    "serverless-offline-sqs",
    "serverless-offline-ssm",
    "serverless-plugin-diff",
    "serverless-prune-plugin",
    "serverless-s3-local",
    "serverless-stack-output",
];

/// The plugins' names, and the folder of the service's own (`plugins.localPath`).
pub(super) struct Plugins {
    pub(super) names: Vec<String>,
    pub(super) local_path: Option<String>,
}

pub(super) fn read(document: &Node) -> Result<Plugins, Problem> {
    let mut plugins = Plugins { names: Vec::new(), local_path: None };
    let Some(node) = document.get("plugins") else { return Ok(plugins) };
    let modules = node.get("modules").unwrap_or(node);
    plugins.local_path = node.get("localPath").and_then(Node::as_str).map(str::to_owned);
    let Value::List(items) = &modules.value else { return Ok(plugins) };
    for item in items {
        let Some(name) = item.as_str() else { continue };
        if !HARMLESS.contains(&name) {
            return Err(Problem::new(format!("The plugin \"{name}\" does not run here"))
                .at(item.at)
                .hint(
                    "if the service works without it, take it out of `plugins`; else deploy with osls, with \
                     AWS_ENDPOINT_URL set to nilas: it runs every plugin",
                ));
        }
        plugins.names.push(name.to_owned());
    }
    Ok(plugins)
}
