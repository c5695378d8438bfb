//! The stored form of the bookkeeping: one version byte, a MessagePack map with short names, because every
//! session carries them, and the CRC-32 of all that, big-endian. A field is added, never changed; drivers never
//! look inside.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::meta::{History, Meta};
use crate::secrets::{Replaced, Rotation, Secrets};
use crate::token::SecretDigest;
use crate::{Codec, CookieLifetime, Error, ErrorKind, Lifetime, Result, Timestamp};

pub(super) const VERSION: u8 = 1;
/// How deep the map may be nested. The decoder recurses: its own limit is more than a stack holds.
const MAX_DEPTH: usize = 32;
/// Of a session that was written a few times; others take another allocation.
const USUAL_SIZE: usize = 160;

impl Meta {
    pub(crate) fn encode(&self) -> Result<Bytes> {
        // Taken apart, so that a new field is stored or left out on purpose.
        let Self { created_at, authenticated_at, lifetime, codec, secrets, earlier_revisions, unknown } =
            self;
        let Lifetime { idle_timeout, absolute_timeout, cookie } = lifetime;
        let Secrets { current, issued_at, replaced } = secrets;
        let revisions = earlier_revisions.randoms.map(u32::to_be_bytes);
        let (revisions, used) = (revisions.as_flattened(), 4 * earlier_revisions.len);
        let wire = Wire {
            created_at: created_at.as_millis(),
            authenticated_at: authenticated_at.map(Timestamp::as_millis),
            idle_timeout: idle_timeout.map(millis),
            absolute_timeout: millis(*absolute_timeout),
            cookie: *cookie,
            codec: codec.number(),
            digest: current.into(),
            issued_at: issued_at.as_millis(),
            replaced: replaced.iter().map(WireReplaced::from).collect(),
            revisions: WireBytes(Cow::Borrowed(revisions.get(..used).unwrap_or_default())),
            unknown: unknown.clone(),
        };
        let mut bytes = Vec::with_capacity(USUAL_SIZE);
        bytes.push(VERSION);
        rmp_serde::encode::write_named(&mut bytes, &wire)
            .map_err(|error| Error::new(ErrorKind::Internal, error))?;
        bytes.extend(checksum(&bytes));
        Ok(bytes.into())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let version = bytes.first().ok_or_else(|| corrupt("empty"))?;
        match *version {
            VERSION => {}
            0 => return Err(corrupt("version 0")),
            newer => {
                let detail = format!("format {newer}; this release reads format {VERSION}");
                return Err(Error::describe(ErrorKind::UnknownFormat, detail));
            }
        }
        let (sealed, sum) = bytes.split_last_chunk().ok_or_else(|| corrupt("cut off"))?;
        if *sum != checksum(sealed) {
            return Err(corrupt("the checksum is that of something else"));
        }
        let map = sealed.get(1..).unwrap_or_default();
        let mut decoder = rmp_serde::Deserializer::from_read_ref(map);
        decoder.set_max_depth(MAX_DEPTH);
        // The decoder's own message could quote what it read.
        let wire = Wire::deserialize(&mut decoder).map_err(|_| corrupt("not the expected fields"))?;
        wire.try_into()
    }
}

pub(super) fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_be_bytes()
}

fn corrupt(what: &'static str) -> Error {
    Error::describe(ErrorKind::Corrupt, format!("bookkeeping: {what}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: i64) -> Result<Timestamp> {
    Timestamp::from_millis(millis).ok_or_else(|| corrupt("a time out of range"))
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
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
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    codec: u8,
    #[serde(rename = "d", borrow)]
    digest: WireBytes<'a>,
    #[serde(rename = "s")]
    issued_at: i64,
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty", borrow)]
    replaced: Vec<WireReplaced<'a>>,
    #[serde(rename = "r", default, skip_serializing_if = "WireBytes::is_empty", borrow)]
    revisions: WireBytes<'a>,
    #[serde(flatten)]
    unknown: BTreeMap<String, rmpv::Value>,
}

impl TryFrom<Wire<'_>> for Meta {
    type Error = Error;

    fn try_from(wire: Wire<'_>) -> Result<Self> {
        let lifetime = Lifetime {
            idle_timeout: wire.idle_timeout.map(Duration::from_millis),
            absolute_timeout: Duration::from_millis(wire.absolute_timeout),
            cookie: wire.cookie,
        };
        lifetime.validate().map_err(|_| corrupt("a lifetime out of range"))?;
        let (revisions, rest) = wire.revisions.0.as_chunks();
        if !rest.is_empty() {
            return Err(corrupt("half a revision"));
        }
        Ok(Self {
            created_at: time(wire.created_at)?,
            authenticated_at: wire.authenticated_at.map(time).transpose()?,
            lifetime,
            codec: Codec::from_number(wire.codec)?,
            secrets: Secrets {
                current: wire.digest.try_into()?,
                issued_at: time(wire.issued_at)?,
                replaced: wire.replaced.into_iter().map(Replaced::try_from).collect::<Result<_>>()?,
            },
            earlier_revisions: History::of(revisions.iter().map(|random| u32::from_be_bytes(*random))),
            unknown: wire.unknown,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// Closed: a later release keeps what else it must know of a secret in a field of [`Wire`], because what this
/// one does not know is kept there and nowhere else.
#[derive(Serialize, Deserialize)]
struct WireReplaced<'a> {
    #[serde(rename = "d", borrow)]
    digest: WireBytes<'a>,
    #[serde(rename = "p", default, skip_serializing_if = "std::ops::Not::not")]
    privilege: bool,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    valid_until: Option<i64>,
}

impl<'a> From<&'a Replaced> for WireReplaced<'a> {
    fn from(replaced: &'a Replaced) -> Self {
        let Replaced { digest, by, valid_until } = replaced;
        Self {
            digest: digest.into(),
            privilege: *by == Rotation::Privilege,
            valid_until: valid_until.map(Timestamp::as_millis),
        }
    }
}

impl TryFrom<WireReplaced<'_>> for Replaced {
    type Error = Error;

    fn try_from(wire: WireReplaced<'_>) -> Result<Self> {
        let by = if wire.privilege { Rotation::Privilege } else { Rotation::Periodic };
        let valid_until = wire.valid_until.map(time).transpose()?;
        if by == Rotation::Privilege && valid_until.is_none() {
            return Err(corrupt("a secret replaced for privilege that never died"));
        }
        Ok(Self { digest: wire.digest.try_into()?, by, valid_until })
    }
}

/// Bytes as MessagePack's binary type, where serde would write a list of numbers.
#[derive(Default)]
struct WireBytes<'a>(Cow<'a, [u8]>);

impl WireBytes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<&'a SecretDigest> for WireBytes<'a> {
    fn from(digest: &'a SecretDigest) -> Self {
        Self(Cow::Borrowed(digest.as_bytes()))
    }
}

impl TryFrom<WireBytes<'_>> for SecretDigest {
    type Error = Error;

    fn try_from(bytes: WireBytes<'_>) -> Result<Self> {
        bytes.0.as_ref().try_into().map(Self::from_bytes).map_err(|_| corrupt("a digest of another length"))
    }
}

impl Serialize for WireBytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for WireBytes<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = WireBytes<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: serde::de::Error>(
                self,
                bytes: &'de [u8],
            ) -> Result<WireBytes<'de>, E> {
                Ok(WireBytes(Cow::Borrowed(bytes)))
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<WireBytes<'de>, E> {
                Ok(WireBytes(Cow::Owned(bytes.to_vec())))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}
