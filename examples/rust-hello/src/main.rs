//! Greets. Build it, name the executable `bootstrap`, zip it, and create a function with runtime `provided.al2023`.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

// One thread: an environment serves one invocation at a time, and on more threads a runtime of this kind hands it from
// one to the next a dozen times.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(hello)).await
}

async fn hello(event: LambdaEvent<Value>) -> Result<Value, Error> {
    if event.payload["fail"] == json!(true) {
        return Err("asked to fail".into());
    }
    let name = event.payload["name"].as_str().unwrap_or("World");
    Ok(json!({ "message": format!("Hello {name}") }))
}
