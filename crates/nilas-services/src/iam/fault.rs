//! IAM's errors, in AWS's words.

use nilas_wire::Fault;

/// What AWS has and nilas does not: the first words of the operations.
const NOT_KEPT: [&str; 9] = [
    "User",
    "Group",
    "InstanceProfile",
    "AccessKey",
    "LoginProfile",
    "MFADevice",
    "SAMLProvider",
    "OpenIDConnectProvider",
    "ServerCertificate",
];

pub(super) fn missing_action() -> Fault {
    Fault::plain("MissingAction", 400, "Could not find operation in the request.")
}

pub(super) fn unknown_action(action: &str) -> Fault {
    if NOT_KEPT.iter().any(|noun| action.contains(noun)) || action.starts_with("Simulate") {
        let message = format!(
            "nilas does not support the IAM operation {action}: it keeps roles and policies, no other identities."
        );
        return Fault::plain("NotImplemented", 501, message);
    }
    let message = format!("Could not find operation {action} for version 2010-05-08");
    Fault::plain("InvalidAction", 400, message)
}

pub(super) fn no_such_entity(message: impl Into<String>) -> Fault {
    Fault::plain("NoSuchEntity", 404, message)
}

pub(super) fn no_such_role(name: &str) -> Fault {
    no_such_entity(format!("The role with name {name} cannot be found."))
}

pub(super) fn no_such_policy(arn: &str) -> Fault {
    no_such_entity(format!("Policy {arn} was not found."))
}

pub(super) fn already_exists(message: impl Into<String>) -> Fault {
    Fault::plain("EntityAlreadyExists", 409, message)
}

pub(super) fn delete_conflict(message: &str) -> Fault {
    Fault::plain("DeleteConflict", 409, message)
}

pub(super) fn limit_exceeded(message: impl Into<String>) -> Fault {
    Fault::plain("LimitExceeded", 409, message)
}

pub(super) fn malformed(message: impl Into<String>) -> Fault {
    Fault::plain("MalformedPolicyDocument", 400, message)
}

pub(super) fn validation(message: impl Into<String>) -> Fault {
    Fault::plain("ValidationError", 400, message)
}

/// `member` is in the request's own spelling, `RoleName`.
pub(super) fn constraint(member: &str, value: &str, constraint: &str) -> Fault {
    let mut name = member.to_owned();
    name[..1].make_ascii_lowercase();
    validation(format!(
        "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must {constraint}"
    ))
}

pub(super) fn missing(member: &str) -> Fault {
    let mut name = member.to_owned();
    name[..1].make_ascii_lowercase();
    validation(format!(
        "1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member must not be null"
    ))
}
