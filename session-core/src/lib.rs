//! The session model, the id generator and the [`SessionBackend`] trait of session-kit.

mod backend;
mod clock;
mod durability;
mod error;
mod id;
mod id_generator;
mod principal;
mod record;
mod revision;
mod timestamp;
mod token;
#[cfg_attr(not(test), expect(dead_code, reason = "for the session, which is not built yet"))]
#[expect(unused_imports, reason = "for the session, which is not built yet")]
mod values;

pub use async_trait::async_trait;
pub use backend::{CreateOutcome, Cursor, DeleteOutcome, Listing, Purged, SessionBackend, UpdateOutcome};
pub use clock::{Clock, ManualClock, SystemClock};
pub use durability::Durability;
pub use error::{Error, ErrorKind, Operation, Result};
pub use id::{InvalidSessionId, SessionId};
pub use id_generator::{IdGenerator, RandomIds};
pub use principal::Principal;
pub use record::Record;
pub use revision::Revision;
pub use timestamp::Timestamp;
pub use token::SessionToken;
pub use values::{AsKey, AsPath, Key};
