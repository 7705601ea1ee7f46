//! Which events of a bucket go to whom: Put and GetBucketNotificationConfiguration.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html>

use std::sync::Arc;

use s3s::dto::{
    Event as EventName, FilterRule, GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput, NotificationConfiguration,
    NotificationConfigurationFilter, PutBucketNotificationConfigurationInput,
    PutBucketNotificationConfigurationOutput,
};

use super::error::S3Error;
use super::events::bucket_arn;
use super::record::Setting;
use super::store::new_id;
use super::{Cx, S3, settings};

/// Configurations of one bucket.
const RULES_MAX: usize = 100;

/// The events that this server sends; a configuration may name any of AWS's.
const EVENTS: [&str; 28] = [
    "s3:TestEvent",
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
];

/// One configuration, of whatever kind.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    pub(super) id: &'a str,
    pub(super) arn: &'a str,
    events: &'a [EventName],
    filter: Option<&'a NotificationConfigurationFilter>,
}

impl Rule<'_> {
    /// `lambda`, `sqs` or `sns`
    pub(super) fn service(&self) -> &str {
        self.arn.split(':').nth(2).unwrap_or_default()
    }

    /// `event` is without `s3:`.
    pub(super) fn is_for(&self, event: &str, key: &str) -> bool {
        let hears = |name: &EventName| {
            let name = name.as_ref().strip_prefix("s3:").unwrap_or_default();
            name.strip_suffix('*').map_or(name == event, |kind| event.starts_with(kind))
        };
        self.events.iter().any(hears)
            && key.starts_with(self.affix("prefix"))
            && key.ends_with(self.affix("suffix"))
    }

    /// Whether it is told that it was configured; functions are not.
    pub(super) fn hears_of_tests(&self) -> bool {
        self.service() != "lambda"
    }

    /// What keys begin or end with; nothing, if that does not matter.
    fn affix(&self, kind: &str) -> &str {
        let rules = self.filter.and_then(|filter| filter.key.as_ref()?.filter_rules.as_deref());
        let is_it = |rule: &&FilterRule| {
            let name = rule.name.as_ref().map(|name| name.as_str());
            name.is_some_and(|name| name.eq_ignore_ascii_case(kind))
        };
        let rule = rules.unwrap_or_default().iter().find(is_it);
        rule.and_then(|rule| rule.value.as_deref()).unwrap_or_default()
    }

    /// Whether some event would be for both.
    fn overlaps(&self, other: &Self) -> bool {
        let meets = |one: &str, other: &str| {
            let covers = |one: &str, other: &str| {
                one.strip_suffix('*').map_or(one == other, |kind| other.starts_with(kind))
            };
            covers(one, other) || covers(other, one)
        };
        let (ours, theirs) = (self.affix("prefix"), other.affix("prefix"));
        let (our_end, their_end) = (self.affix("suffix"), other.affix("suffix"));
        let shares = |name: &EventName| {
            other.events.iter().any(|theirs| meets(name.as_ref(), theirs.as_ref()))
        };
        self.events.iter().any(shares)
            && (ours.starts_with(theirs) || theirs.starts_with(ours))
            && (our_end.ends_with(their_end) || their_end.ends_with(our_end))
    }
}

/// All of a bucket's, those of functions first.
pub(super) fn rules(configuration: &NotificationConfiguration) -> Vec<Rule<'_>> {
    let mut rules = Vec::new();
    macro_rules! add {
        ($list:ident, $arn:ident) => {
            for one in configuration.$list.as_deref().unwrap_or_default() {
                rules.push(Rule {
                    id: one.id.as_deref().unwrap_or_default(),
                    arn: &one.$arn,
                    events: &one.events,
                    filter: one.filter.as_ref(),
                });
            }
        };
    }
    add!(lambda_function_configurations, lambda_function_arn);
    add!(queue_configurations, queue_arn);
    add!(topic_configurations, topic_arn);
    rules
}

pub(crate) async fn get(
    s3: &Arc<S3>,
    cx: &Cx,
    input: GetBucketNotificationConfigurationInput,
) -> Result<GetBucketNotificationConfigurationOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let stored = settings::read::<NotificationConfiguration>(&bucket, Setting::Notification)?;
    let stored = stored.unwrap_or_default();
    Ok(GetBucketNotificationConfigurationOutput {
        event_bridge_configuration: stored.event_bridge_configuration,
        lambda_function_configurations: stored.lambda_function_configurations,
        queue_configurations: stored.queue_configurations,
        topic_configurations: stored.topic_configurations,
    })
}

pub(crate) async fn put(
    s3: &Arc<S3>,
    cx: &Cx,
    input: PutBucketNotificationConfigurationInput,
) -> Result<PutBucketNotificationConfigurationOutput, S3Error> {
    let owner = input.expected_bucket_owner.as_deref();
    let bucket = s3.own_bucket(&cx.auth, &input.bucket, owner).await?.value;
    let mut configuration = input.notification_configuration;
    name_all(&mut configuration);
    check(&configuration)?;
    if input.skip_destination_validation != Some(true) {
        check_destinations(cx, &input.bucket, &configuration)?;
    }
    let is_empty = configuration == NotificationConfiguration::default();
    let xml = if is_empty { None } else { Some(settings::xml(&configuration)?) };
    s3.set(&cx.auth, &input.bucket, owner, Setting::Notification, xml).await?;
    s3.send_test_event(cx, &input.bucket, &bucket, &configuration).await?;
    Ok(PutBucketNotificationConfigurationOutput::default())
}

/// Gives an id to those that have none.
fn name_all(configuration: &mut NotificationConfiguration) {
    let name = |id: &mut Option<String>| {
        id.get_or_insert_with(new_id);
    };
    let lists = configuration;
    lists.lambda_function_configurations.iter_mut().flatten().for_each(|one| name(&mut one.id));
    lists.queue_configurations.iter_mut().flatten().for_each(|one| name(&mut one.id));
    lists.topic_configurations.iter_mut().flatten().for_each(|one| name(&mut one.id));
}

fn check(configuration: &NotificationConfiguration) -> Result<(), S3Error> {
    let rules = rules(configuration);
    if rules.len() > RULES_MAX {
        return Err(invalid(format!(
            "A bucket has at most {RULES_MAX} notification configurations."
        )));
    }
    if configuration.event_bridge_configuration.is_some() {
        return Err(S3Error::NotImplemented(
            "This server does not send a bucket's events to EventBridge yet.".to_owned(),
        ));
    }
    for (at, rule) in rules.iter().enumerate() {
        if rule.service() == "sns" {
            return Err(S3Error::NotImplemented(
                "This server does not send a bucket's events to topics yet.".to_owned(),
            ));
        }
        check_rule(rule)?;
        if rules[..at].iter().any(|other| other.id == rule.id) {
            return Err(invalid(
                "Same ID used for multiple configurations. IDs must be unique".into(),
            ));
        }
        if rules[..at].iter().any(|other| other.overlaps(rule)) {
            return Err(invalid(
                "Configurations overlap. Configurations on the same bucket cannot share a common event type."
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

fn check_rule(rule: &Rule<'_>) -> Result<(), S3Error> {
    if rule.events.is_empty() {
        return Err(S3Error::MalformedXml);
    }
    if rule.events.iter().any(|event| !EVENTS.contains(&event.as_ref())) {
        return Err(invalid("The event is not supported for notifications".to_owned()));
    }
    if rule.id.len() > 255 {
        return Err(invalid("The maximum length of a configuration's ID is 255".to_owned()));
    }
    let filter = rule.filter.and_then(|filter| filter.key.as_ref()?.filter_rules.as_deref());
    let mut seen = Vec::new();
    for one in filter.unwrap_or_default() {
        let name = one.name.as_ref().map(|name| name.as_str().to_ascii_lowercase());
        let name = name.filter(|name| name == "prefix" || name == "suffix").ok_or_else(|| {
            invalid("filter rule name must be either prefix or suffix".to_owned())
        })?;
        if seen.contains(&name) {
            return Err(invalid(format!("Cannot specify more than one {name} rule in a filter.")));
        }
        if one.value.as_ref().is_some_and(|value| value.chars().count() > 1_024) {
            return Err(invalid("Size of filter rule value cannot exceed 1024 bytes".to_owned()));
        }
        seen.push(name);
    }
    Ok(())
}

/// Functions must be there and allow the bucket to invoke them, queues must be there.
fn check_destinations(
    cx: &Cx,
    bucket: &str,
    configuration: &NotificationConfiguration,
) -> Result<(), S3Error> {
    let source = bucket_arn(bucket);
    let is_reached = |rule: &Rule<'_>| match rule.service() {
        "lambda" => cx.lambda.service_may_invoke("s3.amazonaws.com", &source, rule.arn),
        "sqs" => cx.sqs.polled(rule.arn).is_some(),
        _ => false,
    };
    if rules(configuration).iter().all(is_reached) {
        return Ok(());
    }
    Err(invalid("Unable to validate the following destination configurations".to_owned()))
}

fn invalid(message: String) -> S3Error {
    S3Error::InvalidNotification(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3s::dto::{FilterRuleName, QueueConfiguration, S3KeyFilter};

    fn one(id: &str, events: &[&str], affixes: &[(&'static str, &str)]) -> QueueConfiguration {
        let rule = |(name, value): &(&'static str, &str)| FilterRule {
            name: Some(FilterRuleName::from_static(name)),
            value: Some((*value).to_owned()),
        };
        let key = S3KeyFilter { filter_rules: Some(affixes.iter().map(rule).collect()) };
        QueueConfiguration {
            id: Some(id.to_owned()),
            queue_arn: "arn:aws:sqs:us-east-1:000000000000:q".to_owned(),
            events: events.iter().map(|event| EventName::from((*event).to_owned())).collect(),
            filter: Some(NotificationConfigurationFilter { key: Some(key) }),
        }
    }

    fn of(list: Vec<QueueConfiguration>) -> NotificationConfiguration {
        NotificationConfiguration { queue_configurations: Some(list), ..Default::default() }
    }

    #[test]
    fn rules_are_for_their_events_and_keys() {
        let configuration =
            of(vec![one("a", &["s3:ObjectCreated:*"], &[("prefix", "in/"), ("suffix", ".jpg")])]);
        let rules = rules(&configuration);
        for (event, key, expected) in [
            ("ObjectCreated:Put", "in/a.jpg", true),
            ("ObjectCreated:Copy", "in/a.png", false),
            ("ObjectCreated:Put", "out/a.jpg", false),
            ("ObjectRemoved:Delete", "in/a.jpg", false),
        ] {
            assert_eq!(rules[0].is_for(event, key), expected, "{event} {key}");
        }
    }

    #[test]
    fn what_would_be_for_two_is_refused() {
        let created: &[&str] = &["s3:ObjectCreated:Put"];
        let all: &[&str] = &["s3:ObjectCreated:*"];
        for (first, second, fits) in [
            (one("a", created, &[]), one("b", all, &[]), false),
            (one("a", created, &[("prefix", "x")]), one("b", all, &[("prefix", "y")]), true),
            (one("a", created, &[("prefix", "x")]), one("b", all, &[("Prefix", "xy")]), false),
            (one("a", created, &[("suffix", ".a")]), one("b", all, &[("suffix", ".b")]), true),
            (one("a", created, &[]), one("a", &["s3:ObjectRemoved:*"], &[]), false),
            (one("a", created, &[]), one("b", &["s3:ObjectRemoved:*"], &[]), true),
            (one("a", created, &[]), one("b", &["s3:Nothing"], &[]), false),
            (one("a", created, &[]), one("b", &["s3:ObjectRemoved:*"], &[("infix", "x")]), false),
        ] {
            let configuration = of(vec![first, second]);
            assert_eq!(check(&configuration).is_ok(), fits, "{configuration:?}");
        }
    }

    #[test]
    fn each_has_an_id() {
        let mut configuration = of(vec![QueueConfiguration { id: None, ..one("", &[], &[]) }]);
        name_all(&mut configuration);
        assert!(!rules(&configuration)[0].id.is_empty());
    }
}
