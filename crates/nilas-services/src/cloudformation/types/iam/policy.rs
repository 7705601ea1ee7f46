//! `AWS::IAM::Policy`: an inline policy of the roles it names.

use super::{call, document, gone, removed};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Change, Cx, Property, Resource, ResourceType, Shape};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::IAM::Policy",
    properties: &[
        // There are no users and no groups here: naming one fails where the policy is put.
        Property::list("Groups", &Shape::Text),
        Property::json("PolicyDocument").required(),
        Property::text("PolicyName").required().replaces(),
        Property::list("Roles", &Shape::Text),
        Property::list("Users", &Shape::Text),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let id = cx.name(128);
    let made = Resource::new(&id).with("Id", id);
    put(cx, properties).await.map_err(|failure| failure.after(made.clone()))?;
    Ok(made)
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    let Change { resource, old, new } = change;
    put(cx, new).await?;
    let name = new.required("PolicyName")?;
    for role in removed(&old.texts("Roles"), &new.texts("Roles")) {
        gone(call(cx, "DeleteRolePolicy", &[("RoleName", role), ("PolicyName", name)]).await)?;
    }
    Ok(resource.clone())
}

async fn put(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    let name = properties.required("PolicyName")?;
    let roles = properties.texts("Roles");
    for (list, what) in [("Groups", "groups"), ("Users", "users")] {
        if !properties.list(list).is_empty() {
            return Err(Failure::invalid(format!(
                "nilas has no {what}; attach the policy to roles"
            )));
        }
    }
    if roles.is_empty() {
        return Err(Failure::invalid("At least one of [Groups,Roles,Users] must be non-empty."));
    }
    let text = properties.get("PolicyDocument").map(document).unwrap_or_default();
    for role in roles {
        let members = [("RoleName", role), ("PolicyName", name), ("PolicyDocument", &text)];
        call(cx, "PutRolePolicy", &members).await?;
    }
    Ok(())
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    let name = properties.required("PolicyName")?;
    for role in properties.texts("Roles") {
        gone(call(cx, "DeleteRolePolicy", &[("RoleName", role), ("PolicyName", name)]).await)?;
    }
    Ok(())
}
