//! The public half of a token: the key under which a session is stored.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Names a session: 128 random bits, written as 22 characters of base64url.
///
/// An id is *not* a credential: it may be stored, listed and shown to an operator. It never changes
/// over the life of its session. `Display` and `FromStr` are its full text; `Debug` shows the first
/// eight characters, as logs do.
///
/// ```
/// use session_core::SessionId;
///
/// let id = SessionId::from_bytes([7; 16]);
/// assert_eq!(id.to_string(), "BwcHBwcHBwcHBwcHBwcHBw");
/// assert_eq!("BwcHBwcHBwcHBwcHBwcHBw".parse(), Ok(id));
/// assert_eq!(format!("{id:?}"), "SessionId(BwcHBwcH..)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Characters of an id's text.
    pub const TEXT_LEN: usize = 22;

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn parse_bytes(text: &[u8]) -> Option<Self> {
        if text.len() != Self::TEXT_LEN {
            return None;
        }
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Some(Self(bytes)),
            _ => None,
        }
    }

    /// The bytes that drivers use as the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}..)", &URL_SAFE_NO_PAD.encode(self.0)[..8])
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    /// Takes exactly the text that `Display` writes: one text for one id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_bytes(text.as_bytes()).ok_or(InvalidSessionId(()))
    }
}

/// The text is not that of a [`SessionId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSessionId(());

impl fmt::Display for InvalidSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session id is 22 characters of base64url")
    }
}

impl std::error::Error for InvalidSessionId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_one_id() {
        let id = SessionId::from_bytes(*b"0123456789abcdef");
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        // The last character carries four spare bits: they must be zero.
        for last in "BCDEFGHIJKLMNOP".chars() {
            let other = format!("{}{last}", &text[..21]);
            assert!(other == text || other.parse::<SessionId>().is_err(), "{other}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "a",
            "BwcHBwcHBwcHBwcHBwcHB",
            "BwcHBwcHBwcHBwcHBwcHBww",
            "../../../../../../etc/",
            "BwcHBwcHBwcHBwcHBwcHB=",
            "BwcHBwcHBwcHBwcHBw+/Bw",
            "BwcHBwcHBwcHBwcHBwcHé",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text:?}");
        }
    }
}
