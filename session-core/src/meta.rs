//! The core's bookkeeping of a session, as it stands in `Record::meta`: one version byte, then a
//! MessagePack map. Drivers never look inside.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::token::SecretDigest;
use crate::{CookieLifetime, Error, ErrorKind, Lifetime, Result, Revision, Timestamp};

/// What the core knows of a session beside its values.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) created_at: Timestamp,
    /// The last sign-in; `None` before the first.
    pub(crate) authenticated_at: Option<Timestamp>,
    pub(crate) lifetime: Lifetime,
    /// Digest of the secret that opens the session.
    current: SecretDigest,
    /// Digests of the secrets before, newest first.
    replaced: Vec<Replaced>,
    /// Random parts of the revisions before this record's, newest first. Their sequences are
    /// those right below it, because every update takes the next.
    earlier_revisions: Vec<u32>,
    /// Fields of a later release within the same version; kept on rewrite.
    unknown: BTreeMap<String, rmpv::Value>,
}

#[derive(Clone, Debug)]
struct Replaced {
    digest: SecretDigest,
    at: Timestamp,
}

/// What a presented secret is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// The one that opens it.
    Current,
    /// One that was replaced a moment ago: a request that was in flight then.
    Superseded,
    /// Replaced long ago, never issued, or forgotten.
    Unknown,
}

/// Whether a write that was attempted has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    Yes,
    No,
    /// Too many writes since: nobody can tell.
    Unknown,
}

const VERSION: u8 = 1;
const REPLACED_KEPT: usize = 4;
const REVISIONS_KEPT: usize = 8;
/// How deep the map may be nested. The decoder recurses: its own limit is more than a stack holds.
const MAX_DEPTH: usize = 32;

impl Meta {
    pub(crate) fn new(current: SecretDigest, lifetime: Lifetime, now: Timestamp) -> Self {
        Self {
            created_at: now,
            authenticated_at: None,
            lifetime,
            current,
            replaced: Vec::new(),
            earlier_revisions: Vec::new(),
            unknown: BTreeMap::new(),
        }
    }

    pub(crate) fn classify(&self, digest: SecretDigest, now: Timestamp, grace: Duration) -> Presented {
        if self.is_current(digest) {
            return Presented::Current;
        }
        let in_flight = |old: &Replaced| now < old.at.saturating_add(grace);
        match self.replaced.iter().find(|old| old.digest == digest) {
            Some(old) if in_flight(old) => Presented::Superseded,
            _ => Presented::Unknown,
        }
    }

    pub(crate) fn is_current(&self, digest: SecretDigest) -> bool {
        self.current == digest
    }

    /// Replaces the secret because of a change of privilege: every earlier one is dead at once
    /// (OWASP ASVS 7.2.4).
    pub(crate) fn rotate(&mut self, fresh: SecretDigest, now: Timestamp) {
        let digest = std::mem::replace(&mut self.current, fresh);
        self.replaced.insert(0, Replaced { digest, at: now });
        self.replaced.truncate(REPLACED_KEPT);
    }

    /// Remembers `revision` as the one before the record that this will be part of.
    pub(crate) fn push_revision(&mut self, revision: Revision) {
        self.earlier_revisions.insert(0, revision.random());
        self.earlier_revisions.truncate(REVISIONS_KEPT);
    }

    /// Whether the write with revision `attempted` is part of the history of the record that has
    /// `revision` and this bookkeeping.
    pub(crate) fn landed(&self, revision: Revision, attempted: Revision) -> Landed {
        if revision == attempted {
            return Landed::Yes;
        }
        let Some(writes_since) = revision.sequence().checked_sub(attempted.sequence()) else {
            return Landed::No;
        };
        match (writes_since as usize).checked_sub(1).map(|index| self.earlier_revisions.get(index)) {
            None => Landed::No,
            Some(Some(random)) if *random == attempted.random() => Landed::Yes,
            Some(Some(_)) => Landed::No,
            Some(None) => Landed::Unknown,
        }
    }

    pub(crate) fn encode(&self) -> Result<Bytes> {
        // Taken apart, so that a new field is stored or left out on purpose.
        let Self { created_at, authenticated_at, lifetime, current, replaced, earlier_revisions, unknown } =
            self;
        let wire = Wire {
            created_at: created_at.as_millis(),
            authenticated_at: authenticated_at.map(Timestamp::as_millis),
            idle_timeout: lifetime.idle_timeout.map(millis),
            absolute_timeout: millis(lifetime.absolute_timeout),
            cookie: lifetime.cookie,
            digest: WireBytes(current.as_bytes().to_vec()),
            replaced: replaced
                .iter()
                .map(|old| WireReplaced {
                    digest: WireBytes(old.digest.as_bytes().to_vec()),
                    at: old.at.as_millis(),
                })
                .collect(),
            revisions: WireBytes(earlier_revisions.iter().flat_map(|random| random.to_be_bytes()).collect()),
            unknown: unknown.clone(),
        };
        let mut bytes = vec![VERSION];
        rmp_serde::encode::write_named(&mut bytes, &wire)
            .map_err(|error| Error::new(ErrorKind::Internal, error))?;
        Ok(bytes.into())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let (version, map) = bytes.split_first().ok_or_else(|| corrupt("empty"))?;
        match *version {
            VERSION => {}
            0 => return Err(corrupt("version 0")),
            newer => {
                let detail = format!("format {newer}; this release reads format {VERSION}");
                return Err(Error::describe(ErrorKind::UnknownFormat, detail));
            }
        }
        let mut decoder = rmp_serde::Deserializer::from_read_ref(map);
        decoder.set_max_depth(MAX_DEPTH);
        // The decoder's own message could quote what it read.
        let wire = Wire::deserialize(&mut decoder).map_err(|_| corrupt("not the expected fields"))?;
        wire.try_into()
    }
}

fn corrupt(what: &'static str) -> Error {
    Error::describe(ErrorKind::Corrupt, format!("bookkeeping: {what}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The stored form. Short names, because every session carries them.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "c")]
    created_at: i64,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    authenticated_at: Option<i64>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<u64>,
    #[serde(rename = "x")]
    absolute_timeout: u64,
    #[serde(rename = "k")]
    cookie: CookieLifetime,
    #[serde(rename = "d")]
    digest: WireBytes,
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<WireReplaced>,
    #[serde(rename = "r", default, skip_serializing_if = "WireBytes::is_empty")]
    revisions: WireBytes,
    #[serde(flatten)]
    unknown: BTreeMap<String, rmpv::Value>,
}

#[derive(Serialize, Deserialize)]
struct WireReplaced {
    #[serde(rename = "d")]
    digest: WireBytes,
    #[serde(rename = "t")]
    at: i64,
}

impl TryFrom<Wire> for Meta {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        let time = |millis| Timestamp::from_millis(millis).ok_or_else(|| corrupt("a time out of range"));
        let lifetime = Lifetime {
            idle_timeout: wire.idle_timeout.map(Duration::from_millis),
            absolute_timeout: Duration::from_millis(wire.absolute_timeout),
            cookie: wire.cookie,
        };
        lifetime.validate().map_err(|_| corrupt("a lifetime out of range"))?;
        let replaced = wire
            .replaced
            .into_iter()
            .map(|old| Ok(Replaced { digest: old.digest.try_into()?, at: time(old.at)? }));
        let revisions =
            wire.revisions.0.chunks(4).map(|random| {
                random.try_into().map(u32::from_be_bytes).map_err(|_| corrupt("half a revision"))
            });
        Ok(Self {
            created_at: time(wire.created_at)?,
            authenticated_at: wire.authenticated_at.map(time).transpose()?,
            lifetime,
            current: wire.digest.try_into()?,
            replaced: replaced.collect::<Result<_>>()?,
            earlier_revisions: revisions.collect::<Result<_>>()?,
            unknown: wire.unknown,
        })
    }
}

/// Bytes as MessagePack's binary type, where serde would write a list of numbers.
#[derive(Default)]
struct WireBytes(Vec<u8>);

impl WireBytes {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<WireBytes> for SecretDigest {
    type Error = Error;

    fn try_from(bytes: WireBytes) -> Result<Self> {
        bytes.0.try_into().map(Self::from_bytes).map_err(|_| corrupt("a digest of another length"))
    }
}

impl Serialize for WireBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for WireBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = WireBytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<WireBytes, E> {
                Ok(WireBytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<WireBytes, E> {
                Ok(WireBytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests;
