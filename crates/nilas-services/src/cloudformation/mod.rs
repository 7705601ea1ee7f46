//! CloudFormation (query protocol): templates, stacks, change sets, and the resource types that templates may name.

mod failure;
mod names;
mod properties;
mod resource;
mod types;

#[cfg(test)]
mod testing;
