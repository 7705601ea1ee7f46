//! What the edge hands requests to: verified ones to a service, those for users' APIs to the front doors.

use nilas_model::AuthContext;
use nilas_services::Services;
use nilas_services::front::{FrontRequest, Session};
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

    /// Answers a request to an API or a function URL of a user's.
    fn front(&self, request: FrontRequest) -> impl Future<Output = ApiResponse> + Send;

    /// Lets a client speak WebSockets, or answers its request.
    fn connect(
        &self,
        request: FrontRequest,
    ) -> impl Future<Output = Result<Session, ApiResponse>> + Send;

    /// Whether `host`, in lower case and without a port, is a custom domain of a user's API.
    fn is_custom_domain(&self, host: &str) -> bool;
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

    async fn front(&self, request: FrontRequest) -> ApiResponse {
        Self::front(self, request).await
    }

    async fn connect(&self, request: FrontRequest) -> Result<Session, ApiResponse> {
        Self::connect(self, request).await
    }

    fn is_custom_domain(&self, host: &str) -> bool {
        Self::is_custom_domain(self, host)
    }
}
