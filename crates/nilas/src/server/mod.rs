//! The server: everything wired together, started in the right order and stopped in the reverse one.

mod adapters;
mod data_dir;
mod listen;
mod pressure;
mod runtimes;
mod signals;
mod start;
mod user;

pub(crate) use runtimes::{SEARCH_COMMAND, runtimes_config, search_and_tell, search_paths};
pub(crate) use signals::Signals;
pub(crate) use start::serve;
