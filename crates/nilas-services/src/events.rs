//! EventBridge (JSON 1.1): the truth that there are no rules yet.
//!
//! Deploy tools ask for a function's rules before they change or remove it. Making rules is refused.

use nilas_model::AuthContext;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::json_api::{self, decode};
use crate::pattern::Pattern;

const DEFAULT_BUS: &str = "default";

/// The members that say which rules are meant.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    #[serde(alias = "Rule")]
    name: Option<String>,
    event_bus_name: Option<String>,
    target_arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Test {
    event_pattern: String,
    event: String,
}

/// Answers one request, errors included.
pub(crate) fn handle(auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
    let operation = json_api::operation(Service::Events, request);
    let result = run(auth, operation, &request.body);
    json_api::answer(Service::Events, request, result)
}

fn run(auth: &AuthContext, operation: &str, body: &[u8]) -> Result<Value, Fault> {
    match operation {
        "ListRules" => {
            let input: Input = decode(body)?;
            check_bus(auth, &input)?;
            Ok(json!({ "Rules": [] }))
        }
        "ListRuleNamesByTarget" => {
            let input: Input = decode(body)?;
            required("targetArn", input.target_arn.as_deref())?;
            check_bus(auth, &input)?;
            Ok(json!({ "RuleNames": [] }))
        }
        "DescribeRule" | "EnableRule" | "DisableRule" => {
            let input: Input = decode(body)?;
            Err(no_rule(auth, "name", &input))
        }
        "ListTargetsByRule" | "RemoveTargets" => {
            let input: Input = decode(body)?;
            Err(no_rule(auth, "rule", &input))
        }
        // As on AWS: a rule that is not there is deleted.
        "DeleteRule" => {
            let input: Input = decode(body)?;
            required("name", input.name.as_deref())?;
            check_bus(auth, &input)?;
            Ok(Value::Null)
        }
        "TestEventPattern" => {
            let input: Test = decode(body)?;
            let pattern = Pattern::parse(&input.event_pattern)?;
            let event: Value = serde_json::from_str(&input.event).map_err(|_| not_an_event())?;
            if !event.is_object() {
                return Err(not_an_event());
            }
            Ok(json!({ "Result": pattern.matches(&event) }))
        }
        operation => Err(json_api::unknown_operation(Service::Events, operation)),
    }
}

fn not_an_event() -> Fault {
    Fault::validation("Parameter Event is not valid.")
}

fn no_rule(auth: &AuthContext, member: &str, input: &Input) -> Fault {
    let name = match required(member, input.name.as_deref()) {
        Ok(name) => name,
        Err(fault) => return fault,
    };
    if let Err(fault) = check_bus(auth, input) {
        return fault;
    }
    let message = format!("Rule {name} does not exist on EventBus {DEFAULT_BUS}.");
    Fault::plain("ResourceNotFoundException", 400, message)
}

/// The default bus is the only one there is.
fn check_bus(auth: &AuthContext, input: &Input) -> Result<(), Fault> {
    let arn = json_api::arn(auth, Service::Events, "event-bus/default");
    match input.event_bus_name.as_deref() {
        Some(bus) if bus != DEFAULT_BUS && bus != arn => {
            let message = format!("Event bus {bus} does not exist.");
            Err(Fault::plain("ResourceNotFoundException", 400, message))
        }
        _ => Ok(()),
    }
}

fn required<'a>(member: &str, value: Option<&'a str>) -> Result<&'a str, Fault> {
    value.ok_or_else(|| {
        Fault::validation(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}
