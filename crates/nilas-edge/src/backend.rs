//! What the edge hands verified requests to.

use nilas_model::AuthContext;
use nilas_services::Services;
use nilas_wire::{ApiRequest, ApiResponse, Service};

/// The services behind the edge: [`Services`], or a stand-in where the edge itself is tested.
pub trait Backend: Send + Sync + std::fmt::Debug + 'static {
    /// Answers one operation; errors, too, are answers.
    fn handle(
        &self,
        service: Service,
        auth: &AuthContext,
        request: ApiRequest,
    ) -> impl Future<Output = ApiResponse> + Send;
}

impl Backend for Services {
    async fn handle(
        &self,
        service: Service,
        auth: &AuthContext,
        request: ApiRequest,
    ) -> ApiResponse {
        Self::handle(self, service, auth, request).await
    }
}
