//! The Lambda API, 2015-03-31 REST-JSON: functions, versions, aliases, concurrency, invocations, tags.
//!
//! One file an operation family; `router.rs` says which operations there are, `error.rs` what they answer when they
//! refuse, `configuration.rs` what they answer when they do not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use nilas_engine::Engine;
use nilas_model::{AuthContext, Clock, Interpreter, RuntimeKind, Version};
use nilas_store::{BlobHash, Blobs, Store};
use nilas_wire::{ApiRequest, ApiResponse, Blame, Protocol, encode_fault};

mod account;
mod alias;
mod asynchronous;
mod body;
mod call;
mod code;
mod concurrency;
mod configuration;
mod configure;
mod create;
mod delete;
mod error;
mod event_invoke_config;
mod functions;
mod garbage;
mod invoke;
mod layer_permissions;
mod layer_store;
mod layer_use;
mod layers;
mod lifecycle;
mod list;
mod mappings;
mod package;
mod package_dirs;
mod patterns;
mod payload;
mod permissions;
mod policy;
mod provisioned;
mod publish;
mod read;
mod record;
mod router;
mod runtimes;
mod settings;
mod small_settings;
mod snap_start;
mod streaming;
mod tags;
mod target;
mod trace;
mod urls;
mod validation;

#[cfg(test)]
mod tests;

pub use runtimes::{
    InstalledRuntime, RuntimeCatalog, RuntimeError, RuntimeSearch, RuntimesConfig, SearchPaths,
};

use alias::{alias_create, alias_delete, alias_get, alias_list, alias_update};
use asynchronous::Asynchronous;
pub(crate) use call::CallError;
use code::function_update_code;
use concurrency::{concurrency_delete, concurrency_get, concurrency_put};
use configure::function_update_configuration;
use create::function_create;
use delete::function_delete;
use error::LambdaError;
use functions::Functions;
use garbage::Snapshots;
use layer_store::Layers;
use list::{function_list, version_list};
use mappings::Mappings;
use package_dirs::PackageDirs;
pub(crate) use policy::{Caller, CallerPrincipal};
use provisioned::{provisioned_delete, provisioned_get, provisioned_list, provisioned_put};
use publish::version_publish;
use read::{function_get, function_get_configuration};
pub(crate) use record::{UrlAuth, UrlCors};
pub(crate) use router::Operation;
pub(crate) use streaming::{OpenError, Opened, Prelude};
pub(crate) use urls::FunctionUrl;

use crate::blob_use::{BlobUse, Hold};
use crate::deliver::Deliveries;
use crate::s3::S3;
use crate::sqs::Sqs;

/// Everything the operations work on.
#[derive(Debug)]
pub(crate) struct Lambda {
    config: LambdaConfig,
    functions: Functions,
    layers: Layers,
    blobs: Blobs,
    /// Where deployment packages can be.
    s3: Arc<S3>,
    packages: PackageDirs,
    blob_use: BlobUse,
    snapshots: Snapshots,
    engine: Engine,
    runtimes: RuntimeCatalog,
    asynchronous: Asynchronous,
    mappings: Mappings,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
pub(crate) struct LambdaConfig {
    /// Where packages are unpacked.
    pub packages_dir: PathBuf,
    /// `ConcurrentExecutions` of the account.
    pub account_concurrency: u32,
    pub signing_key: SigningKey,
}

/// What it shares with other services.
#[derive(Debug)]
pub(crate) struct Neighbours {
    pub blob_use: BlobUse,
    pub s3: Arc<S3>,
    pub sqs: Arc<Sqs>,
    pub deliveries: Deliveries,
}

/// A key of this server's own, to sign the links it hands out.
#[derive(Clone)]
pub struct SigningKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the lambda service cannot {step}")]
pub struct LambdaStartError {
    step: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Lambda {
    /// Loads every function. What was pending when the server stopped is finished in the background.
    pub(crate) async fn open(
        config: LambdaConfig,
        store: &Store,
        engine: Engine,
        runtimes: RuntimeCatalog,
        clock: Arc<dyn Clock>,
        neighbours: Neighbours,
    ) -> Result<Arc<Self>, LambdaStartError> {
        let Neighbours { blob_use, s3, sqs, deliveries } = neighbours;
        let failed =
            |step| move |source: LambdaError| LambdaStartError { step, source: Box::new(source) };
        let functions = Functions::load(store.records(), blob_use.clone());
        let functions = functions.await.map_err(failed("load its functions"))?;
        let layers = Layers::load(store.records()).await;
        let layers = layers.map_err(failed("load its layers"))?;
        let packages = PackageDirs::open(config.packages_dir.clone());
        let packages = packages
            .map_err(|err| failed("open the directory of packages")(LambdaError::Package(err)))?;
        let (asynchronous, starts) = Asynchronous::new(store.queues(), deliveries);
        let mappings = Mappings::load(store.records(), sqs).await;
        let (mappings, kept) = mappings.map_err(failed("load its event source mappings"))?;
        let lambda = Arc::new(Self {
            config,
            functions,
            layers,
            blobs: store.blobs(),
            s3,
            packages,
            blob_use,
            snapshots: Snapshots::default(),
            engine,
            runtimes,
            asynchronous,
            mappings,
            clock,
        });
        lambda.remove_leftovers();
        for function in lambda.functions.all() {
            concurrency::apply(&lambda, &function);
            let versions: Vec<Version> = function.versions().map(|(version, _)| version).collect();
            drop(lifecycle::settle_in_background(&lambda, function.id.clone(), versions));
        }
        asynchronous::start(&lambda, starts);
        mappings::start(&lambda, kept);
        Ok(lambda)
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.epoch_ms()
    }

    pub(crate) async fn handle(
        self: &Arc<Self>,
        auth: &AuthContext,
        request: &ApiRequest,
    ) -> ApiResponse {
        let answer = match Operation::of(request) {
            Some(Operation::Invoke { name }) => invoke::invoke(self, auth, request, &name).await,
            // Boxed: an invocation's future, which is moved several times, would be as large as the largest of them.
            Some(operation) => Box::pin(self.run(auth, request, operation)).await,
            None => Err(LambdaError::UnknownOperation),
        };
        answer.unwrap_or_else(|err| {
            let fault = err.fault();
            match &err {
                LambdaError::NotImplemented(what) => {
                    tracing::info!(path = request.path, what, "asked for what is not implemented");
                }
                err if fault.blame == Blame::Platform => tracing::error!(
                    path = request.path,
                    error = %err,
                    cause = std::error::Error::source(err),
                    "lambda operation failed"
                ),
                _ => {}
            }
            encode_fault(Protocol::RestJson, &fault, &request.request_id)
        })
    }

    async fn run(
        self: &Arc<Self>,
        auth: &AuthContext,
        request: &ApiRequest,
        operation: Operation<'_>,
    ) -> Result<ApiResponse, LambdaError> {
        match operation {
            Operation::Invoke { name } => invoke::invoke(self, auth, request, &name).await,
            Operation::InvokeWithResponseStream { name } => {
                streaming::invoke(self, auth, request, &name).await
            }
            Operation::CreateFunction => function_create(self, auth, request).await,
            Operation::ListFunctions => function_list(self, auth, request),
            Operation::GetFunction { name } => function_get(self, auth, request, &name),
            Operation::DeleteFunction { name } => function_delete(self, auth, request, &name).await,
            Operation::UpdateFunctionCode { name } => {
                function_update_code(self, auth, request, &name).await
            }
            Operation::GetFunctionConfiguration { name } => {
                function_get_configuration(self, auth, request, &name)
            }
            Operation::UpdateFunctionConfiguration { name } => {
                function_update_configuration(self, auth, request, &name).await
            }
            Operation::PublishVersion { name } => version_publish(self, auth, request, &name).await,
            Operation::ListVersionsByFunction { name } => version_list(self, auth, request, &name),
            Operation::CreateAlias { name } => alias_create(self, auth, request, &name).await,
            Operation::ListAliases { name } => alias_list(self, auth, request, &name),
            Operation::GetAlias { name, alias } => alias_get(self, auth, &name, &alias),
            Operation::UpdateAlias { name, alias } => {
                alias_update(self, auth, request, &name, &alias).await
            }
            Operation::DeleteAlias { name, alias } => alias_delete(self, auth, &name, &alias).await,
            Operation::PutFunctionConcurrency { name } => {
                concurrency_put(self, auth, request, &name).await
            }
            Operation::GetFunctionConcurrency { name } => concurrency_get(self, auth, &name),
            Operation::DeleteFunctionConcurrency { name } => {
                concurrency_delete(self, auth, &name).await
            }
            Operation::PutProvisionedConcurrencyConfig { name } => {
                provisioned_put(self, auth, request, &name).await
            }
            Operation::GetProvisionedConcurrencyConfig { name } => {
                provisioned_get(self, auth, request, &name)
            }
            Operation::ListProvisionedConcurrencyConfigs { name } => {
                provisioned_list(self, auth, request, &name)
            }
            Operation::DeleteProvisionedConcurrencyConfig { name } => {
                provisioned_delete(self, auth, request, &name).await
            }
            Operation::TagResource { arn } => tags::tag(self, auth, request, &arn).await,
            Operation::UntagResource { arn } => tags::untag(self, auth, request, &arn).await,
            Operation::ListTags { arn } => tags::list(self, auth, &arn),
            Operation::GetAccountSettings => account::settings_get(self, auth),
            Operation::Permission(operation) => {
                permissions::run(self, auth, request, operation).await
            }
            Operation::EventInvoke(operation) => {
                event_invoke_config::run(self, auth, request, operation).await
            }
            Operation::Mapping(operation) => mappings::run(self, auth, request, operation).await,
            Operation::Url(operation) => urls::run(self, auth, request, operation).await,
            Operation::Setting(setting) => small_settings::run(self, auth, request, setting).await,
            Operation::Layer(operation) => layers::run(self, auth, request, operation).await,
            Operation::NotImplemented(operation) => Err(LambdaError::gap(operation)),
        }
    }

    /// The blob of a package that a version of `auth`'s function or layer `name` has.
    pub(crate) fn package_blob(
        &self,
        auth: &AuthContext,
        name: &str,
        sha256: &str,
    ) -> Option<BlobHash> {
        let functions = self.functions.of(&auth.account, &auth.region);
        let functions = functions.iter().filter(|known| known.id.name.as_str() == name);
        let of_functions =
            functions.flat_map(|function| function.versions()).map(|(_, record)| &record.code);
        let layers = self.layers.of(&auth.account, &auth.region);
        let layers = layers.iter().filter(|(id, _)| id.name == name);
        let of_layers = layers.flat_map(|(_, layer)| layer.versions.values()).map(|v| &v.code);
        of_functions.chain(of_layers).find(|code| code.sha256 == sha256)?.blob()
    }

    /// Never blocks the caller's thread, though detection may still be running.
    async fn resolve_runtime(
        &self,
        identifier: &str,
    ) -> Result<(RuntimeKind, Option<Interpreter>), LambdaError> {
        let (catalog, identifier) = (self.runtimes.clone(), identifier.to_owned());
        let resolved = tokio::task::spawn_blocking(move || catalog.resolve(&identifier)).await;
        Ok(resolved.map_err(|source| LambdaError::Internal {
            step: "finding a runtime",
            source: source.into(),
        })??)
    }

    /// Keeps the package of `code` while something is made of it.
    async fn hold_package(&self, code: &record::Code) -> Option<Hold> {
        Some(self.blob_use.hold(code.blob()?).await)
    }

    /// Removes directories of packages that no version has, before anything else happens: what a crash kept the
    /// sweeps from. Their blobs are the sweeps' business.
    fn remove_leftovers(&self) {
        let functions = self.functions.all();
        let used: BTreeSet<String> =
            functions.iter().flat_map(|function| function.packages()).collect();
        self.packages.keep_only(&used);
    }
}
