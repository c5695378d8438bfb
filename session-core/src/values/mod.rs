//! A session's values: one JSON document, kept as text and split where it is changed.
//!
//! Neither `serde_json::Value` nor `RawValue` has a place in here: with the features of serde_json that
//! any other crate may switch on, stored text with a magic key parses into another structure.

mod codec;
mod document;
mod encoding;
mod key;
mod lists;
mod node;
mod path;
#[cfg(test)]
mod samples;
mod scan;

pub use codec::Codec;
pub(crate) use document::Document;
pub(crate) use encoding::{decode, encode};
pub use key::{AsKey, AsPath, Key};
pub(crate) use lists::Lists;
pub(crate) use path::Path;
