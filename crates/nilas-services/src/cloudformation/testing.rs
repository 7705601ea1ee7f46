//! What the tests of CloudFormation share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nilas_model::{AccountId, AuthContext, Origin, Principal, Region, SimClock};

use serde_json::{Map, Value};

use super::callbacks::Callbacks;
use super::failure::{Failure, HandlerErrorCode};
use super::properties::Properties;
use super::resource::{Change, Cx, Property, Resource, ResourceType};
use crate::calls::Calls;

pub(crate) fn auth() -> AuthContext {
    AuthContext {
        account: AccountId::parse("000000000000").unwrap(),
        region: Region::parse("us-east-1").unwrap(),
        principal: Principal::Root,
        access_key_id: "test".to_owned(),
        origin: Origin::Loopback,
    }
}

/// The resource `R` of the stack `s`.
pub(crate) fn cx() -> Cx {
    Cx {
        calls: Calls::default(),
        auth: auth(),
        clock: Arc::new(SimClock::at_epoch_ms(1_800_000_000_000)),
        base_url: "http://127.0.0.1:4566".to_owned(),
        stack_name: "s".to_owned(),
        stack_id: "arn:aws:cloudformation:us-east-1:000000000000:stack/s/1".to_owned(),
        stack_tags: Vec::new(),
        logical_id: "R".to_owned(),
        kind: "Test::Fake::Thing".to_owned(),
        callbacks: Callbacks::default(),
        token: "ABCDEFGHIJKL".to_owned(),
        resumed: false,
    }
}

/// What things there are, of all stacks: by stack and physical id, their properties.
pub(crate) type World = BTreeMap<(String, String), Map<String, Value>>;

static WORLD: Mutex<World> = Mutex::new(World::new());

/// The things of the stack `id`.
pub(crate) fn things(stack: &str) -> World {
    let world = WORLD.lock().unwrap();
    let of_stack = world.iter().filter(|((owner, _), _)| owner == stack);
    of_stack.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// `Test::Fake::Thing`, whose making and changing fail when its properties say so.
pub(crate) const THING: ResourceType = ResourceType {
    name: "Test::Fake::Thing",
    properties: &[
        Property::text("Name").replaces(),
        Property::json("Value"),
        // `early` before anything is done, `late` afterwards.
        Property::text("Fails"),
    ],
    attributes: &["Value"],
    create: |cx, properties| Box::pin(create(cx, properties)),
    update: |cx, change| Box::pin(update(cx, change)),
    delete: |cx, resource, _| Box::pin(delete(cx, resource)),
};

async fn create(cx: &Cx, properties: &Properties) -> Result<Resource, Failure> {
    tokio::task::yield_now().await;
    if properties.text("Fails") == Some("early") {
        return Err(Failure::invalid("fails early"));
    }
    let id = cx.name_or(properties, "Name", 255);
    let key = (cx.stack_id.clone(), id.clone());
    if WORLD.lock().unwrap().insert(key, properties.members().clone()).is_some() {
        return Err(Failure::already_exists("there is such a thing"));
    }
    let made = thing(id, properties);
    match properties.text("Fails") {
        Some(_) => Err(Failure::invalid("fails late").after(made)),
        None => Ok(made),
    }
}

async fn update(cx: &Cx, change: Change<'_>) -> Result<Resource, Failure> {
    tokio::task::yield_now().await;
    if change.new.text("Fails") == Some("early") {
        return Err(Failure::invalid("fails early"));
    }
    let id = change.resource.physical_id.clone();
    let key = (cx.stack_id.clone(), id.clone());
    let before = WORLD.lock().unwrap().insert(key, change.new.members().clone());
    assert!(before.is_some(), "only what is there is changed");
    match change.new.text("Fails") {
        Some(_) => Err(Failure::invalid("fails late")),
        None => Ok(thing(id, change.new)),
    }
}

async fn delete(cx: &Cx, resource: &Resource) -> Result<(), Failure> {
    tokio::task::yield_now().await;
    let key = (cx.stack_id.clone(), resource.physical_id.clone());
    match WORLD.lock().unwrap().remove(&key) {
        Some(_) => Ok(()),
        None => Err(Failure::handler(HandlerErrorCode::NotFound, "no such thing")),
    }
}

fn thing(id: String, properties: &Properties) -> Resource {
    let value = properties.get("Value").map(ToString::to_string).unwrap_or_default();
    Resource::new(id).with("Value", value)
}
