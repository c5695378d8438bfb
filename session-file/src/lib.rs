//! Sessions in a directory of files: no server, one machine.

mod backend;
mod config;
mod directory;
mod error;
mod index;
mod listing;
mod names;
mod purge;
mod record_format;
mod shards;
mod store;
mod threads;
mod verbs;

pub use backend::FileBackend;
pub use config::FileConfig;
