//! All services behind one door.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use nilas_engine::Engine;
use nilas_model::{AuthContext, Clock, CredentialIssuer, VirtualClock};
use nilas_store::{Logs, Store, StoreError};
use nilas_wire::{ApiRequest, ApiResponse, Service, encode_fault};

use crate::admin::Admin;
use crate::apigateway::{self, RestApis};
use crate::apigatewayv2::{self, HttpApis};
use crate::blob_use::{BlobOwner, BlobUse};
use crate::calls::Calls;
use crate::cloudformation::CloudFormation;
use crate::deliver::{Deliveries, Endpoints};
use crate::ecr::Ecr;
use crate::front::{self, Connections, FrontRequest, Session};
use crate::iam::Iam;
use crate::kms::Kms;
use crate::lambda::{
    Lambda, LambdaConfig, LambdaStartError, Neighbours, RuntimeCatalog, SigningKey,
};
use crate::s3::S3Door;
use crate::seal::Seal;
use crate::secrets::Secrets;
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::ssm::Ssm;
use crate::sts::Sts;
use crate::{access, deliver, events, logs};

#[derive(Debug, Clone)]
pub struct ServicesConfig {
    /// The server's data directory; packages are unpacked below it.
    pub data_dir: PathBuf,
    /// `ConcurrentExecutions` of the account.
    pub account_concurrency: u32,
    /// Signs the links this server hands out.
    pub signing_key: SigningKey,
    /// None where the clock only runs. Else it is the clock of the services.
    pub virtual_clock: Option<Arc<VirtualClock>>,
    /// Whether execution roles may do all that the root key may, instead of logging and invoking only.
    pub roles_administer: bool,
}

/// Why the services cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServicesStartError {
    #[error(transparent)]
    Lambda(#[from] LambdaStartError),
    #[error("API Gateway cannot load its APIs")]
    ApiGateway { source: StoreError },
    #[error("CloudFormation cannot load its stacks")]
    CloudFormation { source: StoreError },
    #[error("SQS cannot load its queues; the log says why")]
    Sqs,
    #[error("SNS cannot load its topics; the log says why")]
    Sns,
    #[error("the key that seals secrets cannot be read")]
    Seal { source: StoreError },
}

/// All services of one server.
#[derive(Debug, Clone)]
pub struct Services(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    lambda: Arc<Lambda>,
    cloudformation: Arc<CloudFormation>,
    s3: S3Door,
    rest_apis: RestApis,
    http_apis: HttpApis,
    connections: Connections,
    logs: Logs,
    iam: Iam,
    sts: Sts,
    ssm: Ssm,
    secrets: Secrets,
    kms: Kms,
    ecr: Ecr,
    admin: Admin,
    sns: Sns,
    sqs: Arc<Sqs>,
    endpoints: Endpoints,
    deliveries: Deliveries,
    calls: Calls,
    clock: Arc<dyn Clock>,
    roles_administer: bool,
}

impl Services {
    /// Loads what the store holds. What was being made when the server stopped is finished in the background.
    pub async fn new(
        config: ServicesConfig,
        store: Store,
        engine: Engine,
        runtimes: RuntimeCatalog,
        credentials: Arc<dyn CredentialIssuer>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ServicesStartError> {
        let roles_administer = config.roles_administer;
        let calls = Calls::default();
        let lambda = LambdaConfig {
            packages_dir: config.data_dir.join("packages"),
            account_concurrency: config.account_concurrency,
            signing_key: config.signing_key,
        };
        let blob_use = BlobUse::new(store.blobs());
        let deliveries = Deliveries::new(store.queues(), Arc::clone(&clock));
        let s3 = S3Door::open(&store, Arc::clone(&clock), blob_use.clone(), deliveries.clone());
        let sqs = Arc::new(Sqs::load(&store, Arc::clone(&clock)).await?);
        let sns =
            Sns::load(&store, deliveries.clone(), Arc::clone(&clock), &config.data_dir).await?;
        let neighbours = Neighbours {
            blob_use: blob_use.clone(),
            s3: Arc::clone(s3.s3()),
            sqs: Arc::clone(&sqs),
            deliveries: deliveries.clone(),
        };
        let lambda =
            Lambda::open(lambda, &store, engine, runtimes, Arc::clone(&clock), neighbours).await?;
        sweep_blobs(&blob_use, &lambda, &s3).await;
        let apis = load_apis(&store, &clock).await;
        let (rest_apis, http_apis) =
            apis.map_err(|source| ServicesStartError::ApiGateway { source })?;
        let cloudformation = load_stacks(&store, &calls, &clock, &s3).await?;
        let seal = Seal::load(&store.records()).await;
        let seal = Arc::new(seal.map_err(|source| ServicesStartError::Seal { source })?);
        let ssm = Ssm::new(store.records(), Arc::clone(&seal), Arc::clone(&clock));
        let secrets = Secrets::new(store.records(), Arc::clone(&seal), Arc::clone(&clock));
        let kms = Kms::new(store.records(), seal, Arc::clone(&clock));
        let ecr = Ecr::new(store.records(), Arc::clone(&clock));
        let admin = Admin::new(Arc::clone(&lambda), Arc::clone(&clock), config.virtual_clock);
        let inner = Arc::new(Inner {
            lambda,
            cloudformation,
            s3,
            rest_apis,
            http_apis,
            connections: Connections::default(),
            logs: store.logs(),
            iam: Iam::new(store.records(), Arc::clone(&clock)),
            sts: Sts::new(calls.clone(), credentials),
            ssm,
            secrets,
            kms,
            ecr,
            admin,
            sns,
            sqs,
            endpoints: Endpoints::default(),
            deliveries,
            calls,
            clock,
            roles_administer,
        });
        inner.calls.connect(&inner);
        deliver::start(&inner);
        // Its steps call the other services.
        inner.cloudformation.resume();
        Ok(Self(inner))
    }

    /// Answers one request; whatever goes wrong is a fault in the service's own protocol.
    pub async fn handle(
        &self,
        service: Service,
        auth: &AuthContext,
        request: ApiRequest,
    ) -> ApiResponse {
        self.0.handle(service, auth, request).await
    }

    /// Answers a request to an API or a function URL of a user's, signed or not.
    pub async fn front(&self, request: FrontRequest) -> ApiResponse {
        front::handle(&self.0, request).await
    }

    /// Lets a client speak WebSockets with an API of a user's; or the answer that does not.
    pub async fn connect(&self, request: FrontRequest) -> Result<Session, ApiResponse> {
        front::connect(&self.0, request).await
    }

    /// Whether `host`, in lower case and without a port, is a custom domain of an API.
    pub fn is_custom_domain(&self, host: &str) -> bool {
        self.0.rest_apis.doors().has_domain(host)
    }
}

impl Inner {
    pub(crate) fn lambda(&self) -> &Arc<Lambda> {
        &self.lambda
    }

    pub(crate) fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    pub(crate) fn cloudformation(&self) -> &CloudFormation {
        &self.cloudformation
    }

    pub(crate) fn rest_apis(&self) -> &RestApis {
        &self.rest_apis
    }

    pub(crate) fn http_apis(&self) -> &HttpApis {
        &self.http_apis
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(crate) fn sqs(&self) -> &Arc<Sqs> {
        &self.sqs
    }

    pub(crate) fn sns(&self) -> &Sns {
        &self.sns
    }

    /// Users' own, to which is posted.
    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.epoch_ms()
    }

    pub(crate) async fn handle(
        &self,
        service: Service,
        auth: &AuthContext,
        request: ApiRequest,
    ) -> ApiResponse {
        let refused =
            if self.roles_administer { None } else { access::refuse(service, auth, &request) };
        let mut response = match (refused, service) {
            (Some(fault), _) => encode_fault(service.protocol(), &fault, &request.request_id),
            (None, Service::Lambda) => self.lambda.handle(auth, &request).await,
            // Boxed: an invocation's future would be as large as the largest of them.
            (None, Service::Logs) => {
                Box::pin(logs::handle(&self.logs, self.clock.as_ref(), auth, &request)).await
            }
            // Both versions of API Gateway sign alike.
            (None, Service::ApiGateway) if !request.path.starts_with("/v2/") => {
                Box::pin(apigateway::handle(&self.rest_apis, auth, &request)).await
            }
            (None, Service::CloudFormation) => {
                Box::pin(self.cloudformation.handle(auth, &request)).await
            }
            (None, Service::Iam) => Box::pin(self.iam.handle(auth, &request)).await,
            (None, Service::ApiGateway) => {
                let apis = (&self.http_apis, &self.rest_apis);
                Box::pin(apigatewayv2::handle(apis, auth, &request)).await
            }
            (None, Service::Sns) => Box::pin(self.sns.handle(auth, &request)).await,
            (None, Service::Sqs) => Box::pin(self.sqs.handle(auth, &request)).await,
            (None, Service::Ssm) => Box::pin(self.ssm.handle(auth, &request)).await,
            (None, Service::SecretsManager) => Box::pin(self.secrets.handle(auth, &request)).await,
            (None, Service::Kms) => Box::pin(self.kms.handle(auth, &request)).await,
            (None, Service::Nilas) => Box::pin(self.admin.handle(auth, &request)).await,
            (None, Service::Ecr) => Box::pin(self.ecr.handle(auth, &request)).await,
            (None, Service::Events) => events::handle(auth, &request),
            (None, Service::Sts) => Box::pin(self.sts.handle(auth, &request)).await,
            (None, Service::S3) => Box::pin(self.s3.handle(self, auth, &request)).await,
        };
        response.set_header("x-amzn-requestid", &request.request_id.to_string());
        response
    }
}

async fn load_stacks(
    store: &Store,
    calls: &Calls,
    clock: &Arc<dyn Clock>,
    s3: &S3Door,
) -> Result<Arc<CloudFormation>, ServicesStartError> {
    let (clock, s3) = (Arc::clone(clock), Arc::clone(s3.s3()));
    let stacks = CloudFormation::open(store.records(), calls.clone(), clock, s3).await;
    stacks.map_err(|source| ServicesStartError::CloudFormation { source })
}

/// Both versions of API Gateway.
async fn load_apis(
    store: &Store,
    clock: &Arc<dyn Clock>,
) -> Result<(RestApis, HttpApis), StoreError> {
    let rest_apis = RestApis::load(store.records(), Arc::clone(clock)).await?;
    let http_apis = HttpApis::load(store.records(), Arc::clone(clock)).await?;
    Ok((rest_apis, http_apis))
}

/// Every service that stores blobs is asked before one goes.
async fn sweep_blobs(blob_use: &BlobUse, lambda: &Arc<Lambda>, s3: &S3Door) {
    let lambda: Arc<dyn BlobOwner> = Arc::<Lambda>::clone(lambda);
    let s3: Arc<dyn BlobOwner> = Arc::<crate::s3::S3>::clone(s3.s3());
    let owners: Vec<Weak<dyn BlobOwner>> = vec![Arc::downgrade(&lambda), Arc::downgrade(&s3)];
    blob_use.suspect_all().await;
    blob_use.sweep_in_background(owners);
}
