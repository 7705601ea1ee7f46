//! CloudFormation's own: stacks in stacks, and resources that functions make.

pub(super) mod custom_resource;
pub(super) mod stack;
pub(super) mod wait_condition_handle;
