//! Memory of the machine, as the environments that are alive are charged for it.

/// Invariant: `evictable` ≤ `charged` ≤ `max`, but where one environment alone holds more.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes for all environments.
    max: u64,
    charged: u64,
    /// Of idle environments that are not provisioned.
    evictable: u64,
    /// There is more room than when those who wait for it were last looked at.
    grown: bool,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(max: u64) -> Self {
        Self { max, charged: 0, evictable: 0, grown: false }
    }

    /// Nothing that large ever fits.
    pub(super) fn is_beyond(&self, bytes: u64) -> bool {
        bytes > self.max
    }

    /// Whether there is room for `more` once all is evicted that can be, but for the `kept` bytes of an idle
    /// environment that is needed.
    pub(super) fn can_hold(&self, more: u64, kept: u64) -> bool {
        self.charged - self.evictable + kept + more <= self.max
    }

    /// Something is to be evicted before there is room for `more`.
    pub(super) fn lacks(&self, more: u64) -> bool {
        self.charged + more > self.max
    }

    pub(super) fn charge(&mut self, bytes: u64) {
        self.charged += bytes;
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.charged -= bytes;
        self.grown |= bytes > 0;
    }

    /// An environment with this charge is idle from now on.
    pub(super) fn offer(&mut self, bytes: u64) {
        self.evictable += bytes;
        self.grown = true;
    }

    /// It is idle no more.
    pub(super) fn withdraw(&mut self, bytes: u64) {
        self.evictable -= bytes;
    }

    pub(super) fn has_grown(&self) -> bool {
        self.grown
    }

    /// Those who wait have been looked at; `all` of them.
    pub(super) fn looked(&mut self, all: bool) {
        self.grown = !all;
    }

    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn charged(&self) -> u64 {
        self.charged
    }
}
