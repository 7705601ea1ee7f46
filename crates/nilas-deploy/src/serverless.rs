//! `serverless.yml`, the Serverless Framework's document, versions 1 to 4: from the text to what has to be packaged and
//! the CloudFormation template that deploys it.
//!
//! [`load`] is called again and again: it names what it has to know from outside (files, outputs of other stacks,
//! parameters) as [`Question`]s, and the caller adds the [`Answer`]s, until there is a [`Service`]. The caller then makes
//! the archives of [`Service::packages`] from the files that [`choose`] leaves, uploads them, and asks
//! [`Service::template`] for the template with their addresses in it. Logical ids, properties and outputs are those
//! that the Framework makes, so that either tool can take over the other's stack.

mod answers;
mod choose;
mod compile;
mod dotenv;
mod endpoints;
mod json;
mod load;
mod naming;
mod packages;
mod plugins;
mod schema;
mod service;
mod syntax;
mod variables;

pub use answers::{Answer, Answers, Problem, Question};
pub use choose::{archive_name, choose};
pub use load::{Loaded, load};
pub use service::{
    Artifact, BucketEvent, Compiled, Contents, Deployment, Endpoint, ExistingBucket, Notice,
    Package, PackageRules, Release, Service, ServiceFunction, ServiceLayer,
};

#[cfg(test)]
mod tests;
