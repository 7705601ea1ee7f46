//! SNS's errors, in AWS's words.

use nilas_wire::Fault;

/// What AWS has and nilas does not: words in the names of the operations.
const NOT_KEPT: [&str; 7] = [
    "PlatformApplication",
    "PlatformEndpoint",
    "EndpointAttributes",
    "DeleteEndpoint",
    "SMS",
    "PhoneNumber",
    "DataProtectionPolicy",
];

pub(super) fn unknown_action(action: &str) -> Fault {
    if NOT_KEPT.iter().any(|noun| action.contains(noun)) {
        let message = format!(
            "nilas does not support the SNS operation {action}: it has topics and subscriptions, no phones and no data \
             protection."
        );
        return Fault::plain("NotImplemented", 501, message);
    }
    let message = format!("Could not find operation {action} for version 2010-03-31");
    Fault::plain("InvalidAction", 400, message)
}

pub(super) fn invalid(message: impl AsRef<str>) -> Fault {
    Fault::plain("InvalidParameter", 400, format!("Invalid parameter: {}", message.as_ref()))
}

pub(super) fn invalid_value(message: impl Into<String>) -> Fault {
    Fault::plain("ParameterValueInvalid", 400, message)
}

pub(super) fn missing(member: &str) -> Fault {
    let mut name = member.to_owned();
    name[..1].make_ascii_lowercase();
    let message = format!(
        "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
    );
    Fault::plain("ValidationError", 400, message)
}

pub(super) fn no_topic() -> Fault {
    Fault::plain("NotFound", 404, "Topic does not exist")
}

pub(super) fn no_subscription() -> Fault {
    Fault::plain("NotFound", 404, "Subscription does not exist")
}
