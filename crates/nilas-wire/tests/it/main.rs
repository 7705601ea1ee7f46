//! Tests of the crate's public face.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod faults;
mod hostile;
