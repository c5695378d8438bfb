//! The names of the keys: one for each session, one for each principal, all behind the prefix.

use session_core::{Principal, SessionId};
use sha2::{Digest as _, Sha256};

/// A tag that makes an index's key longer than any record's: no id that somebody sends can name it.
const INDEX: &[u8] = b"principal:";

/// Makes keys from ids and principals, never from a client's text.
#[derive(Clone)]
pub(crate) struct Keys {
    prefix: Vec<u8>,
}

impl Keys {
    pub(crate) fn new(prefix: Vec<u8>) -> Self {
        Self { prefix }
    }

    /// The record of a session.
    pub(crate) fn record(&self, id: SessionId) -> Vec<u8> {
        [&self.prefix, id.as_bytes().as_slice()].concat()
    }

    /// The index of a principal's sessions. Half a digest: keys show up in logs and monitors, where an
    /// address has no place, and two principals that share an index only cost their lists some time.
    pub(crate) fn index(&self, principal: &Principal) -> Vec<u8> {
        let digest = Sha256::digest(principal.as_str().as_bytes());
        [&self.prefix, INDEX, &digest[..16]].concat()
    }

    /// What SCAN matches records by: the prefix, taken literally, and sixteen bytes.
    pub(crate) fn record_pattern(&self) -> Vec<u8> {
        let mut pattern = Vec::with_capacity(self.prefix.len() + 16);
        for &byte in &self.prefix {
            if b"*?[]\\^-".contains(&byte) {
                pattern.push(b'\\');
            }
            pattern.push(byte);
        }
        pattern.extend([b'?'; 16]);
        pattern
    }

    /// The session whose record has this key.
    pub(crate) fn session_id(&self, key: &[u8]) -> Option<SessionId> {
        let id = key.strip_prefix(&*self.prefix)?;
        id.try_into().ok().map(SessionId::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_records_and_indexes_never_meet() {
        let keys = Keys::new(b"session:".to_vec());
        let id = SessionId::from_bytes(*b"principal:123456");
        assert_eq!(keys.record(id), b"session:principal:123456");
        assert_eq!(keys.session_id(&keys.record(id)), Some(id));
        for name in ["", "alice", "123456"] {
            let index = keys.index(&Principal::new(name).unwrap());
            assert_eq!(index.len(), 8 + 10 + 16);
            assert_eq!(keys.session_id(&index), None);
        }
        assert_eq!(keys.session_id(b"sessian:principal:123456"), None);
    }

    #[test]
    fn patterns_take_the_prefix_literally() {
        let keys = Keys::new(br"a*?[b]^-\{c}".to_vec());
        assert_eq!(keys.record_pattern(), br"a\*\?\[b\]\^\-\\{c}????????????????");
    }
}
