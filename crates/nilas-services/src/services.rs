//! All services behind one door.

use std::path::PathBuf;
use std::sync::Arc;

use nilas_engine::Engine;
use nilas_model::{AuthContext, Clock};
use nilas_store::{Blobs, Logs, Store};
use nilas_wire::{ApiRequest, ApiResponse, Service};

use crate::lambda::{Lambda, LambdaConfig, LambdaStartError, RuntimeCatalog, SigningKey};
use crate::{logs, s3, sts};

#[derive(Debug, Clone)]
pub struct ServicesConfig {
    /// The server's data directory; packages are unpacked below it.
    pub data_dir: PathBuf,
    /// `ConcurrentExecutions` of the account.
    pub account_concurrency: u32,
    /// Signs the links this server hands out.
    pub signing_key: SigningKey,
}

/// All services of one server.
#[derive(Debug, Clone)]
pub struct Services {
    lambda: Arc<Lambda>,
    blobs: Blobs,
    logs: Logs,
    clock: Arc<dyn Clock>,
}

impl Services {
    /// Loads what the store holds. What was being made when the server stopped is finished in the background.
    pub async fn new(
        config: ServicesConfig,
        store: Store,
        engine: Engine,
        runtimes: RuntimeCatalog,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LambdaStartError> {
        let lambda = LambdaConfig {
            packages_dir: config.data_dir.join("packages"),
            account_concurrency: config.account_concurrency,
            signing_key: config.signing_key,
        };
        let lambda = Lambda::open(lambda, &store, engine, runtimes, Arc::clone(&clock)).await?;
        Ok(Self { lambda, blobs: store.blobs(), logs: store.logs(), clock })
    }

    /// Answers one request; whatever goes wrong is a fault in the service's own protocol.
    pub async fn handle(
        &self,
        service: Service,
        auth: &AuthContext,
        request: ApiRequest,
    ) -> ApiResponse {
        let mut response = match service {
            Service::Lambda => self.lambda.handle(auth, &request).await,
            Service::Logs => logs::handle(&self.logs, self.clock.as_ref(), auth, &request).await,
            Service::Sts => sts::handle(auth, &request),
            Service::S3 => s3::handle(&self.lambda, &self.blobs, auth, &request).await,
        };
        response.set_header("x-amzn-requestid", &request.request_id.to_string());
        response
    }
}
