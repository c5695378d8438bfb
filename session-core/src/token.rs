//! The credential: what the cookie carries, and the digest that the store holds in its place.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::SessionId;

/// An id and the secret that goes with it.
///
/// Written `<id>.<secret>`, 22 + 1 + 43 characters; that of [`Sha512Ids`](crate::Sha512Ids) is 128 lowercase
/// hexadecimal digits. The two are told apart by their form, so another generator can take over at any time.
///
/// The secret is 256 random bits or more and exists in the cookie only; a store sees a
/// digest of it, bound to the id, so a stolen copy of the store signs nobody in (CVE-2019-16782). There
/// is no `Display` and no `Serialize`, and `Debug` hides the secret: [`expose`](Self::expose) is the one
/// way out.
#[derive(Clone)]
pub struct SessionToken {
    id: SessionId,
    secret: Secret,
}

#[derive(Clone, Copy)]
enum Secret {
    Random([u8; 32]),
    Hexadecimal([u8; 48]),
}

const SECRET_TEXT_LEN: usize = 43;
const HEXADECIMAL_LEN: usize = 128;

/// Keeps these digests apart from every other use of SHA-256 over the same bytes. Seven of them, because
/// with an id and a secret of 32 bytes that is as much as one block of SHA-256 takes: a second one would add
/// a quarter to what opening a session costs.
const DIGEST_DOMAIN: &[u8; 7] = b"skit.v1";

impl SessionToken {
    /// The token of a custom [`IdGenerator`](crate::IdGenerator). Both parts must come from a
    /// cryptographically secure generator.
    #[must_use]
    pub const fn from_parts(id: SessionId, secret: [u8; 32]) -> Self {
        Self { id, secret: Secret::Random(secret) }
    }

    /// The token whose text is these 64 bytes in hexadecimal: 16 of the id, 48 of the secret.
    pub(crate) fn from_sha512(bytes: [u8; 64]) -> Self {
        let (mut id, mut secret) = ([0; 16], [0; 48]);
        id.copy_from_slice(&bytes[..16]);
        secret.copy_from_slice(&bytes[16..]);
        Self { id: SessionId::from_bytes(id), secret: Secret::Hexadecimal(secret) }
    }

    /// Reads a token's text; `None` unless it is exactly what [`expose`](Self::expose) writes.
    ///
    /// Checks length and alphabet only: whether such a session exists is for
    /// [`SessionManager::open`](crate::SessionManager::open) to find out.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_bytes(text.as_bytes())
    }

    pub(crate) fn parse_bytes(text: &[u8]) -> Option<Self> {
        if text.len() == HEXADECIMAL_LEN {
            return Self::parse_hexadecimal(text);
        }
        let (id, secret) = text.split_at_checked(SessionId::TEXT_LEN)?;
        let secret_text = secret.strip_prefix(b".")?;
        if secret_text.len() != SECRET_TEXT_LEN {
            return None;
        }
        let id = SessionId::parse_bytes(id)?;
        let mut secret = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(secret_text, &mut secret) {
            Ok(32) => Some(Self::from_parts(id, secret)),
            _ => None,
        }
    }

    fn parse_hexadecimal(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; HEXADECIMAL_LEN / 2];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self::from_sha512(bytes))
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The token's text, secret included: for the cookie, and for nothing else.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::with_capacity(HEXADECIMAL_LEN);
        match &self.secret {
            Secret::Random(secret) => {
                URL_SAFE_NO_PAD.encode_string(self.id.as_bytes(), &mut text);
                text.push('.');
                URL_SAFE_NO_PAD.encode_string(secret, &mut text);
            }
            Secret::Hexadecimal(secret) => {
                for byte in self.id.as_bytes().iter().chain(secret) {
                    for digit in [byte >> 4, byte & 15] {
                        text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
                    }
                }
            }
        }
        text
    }

    /// What the store holds of the secret. The id is part of it, so a digest that is copied to
    /// another session's record opens nothing there.
    pub(crate) fn digest(&self) -> SecretDigest {
        let mut hash = Sha256::new();
        hash.update(DIGEST_DOMAIN);
        hash.update(self.id.as_bytes());
        match &self.secret {
            Secret::Random(secret) => hash.update(secret),
            Secret::Hexadecimal(secret) => hash.update(secret),
        }
        SecretDigest(hash.finalize().into())
    }

    /// This token's secret with another id: rotation takes a fresh token and keeps the id.
    pub(crate) fn with_id(self, id: SessionId) -> Self {
        Self { id, ..self }
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// SHA-256 of a secret, bound to its session's id. Equality takes the same time for every input.
#[derive(Clone, Copy)]
pub(crate) struct SecretDigest([u8; 32]);

impl SecretDigest {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn words(&self) -> [u64; 4] {
        let (words, _) = self.0.as_chunks();
        std::array::from_fn(|word| u64::from_ne_bytes(words[word]))
    }
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        // Four words, not 32 bytes: each one costs the same.
        self.words().ct_eq(&other.words()).into()
    }
}

impl Eq for SecretDigest {}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

#[cfg(test)]
mod tests;
