//! `AWS::Lambda::Function`

use http::Method;
use nilas_wire::percent;
use serde_json::{Map, Value, json};

use super::{call, function_path, inline_code, object, stable, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

/// Characters of a function's name.
const NAME_CHARS_MAX: usize = 64;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::Function",
    properties: &[
        Property::list("Architectures", &Shape::Text),
        Property::json("CapacityProviderConfig"),
        Property::object("Code", CODE).required(),
        Property::text("CodeSigningConfigArn"),
        Property::object("DeadLetterConfig", &[Property::text("TargetArn")]),
        Property::text("Description"),
        Property::json("DurableConfig"),
        Property::object("Environment", &[Property::map("Variables", &Shape::Text)]),
        Property::object("EphemeralStorage", &[Property::integer("Size").required()]),
        Property::list("FileSystemConfigs", &Shape::Json),
        Property::text("FunctionName").replaces(),
        Property::text("Handler"),
        Property::json("ImageConfig"),
        Property::text("KmsKeyArn"),
        Property::list("Layers", &Shape::Text),
        Property::object("LoggingConfig", LOGGING),
        Property::integer("MemorySize"),
        Property::text("PackageType").replaces(),
        // Invocations in a loop are not looked for, and there is one runtime to each identifier.
        Property::text("RecursiveLoop").inert(),
        Property::integer("ReservedConcurrentExecutions"),
        Property::text("Role").required(),
        Property::text("Runtime"),
        Property::json("RuntimeManagementConfig").inert(),
        Property::object("SnapStart", &[Property::text("ApplyOn").required()]),
        Property::tags(),
        Property::json("TenancyConfig").replaces(),
        Property::integer("Timeout"),
        Property::object("TracingConfig", &[Property::text("Mode")]),
        Property::object("VpcConfig", VPC),
    ],
    attributes: &["Arn", "SnapStartResponse", "SnapStartResponse.*"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

const CODE: &[Property] = &[
    Property::text("ImageUri"),
    Property::text("S3Bucket"),
    Property::text("S3Key"),
    Property::text("S3ObjectVersion"),
    Property::text("SourceKMSKeyArn").inert(),
    Property::text("ZipFile"),
];

const LOGGING: &[Property] = &[
    Property::text("ApplicationLogLevel"),
    Property::text("LogFormat"),
    Property::text("LogGroup"),
    Property::text("SystemLogLevel"),
];

const VPC: &[Property] = &[
    Property::boolean("Ipv6AllowedForDualStack"),
    Property::list("SecurityGroupIds", &Shape::Text),
    Property::list("SubnetIds", &Shape::Text),
];

/// Members of UpdateFunctionConfiguration. `KmsKeyArn` is written otherwise there.
const CONFIGURATION: [&str; 19] = [
    "CapacityProviderConfig",
    "DeadLetterConfig",
    "Description",
    "DurableConfig",
    "Environment",
    "EphemeralStorage",
    "FileSystemConfigs",
    "Handler",
    "ImageConfig",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "Role",
    "Runtime",
    "SnapStart",
    "Timeout",
    "TracingConfig",
    "VpcConfig",
];

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = cx.name_or(properties, "FunctionName", NAME_CHARS_MAX);
    let mut body = configuration(properties);
    let others = ["Architectures", "CodeSigningConfigArn", "PackageType", "TenancyConfig"];
    body.extend(properties.pick(&others));
    body.insert("FunctionName".to_owned(), name.as_str().into());
    body.insert("Code".to_owned(), code(properties)?.into());
    let tags: Map<String, Value> =
        cx.tags(properties).into_iter().map(|(key, value)| (key, value.into())).collect();
    body.insert("Tags".to_owned(), tags.into());
    let created = call(cx, Method::POST, "/2015-03-31/functions", object(body)).await;
    match created.map_err(Failure::from) {
        Err(failure) if cx.resumed && failure.is_already_exists() && is_ours(cx, &name).await? => {}
        created => drop(created?),
    }
    let made = Resource::new(&name).with("Arn", cx.arn("lambda", &format!("function:{name}")));
    finish(cx, &made, properties).await.map_err(|failure| failure.after(made))
}

/// What creating and updating have in common at their end: waits for the function, and answers all of its attributes.
async fn finish(cx: &Cx, made: &Resource, properties: &Properties) -> Result<Resource, Failure> {
    let name = &made.physical_id;
    let configuration = stable(cx, name, None).await?;
    if let Some(count) = properties.integer("ReservedConcurrentExecutions") {
        reserve(cx, name, Some(count)).await?;
    }
    let snap_start = configuration.get("SnapStart").cloned().unwrap_or_default();
    let mut resource = made.clone().with("Arn", text(&configuration, "FunctionArn")?);
    for member in ["ApplyOn", "OptimizationStatus"] {
        let value = snap_start.get(member).cloned().unwrap_or_default();
        resource = resource.with(&format!("SnapStartResponse.{member}"), value);
    }
    Ok(resource.with("SnapStartResponse", snap_start))
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    let name = &resource.physical_id;
    if new.differs(old, "CodeSigningConfigArn") {
        return Err(Failure::invalid("Code signing is not supported by this server yet."));
    }
    let changed = |names: &[&str]| names.iter().any(|name| new.differs(old, name));
    if changed(&CONFIGURATION) {
        let mut body = configuration(new);
        for (member, default) in defaults(name) {
            if old.get(member).is_some() && new.get(member).is_none() {
                body.insert(api_name(member).to_owned(), default);
            }
        }
        let path = function_path(name, "/configuration");
        call(cx, Method::PUT, &path, object(body)).await?;
        stable(cx, name, None).await?;
    }
    let is_inline = new.object("Code").is_some_and(|code| code.contains_key("ZipFile"));
    if changed(&["Code", "Architectures"]) || (is_inline && changed(&["Runtime"])) {
        let mut body = code(new)?;
        let architectures = new.get("Architectures").cloned();
        let architectures = architectures.unwrap_or_else(|| json!(["x86_64"]));
        body.insert("Architectures".to_owned(), architectures);
        call(cx, Method::PUT, &function_path(name, "/code"), object(body)).await?;
    }
    let finished = finish(cx, resource, new).await?;
    let reserved = "ReservedConcurrentExecutions";
    if old.get(reserved).is_some() && new.get(reserved).is_none() {
        reserve(cx, name, None).await?;
    }
    tag(cx, finished.text("Arn").unwrap_or_default(), name, new).await?;
    Ok(finished)
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    call(cx, Method::DELETE, &function_path(&resource.physical_id, ""), None).await?;
    Ok(())
}

fn api_name(property: &str) -> &str {
    if property == "KmsKeyArn" { "KMSKeyArn" } else { property }
}

fn configuration(properties: &Properties) -> Map<String, Value> {
    let picked = properties.pick(&CONFIGURATION);
    picked.into_iter().map(|(name, value)| (api_name(&name).to_owned(), value)).collect()
}

/// What a member is again when a template no longer has it.
fn defaults(name: &str) -> [(&'static str, Value); 14] {
    [
        ("DeadLetterConfig", json!({ "TargetArn": "" })),
        ("Description", json!("")),
        ("Environment", json!({ "Variables": {} })),
        ("EphemeralStorage", json!({ "Size": 512 })),
        ("FileSystemConfigs", json!([])),
        ("ImageConfig", json!({})),
        ("KmsKeyArn", json!("")),
        ("Layers", json!([])),
        (
            "LoggingConfig",
            json!({ "LogFormat": "Text", "LogGroup": format!("/aws/lambda/{name}") }),
        ),
        ("MemorySize", json!(128)),
        ("SnapStart", json!({ "ApplyOn": "None" })),
        ("Timeout", json!(3)),
        ("TracingConfig", json!({ "Mode": "PassThrough" })),
        ("VpcConfig", json!({ "SubnetIds": [], "SecurityGroupIds": [] })),
    ]
}

/// The members of the API's `Code`; source text becomes an archive.
fn code(properties: &Properties) -> Result<Map<String, Value>, Failure> {
    let mut code = properties.object("Code").cloned().unwrap_or_default();
    code.remove("SourceKMSKeyArn");
    if let Some(source) = code.get("ZipFile").and_then(Value::as_str) {
        let runtime = properties.text("Runtime").unwrap_or_default();
        let zip = inline_code::archive(runtime, source)?;
        code.insert("ZipFile".to_owned(), zip.into());
    }
    Ok(code)
}

async fn reserve(cx: &Cx, name: &str, count: Option<i64>) -> Result<(), Failure> {
    let path = format!("/2017-10-31/functions/{}/concurrency", percent::encode(name));
    match count {
        Some(count) => {
            let body = json!({ "ReservedConcurrentExecutions": count });
            call(cx, Method::PUT, &path, Some(body)).await?
        }
        None => call(cx, Method::DELETE, &path, None).await?,
    };
    Ok(())
}

/// The function's tags become those of the stack and the template.
async fn tag(cx: &Cx, arn: &str, name: &str, properties: &Properties) -> Result<(), Failure> {
    let had = tags(cx, name).await?;
    let wanted = cx.tags(properties);
    let path = format!("/2017-03-31/tags/{}", percent::encode(arn));
    let gone = had.iter().filter(|(key, _)| !wanted.iter().any(|(wanted, _)| wanted == key));
    let gone: Vec<String> =
        gone.map(|(key, _)| format!("tagKeys={}", percent::encode(key))).collect();
    if !gone.is_empty() {
        call(cx, Method::DELETE, &format!("{path}?{}", gone.join("&")), None).await?;
    }
    let new: Map<String, Value> = wanted
        .into_iter()
        .filter(|tag| !had.contains(tag))
        .map(|(key, value)| (key, value.into()))
        .collect();
    if !new.is_empty() {
        call(cx, Method::POST, &path, Some(json!({ "Tags": new }))).await?;
    }
    Ok(())
}

async fn tags(cx: &Cx, name: &str) -> Result<Vec<(String, String)>, Failure> {
    let found = call(cx, Method::GET, &function_path(name, ""), None).await?;
    let tags = found.get("Tags").and_then(Value::as_object);
    let tags = tags.into_iter().flatten();
    Ok(tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
}

async fn is_ours(cx: &Cx, name: &str) -> Result<bool, Failure> {
    Ok(cx.are_ours(&tags(cx, name).await?))
}
