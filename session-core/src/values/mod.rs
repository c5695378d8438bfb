//! A session's values: one JSON document, kept as text and split where it is changed.
//!
//! Neither `serde_json::Value` nor `RawValue` has a place in here: with the features of serde_json that
//! any other crate may switch on, stored text with a magic key parses into another structure.
//!
//! What damage can do: the text carries no checksum, because it is a plain document. A flipped bit inside a
//! value's own text may make it another value, one inside a key's name another name; every other key holds what it
//! held or is `Corrupt`. Text that is cut off is `Corrupt` where it is read. Nothing panics.

mod codec;
mod document;
mod encoding;
#[cfg(test)]
mod golden;
mod key;
mod lists;
mod members;
mod node;
mod path;
#[cfg(test)]
mod samples;
mod scan;
mod splice;

pub use codec::Codec;
pub(crate) use document::{Document, Inserted};
pub(crate) use encoding::{decode, encode};
pub use key::{AsKey, AsPath, Key};
pub(crate) use lists::Lists;
pub(crate) use path::Path;
