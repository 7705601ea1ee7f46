//! S3, 2006-03-01 REST with XML: buckets, objects, multipart uploads, versions, and what hangs on them.
//!
//! `s3s` reads requests and writes answers, `operations.rs` says which operations there are, one file an operation
//! family does them, `store.rs` keeps the records. The bytes are blobs.

use std::net::IpAddr;
use std::sync::Arc;

use nilas_model::{AuthContext, Clock, RequestId};
use nilas_store::{Blobs, Records, Store};
use nilas_wire::{ApiRequest, ApiResponse};
use s3s::service::S3Service;
use tokio::sync::RwLock;

mod acl;
mod attributes;
mod bucket;
mod checksum;
mod condition;
mod configurations;
mod delete;
mod door;
mod error;
mod events;
mod get;
mod list;
mod notifications;
mod operations;
mod packages;
mod public;
mod put;
mod record;
mod settings;
mod store;
mod tags;
mod upload;
mod url;

pub(crate) use packages::package_path;
pub use url::ObjectAddress;

use crate::blob_use::BlobUse;
use crate::deliver::Deliveries;
use crate::lambda::Lambda;
use crate::services::Inner;
use crate::sqs::Sqs;

use error::S3Error;

/// Records read from the store at once.
const PAGE: usize = 1_000;

/// Everything the operations work on.
#[derive(Debug)]
pub(crate) struct S3 {
    records: Records,
    blobs: Blobs,
    blob_use: BlobUse,
    /// What is to be sent to whom a bucket's notifications name.
    deliveries: Deliveries,
    clock: Arc<dyn Clock>,
    /// Held for writing by what must see nothing change: making and deleting buckets, ending uploads. For reading by
    /// whatever else writes, which the revisions of records keep apart.
    gate: RwLock<()>,
}

/// S3 and the machinery that speaks its protocol.
#[derive(Debug)]
pub(crate) struct S3Door {
    service: S3Service,
    s3: Arc<S3>,
}

/// What an operation is told beside its input.
#[derive(Debug)]
pub(crate) struct Cx {
    pub(crate) auth: AuthContext,
    pub(crate) request_id: RequestId,
    pub(crate) source_ip: IpAddr,
    /// Whom notifications may name.
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) sqs: Arc<Sqs>,
    /// `http://HOST:PORT`, as the client addressed us.
    pub(crate) base_url: String,
    /// Why the operation refused, with more than `s3s` can say of it.
    refusal: std::sync::Mutex<Option<S3Error>>,
}

impl S3Door {
    pub(crate) fn open(
        store: &Store,
        clock: Arc<dyn Clock>,
        blob_use: BlobUse,
        deliveries: Deliveries,
    ) -> Self {
        let s3 = Arc::new(S3 {
            records: store.records(),
            blobs: store.blobs(),
            blob_use,
            deliveries,
            clock,
            gate: RwLock::new(()),
        });
        Self { service: operations::service(Arc::clone(&s3)), s3 }
    }

    /// What the other services of this process read objects with.
    pub(crate) fn s3(&self) -> &Arc<S3> {
        &self.s3
    }

    pub(crate) async fn handle(
        &self,
        services: &Inner,
        auth: &AuthContext,
        request: &ApiRequest,
    ) -> ApiResponse {
        door::handle(self, services, auth, request).await
    }
}
