//! Golden bytes of format 1: these files are in people's stores. They are read, and written again, by every
//! release to come; see CONTRIBUTING.md.

use std::time::Duration;

use super::*;
use crate::golden::{assert_written, read};
use crate::secrets::{Presented, Replaced, Rotation};
use crate::{CookieLifetime, ErrorKind, SessionId, SessionToken};

const MINUTE: i64 = 60_000;
const GRACE: Duration = Duration::from_secs(30);

/// Times count from here: where the conformance suite's clock starts.
fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000_000 + offset).unwrap()
}

/// The token of the golden session whose secret is 32 times this byte.
fn token(secret: u8) -> SessionToken {
    SessionToken::from_parts(SessionId::from_bytes(*b"golden session 1"), [secret; 32])
}

fn replaced(secret: u8, by: Rotation, valid_until: Option<i64>) -> Replaced {
    Replaced { digest: token(secret).digest(), by, valid_until: valid_until.map(at) }
}

/// A session as it was created.
fn created() -> Meta {
    Meta::new(token(1).digest(), Lifetime::default(), Codec::Json, at(-MINUTE))
}

/// A session that has been through everything.
fn full() -> Meta {
    let lifetime = Lifetime {
        idle_timeout: Some(Duration::from_secs(2 * 3600)),
        absolute_timeout: Duration::from_secs(7 * 24 * 3600),
        cookie: CookieLifetime::BrowserSession,
    };
    let secrets = Secrets {
        current: token(1).digest(),
        issued_at: at(-10_000),
        replaced: vec![
            replaced(2, Rotation::Periodic, None),
            replaced(3, Rotation::Periodic, Some(-5_000)),
            replaced(4, Rotation::Periodic, Some(-10 * MINUTE)),
            replaced(5, Rotation::Privilege, Some(-30 * MINUTE)),
        ],
    };
    let mut revision = Revision::first(0x0101_0101);
    let mut meta = Meta {
        created_at: at(-60 * MINUTE),
        authenticated_at: Some(at(-30 * MINUTE)),
        lifetime,
        codec: Codec::Json,
        secrets,
        earlier_revisions: History::default(),
        unknown: BTreeMap::new(),
    };
    for random in 2..=9 {
        meta.push_revision(revision);
        revision = revision.next(random * 0x0101_0101);
    }
    meta
}

/// The same, written by a later release within the format.
fn later_fields() -> Meta {
    let field = rmpv::Value::Map(vec![
        ("device".into(), "phone".into()),
        ("scores".into(), rmpv::Value::Array(vec![1.into()])),
    ]);
    let unknown = BTreeMap::from([("later".to_owned(), field), ("z".to_owned(), true.into())]);
    Meta { unknown, ..full() }
}

/// Every field, the digests included, which `Debug` hides.
fn assert_same(actual: &Meta, expected: &Meta) {
    assert_eq!(format!("{actual:?}"), format!("{expected:?}"));
    assert_eq!(actual.secrets.current, expected.secrets.current);
    for (actual, expected) in actual.secrets.replaced.iter().zip(&expected.secrets.replaced) {
        assert_eq!(actual.digest, expected.digest);
    }
}

#[test]
fn format_1_is_read() {
    for (name, meta) in [("created", created()), ("full", full()), ("later_fields", later_fields())] {
        assert_same(&Meta::decode(&read(&format!("{name}.meta"))).unwrap(), &meta);
    }
    let read = Meta::decode(&read("full.meta")).unwrap();
    let presented = |secret| read.secrets.classify(token(secret).digest(), at(0), GRACE);
    assert_eq!(
        [1, 2, 3, 4, 5, 6].map(presented),
        [
            Presented::Current,
            Presented::Replaced,
            Presented::Superseded,
            Presented::Replayed,
            Presented::Unknown,
            Presented::Unknown
        ]
    );
    let revision =
        |random: u32| Revision::from_i64(i64::from(random) << 32 | i64::from(random * 0x0101_0101)).unwrap();
    for random in 1..=9 {
        assert_eq!(read.landed(revision(9), revision(random)), Landed::Yes, "write {random}");
    }
    assert_eq!(read.landed(revision(9), revision(3).next(0)), Landed::No);
}

#[test]
fn format_1_is_written() {
    for (name, meta) in [("created", created()), ("full", full()), ("later_fields", later_fields())] {
        assert_written(&format!("{name}.meta"), &meta.encode().unwrap());
    }
}

#[test]
fn format_1_of_a_session_in_bincode() {
    #[cfg(feature = "bincode")]
    {
        let meta = Meta { codec: Codec::Bincode, ..created() };
        assert_written("bincode.meta", &meta.encode().unwrap());
        assert_same(&Meta::decode(&read("bincode.meta")).unwrap(), &meta);
    }
    let stored = read("bincode.meta");
    #[cfg(not(feature = "bincode"))]
    assert_eq!(Meta::decode(&stored).unwrap_err().kind(), ErrorKind::UnknownFormat);
    // What the next format may look like is not for this one to say.
    let later = [&[wire::VERSION + 1], &stored[1..]].concat();
    assert_eq!(Meta::decode(&later).unwrap_err().kind(), ErrorKind::UnknownFormat);
}
