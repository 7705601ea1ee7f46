//! What the AWS CDK adds to the templates it makes.

pub(super) mod metadata;
