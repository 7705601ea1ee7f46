//! `AWS::CDK::Metadata`: says which constructs a template was made of. Nothing is made of it.

use crate::cloudformation::resource::{Property, Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::CDK::Metadata",
    properties: &[Property::text("Analytics").inert(), Property::text("Modules").inert()],
    attributes: &[],
    create: |cx, _| Box::pin(async { Ok(Resource::new(cx.name(128))) }),
    update: |_, change| Box::pin(async move { Ok(change.resource.clone()) }),
    delete: |_, _, _| Box::pin(async { Ok(()) }),
};
