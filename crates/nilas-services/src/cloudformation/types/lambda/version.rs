//! `AWS::Lambda::Version`

use http::Method;
use nilas_wire::percent;
use serde_json::Value;

use super::{PROVISIONED, call, function_path, object, provision, split_qualifier, stable, text};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::Version",
    properties: &[
        Property::text("CodeSha256").replaces(),
        Property::text("Description").replaces(),
        Property::text("FunctionName").required().replaces(),
        Property::object("ProvisionedConcurrencyConfig", PROVISIONED).replaces(),
        Property::json("RuntimePolicy").replaces().inert(),
    ],
    attributes: &["FunctionArn", "Version"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |_, change| Box::pin(std::future::ready(Ok(change.resource.clone()))),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let function = properties.required("FunctionName")?;
    let before = numbers(cx, function).await?;
    let body = properties.pick(&["CodeSha256", "Description"]);
    let path = function_path(function, "/versions");
    let published = call(cx, Method::POST, &path, object(body)).await?;
    let version = text(&published, "Version")?;
    if before.contains(&version) && !cx.resumed {
        return Err(Failure::already_exists(format!(
            "A version for this Lambda function exists ( {version} ). Modify the function to create a new version."
        )));
    }
    let arn = text(&published, "FunctionArn")?;
    let made = Resource::new(&arn).with("FunctionArn", arn).with("Version", version.as_str());
    let finish = async {
        stable(cx, function, Some(&version)).await?;
        if properties.get("ProvisionedConcurrencyConfig").is_some() {
            provision(cx, function, &version, properties).await?;
        }
        Ok(())
    };
    finish.await.map_err(|failure: Failure| failure.after(made.clone()))?;
    Ok(made)
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let (function, version) = split_qualifier(&resource.physical_id);
    let Some(version) = version else { return Ok(()) };
    let path = function_path(function, &format!("?Qualifier={}", percent::encode(version)));
    call(cx, Method::DELETE, &path, None).await?;
    Ok(())
}

/// Of all versions there are.
async fn numbers(cx: &Cx, function: &str) -> Result<Vec<String>, Failure> {
    let mut numbers = Vec::new();
    let mut marker = String::new();
    loop {
        let path = function_path(function, &format!("/versions{marker}"));
        let page = call(cx, Method::GET, &path, None).await?;
        let versions = page.get("Versions").and_then(Value::as_array);
        let versions = versions.into_iter().flatten();
        numbers.extend(
            versions.filter_map(|version| Some(version.get("Version")?.as_str()?.to_owned())),
        );
        match page.get("NextMarker").and_then(Value::as_str) {
            Some(next) => marker = format!("?Marker={}", percent::encode(next)),
            None => return Ok(numbers),
        }
    }
}
