//! `AWS::ECR::Repository`: without a registry behind it.

use nilas_wire::Service;
use serde_json::{Value, json};

use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType};

/// Characters of a repository's name.
const NAME_CHARS_MAX: usize = 256;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::ECR::Repository",
    properties: &[
        Property::boolean("EmptyOnDelete").inert(),
        Property::json("EncryptionConfiguration").replaces().inert(),
        Property::json("ImageScanningConfiguration").inert(),
        Property::text("ImageTagMutability").inert(),
        Property::json("ImageTagMutabilityExclusionFilters").inert(),
        Property::json("LifecyclePolicy").inert(),
        Property::text("RepositoryName").replaces(),
        Property::json("RepositoryPolicyText"),
        Property::tags(),
    ],
    attributes: &["Arn", "RepositoryUri"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let name = match properties.text("RepositoryName") {
        Some(name) => name.to_owned(),
        None => cx.lower_case_name(NAME_CHARS_MAX),
    };
    let tags: Value = cx
        .own_tags(properties)
        .into_iter()
        .map(|(key, value)| json!({ "Key": key, "Value": value }))
        .collect();
    let body = json!({ "repositoryName": name, "tags": tags });
    match call(cx, "CreateRepository", body).await {
        Err(failure) if cx.resumed && failure.is_already_exists() => {}
        created => drop(created?),
    }
    let body = json!({ "repositoryNames": [name] });
    let found = call(cx, "DescribeRepositories", body).await?;
    let member = |member: &str| found["repositories"][0][member].clone();
    let made = Resource::new(&name)
        .with("Arn", member("repositoryArn"))
        .with("RepositoryUri", member("repositoryUri"));
    let allowed = set_policy(cx, &name, properties).await;
    allowed.map_err(|failure| failure.after(made.clone()))?;
    Ok(made)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    if change.new.differs(change.old, "RepositoryPolicyText") {
        set_policy(cx, &change.resource.physical_id, change.new).await?;
    }
    Ok(change.resource.clone())
}

async fn set_policy(cx: &Cx, name: &str, properties: &Properties) -> Result<(), Failure> {
    let text = match properties.get("RepositoryPolicyText") {
        None => return Ok(()),
        Some(Value::String(text)) => text.clone(),
        Some(policy) => policy.to_string(),
    };
    let body = json!({ "repositoryName": name, "policyText": text });
    call(cx, "SetRepositoryPolicy", body).await.map(drop)
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    let body = json!({ "repositoryName": resource.physical_id, "force": true });
    call(cx, "DeleteRepository", body).await.map(drop)
}

async fn call(cx: &Cx, operation: &str, body: Value) -> Result<Value, Failure> {
    Ok(cx.calls.json(Service::Ecr, &cx.auth, operation, body).await?)
}
