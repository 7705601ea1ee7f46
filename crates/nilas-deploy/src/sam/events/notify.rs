//! Events that take little more than a permission: `AlexaSkill`, `IoTRule`, `Cognito`, `CloudWatchLogs`.

use super::bucket::resource;
use super::{Event, Link, Permission, Target};
use crate::sam::context::{Context, arn_text};
use crate::sam::core::check::At;
use crate::sam::core::intrinsic::{get_att, reference, sub, sub_with};
use crate::sam::core::print;
use crate::sam::core::problem::{Problem, Result};
use crate::sam::core::property::{Property, passed};
use crate::sam::core::resource::Resource;
use crate::sam::core::value::{Val, list, map};

const USER_POOL: &[Property] = &[
    passed("AccountRecoverySetting"),
    passed("AdminCreateUserConfig"),
    passed("AliasAttributes"),
    passed("AutoVerifiedAttributes"),
    passed("DeletionProtection"),
    passed("DeviceConfiguration"),
    passed("EmailAuthenticationMessage"),
    passed("EmailAuthenticationSubject"),
    passed("EmailConfiguration"),
    passed("EmailVerificationMessage"),
    passed("EmailVerificationSubject"),
    passed("EnabledMfas"),
    passed("LambdaConfig"),
    passed("MfaConfiguration"),
    passed("Policies"),
    passed("Schema"),
    passed("SmsAuthenticationMessage"),
    passed("SmsConfiguration"),
    passed("SmsVerificationMessage"),
    passed("UserAttributeUpdateSettings"),
    passed("UsernameAttributes"),
    passed("UsernameConfiguration"),
    passed("UserPoolAddOns"),
    passed("UserPoolName"),
    passed("UserPoolTags"),
    passed("UserPoolTier"),
    passed("VerificationMessageTemplate"),
    passed("WebAuthnRelyingPartyID"),
    passed("WebAuthnUserVerification"),
];

pub(super) fn alexa(event: &Event, target: &Target) -> Result<Vec<Resource>> {
    let token = event.source.value("SkillId");
    let permission =
        Permission { service: "alexa-appkit.amazon.com", token, ..Permission::default() };
    Ok(vec![permission.build(&event.source.id, &target.resource)?])
}

pub(super) fn iot(cx: &Context, event: &Event, target: &Target) -> Result<Vec<Resource>> {
    let source = &event.source;
    let text = arn_text(cx.partition, "iot", "rule/${RuleName}");
    let permission = Permission {
        service: "iot.amazonaws.com",
        source_arn: sub_with(text, map! { "RuleName" => reference(&source.id) }),
        source_account: sub("${AWS::AccountId}"),
        ..Permission::default()
    };
    let permission = permission.build(&source.id, &target.resource)?;
    let attributes = target.resource.passed_on();
    let mut rule = Resource::new(&source.id, "AWS::IoT::TopicRule", &attributes)?;
    let action = map! { "Lambda" => map! { "FunctionArn" => target.resource.arn() } };
    let mut payload = map! {
        "Sql" => source.value("Sql"),
        "RuleDisabled" => false,
        "Actions" => list![action],
    };
    if source.truthy("AwsIotSqlVersion") {
        payload.insert("AwsIotSqlVersion", source.value("AwsIotSqlVersion"));
    }
    rule.set("TopicRulePayload", payload);
    Ok(vec![permission, rule])
}

pub(super) fn logs(cx: &Context, event: &Event, target: &Target) -> Result<Vec<Resource>> {
    let source = &event.source;
    let group = source.value("LogGroupName");
    let text = arn_text(cx.partition, "logs", "log-group:${__LogGroupName__}:*");
    let permission = Permission {
        service: "logs.amazonaws.com",
        source_arn: sub_with(text, map! { "__LogGroupName__" => group.clone() }),
        ..Permission::default()
    };
    let permission = permission.build(&source.id, &target.resource)?;
    let attributes = target.resource.passed_on();
    let mut filter = Resource::new(&source.id, "AWS::Logs::SubscriptionFilter", &attributes)?
        .depending_on(vec![Val::from(&permission.id)]);
    filter.set("LogGroupName", group);
    filter.set("FilterPattern", source.value("FilterPattern"));
    filter.set("DestinationArn", target.resource.arn());
    Ok(vec![permission, filter])
}

pub(super) fn link_user_pool(cx: &Context, event: &Event) -> Result<Link> {
    let pool = event.source.get("UserPool").and_then(|pool| pool.get("Ref"));
    if let Some(pool) = pool {
        let Val::Text(id) = pool else {
            return Err(Problem::event(&event.source.id, "Ref in Userpool is not a string."));
        };
        if cx.resources.has(id) {
            return Ok(Link::Resource { id: id.clone() });
        }
    }
    Err(event.problem("Cognito events must reference a Cognito UserPool in the same template."))
}

pub(super) fn cognito(cx: &mut Context, event: &Event, target: &Target) -> Result<Vec<Resource>> {
    let Link::Resource { id } = &event.link else { return Ok(Vec::new()) };
    let permission = Permission {
        service: "cognito-idp.amazonaws.com",
        source_arn: get_att(id, "Arn"),
        ..Permission::default()
    };
    let permission = permission.build(&target.resource.id.plus("Cognito"), &target.resource)?;
    let Some(Val::Map(pool)) = cx.resources.get_mut(id) else {
        let message = "Cognito events must reference a Cognito UserPool in the same template.";
        return Err(event.problem(message));
    };
    let trigger = event.source.value("Trigger");
    let triggers = match &trigger {
        Val::List(triggers) => triggers.clone(),
        one => vec![one.clone()],
    };
    let properties = pool.map_mut("Properties");
    if let Some(given) = properties.get("LambdaConfig") {
        At::Resource(id, "LambdaConfig").map(Some(given))?;
    }
    let config = properties.map_mut("LambdaConfig");
    for name in triggers.iter().filter_map(Val::as_text) {
        if config.has(name) {
            let trigger = print::text(&trigger);
            let message = format!("Cognito trigger \"{trigger}\" defined multiple times.");
            return Err(event.problem(message));
        }
        config.insert(name, target.resource.arn());
    }
    let made = resource(id, "AWS::Cognito::UserPool", USER_POOL, pool)?;
    Ok(vec![permission, made])
}
