//! SnapStart: the processes that environments of a published version are forked from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nilas_model::{FunctionKey, VersionSnapshot, limits};

use crate::api::InvokeError;
use crate::engine::{Engine, Inner};
use crate::environment::template::{self, Made, Template};

/// Why a version has no snapshot.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SnapshotError {
    /// The function's own fault: its init failed, or took too long.
    #[error("the function's init failed: {error_type}")]
    Init {
        /// As in the log's INIT_REPORT line.
        error_type: String,
        /// The error object, as an invocation would be answered with.
        message: String,
    },
    #[error("no environment could be initialised for the snapshot")]
    Platform(#[from] InvokeError),
}

/// The templates of versions with SnapStart: derived state, made when a version is published, or when one is first wanted
/// after a restart.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    known: Mutex<HashMap<FunctionKey, Entry>>,
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    used_ms: u64,
    /// Somebody makes one; until then the old one does.
    making: bool,
    template: Option<Arc<Template>>,
}

// === impl Engine ===

impl Engine {
    /// Initialises a published version and keeps the process, of which its environments will be forked. `Ok` as well if
    /// the init went well but cannot be forked: then environments are initialised each for itself.
    pub async fn make_snapshot(&self, version: &Arc<VersionSnapshot>) -> Result<(), SnapshotError> {
        self.inner.templates.begin(version, self.inner.now_ms());
        self.inner.make_template(version).await
    }
}

impl Inner {
    /// What to fork an environment of the version from. None while there is nothing: the environment is initialised
    /// itself, and the next one finds a template.
    pub(crate) fn template(
        self: &Arc<Self>,
        version: &Arc<VersionSnapshot>,
    ) -> Option<Arc<Template>> {
        if !version.snap_start {
            return None;
        }
        let (template, wanted) =
            self.templates.take(version, self.now_ms(), self.config.age_ms_max);
        if wanted {
            let (engine, version) = (Arc::clone(self), Arc::clone(version));
            tokio::spawn(async move {
                if let Err(error) = engine.make_template(&version).await {
                    let (function, version) = (version.name.as_str(), version.version);
                    tracing::warn!(function, %version, %error, "no snapshot made");
                }
            });
        }
        template
    }

    async fn make_template(
        self: &Arc<Self>,
        version: &Arc<VersionSnapshot>,
    ) -> Result<(), SnapshotError> {
        let made = template::make(self, version).await;
        let template = match &made {
            Ok(Made::Template(template)) => Some(Arc::clone(template)),
            Ok(Made::Plain { reason }) => {
                let (function, version) = (version.name.as_str(), version.version);
                tracing::warn!(
                    function,
                    %version,
                    reason,
                    "no snapshot: environments of this version are initialised each for itself"
                );
                None
            }
            Err(_) => None,
        };
        if let Some(template) = &template {
            self.watch(version.key(), template);
        }
        // One that could not be made by anybody's fault is tried again when it is next wanted.
        self.templates.finish(version, template, made.is_ok());
        made.map(drop)
    }

    /// Forgets a template that ends.
    fn watch(self: &Arc<Self>, key: FunctionKey, template: &Arc<Template>) {
        let (engine, control) = (Arc::downgrade(self), template.control());
        let template = Arc::downgrade(template);
        tokio::spawn(async move {
            control.exited().await;
            if let (Some(engine), Some(template)) = (engine.upgrade(), template.upgrade()) {
                engine.templates.forget(&key, &template);
            }
        });
    }
}

// === impl Templates ===

impl Templates {
    fn lock(&self) -> MutexGuard<'_, HashMap<FunctionKey, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody makes one.
    fn begin(&self, version: &VersionSnapshot, now_ms: u64) {
        let generation = version.generation;
        let entry = Entry { generation, used_ms: now_ms, making: true, template: None };
        self.lock().insert(version.key(), entry);
    }

    /// The template to fork, and whether the caller has to see to a new one.
    fn take(
        &self,
        version: &VersionSnapshot,
        now_ms: u64,
        age_ms_max: u64,
    ) -> (Option<Arc<Template>>, bool) {
        let mut known = self.lock();
        let Some(entry) = known.get_mut(&version.key()) else {
            drop(known);
            self.begin(version, now_ms);
            return (None, true);
        };
        if entry.generation != version.generation {
            return (None, false);
        }
        entry.used_ms = now_ms;
        let old = |template: &Arc<Template>| now_ms.saturating_sub(template.made_ms()) > age_ms_max;
        let renew = !entry.making && entry.template.as_ref().is_some_and(old);
        entry.making |= renew;
        (entry.template.clone(), renew)
    }

    fn finish(&self, version: &VersionSnapshot, template: Option<Arc<Template>>, keep: bool) {
        let mut known = self.lock();
        let key = version.key();
        match known.get_mut(&key) {
            Some(entry) if entry.generation == version.generation && keep => {
                entry.making = false;
                entry.template = template;
            }
            Some(entry) if entry.generation == version.generation => drop(known.remove(&key)),
            // Retired meanwhile.
            _ => return,
        }
        if known.len() > limits::TEMPLATES_MAX {
            let idle = known.iter().filter(|(other, entry)| **other != key && !entry.making);
            let oldest = idle.min_by_key(|(_, entry)| entry.used_ms).map(|(key, _)| key.clone());
            oldest.iter().for_each(|key| drop(known.remove(key)));
        }
    }

    fn forget(&self, key: &FunctionKey, template: &Arc<Template>) {
        let mut known = self.lock();
        let same = |entry: &Entry| {
            entry.template.as_ref().is_some_and(|known| Arc::ptr_eq(known, template))
        };
        if known.get(key).is_some_and(same) {
            known.remove(key);
        }
    }

    /// Those of older generations are not forked any more, and end with the last of their forks.
    pub(crate) fn retire(&self, key: &FunctionKey, older_than: u64) {
        let mut known = self.lock();
        if known.get(key).is_some_and(|entry| entry.generation < older_than) {
            known.remove(key);
        }
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}
