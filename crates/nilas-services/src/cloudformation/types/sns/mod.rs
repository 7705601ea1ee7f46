//! Simple Notification Service.

pub(super) mod subscription;
pub(super) mod topic;
pub(super) mod topic_inline_policy;
pub(super) mod topic_policy;

use nilas_wire::Service;
use nilas_wire::xml::Element;
use serde_json::Value;

use crate::cloudformation::failure::Failure;
use crate::cloudformation::resource::Cx;

async fn call(cx: &Cx, action: &str, members: &[(String, String)]) -> Result<Element, Failure> {
    Ok(cx.calls.query(Service::Sns, &cx.auth, action, members).await?)
}

/// The text called `name` below `<ACTIONResult>`.
fn text(answer: &Element, name: &str) -> Result<String, Failure> {
    let found = answer.children.first().and_then(|result| result.text_at(&[name]));
    found.map(str::to_owned).ok_or_else(|| Failure::no_member(name))
}

fn member(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// `Attributes.entry.N.…`
fn entries(attributes: &[(&str, String)]) -> Vec<(String, String)> {
    let numbered = (1..).zip(attributes);
    let pairs = numbered.flat_map(|(n, (name, value))| {
        let key = (format!("Attributes.entry.{n}.key"), (*name).to_owned());
        [key, (format!("Attributes.entry.{n}.value"), value.clone())]
    });
    pairs.collect()
}

async fn set_of_topic(cx: &Cx, topic: &str, name: &str, value: &str) -> Result<(), Failure> {
    let members =
        [member("TopicArn", topic), member("AttributeName", name), member("AttributeValue", value)];
    call(cx, "SetTopicAttributes", &members).await.map(drop)
}

/// Attributes are texts, policies among them.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
