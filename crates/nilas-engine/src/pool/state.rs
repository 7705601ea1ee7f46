//! The states of an environment: one enum, one total transition function.

/// Where an environment is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnvironmentState {
    /// The sandbox is being made.
    Starting,
    /// The runtime boots and loads the function.
    Initializing,
    /// Waiting for an invocation, running.
    Ready,
    /// Waiting for an invocation, not scheduled by the kernel.
    Frozen,
    /// Serving exactly one invocation.
    Leased,
    /// Told to end; may still have processes.
    Stopping,
    /// Nothing of it is left.
    Gone,
}

/// What can happen to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transition {
    SandboxStarted,
    Initialized,
    Lease,
    Release,
    Freeze,
    Stop,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an environment that is {state:?} cannot take {transition:?}")]
pub(crate) struct IllegalTransition {
    state: EnvironmentState,
    transition: Transition,
}

impl EnvironmentState {
    pub(crate) fn next(self, transition: Transition) -> Result<Self, IllegalTransition> {
        match (self, transition) {
            (Self::Starting, Transition::SandboxStarted) => Ok(Self::Initializing),
            (Self::Initializing, Transition::Initialized) => Ok(Self::Ready),
            (Self::Ready | Self::Frozen, Transition::Lease) => Ok(Self::Leased),
            (Self::Leased, Transition::Release) => Ok(Self::Ready),
            (Self::Ready, Transition::Freeze) => Ok(Self::Frozen),
            (
                Self::Starting | Self::Initializing | Self::Ready | Self::Frozen | Self::Leased,
                Transition::Stop,
            ) => Ok(Self::Stopping),
            (
                Self::Starting
                | Self::Initializing
                | Self::Ready
                | Self::Frozen
                | Self::Leased
                | Self::Stopping,
                Transition::Ended,
            ) => Ok(Self::Gone),
            (state, transition) => Err(IllegalTransition { state, transition }),
        }
    }

    /// May be leased now.
    pub(crate) fn is_idle(self) -> bool {
        matches!(self, Self::Ready | Self::Frozen)
    }

    /// Not yet of use to anybody.
    pub(crate) fn is_starting(self) -> bool {
        matches!(self, Self::Starting | Self::Initializing)
    }

    /// Holds one of the account's places for environments.
    pub(crate) fn is_live(self) -> bool {
        !matches!(self, Self::Stopping | Self::Gone)
    }
}
