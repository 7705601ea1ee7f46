//! API keys and usage plans as the data plane sees them, and what of them is used up.
//!
//! Rates are token buckets, quotas are counters of the current day, week or month (UTC). Both are in memory: a restart
//! begins them anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::snapshot::{StageSnapshot, throttle};
use crate::apigateway::{Members, flag, text, texts};
use crate::front::throttle::{Buckets, Throttle};

/// Counters kept; beyond it all start anew.
const METERS_MAX: usize = 100_000;
const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Default)]
pub(super) struct KeyRing {
    by_value: HashMap<String, Key>,
    plans: Vec<Plan>,
}

#[derive(Debug)]
struct Key {
    id: String,
    enabled: bool,
}

#[derive(Debug)]
pub(super) struct Plan {
    id: String,
    keys: HashSet<String>,
    stages: Vec<(String, String, HashMap<String, Throttle>)>,
    throttle: Option<Throttle>,
    quota: Option<Quota>,
}

#[derive(Debug, Clone, Copy)]
struct Quota {
    limit: u64,
    period: Period,
}

#[derive(Debug, Clone, Copy)]
enum Period {
    Day,
    Week,
    Month,
}

impl KeyRing {
    pub(super) fn of(keys: &[Members], plans: &[Members]) -> Self {
        let key = |key: &Members| {
            let id = text(key, "id")?.to_owned();
            Some((text(key, "value")?.to_owned(), Key { id, enabled: flag(key, "enabled") }))
        };
        Self {
            by_value: keys.iter().filter_map(key).collect(),
            plans: plans.iter().filter_map(Plan::of).collect(),
        }
    }

    /// The id of the key with `value`, and its plan for a stage of an API; none if it opens nothing there.
    pub(super) fn find(&self, value: &str, api: &str, stage: &str) -> Option<(&str, &Plan)> {
        let key = self.by_value.get(value).filter(|key| key.enabled)?;
        let plan = self.plans.iter().find(|plan| {
            plan.keys.contains(&key.id)
                && plan.stages.iter().any(|(id, name, _)| id == api && name == stage)
        })?;
        Some((&key.id, plan))
    }
}

impl Plan {
    fn of(plan: &Members) -> Option<Self> {
        let stages = plan.get("apiStages").and_then(Value::as_array).into_iter().flatten();
        let stage = |stage: &Value| {
            let throttles = stage.get("throttle").and_then(Value::as_object);
            let throttles = throttles.into_iter().flatten().filter_map(|(method, limits)| {
                let method = method.trim_start_matches('/').to_owned();
                Some((method, throttle(limits, "rateLimit", "burstLimit")?))
            });
            let (api, name) = (stage.get("apiId")?.as_str()?, stage.get("stage")?.as_str()?);
            Some((api.to_owned(), name.to_owned(), throttles.collect()))
        };
        let quota = plan.get("quota").and_then(|quota| {
            let period = match quota.get("period")?.as_str()? {
                "DAY" => Period::Day,
                "WEEK" => Period::Week,
                _ => Period::Month,
            };
            Some(Quota { limit: quota.get("limit")?.as_u64()?, period })
        });
        Some(Self {
            id: text(plan, "id")?.to_owned(),
            keys: texts(plan, "keys").into_iter().collect(),
            stages: stages.filter_map(stage).collect(),
            throttle: plan
                .get("throttle")
                .and_then(|limits| throttle(limits, "rateLimit", "burstLimit")),
            quota,
        })
    }
}

/// What has been used of rates and quotas.
#[derive(Debug, Default)]
pub(super) struct Meters {
    buckets: Buckets,
    counters: Mutex<HashMap<String, (u64, u64)>>,
}

/// What a call was refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Used {
    Rate,
    Quota,
}

/// The call that is metered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metered<'a> {
    pub(super) api: &'a str,
    /// `pets/{id}`
    pub(super) resource: &'a str,
    pub(super) verb: &'a str,
    pub(super) now_us: u64,
    pub(super) now_ms: u64,
}

impl Meters {
    /// Takes one call from the stage's rate.
    pub(super) fn take_stage(&self, stage: &StageSnapshot, call: Metered<'_>) -> Result<(), Used> {
        if stage.throttles.is_empty() {
            return Ok(());
        }
        let Some((method, limit)) = throttle_of(&stage.throttles, call) else { return Ok(()) };
        let name = format!("{}/{} {method}", call.api, stage.name);
        self.take(name, limit, call.now_us)
    }

    /// Takes one call of `key` from its plan.
    pub(super) fn take_plan(
        &self,
        plan: &Plan,
        key: &str,
        stage: &str,
        call: Metered<'_>,
    ) -> Result<(), Used> {
        let own = plan.stages.iter().find(|(api, name, _)| api == call.api && name == stage);
        if let Some((method, limit)) = own.and_then(|(_, _, own)| throttle_of(own, call)) {
            let name = format!("{}:{key} {}/{stage} {method}", plan.id, call.api);
            self.take(name, limit, call.now_us)?;
        }
        if let Some(limit) = plan.throttle {
            self.take(format!("{}:{key}", plan.id), limit, call.now_us)?;
        }
        let Some(quota) = plan.quota else { return Ok(()) };
        let period = quota.period.number(call.now_ms);
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= METERS_MAX {
            counters.clear();
        }
        let counter = counters.entry(format!("{}:{key}", plan.id)).or_insert((period, 0));
        if counter.0 != period {
            *counter = (period, 0);
        }
        if counter.1 >= quota.limit {
            return Err(Used::Quota);
        }
        counter.1 += 1;
        Ok(())
    }

    fn take(&self, name: String, limit: Throttle, now_us: u64) -> Result<(), Used> {
        if self.buckets.take(name, limit, now_us) { Ok(()) } else { Err(Used::Rate) }
    }
}

/// The limit of a method: its own, or that of all.
fn throttle_of(
    throttles: &HashMap<String, Throttle>,
    call: Metered<'_>,
) -> Option<(String, Throttle)> {
    let Metered { resource, verb, .. } = call;
    [format!("{resource}/{verb}"), format!("{resource}/*"), "*/*".to_owned()]
        .into_iter()
        .find_map(|method| throttles.get(&method).map(|limit| (method.clone(), *limit)))
}

impl Period {
    /// A number for the period that `now_ms` is in.
    fn number(self, now_ms: u64) -> u64 {
        let day = now_ms / DAY_MS;
        match self {
            Self::Day => day,
            // The epoch began on a Thursday; weeks begin on Sundays.
            Self::Week => (day + 4) / 7,
            Self::Month => {
                let time = i64::try_from(now_ms).unwrap_or(0);
                let time = jiff::Timestamp::from_millisecond(time).unwrap_or_default();
                let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
                u64::try_from(i64::from(date.year()) * 12 + i64::from(date.month())).unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(value: Value) -> Members {
        value.as_object().unwrap().clone()
    }

    fn call(now_ms: u64) -> Metered<'static> {
        Metered { api: "a", resource: "pets", verb: "GET", now_us: now_ms * 1_000, now_ms }
    }

    #[test]
    fn a_plan_lets_through_its_rate_and_its_quota() {
        let keys = [members(json!({ "id": "k", "value": "secret", "enabled": true }))];
        let plans = [members(json!({
            "id": "p", "keys": ["k"], "apiStages": [{ "apiId": "a", "stage": "dev" }],
            "throttle": { "rateLimit": 1, "burstLimit": 2 }, "quota": { "limit": 3, "period": "DAY" },
        }))];
        let ring = KeyRing::of(&keys, &plans);
        assert!(
            ring.find("other", "a", "dev").is_none() && ring.find("secret", "b", "dev").is_none()
        );
        let (key, plan) = ring.find("secret", "a", "dev").unwrap();
        let meters = Meters::default();
        let take = |now_ms| meters.take_plan(plan, key, "dev", call(now_ms));
        assert_eq!([take(0), take(0), take(0)], [Ok(()), Ok(()), Err(Used::Rate)]);
        assert_eq!([take(1_500), take(9_000)], [Ok(()), Err(Used::Quota)]);
        assert_eq!(take(DAY_MS), Ok(()));
    }
}
