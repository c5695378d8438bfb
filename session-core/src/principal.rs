//! Whose session it is.

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// Who is signed in: an account's id in the words of the application.
///
/// At most [`MAX_LEN`](Self::MAX_LEN) bytes of UTF-8, the empty string included, compared byte by byte:
/// no case folding and no normal forms. `Debug` does not show it: it may be somebody's address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The most bytes that a principal may have.
    pub const MAX_LEN: usize = 255;

    /// The principal `name`.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) over [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self> {
        let name = name.into();
        if name.len() > Self::MAX_LEN {
            let detail = format!("a principal of {} bytes; at most {}", name.len(), Self::MAX_LEN);
            return Err(Error::describe(ErrorKind::TooLarge, detail));
        }
        Ok(Self(name))
    }

    /// The name that it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Principal(..)")
    }
}
