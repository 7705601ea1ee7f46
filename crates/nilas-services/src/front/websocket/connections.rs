//! All connections of clients to WebSocket APIs, by id, and how to reach them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use nilas_model::limits;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::front::http::Exchange;

/// Bytes that one unit of the room for messages stands for.
const UNIT_BYTES: usize = 1_024;

/// What goes to a client.
#[derive(Debug)]
pub enum Outgoing {
    /// A text, and its share of memory until it is sent.
    Text { text: String, held: OwnedSemaphorePermit },
    /// The end of the connection.
    Close,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: String,
    pub(super) api: String,
    pub(super) stage: String,
    pub(super) connected_ms: u64,
    pub(super) source_ip: String,
    pub(super) user_agent: String,
    active_ms: AtomicU64,
    outgoing: Sender<Outgoing>,
}

/// Why a message does not go to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    Gone,
    /// The client reads too slowly, or all of them do.
    Full,
}

#[derive(Debug)]
pub(crate) struct Connections {
    by_id: Mutex<HashMap<String, Arc<Connection>>>,
    room: Arc<Semaphore>,
}

impl Default for Connections {
    fn default() -> Self {
        let room = Semaphore::new(limits::WEBSOCKET_QUEUED_BYTES_MAX / UNIT_BYTES);
        Self { by_id: Mutex::default(), room: Arc::new(room) }
    }
}

impl Connections {
    /// A connection that nobody can reach before [`Self::add`].
    pub(super) fn new_connection(
        &self,
        exchange: &Exchange,
    ) -> (Arc<Connection>, Receiver<Outgoing>) {
        let (outgoing, receiver) = mpsc::channel(limits::WEBSOCKET_QUEUED_MESSAGES_MAX);
        let random = Uuid::new_v4();
        let connection = Connection {
            // Eleven bytes and a `=`, as AWS's look.
            id: format!("{}=", BASE64_URL.encode(&random.as_bytes()[..11])),
            api: exchange.api.id.clone(),
            stage: exchange.stage.clone(),
            connected_ms: exchange.now_ms,
            source_ip: exchange.source_ip.clone(),
            user_agent: exchange.headers.get("user-agent").cloned().unwrap_or_default(),
            active_ms: AtomicU64::new(exchange.now_ms),
            outgoing,
        };
        (Arc::new(connection), receiver)
    }

    /// False if there are too many.
    pub(super) fn add(&self, connection: &Arc<Connection>) -> bool {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = by_id.len() < limits::WEBSOCKET_CONNECTIONS_MAX;
        if fits {
            by_id.insert(connection.id.clone(), Arc::clone(connection));
        }
        fits
    }

    pub(super) fn remove(&self, id: &str) {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The connection `id`, if it is one of the stage's.
    pub(super) fn get(&self, api: &str, stage: &str, id: &str) -> Option<Arc<Connection>> {
        let by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.get(id).filter(|found| found.api == api && found.stage == stage).cloned()
    }

    pub(super) fn send(&self, connection: &Connection, text: String) -> Result<(), Unsent> {
        let units = u32::try_from(text.len().div_ceil(UNIT_BYTES)).map_err(|_| Unsent::Full)?;
        let held = Arc::clone(&self.room).try_acquire_many_owned(units);
        let held = held.map_err(|_| Unsent::Full)?;
        connection.send(Outgoing::Text { text, held })
    }
}

impl Connection {
    pub(super) fn touch(&self, now_ms: u64) {
        self.active_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn active_ms(&self) -> u64 {
        self.active_ms.load(Ordering::Relaxed)
    }

    pub(super) fn send(&self, outgoing: Outgoing) -> Result<(), Unsent> {
        self.outgoing.try_send(outgoing).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unsent::Full,
            mpsc::error::TrySendError::Closed(_) => Unsent::Gone,
        })
    }
}
