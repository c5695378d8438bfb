//! Where fresh ids and secrets come from.

use std::fmt::Debug;
use std::sync::Arc;

use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha512};

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
        fill(&mut id)?;
        fill(&mut secret)?;
        Ok(SessionToken::from_parts(SessionId::from_bytes(id), secret))
    }
}

/// Tokens of 128 lowercase hexadecimal digits: SHA-512 over 128 bytes from the operating system's
/// generator. The first 32 digits are the id, the other 96 the secret.
///
/// For clients that expect an id of this form. [`RandomIds`] is as strong and half as long. After a
/// rotation the first 32 digits are the same and the rest is fresh.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Sha512Ids;

impl Sha512Ids {
    fn from_seed(seed: &[u8; 128]) -> SessionToken {
        SessionToken::from_sha512(Sha512::digest(seed).into())
    }
}

impl IdGenerator for Sha512Ids {
    fn generate(&self) -> Result<SessionToken> {
        let mut seed = [0; 128];
        fill(&mut seed)?;
        Ok(Self::from_seed(&seed))
    }
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    SysRng
        .try_fill_bytes(bytes)
        .map_err(|error| Error::new(ErrorKind::Internal, error).with_detail("no randomness"))
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

    #[test]
    fn sha512_ids_are_the_digest_of_their_seed() {
        // SHA-512 of 128 zero bytes, by another implementation.
        let expected = "ab942f526272e456ed68a979f50202905ca903a141ed98443567b11ef0bf25a5\
             52d639051a01be58558122c58e3de07d749ee59ded36acf0c55cd91924d6ba11";
        let token = Sha512Ids::from_seed(&[0; 128]);
        assert_eq!(token.expose(), expected);
        let parsed = SessionToken::parse(expected).unwrap();
        assert_eq!((parsed.id(), parsed.digest()), (token.id(), token.digest()));
    }

    #[test]
    fn a_rotated_sha512_token_keeps_its_first_32_digits() {
        let (old, fresh) = (Sha512Ids.generate().unwrap(), Sha512Ids.generate().unwrap());
        let rotated = fresh.clone().with_id(old.id()).expose();
        assert_eq!(rotated[..32], old.expose()[..32]);
        assert_eq!(rotated[32..], fresh.expose()[32..]);
    }
}
