//! Reads what CreateStack, UpdateStack and CreateChangeSet have in common: a template, its parameters, settings.

use std::collections::BTreeMap;

use nilas_model::limits::{TEMPLATE_BODY_BYTES_MAX, TEMPLATE_URL_BYTES_MAX};
use nilas_wire::{Fault, Service};
use serde_json::{Map, Value, json};

use super::Cx;
use crate::cloudformation::fault;
use crate::cloudformation::stack::{Deployment, Settings, Stack, TemplateTexts};
use crate::cloudformation::target::Target;
use crate::cloudformation::template::{
    Given, Parameter, Pseudo, apply_transforms, choose_parameters, declared_parameters,
    parameter_values, parse, ssm_names, transform_names,
};
use crate::s3::ObjectAddress;

const TAGS_MAX: usize = 50;

/// A deployment that can be begun.
pub(super) struct Prepared {
    pub(super) texts: TemplateTexts,
    /// Its template is not numbered yet.
    pub(super) deployment: Deployment,
    pub(super) settings: Settings,
    pub(super) target: Target,
}

/// What is deployed so far, where the request says to use it again.
#[derive(Default)]
pub(super) struct Before {
    pub(super) texts: Option<TemplateTexts>,
    pub(super) deployment: Deployment,
    pub(super) settings: Settings,
}

/// What outputs come from.
pub(super) struct OutputSources {
    section: Option<Value>,
    parameters: BTreeMap<String, String>,
}

impl OutputSources {
    pub(super) fn of(before: &Before) -> Self {
        let section = before.texts.as_ref().and_then(|it| it.processed.get("Outputs").cloned());
        Self { section, parameters: before.deployment.parameters.clone() }
    }

    /// Whether `prepared`, if its resources stay as they are, has the same outputs.
    pub(super) fn are_those_of(&self, prepared: &Prepared) -> bool {
        prepared.texts.processed.get("Outputs") == self.section.as_ref()
            && (self.section.is_none() || prepared.deployment.parameters == self.parameters)
    }
}

/// A template that is well-formed, with values for its parameters; its macros are not applied yet.
pub(super) struct Draft {
    pub(super) texts: TemplateTexts,
    pub(super) deployment: Deployment,
    pub(super) settings: Settings,
    parameters: Vec<Parameter>,
}

/// Reads and checks all, for a deployment without a change set to look at before.
pub(super) async fn prepare(cx: &Cx<'_>, stack: &Stack, before: Before) -> Result<Prepared, Fault> {
    let draft = draft(cx, before).await?;
    let allowed = draft.settings.capabilities.iter().any(|name| name == "CAPABILITY_AUTO_EXPAND");
    if !draft.texts.transforms.is_empty() && !allowed {
        return Err(fault::capabilities(&["CAPABILITY_AUTO_EXPAND"]));
    }
    draft.finish(cx, stack)
}

/// Reads what is sent, as far as that can be done without applying macros.
pub(super) async fn draft(cx: &Cx<'_>, before: Before) -> Result<Draft, Fault> {
    let original = source(cx, before.texts.as_ref()).await?;
    let root = parse(&original).map_err(|error| fault::of_template(&error))?;
    let transforms: Vec<String> = transform_names(&root)
        .map_err(|error| fault::of_template(&error))?
        .into_iter()
        .map(str::to_owned)
        .collect();
    let settings = settings(cx, &before)?;
    let parameters = declared_parameters(&root).map_err(|error| fault::of_template(&error))?;
    let given = given(cx, &parameters)?;
    let chosen = choose_parameters(&parameters, &given, &before.deployment.parameters)
        .map_err(|error| fault::of_template(&error))?;
    let from_ssm = ask_ssm(cx, &parameters, &chosen).await?;
    let no_echo = parameters.iter().filter(|parameter| parameter.no_echo);
    let deployment = Deployment {
        template: 0,
        description: None,
        no_echo: no_echo.map(|parameter| parameter.name.clone()).collect(),
        parameters: chosen,
        from_ssm,
        tags: tags(cx, before.deployment.tags)?,
    };
    let texts = TemplateTexts { original, processed: root, transforms };
    Ok(Draft { texts, deployment, settings, parameters })
}

impl Draft {
    /// Applies the macros and checks what comes out.
    pub(super) fn finish(mut self, cx: &Cx<'_>, stack: &Stack) -> Result<Prepared, Fault> {
        let Deployment { parameters, from_ssm, .. } = &self.deployment;
        let values = parameter_values(&self.parameters, parameters, from_ssm);
        let pseudo = Pseudo {
            account: stack.account.clone(),
            region: stack.region.clone(),
            stack_name: stack.name.clone(),
            stack_id: stack.id.clone(),
            notification_arns: self.settings.notification_arns.clone(),
        };
        self.texts.processed =
            apply_transforms(self.texts.processed, &values, &pseudo, cx.now_ms())
                .map_err(|error| fault::of_template(&error))?;
        let notification_arns = &self.settings.notification_arns;
        let target = Target::new(stack, &self.texts, &self.deployment, notification_arns)
            .map_err(|error| fault::of_template(&error))?;
        self.deployment.description = target.template.description().map(str::to_owned);
        check_capabilities(&target, &self.settings)?;
        let Self { texts, deployment, settings, .. } = self;
        Ok(Prepared { texts, deployment, settings, target })
    }
}

/// The template's text: sent, read from S3, or as before.
pub(super) async fn source(cx: &Cx<'_>, before: Option<&TemplateTexts>) -> Result<String, Fault> {
    let (body, url) = (cx.form.get("TemplateBody"), cx.form.get("TemplateURL"));
    match (body.filter(|text| !text.is_empty()), url.filter(|text| !text.is_empty())) {
        (Some(_), Some(_)) => Err(fault::validation(
            "You must specify either Template URL or Template Body, but not both.",
        )),
        (Some(body), None) if body.len() > TEMPLATE_BODY_BYTES_MAX => Err(fault::constraint(
            body,
            "templateBody",
            &format!("Member must have length less than or equal to {TEMPLATE_BODY_BYTES_MAX}"),
        )),
        (Some(body), None) => Ok(body.to_owned()),
        (None, Some(url)) => fetch(cx, url).await,
        (None, None) if cx.form.get("UsePreviousTemplate") == Some("true") => {
            let before = before.ok_or_else(|| {
                fault::validation("UsePreviousTemplate cannot be used: there is no template yet.")
            })?;
            Ok(before.original.clone())
        }
        (None, None) => {
            Err(fault::validation("Either Template URL or Template Body must be specified."))
        }
    }
}

/// Reads a template from our own S3, whatever the host it is said to be on.
async fn fetch(cx: &Cx<'_>, url: &str) -> Result<String, Fault> {
    let address = ObjectAddress::parse(url)
        .ok_or_else(|| fault::validation("TemplateURL must be a supported URL."))?;
    let object = cx.service.s3.read_object(cx.auth, &address, TEMPLATE_URL_BYTES_MAX).await;
    let object = object.map_err(|refusal| {
        let message = refusal.message.unwrap_or_default();
        fault::validation(format!("S3 error: {message}\nFor more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"))
    })?;
    String::from_utf8(object.to_vec())
        .map_err(|_| fault::validation("Template format error: unsupported structure."))
}

fn settings(cx: &Cx<'_>, before: &Before) -> Result<Settings, Fault> {
    let known = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];
    let capabilities = texts(cx, "Capabilities");
    if let Some(unknown) = capabilities.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(fault::constraint(
            &format!("[{unknown}]"),
            "capabilities",
            "Member must satisfy constraint: [Member must satisfy enum value set: [CAPABILITY_AUTO_EXPAND, CAPABILITY_NAMED_IAM, CAPABILITY_IAM]]",
        ));
    }
    let kept = &before.settings;
    let notification_arns = match cx.form.has_list("NotificationARNs") {
        true => texts(cx, "NotificationARNs"),
        false => kept.notification_arns.clone(),
    };
    let role_arn = cx.form.get("RoleARN").filter(|arn| !arn.is_empty()).map(str::to_owned);
    let minutes = cx.form.get("TimeoutInMinutes").map(|text| {
        text.parse::<u64>().ok().filter(|minutes| *minutes > 0).ok_or_else(|| {
            fault::constraint(
                text,
                "timeoutInMinutes",
                "Member must have value greater than or equal to 1",
            )
        })
    });
    Ok(Settings {
        capabilities,
        notification_arns,
        role_arn: role_arn.or_else(|| kept.role_arn.clone()),
        disable_rollback: cx.form.get("DisableRollback") == Some("true"),
        timeout_minutes: minutes.transpose()?.or(kept.timeout_minutes),
    })
}

fn texts(cx: &Cx<'_>, name: &str) -> Vec<String> {
    cx.form.strings(name).into_iter().map(str::to_owned).collect()
}

fn tags(cx: &Cx<'_>, before: Vec<(String, String)>) -> Result<Vec<(String, String)>, Fault> {
    if !cx.form.has_list("Tags") {
        return Ok(before);
    }
    let sent = cx.form.structures("Tags");
    if sent.len() > TAGS_MAX {
        return Err(fault::validation(format!("Number of tags exceeds the limit of {TAGS_MAX}")));
    }
    let mut tags: Vec<(String, String)> = Vec::with_capacity(sent.len());
    for tag in &sent {
        let key = tag.get("Key").unwrap_or_default();
        if key.is_empty() || key.starts_with("aws:") {
            return Err(fault::validation(format!("Invalid tag key: '{key}'")));
        }
        if tags.iter().any(|(known, _)| known == key) {
            return Err(fault::validation(format!("Duplicate tag key found: '{key}'")));
        }
        tags.push((key.to_owned(), tag.get("Value").unwrap_or_default().to_owned()));
    }
    Ok(tags)
}

/// A parameter that is sent without a value is as good as one that is not sent.
fn given(cx: &Cx<'_>, declared: &[Parameter]) -> Result<BTreeMap<String, Given>, Fault> {
    let mut given = BTreeMap::new();
    for sent in cx.form.structures("Parameters") {
        let key = sent.get("ParameterKey").unwrap_or_default().to_owned();
        let previous = sent.get("UsePreviousValue") == Some("true");
        let value = match (sent.get("ParameterValue"), previous) {
            (Some(_), true) => {
                return Err(fault::validation(format!(
                    "Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non empty value for a parameter"
                )));
            }
            (Some(value), false) => Given::Value(value.to_owned()),
            (None, true) => Given::Previous,
            (None, false) => {
                let found = declared.iter().find(|parameter| parameter.name == key);
                if found.is_some_and(|parameter| parameter.default.is_some()) {
                    continue;
                }
                Given::Value(String::new())
            }
        };
        given.insert(key, value);
    }
    Ok(given)
}

/// The values of the parameters that name one of SSM.
async fn ask_ssm(
    cx: &Cx<'_>,
    parameters: &[Parameter],
    chosen: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Fault> {
    let calls = cx.service.calls.at(cx.request.local);
    let mut values = BTreeMap::new();
    for (name, there) in ssm_names(parameters, chosen) {
        let body = json!({ "Name": there });
        let answer = calls.json(Service::Ssm, cx.auth, "GetParameter", body).await;
        let answer = answer.map_err(|refusal| match refusal.code.as_str() {
            "ParameterNotFound" => fault::validation(format!(
                "Unable to fetch parameters [{there}] from parameter store for this account."
            )),
            _ => fault::validation(refusal.message),
        })?;
        let value = answer.pointer("/Parameter/Value").and_then(Value::as_str).unwrap_or_default();
        values.insert(name.to_owned(), value.to_owned());
    }
    Ok(values)
}

/// Types that need the caller's word, and the property that names them.
const IAM_TYPES: [(&str, &str); 8] = [
    ("AWS::IAM::AccessKey", ""),
    ("AWS::IAM::Group", "GroupName"),
    ("AWS::IAM::InstanceProfile", "InstanceProfileName"),
    ("AWS::IAM::ManagedPolicy", "ManagedPolicyName"),
    ("AWS::IAM::Policy", ""),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::IAM::User", "UserName"),
    ("AWS::IAM::UserToGroupAddition", ""),
];

/// The capability that a template's resources demand.
pub(super) fn demanded<'a>(
    resources: impl Iterator<Item = (&'a str, &'a Map<String, Value>)>,
) -> Option<&'static str> {
    let mut demanded = None;
    for (kind, properties) in resources {
        let Some((_, name)) = IAM_TYPES.iter().find(|(known, _)| *known == kind) else { continue };
        if properties.contains_key(*name) {
            return Some("CAPABILITY_NAMED_IAM");
        }
        demanded = Some("CAPABILITY_IAM");
    }
    demanded
}

fn check_capabilities(target: &Target, settings: &Settings) -> Result<(), Fault> {
    let resources = target.template.resources.iter();
    let needed = demanded(resources.map(|it| (it.kind.as_str(), &it.properties)));
    let has = |name: &str| settings.capabilities.iter().any(|known| known == name);
    match needed {
        Some("CAPABILITY_IAM") if has("CAPABILITY_IAM") || has("CAPABILITY_NAMED_IAM") => Ok(()),
        Some(needed) if !has(needed) => Err(fault::capabilities(&[needed])),
        _ => Ok(()),
    }
}
