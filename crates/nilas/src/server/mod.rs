//! The server: everything wired together, started in the right order and stopped in the reverse one.

mod adapters;
mod data_dir;
mod listen;
mod signals;
mod start;
mod user;

pub(crate) use start::{runtimes_config, search_paths, serve};
