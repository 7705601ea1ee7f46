//! Where crates meet that do not know each other.

use nilas_edge::Backend;
use nilas_engine::{LogEvent, LogSink};
use nilas_model::AuthContext;
use nilas_services::Services;
use nilas_services::front::{FrontRequest, Session};
use nilas_store::{LogRow, Logs};
use nilas_wire::{ApiRequest, ApiResponse, Service};

/// The services, behind the edge.
#[derive(Debug)]
pub(crate) struct AllServices(pub(crate) Services);

impl Backend for AllServices {
    async fn handle(
        &self,
        service: Service,
        auth: &AuthContext,
        request: ApiRequest,
    ) -> ApiResponse {
        self.0.handle(service, auth, request).await
    }

    async fn front(&self, request: FrontRequest) -> ApiResponse {
        self.0.front(request).await
    }

    async fn connect(&self, request: FrontRequest) -> Result<Session, ApiResponse> {
        self.0.connect(request).await
    }

    fn is_custom_domain(&self, host: &str) -> bool {
        self.0.is_custom_domain(host)
    }
}

/// The store, behind the engine's logs.
#[derive(Debug)]
pub(crate) struct StoreLogSink(pub(crate) Logs);

impl LogSink for StoreLogSink {
    fn append(&self, group: &str, stream: &str, events: Vec<LogEvent>) {
        let row = |LogEvent { timestamp_ms, message }| LogRow { timestamp_ms, message };
        self.0.append(group, stream, events.into_iter().map(row).collect());
    }
}
