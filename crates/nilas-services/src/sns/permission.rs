//! AddPermission and RemovePermission: statements of a topic's policy. Policies are kept, not enforced.

use nilas_wire::Fault;
use nilas_wire::query::Form;
use serde_json::{Value, json};

use super::attributes::check_topic;
use super::{Answer, Sns, Topic, fault};

const ACTIONS: [&str; 8] = [
    "AddPermission",
    "DeleteTopic",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "Publish",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
];

impl Sns {
    pub(super) async fn add_permission(&self, form: &Form) -> Answer {
        let label = form.get("Label").ok_or_else(|| fault::missing("Label"))?;
        let accounts = form.strings("AWSAccountId");
        let actions = form.strings("ActionName");
        if accounts.is_empty() || actions.is_empty() {
            let name = if accounts.is_empty() { "AWSAccountId" } else { "ActionName" };
            return Err(fault::missing(name));
        }
        if !actions.iter().all(|action| *action == "*" || ACTIONS.contains(action)) {
            return Err(fault::invalid("Policy statement action out of service scope!"));
        }
        self.change_policy(form, |topic, statements| {
            if statements.iter().any(|one| one["Sid"] == label) {
                return Err(fault::invalid("Statement already exists"));
            }
            let principals: Vec<String> =
                accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
            let actions: Vec<String> = actions.iter().map(|action| format!("SNS:{action}")).collect();
            statements.push(json!({
                "Sid": label, "Effect": "Allow", "Principal": { "AWS": principals }, "Action": actions,
                "Resource": topic.arn,
            }));
            Ok(())
        })
        .await
    }

    pub(super) async fn remove_permission(&self, form: &Form) -> Answer {
        let label = form.get("Label").ok_or_else(|| fault::missing("Label"))?;
        self.change_policy(form, |_, statements| {
            let before = statements.len();
            statements.retain(|one| one["Sid"] != label);
            if statements.len() == before {
                return Err(fault::invalid("Statement does not exist"));
            }
            Ok(())
        })
        .await
    }

    async fn change_policy(
        &self,
        form: &Form,
        change: impl FnOnce(&Topic, &mut Vec<Value>) -> Result<(), Fault>,
    ) -> Answer {
        let _writing = self.shelf.writing().await;
        let mut topic = (*self.topic(form)?).clone();
        let set = topic.attributes.get("Policy").and_then(|text| serde_json::from_str(text).ok());
        let mut policy: Value = set.unwrap_or_else(|| topic.default_policy());
        let mut statements = match policy["Statement"].take() {
            Value::Array(statements) => statements,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        change(&topic, &mut statements)?;
        policy["Statement"] = Value::Array(statements);
        let policy = policy.to_string();
        check_topic("Policy", &policy, topic.is_fifo())?;
        topic.attributes.insert("Policy".to_owned(), policy);
        self.put_topic(topic).await?;
        Ok(None)
    }
}
