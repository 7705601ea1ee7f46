//! Where variables get their values from.

use serde_json::Value as Json;

use super::{Answer, Found, Problem, Question, Resolver, from_json, moved, named, stop};
use crate::yaml::{self, Node, Position, Value};

impl Resolver<'_> {
    /// The value at a source; `None` if it has none and the next one is to be tried.
    pub(super) fn lookup(
        &mut self,
        kind: &str,
        params: &[Json],
        address: Option<Json>,
        at: Position,
    ) -> Found<Option<Node>> {
        let address = match address {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(text),
            Some(Json::Number(number)) => Some(number.to_string()),
            Some(other) => {
                return Err(problem(format!(
                    "Non-string address argument in variable \"{kind}\" source: {other}"
                )));
            }
        };
        let text = |text: &String| Node { value: Value::Text(text.clone()), at, tag: None };
        match (kind, address.as_deref()) {
            ("self", address) => {
                let path = address.unwrap_or_default();
                let steps = path.split('.').filter(|step| !step.is_empty()).map(str::to_owned);
                match (self.property(steps.collect())?, path) {
                    // Before version 3 these were there even if nobody had written them.
                    (None, "provider.stage") => self.stage(at).map(Some),
                    (None, "provider.region") => self.region(at).map(Some),
                    (found, _) => Ok(found),
                }
            }
            ("opt", None) => Ok(Some(from_json(&serde_json::json!(self.answers.options), at))),
            ("opt", Some(name)) => Ok(self.answers.options.get(name).map(text)),
            ("env", Some(name)) => Ok(self.env.get(name).map(text)),
            ("strToBool", _) => boolean(params, at).map(Some),
            ("file", address) => self.file(params, address, at),
            ("sls", Some("instanceId")) => Ok(Some(text(&self.answers.instance_id))),
            ("sls", Some("stage")) => self.stage(at).map(Some),
            ("param", Some(name)) => self.param(name, at),
            ("aws", Some("region")) => self.region(at).map(Some),
            ("aws", Some("accountId")) => match self.ask(Question::AccountId)? {
                Answer::Text(account) => Ok(Some(text(account))),
                _ => Ok(None),
            },
            ("cf", Some(address)) => self.stack_output(address, params, at),
            ("ssm", Some(address)) => self.parameter(address, params, at),
            ("s3", Some(address)) => self.object(address, at),
            ("sls" | "aws", Some(address)) => Err(problem(format!(
                "Unsupported \"{address}\" address argument in variable \"{kind}\" source"
            ))),
            ("env" | "sls" | "aws" | "param" | "cf" | "ssm" | "s3", None) => {
                Err(problem(format!("Missing address argument in variable \"{kind}\" source")))
            }
            ("git", _) => Err(stop(Problem::new("Unrecognized configuration variable sources: \"git\"").hint(
                "the source \"git\" is a plugin's; set an environment variable and use ${env:NAME} instead",
            ))),
            _ => Err(stop(
                Problem::new(format!("Unrecognized configuration variable sources: \"{kind}\"")).hint(
                    "sources: env, opt, self, file, param, sls, aws, cf, ssm, s3, strToBool; others are plugins', which \
                     do not run here",
                ),
            )),
        }
    }

    fn stage(&mut self, at: Position) -> Found<Node> {
        self.option_or("stage", "dev", at)
    }

    fn region(&mut self, at: Position) -> Found<Node> {
        self.option_or("region", "us-east-1", at)
    }

    fn option_or(&mut self, name: &str, default: &str, at: Position) -> Found<Node> {
        let text = |text: &str| Node { value: Value::Text(text.to_owned()), at, tag: None };
        if let Some(option) = self.answers.options.get(name) {
            return Ok(text(option));
        }
        let property = self.property(vec!["provider".to_owned(), name.to_owned()])?;
        Ok(property.unwrap_or_else(|| text(default)))
    }

    /// Of the command line, then the stage's, then everybody's.
    fn param(&mut self, name: &str, at: Position) -> Found<Option<Node>> {
        if let Some(value) = self.answers.params.get(name) {
            return Ok(Some(from_json(&value.as_str().into(), at)));
        }
        let stage = match self.stage(at)?.value {
            Value::Text(stage) => stage,
            _ => "dev".to_owned(),
        };
        for (table, entry) in [("params", stage.as_str()), ("params", "default")] {
            let path = [table, entry, name].map(str::to_owned).to_vec();
            if let Some(value) = self.property(path)? {
                return Ok(Some(value));
            }
        }
        // Version 4 calls the table `stages`.
        for entry in [stage.as_str(), "default"] {
            let path = ["stages", entry, "params", name].map(str::to_owned).to_vec();
            if let Some(value) = self.property(path)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn file(
        &mut self,
        params: &[Json],
        address: Option<&str>,
        at: Position,
    ) -> Found<Option<Node>> {
        let Some(path) = params.first().and_then(Json::as_str).filter(|path| !path.is_empty())
        else {
            return Err(problem("Missing path argument in variable \"file\" source".to_owned()));
        };
        let path = path.strip_prefix("./").unwrap_or(path);
        let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.'));
        let extension = extension.map_or("", |(_, extension)| extension);
        if matches!(extension, "js" | "cjs" | "mjs" | "ts") {
            return Err(stop(Problem::new(format!("\"{path}\" is a program, which is not run here")).hint(
                "write what it computes as JSON or YAML, or deploy with osls and AWS_ENDPOINT_URL set to nilas",
            )));
        }
        let content = match self.files.get(path) {
            Some(known) => known.clone(),
            None => {
                let content = match self.ask(Question::File(path.to_owned()))? {
                    Answer::Bytes(bytes) => Some(content(path, extension, bytes, at)?),
                    _ => None,
                };
                self.files.insert(path.to_owned(), content.clone());
                content
            }
        };
        let Some(mut node) = content else { return Ok(None) };
        for step in address.unwrap_or_default().split('.').filter(|step| !step.is_empty()) {
            if let Value::Text(text) = &node.value {
                node = self
                    .evaluate(text, at, path, super::NEST_DEPTH_MAX - 1)
                    .map_err(|s| named(s, path))?;
            }
            let inner = match &node.value {
                Value::List(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)),
                _ => node.get(step),
            };
            match inner {
                Some(inner) => node = inner.clone(),
                None => return Ok(None),
            }
        }
        Ok((node.value != Value::Null).then_some(node))
    }

    fn stack_output(
        &mut self,
        address: &str,
        params: &[Json],
        at: Position,
    ) -> Found<Option<Node>> {
        // Before version 3 the region was a part of the type: ${cf.us-west-2:stack.output}.
        let Some((stack, output)) = address.split_once('.') else {
            return Err(problem(format!(
                "Unsupported \"{address}\" address argument in variable \"cf\" source. Expected \
                 \"<stack-name>.<output-id>\" format"
            )));
        };
        let region = params.first().and_then(Json::as_str).map(str::to_owned);
        let question =
            Question::StackOutput { stack: stack.to_owned(), output: output.to_owned(), region };
        Ok(match self.ask(question)? {
            Answer::Text(value) => Some(from_json(&value.as_str().into(), at)),
            _ => None,
        })
    }

    fn parameter(&mut self, address: &str, params: &[Json], at: Position) -> Found<Option<Node>> {
        // Before version 3 `~true` asked for the decrypted value.
        let name = address.strip_suffix("~true").unwrap_or(address);
        let words: Vec<&str> = params.iter().filter_map(Json::as_str).collect();
        let question = Question::SsmParameter {
            name: name.to_owned(),
            region: words
                .iter()
                .find(|word| !["raw", "noDecrypt"].contains(word))
                .map(|region| (*region).to_owned()),
            decrypt: !words.contains(&"noDecrypt"),
        };
        let Answer::Parameter { kind, value } = self.ask(question)? else { return Ok(None) };
        let is_raw = words.contains(&"raw");
        let value = match kind.as_str() {
            "StringList" if !is_raw => value.split(',').map(Json::from).collect(),
            "SecureString" if !is_raw && value.starts_with('{') => {
                serde_json::from_str(value).unwrap_or_else(|_| value.as_str().into())
            }
            _ => Json::from(value.as_str()),
        };
        Ok(Some(from_json(&value, at)))
    }

    fn object(&mut self, address: &str, at: Position) -> Found<Option<Node>> {
        let Some((bucket, key)) = address.split_once('/') else {
            return Err(problem(format!(
                "Unsupported \"{address}\" address argument in variable \"s3\" source. Expected \
                 \"<bucket-name>/<key>\" format"
            )));
        };
        let question = Question::S3Object { bucket: bucket.to_owned(), key: key.to_owned() };
        Ok(match self.ask(question)? {
            Answer::Bytes(bytes) => {
                Some(from_json(&String::from_utf8_lossy(bytes).into_owned().into(), at))
            }
            Answer::Text(text) => Some(from_json(&text.as_str().into(), at)),
            _ => None,
        })
    }
}

fn problem(message: String) -> super::Stop {
    stop(Problem::new(message))
}

fn boolean(params: &[Json], at: Position) -> Found<Node> {
    let value = match params.first() {
        None | Some(Json::Null) => return Err(problem("Missing \"strToBool\" input".to_owned())),
        Some(Json::String(text)) => text.trim().to_lowercase(),
        Some(other) => other.to_string(),
    };
    let value = match value.as_str() {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => {
            return Err(problem(format!(
                "Invalid \"strToBool\" input: Expected either \"true\", \"false\", \"0\", or \"1\". Received: \
                 \"{value}\""
            )));
        }
    };
    Ok(Node { value: Value::Bool(value), at, tag: None })
}

/// A file as a value: YAML and JSON by their names, anything else as text.
fn content(path: &str, extension: &str, bytes: &[u8], at: Position) -> Found<Node> {
    let text = String::from_utf8_lossy(bytes);
    match extension {
        "yml" | "yaml" => {
            let node = yaml::parse(&text).map_err(|err| stop(Problem::yaml(path, &err)))?;
            Ok(moved(node, at))
        }
        "json" | "tfstate" => {
            let json: Json = serde_json::from_str(&text).map_err(|err| {
                problem(format!("Cannot parse \"{path}\": JSON parse error: {err}"))
            })?;
            Ok(from_json(&json, at))
        }
        _ => Ok(Node { value: Value::Text(text.into_owned()), at, tag: None }),
    }
}
