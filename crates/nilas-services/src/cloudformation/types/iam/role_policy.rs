//! `AWS::IAM::RolePolicy`: an inline policy of one role.

use super::{call, document, gone};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::IAM::RolePolicy",
    properties: &[
        Property::json("PolicyDocument"),
        Property::text("PolicyName").required().replaces(),
        Property::text("RoleName").required().replaces(),
    ],
    attributes: &[],
    create: |cx, properties| Box::pin(put(cx, properties)),
    update: |cx, change| Box::pin(put(cx, change.new)),
    delete: |cx, _, properties| Box::pin(delete(cx, properties)),
};

async fn put(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let (role, name) = (properties.required("RoleName")?, properties.required("PolicyName")?);
    let text = properties.get("PolicyDocument").map(document).unwrap_or_default();
    let members = [("RoleName", role), ("PolicyName", name), ("PolicyDocument", &text)];
    call(cx, "PutRolePolicy", &members).await?;
    Ok(Resource::new(format!("{name}|{role}")))
}

async fn delete(cx: &Cx, properties: &Properties) -> Result<(), Failure> {
    let (role, name) = (properties.required("RoleName")?, properties.required("PolicyName")?);
    gone(call(cx, "DeleteRolePolicy", &[("RoleName", role), ("PolicyName", name)]).await)
}
