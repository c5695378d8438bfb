//! The fields as they are read: of the right types, and not yet of the right values.

use std::collections::BTreeMap;
use std::time::Duration;

use rmp::Marker;
use rmp::decode::{read_array_len, read_bin_len, read_bool, read_map_len, read_str_len};

use super::{
    ABSOLUTE_TIMEOUT, AUTHENTICATED_AT, BROWSER_SESSION, CODEC, COOKIE, CREATED_AT, DIGEST, IDLE_TIMEOUT,
    ISSUED_AT, PERSISTENT, PRIVILEGE, REPLACED, REVISIONS, VALID_UNTIL, corrupt,
};
use crate::meta::{History, Meta};
use crate::secrets::{Replaced, Rotation, Secrets};
use crate::token::SecretDigest;
use crate::{Codec, CookieLifetime, Error, Lifetime, Result, Timestamp};

/// How deep a field of a later release may be nested, at least. The decoder recurses: its own limit is more than a
/// stack holds.
const MAX_NESTING: usize = 30;
/// The same in calls of the decoder: two for a list or a map, three for a text.
const MAX_DEPTH: usize = 2 * MAX_NESTING + 3;

#[derive(Default)]
pub(super) struct Fields<'a> {
    created_at: Option<u64>,
    authenticated_at: Option<u64>,
    idle_timeout: Option<u64>,
    absolute_timeout: Option<u64>,
    cookie: Option<CookieLifetime>,
    codec: Option<u64>,
    digest: Option<&'a [u8]>,
    issued_at: Option<u64>,
    replaced: Option<Vec<ReplacedFields<'a>>>,
    revisions: Option<&'a [u8]>,
    unknown: BTreeMap<String, rmpv::Value>,
}

#[derive(Default)]
struct ReplacedFields<'a> {
    digest: Option<&'a [u8]>,
    privilege: Option<bool>,
    valid_until: Option<u64>,
}

impl<'a> Fields<'a> {
    /// `None` where the map is cut off, a known field has another type, or one comes twice.
    pub(super) fn read(&mut self, map: &'a [u8]) -> Option<()> {
        let mut input = Input(map);
        for _ in 0..input.map()? {
            match input.name()? {
                [CREATED_AT] => once(&mut self.created_at, input.number()?)?,
                [AUTHENTICATED_AT] => once(&mut self.authenticated_at, input.number()?)?,
                [IDLE_TIMEOUT] => once(&mut self.idle_timeout, input.number()?)?,
                [ABSOLUTE_TIMEOUT] => once(&mut self.absolute_timeout, input.number()?)?,
                [COOKIE] => once(&mut self.cookie, input.cookie()?)?,
                [CODEC] => once(&mut self.codec, input.number()?)?,
                [DIGEST] => once(&mut self.digest, input.bytes()?)?,
                [ISSUED_AT] => once(&mut self.issued_at, input.number()?)?,
                [REPLACED] => once(&mut self.replaced, input.replaced()?)?,
                [REVISIONS] => once(&mut self.revisions, input.bytes()?)?,
                name => {
                    let name = std::str::from_utf8(name).ok()?.to_owned();
                    self.unknown.insert(name, input.anything()?);
                }
            }
        }
        Some(())
    }
}

/// Sets a field that was not set before.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn marker(&mut self) -> Option<Marker> {
        self.array().map(|[marker]| Marker::from_u8(marker))
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Nothing in the bookkeeping is negative.
    fn number(&mut self) -> Option<u64> {
        Some(match self.marker()? {
            Marker::FixPos(number) => number.into(),
            Marker::U8 => u8::from_be_bytes(self.array()?).into(),
            Marker::U16 => u16::from_be_bytes(self.array()?).into(),
            Marker::U32 => u32::from_be_bytes(self.array()?).into(),
            Marker::U64 => u64::from_be_bytes(self.array()?),
            _ => return None,
        })
    }

    fn map(&mut self) -> Option<u32> {
        read_map_len(&mut self.0).ok()
    }

    /// The bytes of a text.
    fn name(&mut self) -> Option<&'a [u8]> {
        let mut rest = self.0;
        let length = match self.marker()? {
            Marker::FixStr(length) => length.into(),
            _ => {
                let length = read_str_len(&mut rest).ok()?;
                self.0 = rest;
                length.try_into().ok()?
            }
        };
        self.take(length)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = read_bin_len(&mut self.0).ok()?;
        self.take(length.try_into().ok()?)
    }

    fn anything(&mut self) -> Option<rmpv::Value> {
        rmpv::decode::read_value_with_max_depth(&mut self.0, MAX_DEPTH).ok()
    }

    fn cookie(&mut self) -> Option<CookieLifetime> {
        match self.name()? {
            [PERSISTENT] => Some(CookieLifetime::Persistent),
            [BROWSER_SESSION] => Some(CookieLifetime::BrowserSession),
            _ => None,
        }
    }

    fn replaced(&mut self) -> Option<Vec<ReplacedFields<'a>>> {
        // Not with a capacity: the number may be a lie.
        let mut all = Vec::new();
        for _ in 0..read_array_len(&mut self.0).ok()? {
            let mut fields = ReplacedFields::default();
            for _ in 0..self.map()? {
                match self.name()? {
                    [DIGEST] => once(&mut fields.digest, self.bytes()?)?,
                    [PRIVILEGE] => once(&mut fields.privilege, read_bool(&mut self.0).ok()?)?,
                    [VALID_UNTIL] => once(&mut fields.valid_until, self.number()?)?,
                    _ => drop(self.anything()?),
                }
            }
            all.push(fields);
        }
        Some(all)
    }
}

impl TryFrom<Fields<'_>> for Meta {
    type Error = Error;

    fn try_from(fields: Fields<'_>) -> Result<Self> {
        let lifetime = Lifetime {
            idle_timeout: fields.idle_timeout.map(Duration::from_millis),
            absolute_timeout: Duration::from_millis(required(fields.absolute_timeout)?),
            cookie: required(fields.cookie)?,
        };
        lifetime.validate().map_err(|_| corrupt("a lifetime out of range"))?;
        let (revisions, rest) = fields.revisions.unwrap_or_default().as_chunks();
        if !rest.is_empty() {
            return Err(corrupt("half a revision"));
        }
        let replaced = fields.replaced.unwrap_or_default();
        let codec =
            fields.codec.unwrap_or_default().try_into().map_err(|_| corrupt("not the expected fields"))?;
        Ok(Self {
            created_at: time(required(fields.created_at)?)?,
            authenticated_at: fields.authenticated_at.map(time).transpose()?,
            lifetime,
            codec: Codec::from_number(codec)?,
            secrets: Secrets {
                current: digest(fields.digest)?,
                issued_at: time(required(fields.issued_at)?)?,
                replaced: replaced.into_iter().map(Replaced::try_from).collect::<Result<_>>()?,
            },
            earlier_revisions: History::of(revisions.iter().map(|random| u32::from_be_bytes(*random))),
            unknown: fields.unknown,
        })
    }
}

impl TryFrom<ReplacedFields<'_>> for Replaced {
    type Error = Error;

    fn try_from(fields: ReplacedFields<'_>) -> Result<Self> {
        let is_privilege = fields.privilege.unwrap_or_default();
        let by = if is_privilege { Rotation::Privilege } else { Rotation::Periodic };
        let valid_until = fields.valid_until.map(time).transpose()?;
        if by == Rotation::Privilege && valid_until.is_none() {
            return Err(corrupt("a secret replaced for privilege that never died"));
        }
        Ok(Self { digest: digest(fields.digest)?, by, valid_until })
    }
}

fn required<T>(field: Option<T>) -> Result<T> {
    field.ok_or_else(|| corrupt("not the expected fields"))
}

fn time(millis: u64) -> Result<Timestamp> {
    i64::try_from(millis).ok().and_then(Timestamp::from_millis).ok_or_else(|| corrupt("a time out of range"))
}

fn digest(bytes: Option<&[u8]>) -> Result<SecretDigest> {
    let bytes = required(bytes)?.try_into();
    bytes.map(SecretDigest::from_bytes).map_err(|_| corrupt("a digest of another length"))
}
