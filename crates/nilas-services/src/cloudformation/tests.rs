//! Random templates, random failures: after an update that failed, everything is exactly what it was.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use nilas_model::{RequestId, SystemClock};
use nilas_store::Store;
use nilas_wire::xml::Element;
use nilas_wire::{ApiRequest, percent};
use serde_json::{Map, Value, json};

use super::stack::{Resources, StackStatus};
use super::testing::{auth, things};
use super::{CloudFormation, testing};
use crate::blob_use::BlobUse;
use crate::calls::Calls;
use crate::deliver::Deliveries;
use crate::s3::S3Door;

const SEEDS: u64 = 200;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

async fn service(dir: &std::path::Path) -> Arc<CloudFormation> {
    let store = Store::open(dir).unwrap();
    let clock = Arc::new(SystemClock::new());
    let deliveries = Deliveries::new(store.queues(), clock.clone());
    let s3 = S3Door::open(&store, clock.clone(), BlobUse::new(store.blobs()), deliveries);
    let s3 = Arc::clone(s3.s3());
    CloudFormation::open(store.records(), Calls::default(), clock, s3).await.unwrap()
}

async fn call(service: &Arc<CloudFormation>, action: &str, members: &[(&str, &str)]) -> Element {
    let mut form = format!("Action={action}");
    for (name, value) in members {
        write!(form, "&{name}={}", percent::encode(value)).unwrap();
    }
    let request = ApiRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers: HeaderMap::new(),
        body: Bytes::from(form),
        request_id: RequestId::random(),
        local: ([127, 0, 0, 1], 4566).into(),
        source_ip: [127, 0, 0, 1].into(),
    };
    let response = service.handle(&auth(), &request).await;
    let text = String::from_utf8(response.body.to_vec()).unwrap();
    Element::parse(&text).unwrap_or_else(|| panic!("{text}"))
}

/// Up to eight things, each of which refers to some before it.
fn random_template(dice: &mut Dice) -> Map<String, Value> {
    let mut resources = Map::new();
    for n in 0..=dice.roll(8) {
        // Gaps, so that two templates differ in what they have.
        if dice.roll(4) > 0 {
            resources.insert(format!("T{n}"), random_thing(dice, n));
        }
    }
    resources.insert("T9".to_owned(), json!({ "Type": "Test::Fake::Thing" }));
    // What is not there is not referred to.
    let known: Vec<String> = resources.keys().cloned().collect();
    for thing in resources.values_mut() {
        let parts = thing.pointer_mut("/Properties/Value").and_then(Value::as_array_mut);
        parts.into_iter().for_each(|parts| {
            parts.retain(|part| {
                let id = part.get("Ref").or_else(|| part.pointer("/Fn::GetAtt/0"));
                id.and_then(Value::as_str).is_none_or(|id| known.iter().any(|it| it == id))
            });
        });
    }
    resources
}

fn random_thing(dice: &mut Dice, n: u64) -> Value {
    let mut parts = vec![json!(dice.roll(3))];
    for other in 0..n {
        match dice.roll(5) {
            0 => parts.push(json!({ "Ref": format!("T{other}") })),
            1 => parts.push(json!({ "Fn::GetAtt": [format!("T{other}"), "Value"] })),
            _ => {}
        }
    }
    let mut properties = json!({ "Value": parts });
    if dice.roll(3) == 0 {
        properties["Name"] = format!("name-{n}-{}", dice.roll(2)).into();
    }
    json!({ "Type": "Test::Fake::Thing", "Properties": properties })
}

/// Makes one thing or two of `resources` fail.
fn sabotage(dice: &mut Dice, resources: &mut Map<String, Value>) {
    for _ in 0..=dice.roll(2) {
        let nth = dice.roll(resources.len() as u64);
        let thing = resources.values_mut().nth(usize::try_from(nth).unwrap()).unwrap();
        let how = ["early", "late"][usize::try_from(dice.roll(2)).unwrap()];
        if thing.get("Properties").is_none() {
            thing["Properties"] = json!({});
        }
        thing["Properties"]["Fails"] = how.into();
    }
}

fn body(resources: &Map<String, Value>) -> String {
    let first = resources.keys().next().unwrap();
    json!({ "Resources": resources, "Outputs": { "O": { "Value": { "Ref": first } } } }).to_string()
}

/// What must be the same before and after, but for the times.
fn essence(resources: &Resources) -> String {
    let versions =
        resources.values().map(|it| (&it.id, &it.version, it.touch, &it.former, it.started));
    format!("{:#?}", versions.collect::<Vec<_>>())
}

async fn one_seed(service: Arc<CloudFormation>, seed: u64) {
    let dice = &mut Dice(seed);
    let name = format!("stack{seed}");
    let before = random_template(dice);
    call(&service, "CreateStack", &[("StackName", &name), ("TemplateBody", &body(&before))]).await;
    let found = service.stacks.all().into_iter().find(|cell| cell.state().stack.name == name);
    let cell = found.unwrap_or_else(|| panic!("seed {seed}: no stack"));
    cell.settled().await;
    let state = cell.state();
    assert_eq!(state.stack.status, StackStatus::CreateComplete, "seed {seed}");
    let world = things(&state.stack.id);
    assert_eq!(world.len(), before.len(), "seed {seed}");

    let mut after = random_template(dice);
    sabotage(dice, &mut after);
    call(&service, "UpdateStack", &[("StackName", &name), ("TemplateBody", &body(&after))]).await;
    cell.settled().await;
    let rolled_back = cell.state();
    assert_eq!(rolled_back.stack.status, StackStatus::UpdateRollbackComplete, "seed {seed}");
    assert_eq!(things(&state.stack.id), world, "seed {seed}");
    assert_eq!(essence(&rolled_back.resources), essence(&state.resources), "seed {seed}");
    assert_eq!(rolled_back.stack.outputs, state.stack.outputs, "seed {seed}");
    assert_eq!(rolled_back.stack.deployment, state.stack.deployment, "seed {seed}");

    let next = random_template(dice);
    call(&service, "UpdateStack", &[("StackName", &name), ("TemplateBody", &body(&next))]).await;
    cell.settled().await;
    assert_eq!(things(&state.stack.id).len(), next.len(), "seed {seed}");
    call(&service, "DeleteStack", &[("StackName", &name)]).await;
    cell.settled().await;
    assert_eq!(cell.state().stack.status, StackStatus::DeleteComplete, "seed {seed}");
    assert!(things(&state.stack.id).is_empty(), "seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_leaves_everything_exactly_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path()).await;
    // Together, so that they share the store's commits.
    let mut running = tokio::task::JoinSet::new();
    for seed in 0..SEEDS {
        running.spawn(one_seed(Arc::clone(&service), seed));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_creation_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(dir.path()).await;
    for seed in 0..20 {
        let dice = &mut Dice(seed);
        let mut resources = random_template(dice);
        sabotage(dice, &mut resources);
        let name = format!("failed{seed}");
        call(&service, "CreateStack", &[("StackName", &name), ("TemplateBody", &body(&resources))])
            .await;
        let found = service.stacks.all().into_iter().find(|it| it.state().stack.name == name);
        let cell = found.unwrap();
        cell.settled().await;
        let state = cell.state();
        assert_eq!(state.stack.status, StackStatus::RollbackComplete, "seed {seed}");
        assert!(testing::things(&state.stack.id).is_empty(), "seed {seed}");
    }
}
