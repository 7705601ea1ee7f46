//! What the expansion of one template shares between its resources.

use std::collections::HashMap;

use super::api::domain::RecordSets;
use super::api::usage_plan::SharedPlan;
use super::core::intrinsic;
use super::core::resolver::{self, Made, Mappings, Parameters};
use super::core::value::{Map, Val};
use super::deployment_preference::Deployments;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) partition: &'static str,
    pub(super) parameters: Parameters,
    pub(super) mappings: Mappings,
    /// The resources as the template has them. Events change the ones they are about.
    pub(super) resources: Map,
    /// The resources of the expanded template: at first those of the template, replaced one by one.
    pub(super) expanded: Map,
    pub(super) conditions: Map,
    /// Whether the template has conditions at all.
    pub(super) has_conditions: bool,
    pub(super) made: Made,
    pub(super) deployments: Deployments,
    pub(super) shared_plan: SharedPlan,
    pub(super) record_sets: RecordSets,
    /// The names of the functions that an API's events are of, joined, by the API's logical id.
    pub(super) function_names: HashMap<String, String>,
    /// What an API that is always deployed takes its deployment's digest of.
    pub(super) nonce: String,
}

impl Context {
    pub(super) fn new(region: &str, parameters: Map, template: &Map) -> Self {
        let section =
            |name: &str| template.get(name).and_then(Val::as_map).cloned().unwrap_or_default();
        Self {
            partition: resolver::partition(region),
            parameters: Parameters(parameters),
            mappings: Mappings(section("Mappings")),
            resources: section("Resources"),
            expanded: Map::new(),
            conditions: section("Conditions"),
            has_conditions: template.get("Conditions").is_some(),
            made: Made::default(),
            deployments: Deployments::default(),
            shared_plan: SharedPlan::default(),
            record_sets: RecordSets::default(),
            function_names: HashMap::new(),
            nonce: String::new(),
        }
    }

    /// The ARN of a policy of AWS's.
    pub(super) fn managed_policy(&self, name: &str) -> String {
        format!("arn:{}:iam::aws:policy/{name}", self.partition)
    }

    /// The policy that lets a function or state machine write traces.
    pub(super) fn xray_policy_name(&self) -> &'static str {
        if self.partition == "aws" { "AWSXrayWriteOnlyAccess" } else { "AWSXRayDaemonWriteAccess" }
    }
}

/// The text, for `Fn::Sub`, of an ARN in the stack's region and account.
pub(super) fn arn_text(partition: &str, service: &str, resource: &str) -> String {
    format!("arn:{partition}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}")
}

/// The URI with which API Gateway invokes the function of an authorizer.
pub(super) fn authorizer_uri(partition: &str, function: &Val) -> Val {
    let text = format!(
        "arn:{partition}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{__FunctionArn__}}/invocations"
    );
    let mut variables = Map::new();
    variables.insert("__FunctionArn__", function.clone());
    intrinsic::sub_with(text, variables)
}
