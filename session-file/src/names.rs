//! The names of files: lowercase hexadecimal digits of ids and digests, never anything that a client or a user has
//! written, and different also where a file system ignores case.

use session_core::{Principal, SessionId};
use sha2::{Digest as _, Sha256};

/// The end of a temporary file's name.
const TEMPORARY: &str = ".new";

/// Stands for a principal in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PrincipalDigest([u8; 16]);

impl PrincipalDigest {
    pub(crate) fn of(principal: &Principal) -> Self {
        Self::of_bytes(principal.as_str().as_bytes())
    }

    pub(crate) fn of_bytes(principal: &[u8]) -> Self {
        let digest = Sha256::digest(principal);
        Self(std::array::from_fn(|place| digest[place]))
    }

    pub(crate) fn shard(self) -> u8 {
        self.0[0]
    }
}

/// What a name in a shard of records stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordName {
    Record(SessionId),
    Temporary(SessionId),
}

pub(crate) fn shard(id: SessionId) -> u8 {
    id.as_bytes()[0]
}

pub(crate) fn record(id: SessionId) -> String {
    hex(id.as_bytes())
}

pub(crate) fn temporary(id: SessionId) -> String {
    record(id) + TEMPORARY
}

pub(crate) fn marker(principal: PrincipalDigest, id: SessionId) -> String {
    format!("{}.{}", hex(&principal.0), record(id))
}

/// `None` for a name that is not this store's, or does not belong in this shard.
pub(crate) fn parse_record(in_shard: u8, name: &str) -> Option<RecordName> {
    let (digits, is_temporary) = name.strip_suffix(TEMPORARY).map_or((name, false), |digits| (digits, true));
    let id = SessionId::from_bytes(parse_hex(digits)?);
    let parsed = if is_temporary { RecordName::Temporary(id) } else { RecordName::Record(id) };
    (shard(id) == in_shard).then_some(parsed)
}

/// As [`parse_record`].
pub(crate) fn parse_marker(in_shard: u8, name: &str) -> Option<(PrincipalDigest, SessionId)> {
    let (digest, id) = name.split_once('.')?;
    let digest = PrincipalDigest(parse_hex(digest)?);
    (digest.shard() == in_shard).then_some((digest, SessionId::from_bytes(parse_hex(id)?)))
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn parse_hex(digits: &str) -> Option<[u8; 16]> {
    let is_own = digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !is_own {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId::from_bytes([0xab; 16]);

    #[test]
    fn names_are_lowercase_digits_and_lead_back() {
        for byte in 0..=u8::MAX {
            let mut bytes = [byte; 16];
            bytes[15] = !byte;
            let id = SessionId::from_bytes(bytes);
            assert_eq!(parse_record(byte, &record(id)), Some(RecordName::Record(id)));
            assert_eq!(parse_record(byte, &temporary(id)), Some(RecordName::Temporary(id)));
            assert_eq!(record(id), record(id).to_lowercase());
            let principal = PrincipalDigest::of_bytes(&[byte]);
            assert_eq!(parse_marker(principal.shard(), &marker(principal, id)), Some((principal, id)));
            assert_eq!(parse_record(byte.wrapping_add(1), &record(id)), None);
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        let name = record(ID);
        let others = [
            name.to_uppercase(),
            name[1..].to_owned(),
            format!("{name}0"),
            format!("+{}", &name[1..]),
            format!("{name} "),
            format!("{name}.NEW"),
            "lock".to_owned(),
            "..".to_owned(),
            "é".repeat(16),
        ];
        for other in others {
            assert_eq!(parse_record(0xab, &other), None, "{other:?}");
            assert_eq!(parse_marker(0xab, &other), None, "{other:?}");
        }
    }

    #[test]
    fn hostile_principals_are_digits_like_all_others() {
        for name in ["../../etc/passwd", "", "\0", "a/b", "CON", "é", "."] {
            let principal = PrincipalDigest::of(&Principal::new(name).unwrap());
            let marker = marker(principal, ID);
            assert!(marker.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.'), "{marker}");
            assert_eq!(marker.len(), 65);
        }
    }
}
