//! The events of functions and state machines: what invokes them, and what lets it.

mod api;
mod bucket;
mod http_api;
mod kafka;
mod mapping;
mod notify;
mod properties;
mod request;
mod rule;
mod schedule_v2;
mod state_machine_api;
mod topic;

pub(super) use api::api_id;

use super::context::Context;
use super::core::check::At;
use super::core::print;
use super::core::problem::{Problem, Result};
use super::core::resource::{Resource, Source};
use super::core::value::{Map, Text, Val};

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Of {
    Function,
    StateMachine,
}

/// What an event invokes.
#[derive(Debug)]
pub(super) struct Target {
    /// The function, its alias, or the state machine.
    pub(super) resource: Resource,
    /// The boundary of roles that are made for events of state machines.
    pub(super) boundary: Val,
}

/// One event, checked, with what it refers to found.
#[derive(Debug)]
pub(super) struct Event {
    /// Its name among the resource's events.
    pub(super) name: Text,
    pub(super) of: Of,
    /// Its properties; its logical id is the resource's with the name.
    pub(super) source: Source,
    link: Link,
}

/// What of the template an event is about.
#[derive(Debug)]
enum Link {
    None,
    Api {
        id: Val,
        stage: Text,
    },
    HttpApi {
        id: Text,
    },
    /// A bucket or user pool.
    Resource {
        id: Text,
    },
}

impl Event {
    /// Reads a resource's events, in their order.
    pub(super) fn link_all(cx: &Context, source: &Source, of: Of) -> Result<Vec<Self>> {
        let mut events = Vec::new();
        for (name, body) in source.map("Events").into_iter().flat_map(Map::iter) {
            let event = Self::link(cx, source, name, body, of);
            events.push(event.map_err(|problem| problem.of_resource(&source.id))?);
        }
        Ok(events)
    }

    fn link(cx: &Context, of_source: &Source, name: &Text, body: &Val, of: Of) -> Result<Self> {
        let kind = body.get("Type");
        let types =
            if of == Of::Function { properties::FUNCTION } else { properties::STATE_MACHINE };
        let known = kind
            .and_then(Val::as_str)
            .and_then(|kind| types.iter().find(|(known, _)| *known == kind));
        let Some((kind, tables)) = known else {
            let kind = kind.map_or_else(|| "None".to_owned(), print::text);
            return Err(Problem::event(
                name,
                format!(
                    "Resource dict has missing or invalid value for key Type. Event Type is: {kind}."
                ),
            ));
        };
        let id = of_source.id.plus(name);
        let body = body.as_map().cloned().unwrap_or_default();
        let source = Source::parse(&id, kind, tables, &body)?;
        let mut event = Self { name: name.clone(), of, source, link: Link::None };
        event.link = match *kind {
            "Api" => api::link(cx, &event)?,
            "HttpApi" => http_api::link(cx, &event)?,
            "S3" => bucket::link(cx, &event)?,
            "Cognito" => notify::link_user_pool(cx, &event)?,
            _ => Link::None,
        };
        Ok(event)
    }

    /// Expands events by path, or by name where they have none; those of state machines as they are.
    pub(super) fn expand_all(
        cx: &mut Context,
        mut events: Vec<Self>,
        source: &Source,
        target: &Target,
        mut role: Option<&mut Resource>,
    ) -> Result<Vec<Resource>> {
        if events.first().is_some_and(|event| event.of == Of::Function) {
            let given = |event: &Self| {
                let body = source.map("Events").and_then(|events| events.get(&event.name));
                let path = body.and_then(|body| body.get("Properties")?.get("Path"));
                path.and_then(Val::as_str).unwrap_or(&event.name).to_owned()
            };
            events.sort_by_key(given);
        }
        let mut made = Vec::new();
        for event in events {
            made.extend(event.expand(cx, target, role.as_deref_mut())?);
        }
        Ok(made)
    }

    fn expand(
        mut self,
        cx: &mut Context,
        target: &Target,
        role: Option<&mut Resource>,
    ) -> Result<Vec<Resource>> {
        match (self.source.kind, self.of) {
            ("Api", Of::Function) => api::expand(cx, &mut self, target),
            ("Api", Of::StateMachine) => state_machine_api::expand(cx, &mut self, target),
            ("HttpApi", _) => http_api::expand(cx, &mut self, target),
            ("Schedule" | "CloudWatchEvent" | "EventBridgeRule", _) => rule::expand(&self, target),
            ("ScheduleV2", _) => schedule_v2::expand(&self, target),
            ("S3", _) => bucket::expand(cx, &self, target),
            ("SNS", _) => topic::expand(cx, &self, target, role),
            ("AlexaSkill", _) => notify::alexa(&self, target),
            ("IoTRule", _) => notify::iot(cx, &self, target),
            ("Cognito", _) => notify::cognito(cx, &self, target),
            ("CloudWatchLogs", _) => notify::logs(cx, &self, target),
            _ => mapping::expand(cx, &mut self.source, &self.name, target, role),
        }
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::event(&self.name, message)
    }

    fn at<'a>(&'a self, path: &'a str) -> At<'a> {
        At::Event(&self.name, path)
    }
}

/// Who may invoke the target, and for what.
#[derive(Debug, Default)]
struct Permission<'a> {
    service: &'a str,
    source_arn: Val,
    source_account: Val,
    token: Val,
    /// What the logical id ends with, or what it ends with the digest of.
    suffix: &'a str,
}

impl Permission<'_> {
    fn build(self, id: &Text, target: &Resource) -> Result<Resource> {
        let prefix = id.plus("Permission");
        let alphanumeric =
            !self.suffix.is_empty() && self.suffix.chars().all(char::is_alphanumeric);
        let id = if alphanumeric {
            prefix.plus(self.suffix)
        } else {
            print::hashed_id(&prefix, &self.suffix.into()).into()
        };
        let mut permission = Resource::new(id, "AWS::Lambda::Permission", &target.passed_on())?;
        permission.set("Action", "lambda:InvokeFunction");
        permission.set("FunctionName", target.name_or_arn());
        permission.set("Principal", self.service);
        permission.set("SourceArn", self.source_arn);
        permission.set("SourceAccount", self.source_account);
        permission.set("EventSourceToken", self.token);
        Ok(permission)
    }
}
