//! Templates of SAM and CloudFormation: what in them is a local path is packaged, as `sam package` and
//! `aws cloudformation package` do.

use std::path::Path;

use nilas_deploy::yaml;
use serde_json::{Map, Value, json};

use super::{Kind, Package, Project, ProjectError, ProjectFunction, Stored, dir_of, read};
use crate::cli::ProjectArgs;
use crate::package;
use crate::stack::StackOutput;

/// A template whose local paths are still to be replaced.
#[derive(Debug)]
pub(super) struct Template {
    content: Value,
    places: Vec<Place>,
}

/// A property that names a package.
#[derive(Debug)]
struct Place {
    logical_id: String,
    property: &'static str,
    form: Form,
    /// Index in the project's packages.
    package: usize,
}

/// How a property says where its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{"S3Bucket", "S3Key"}`
    BucketKey,
    /// `s3://BUCKET/KEY`
    Uri,
}

/// Properties that may hold a local path, as `aws cloudformation package` knows them.
const PATHS: [(&str, &str, Form); 4] = [
    ("AWS::Serverless::Function", "CodeUri", Form::Uri),
    ("AWS::Serverless::LayerVersion", "ContentUri", Form::Uri),
    ("AWS::Lambda::Function", "Code", Form::BucketKey),
    ("AWS::Lambda::LayerVersion", "Content", Form::BucketKey),
];

pub(super) fn load(file: &Path, args: &ProjectArgs) -> Result<Project, ProjectError> {
    let content = parse(file)?;
    let dir = dir_of(file);
    let mut template = Template { content, places: Vec::new() };
    let mut packages: Vec<(String, Package)> = Vec::new();
    let mut functions = Vec::new();
    let resources = template.content.get("Resources").and_then(Value::as_object).cloned();
    let globals = template.content.pointer("/Globals/Function").cloned().unwrap_or_default();
    for (logical_id, resource) in resources.unwrap_or_default() {
        let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        let properties = resource.get("Properties").cloned().unwrap_or_default();
        let mut own_package = None;
        for (_, property, form) in PATHS.iter().filter(|(of, _, _)| *of == kind) {
            let path = local_path(kind, property, &properties, &globals);
            let Some(path) = path else { continue };
            let index = packages.iter().position(|(known, _)| *known == path);
            let index = match index {
                Some(index) => index,
                None => {
                    let zip = package::package(&dir.join(&path))?.zip;
                    packages.push((path, Package::new(&logical_id, zip)));
                    packages.len() - 1
                }
            };
            own_package = Some(index);
            template.places.push(Place {
                logical_id: logical_id.clone(),
                property,
                form: *form,
                package: index,
            });
        }
        if kind == "AWS::Serverless::Function" || kind == "AWS::Lambda::Function" {
            functions.push(function(&logical_id, &properties, &globals, own_package));
        }
    }
    Ok(Project {
        stack: args.stack.clone().unwrap_or_else(|| stack_name(&dir)),
        dir,
        region: None,
        bucket: None,
        tags: Vec::new(),
        parameters: args.parameters.clone(),
        functions,
        packages: packages.into_iter().map(|(_, package)| package).collect(),
        warnings: Vec::new(),
        kind: Kind::Template(template),
    })
}

fn parse(file: &Path) -> Result<Value, ProjectError> {
    let text = read(file)?;
    let at = |err: yaml::YamlError| ProjectError::At {
        file: file.to_owned(),
        line: err.at.line,
        column: err.at.column,
        message: err.message,
    };
    let content = yaml::parse(&text).and_then(|node| node.to_json()).map_err(at)?;
    if content.get("Resources").is_some_and(Value::is_object) {
        return Ok(content);
    }
    let message = "a template has a Resources section".to_owned();
    Err(ProjectError::Whole { file: file.to_owned(), message })
}

/// The path in a property, if there is one. SAM functions without `CodeUri` have that of `Globals`, else the
/// template's directory.
fn local_path(kind: &str, property: &str, properties: &Value, globals: &Value) -> Option<String> {
    let is_serverless = kind == "AWS::Serverless::Function";
    let elsewhere = ["InlineCode", "ImageUri"].iter().any(|name| properties.get(name).is_some());
    let value = properties
        .get(property)
        .or_else(|| globals.get(property).filter(|_| is_serverless && !elsewhere));
    match value {
        Some(Value::String(path)) if !path.starts_with("s3://") => Some(path.clone()),
        None if is_serverless && !elsewhere => Some(".".to_owned()),
        _ => None,
    }
}

fn function(
    logical_id: &str,
    properties: &Value,
    globals: &Value,
    package: Option<usize>,
) -> ProjectFunction {
    let text = |name: &str| {
        let value = properties.get(name).or_else(|| globals.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    ProjectFunction {
        key: logical_id.to_owned(),
        logical_id: logical_id.to_owned(),
        name: text("FunctionName"),
        handler: text("Handler"),
        runtime: text("Runtime"),
        package,
    }
}

/// The directory's name, with what a stack's name cannot hold left out.
fn stack_name(dir: &Path) -> String {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = absolute.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(legal).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphabetic());
    if name.is_empty() { "app".to_owned() } else { name.to_owned() }
}

/// Outputs that are URLs of this server's APIs and functions.
pub(super) fn endpoints(outputs: &[StackOutput]) -> Vec<String> {
    let is_ours = |url: &str| url.contains(".execute-api.") || url.contains(".lambda-url.");
    let ours = outputs.iter().filter(|output| is_ours(&output.value));
    ours.map(|output| output.value.clone()).collect()
}

impl Template {
    /// Settings that hold no function of CloudFormation's, which only a stack resolves.
    pub(super) fn settings_of(&self, logical_id: &str) -> Map<String, Value> {
        let properties = self.content.pointer(&format!("/Resources/{logical_id}/Properties"));
        let globals = self.content.pointer("/Globals/Function");
        let names = ["MemorySize", "Timeout", "Environment", "EphemeralStorage"];
        let setting = |name: &str| {
            let of = |place: Option<&Value>| place.and_then(|place| place.get(name)).cloned();
            let value = of(properties).or_else(|| of(globals))?;
            is_literal(&value).then(|| (name.to_owned(), value))
        };
        names.into_iter().filter_map(setting).collect()
    }

    pub(super) fn with_packages(&self, stored: &[Stored]) -> Value {
        let mut content = self.content.clone();
        for place in &self.places {
            let Stored { bucket, key, .. } = &stored[place.package];
            let value = match place.form {
                Form::BucketKey => json!({ "S3Bucket": bucket, "S3Key": key }),
                Form::Uri => format!("s3://{bucket}/{key}").into(),
            };
            let resource = &mut content["Resources"][&place.logical_id];
            let properties = resource.as_object_mut().map(|resource| {
                resource.entry("Properties").or_insert_with(|| Value::Object(Map::new()))
            });
            if let Some(Value::Object(properties)) = properties {
                properties.insert(place.property.to_owned(), value);
            }
        }
        content
    }
}

fn is_literal(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .all(|(key, value)| key != "Ref" && !key.starts_with("Fn::") && is_literal(value)),
        Value::Array(items) => items.iter().all(is_literal),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Made;

    #[test]
    fn local_paths_are_packaged_once_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("src/index.js"), "1").unwrap();
        let file = dir.path().join("template.yaml");
        let text = "Globals: {Function: {CodeUri: src, Runtime: nodejs22.x}}\nResources:\n  A: {Type: AWS::Serverless::Function}\n  B: {Type: AWS::Serverless::Function, Properties: {CodeUri: src}}\n  C: {Type: AWS::Serverless::Function, Properties: {InlineCode: x}}\n  D: {Type: AWS::Lambda::Function, Properties: {Code: ./src}}\n";
        std::fs::write(&file, text).unwrap();
        let project = load(&file, &ProjectArgs::default()).unwrap();
        assert_eq!(project.packages.len(), 2);
        let stored = ["k1", "k2"].map(|key| Stored {
            bucket: "b".to_owned(),
            key: key.to_owned(),
            sha256: String::new(),
        });
        let Made { template, .. } = project.template(&stored, false).unwrap();
        assert_eq!(template["Resources"]["A"]["Properties"]["CodeUri"], "s3://b/k1");
        assert_eq!(template["Resources"]["B"]["Properties"]["CodeUri"], "s3://b/k1");
        assert_eq!(template["Resources"]["C"]["Properties"].get("CodeUri"), None);
        assert_eq!(
            template["Resources"]["D"]["Properties"]["Code"],
            json!({ "S3Bucket": "b", "S3Key": "k2" })
        );
        assert_eq!(project.functions[0].runtime.as_deref(), Some("nodejs22.x"));
    }

    #[test]
    fn stacks_are_named_after_directories() {
        assert_eq!(stack_name(Path::new("/x/my_app.1")), "my-app");
        assert_eq!(stack_name(Path::new("/x/1-hello")), "hello");
        assert_eq!(stack_name(Path::new("/")), "app");
    }
}
