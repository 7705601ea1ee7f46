//! What every part of the transform works with: values, their printed forms, errors, property checks, resources.

pub(in crate::sam) mod check;
pub(in crate::sam) mod intrinsic;
pub(in crate::sam) mod print;
pub(in crate::sam) mod problem;
pub(in crate::sam) mod property;
pub(in crate::sam) mod resolver;
pub(in crate::sam) mod resource;
mod table;
mod text;
pub(in crate::sam) mod value;
