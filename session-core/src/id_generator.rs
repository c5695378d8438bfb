//! Where fresh ids and secrets come from.

use std::fmt::Debug;
use std::sync::Arc;

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::{Error, ErrorKind, Result, SessionId, SessionToken};

/// Makes tokens. A generator that fails must say so: there is no fallback (OWASP ASVS 7.2.3).
///
/// Rotation takes the secret of a fresh token and keeps the session's id. A session whose fresh id is
/// taken already is created under another one, so a generator that repeats itself costs errors, never
/// somebody's session.
pub trait IdGenerator: Debug + Send + Sync + 'static {
    /// A token nobody has seen.
    ///
    /// # Errors
    ///
    /// [`Internal`](ErrorKind::Internal) if there is no randomness to be had.
    fn generate(&self) -> Result<SessionToken>;
}

impl<G: IdGenerator + ?Sized> IdGenerator for Arc<G> {
    fn generate(&self) -> Result<SessionToken> {
        (**self).generate()
    }
}

/// 128 bits of id and 256 of secret from the operating system's generator; the default.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RandomIds;

impl IdGenerator for RandomIds {
    fn generate(&self) -> Result<SessionToken> {
        let mut id = [0; 16];
        let mut secret = [0; 32];
        SysRng
            .try_fill_bytes(&mut id)
            .and_then(|()| SysRng.try_fill_bytes(&mut secret))
            .map_err(|error| Error::new(ErrorKind::Internal, error).with_detail("no randomness"))?;
        Ok(SessionToken::from_parts(SessionId::from_bytes(id), secret))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_hundred_thousand_ids_are_distinct() {
        let ids: HashSet<_> = (0..100_000).map(|_| RandomIds.generate().unwrap().id()).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
