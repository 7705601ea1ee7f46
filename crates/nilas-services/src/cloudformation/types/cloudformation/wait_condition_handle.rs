//! `AWS::CloudFormation::WaitConditionHandle`: there, and inert; often the one resource of a template that has none.

use crate::cloudformation::resource::{Resource, ResourceType};

pub(crate) const TYPE: ResourceType = ResourceType {
    name: "AWS::CloudFormation::WaitConditionHandle",
    properties: &[],
    attributes: &[],
    create: |cx, _| {
        let url = format!("{}/_aws/cloudformation/signal/{}", cx.base_url, cx.token);
        Box::pin(async { Ok(Resource::new(url)) })
    },
    update: |_, change| Box::pin(async move { Ok(change.resource.clone()) }),
    delete: |_, _, _| Box::pin(async { Ok(()) }),
};
