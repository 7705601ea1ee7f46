//! All resource types there are: a file each, one list of them here.

mod apigateway;
mod apigatewayv2;
mod cdk;
mod cloudformation;
mod ecr;
mod iam;
mod kms;
mod lambda;
mod logs;
mod s3;
mod secretsmanager;
mod sns;
mod sqs;
mod ssm;

use super::resource::ResourceType;

/// In the order of their names, which the tests hold.
const TYPES: &[&ResourceType] = &[
    &apigateway::account::TYPE,
    &apigateway::api_key::TYPE,
    &apigateway::authorizer::TYPE,
    &apigateway::base_path_mapping::TYPE,
    &apigateway::deployment::TYPE,
    &apigateway::domain_name::TYPE,
    &apigateway::gateway_response::TYPE,
    &apigateway::method::TYPE,
    &apigateway::model::TYPE,
    &apigateway::request_validator::TYPE,
    &apigateway::resource::TYPE,
    &apigateway::rest_api::TYPE,
    &apigateway::stage::TYPE,
    &apigateway::usage_plan::TYPE,
    &apigateway::usage_plan_key::TYPE,
    &apigatewayv2::api::TYPE,
    &apigatewayv2::api_mapping::TYPE,
    &apigatewayv2::authorizer::TYPE,
    &apigatewayv2::deployment::TYPE,
    &apigatewayv2::domain_name::TYPE,
    &apigatewayv2::integration::TYPE,
    &apigatewayv2::route::TYPE,
    &apigatewayv2::route_response::TYPE,
    &apigatewayv2::stage::TYPE,
    &apigatewayv2::vpc_link::TYPE,
    &cdk::metadata::TYPE,
    &cloudformation::custom_resource::TYPE,
    &cloudformation::stack::TYPE,
    &cloudformation::wait_condition_handle::TYPE,
    &ecr::repository::TYPE,
    &iam::managed_policy::TYPE,
    &iam::policy::TYPE,
    &iam::role::TYPE,
    &iam::role_policy::TYPE,
    &kms::alias::TYPE,
    &kms::key::TYPE,
    &lambda::alias::TYPE,
    &lambda::event_invoke_config::TYPE,
    &lambda::event_source_mapping::TYPE,
    &lambda::function::TYPE,
    &lambda::layer_version::TYPE,
    &lambda::layer_version_permission::TYPE,
    &lambda::permission::TYPE,
    &lambda::url::TYPE,
    &lambda::version::TYPE,
    &logs::log_group::TYPE,
    &s3::bucket::TYPE,
    &s3::bucket_policy::TYPE,
    &sns::subscription::TYPE,
    &sns::topic::TYPE,
    &sns::topic_inline_policy::TYPE,
    &sns::topic_policy::TYPE,
    &sqs::queue::TYPE,
    &sqs::queue_policy::TYPE,
    &ssm::parameter::TYPE,
    &secretsmanager::secret::TYPE,
];

/// The type called `name`.
pub(crate) fn find(name: &str) -> Option<&'static ResourceType> {
    // Of these the template makes up the name.
    if name.starts_with("Custom::") {
        return Some(&cloudformation::custom_resource::TYPE);
    }
    #[cfg(test)]
    if name == super::testing::THING.name {
        return Some(&super::testing::THING);
    }
    TYPES.iter().copied().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_in_the_order_of_their_names() {
        let names: Vec<&str> = TYPES.iter().map(|known| known.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert!(names.iter().all(|name| find(name).is_some()));
    }

    #[test]
    fn types_that_have_no_service_of_their_own_are_on_the_page() {
        let page = include_str!("../../../../../docs/reference/cloudformation.md");
        let listed = |name: &str| page.contains(&format!("`{name}`"));
        for prefix in ["AWS::CDK::", "AWS::CloudFormation::", "AWS::Logs::"] {
            let known = TYPES.iter().filter(|known| known.name.starts_with(prefix));
            known.for_each(|known| assert!(listed(known.name), "{}", known.name));
        }
    }
}
