//! `AWS::Lambda::Permission`

use http::Method;
use nilas_wire::percent;

use super::{call, function_path, object};
use crate::cloudformation::failure::Failure;
use crate::cloudformation::properties::Properties;
use crate::cloudformation::resource::{Cx, Property, Resource, ResourceType};

/// Characters of a statement's id.
const STATEMENT_CHARS_MAX: usize = 100;

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::Lambda::Permission",
    properties: &[
        Property::text("Action").required().replaces(),
        Property::text("EventSourceToken").replaces(),
        Property::text("FunctionName").required().replaces(),
        Property::text("FunctionUrlAuthType").replaces(),
        Property::boolean("InvokedViaFunctionUrl").replaces(),
        Property::text("Principal").required().replaces(),
        Property::text("PrincipalOrgID").replaces(),
        Property::text("SourceAccount").replaces(),
        Property::text("SourceArn").replaces(),
    ],
    attributes: &["Id"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |_, change| Box::pin(std::future::ready(Ok(change.resource.clone()))),
    delete: |cx, resource, properties| Box::pin(delete(cx, resource, properties)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    let id = cx.name(STATEMENT_CHARS_MAX);
    let mut body = properties.members().clone();
    body.remove("FunctionName");
    body.insert("StatementId".to_owned(), id.as_str().into());
    let path = function_path(properties.required("FunctionName")?, "/policy");
    let added = call(cx, Method::POST, &path, object(body)).await;
    match added.map_err(Failure::from) {
        Err(failure) if cx.resumed && failure.is_already_exists() => {}
        added => drop(added?),
    }
    Ok(Resource::new(&id).with("Id", id))
}

async fn delete(cx: &Cx, resource: &Resource, properties: &Properties) -> Result<(), Failure> {
    let id = percent::encode(&resource.physical_id);
    let path = function_path(properties.required("FunctionName")?, &format!("/policy/{id}"));
    call(cx, Method::DELETE, &path, None).await?;
    Ok(())
}
