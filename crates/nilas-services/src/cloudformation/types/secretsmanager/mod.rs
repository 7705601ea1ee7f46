//! Secrets Manager.

pub(super) mod secret;
