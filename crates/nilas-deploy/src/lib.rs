//! From what people write, `serverless.yml` and SAM templates, to CloudFormation templates.
//!
//! Invariant: pure. No files, no network, no environment, no clock: what a file refers to is asked of the caller.
#![forbid(unsafe_code)]

pub mod sam;
pub mod serverless;
pub mod yaml;
