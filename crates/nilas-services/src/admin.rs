//! What is nilas's own and no service of AWS's (JSON 1.1, `X-Amz-Target: Nilas.OPERATION`): the clock, and the events
//! that wait for functions. For the root key only.

use std::sync::Arc;

use nilas_model::limits::{ADMIN_EVENTS_LISTED_MAX, CLOCK_AHEAD_MS_MAX};
use nilas_model::{AuthContext, Clock, VirtualClock};
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service, time};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::json_api::{self, decode};
use crate::lambda::Lambda;

#[derive(Debug)]
pub(crate) struct Admin {
    lambda: Arc<Lambda>,
    clock: Arc<dyn Clock>,
    /// None where time cannot be moved.
    virtual_clock: Option<Arc<VirtualClock>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    milliseconds: u64,
    function_name: Option<String>,
    request_id: Option<String>,
}

impl Admin {
    pub(crate) fn new(
        lambda: Arc<Lambda>,
        clock: Arc<dyn Clock>,
        virtual_clock: Option<Arc<VirtualClock>>,
    ) -> Self {
        Self { lambda, clock, virtual_clock }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let operation = json_api::operation(Service::Nilas, request);
        let result = self.run(auth, operation, &request.body).await;
        json_api::answer(Service::Nilas, request, result)
    }

    async fn run(&self, auth: &AuthContext, operation: &str, body: &[u8]) -> Result<Value, Fault> {
        let input: Input = decode(body)?;
        match operation {
            "GetClock" => Ok(self.clock_as_json()),
            "AdvanceClock" => self.advance(input.milliseconds),
            "ListEvents" => {
                let function = input.function_name.as_deref();
                Ok(self.lambda.events_as_json(auth, function, ADMIN_EVENTS_LISTED_MAX))
            }
            "RetryEvents" => {
                let retried = self.lambda.retry_events(
                    auth,
                    input.function_name.as_deref(),
                    input.request_id.as_deref(),
                );
                let retried = retried.await.map_err(|error| {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "events cannot be changed"
                    );
                    Fault::service("InternalFailure", 500, "The events could not be written.")
                })?;
                Ok(json!({ "Retried": retried }))
            }
            operation => Err(json_api::unknown_operation(Service::Nilas, operation)),
        }
    }

    fn advance(&self, by_ms: u64) -> Result<Value, Fault> {
        let clock = self.virtual_clock.as_ref().ok_or_else(|| {
            let message = "This server's clock runs with the machine's. Start it with --virtual-clock on to move time.";
            Fault::plain("ClockNotVirtualException", 400, message)
        })?;
        if clock.ahead_ms().saturating_add(by_ms) > CLOCK_AHEAD_MS_MAX {
            let message = format!("The clock can be {CLOCK_AHEAD_MS_MAX} ms ahead at most.");
            return Err(Fault::validation(message));
        }
        clock.advance_ms(by_ms);
        Ok(self.clock_as_json())
    }

    fn clock_as_json(&self) -> Value {
        let now_ms = self.clock.epoch_ms();
        json!({
            "Now": time::iso8601_millis(now_ms),
            "AheadMilliseconds": self.virtual_clock.as_ref().map_or(0, |clock| clock.ahead_ms()),
            "IsVirtual": self.virtual_clock.is_some(),
        })
    }
}
