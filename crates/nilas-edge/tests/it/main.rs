//! The edge behind real sockets, in front of a backend that tells what reached it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod botocore;
mod connections;
mod requests;
mod server;
