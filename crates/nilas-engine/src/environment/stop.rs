//! The word that an environment is to end.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Waits for the word. Registered once, not for every invocation.
#[derive(Debug)]
pub(crate) struct Stop {
    notify: Arc<Notify>,
    word: Pin<Box<OwnedNotified>>,
}

impl Stop {
    pub(crate) fn on(notify: Arc<Notify>) -> Self {
        let word = Box::pin(Arc::clone(&notify).notified_owned());
        Self { notify, word }
    }

    /// Comes back once for each word. Cancel-safe.
    pub(crate) async fn told(&mut self) {
        self.word.as_mut().await;
        self.word = Box::pin(Arc::clone(&self.notify).notified_owned());
    }
}
