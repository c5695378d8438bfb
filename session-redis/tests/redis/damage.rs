//! Keys that this library did not write, or not this version: a typed error, and they stay as they are.

use std::collections::BTreeSet;

use crate::common::{Fixture, NOW, at, create, id, now, principal, record};
use session_core::{DeleteOutcome, ErrorKind, Result, Revision, SessionBackend};

/// What every verb says of session 1, but for a delete without revision.
async fn verdicts(fixture: &Fixture) -> Vec<(&'static str, Option<ErrorKind>)> {
    fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
        result.err().map(|error| {
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
            error.kind()
        })
    }
    let (backend, same, other) = (&fixture.backend, record("").revision, Revision::first(99));
    vec![
        ("load", kind(backend.load(id(1), now()).await)),
        ("create", kind(backend.create(id(1), record("new"), now()).await)),
        ("update", kind(backend.update(id(1), other, record("new"), now()).await)),
        ("delete", kind(backend.delete(id(1), Some(other), now()).await)),
        ("touch", kind(backend.touch(id(1), at(NOW + 2_000), now()).await)),
        ("update of this revision", kind(backend.update(id(1), same, record("new"), now()).await)),
        ("delete of this revision", kind(backend.delete(id(1), Some(same), now()).await)),
    ]
}

async fn expect_untouched(fixture: &Fixture, expected: ErrorKind, what: &str) {
    let key = fixture.key(1);
    let before = fixture.dump(&key).await;
    for (verb, kind) in verdicts(fixture).await {
        assert_eq!(kind, Some(expected), "{verb} on {what}");
        assert_eq!(fixture.dump(&key).await, before, "{verb} on {what} has changed it");
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_corrupt_and_kept() {
    let Some(fixture) = Fixture::shared().await else { return };
    let key = fixture.key(1);
    for (command, arguments) in [
        ("ZADD", &[&b"1"[..], b"canary"][..]),
        ("RPUSH", &[b"canary"]),
        ("SADD", &[b"canary"]),
        ("HSET", &[b"canary", b"canary"]),
        ("XADD", &[b"*", b"canary", b"canary"]),
    ] {
        fixture.ask::<redis::Value>(command, &[&[&key[..]], arguments].concat()).await;
        expect_untouched(&fixture, ErrorKind::Corrupt, command).await;
        let any = fixture.backend.delete(id(1), None, now()).await;
        assert_eq!(any.unwrap_err().kind(), ErrorKind::Corrupt, "{command}");
        fixture.ask::<()>("DEL", &[&key]).await;
    }
}

#[tokio::test]
async fn a_later_format_is_unknown_and_kept() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("{}").with_principal(principal("alice"))).await;
    let key = fixture.key(1);
    for format in [2_u8, 31] {
        fixture.ask::<()>("SETRANGE", &[&key, b"0", &[format]]).await;
        expect_untouched(&fixture, ErrorKind::UnknownFormat, "a later format").await;
        // However little of this version's header it has.
        fixture.ask::<()>("SET", &[&key, &[format]]).await;
        expect_untouched(&fixture, ErrorKind::UnknownFormat, "a short later format").await;
        fixture.ask::<()>("DEL", &[&key]).await;
        create(&fixture.backend, 1, record("{}")).await;
    }
    fixture.discard().await;
}

#[tokio::test]
async fn a_record_cut_off_anywhere_is_corrupt_and_kept() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("canary").with_principal(principal("alice"))).await;
    let key = fixture.key(1);
    let whole: Vec<u8> = fixture.ask("GET", &[&key]).await;
    for len in 0..whole.len() {
        fixture.ask::<()>("SET", &[&key, &whole[..len]]).await;
        if len < 37 {
            expect_untouched(&fixture, ErrorKind::Corrupt, &format!("{len} bytes")).await;
            continue;
        }
        // A touch, and who knows the revision, are judged by the header: nobody can load such a record.
        for (verb, kind) in verdicts(&fixture).await.into_iter().take(4) {
            assert_eq!(kind, Some(ErrorKind::Corrupt), "{verb} on {len} bytes");
        }
    }
    fixture.discard().await;
}

#[tokio::test]
async fn impossible_times_are_corrupt_and_kept() {
    let Some(fixture) = Fixture::shared().await else { return };
    let key = fixture.key(1);
    for offset in [b"9", &b"21"[..]] {
        create(&fixture.backend, 1, record("canary")).await;
        fixture.ask::<()>("SETRANGE", &[&key, offset, &[0xff; 6]]).await;
        expect_untouched(&fixture, ErrorKind::Corrupt, "a time after the year 9999").await;
        fixture.ask::<()>("DEL", &[&key]).await;
    }
}

#[tokio::test]
async fn an_unconditional_delete_removes_whatever_string_is_there() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("canary").with_principal(principal("alice"))).await;
    let key = fixture.key(1);
    let whole: Vec<u8> = fixture.ask("GET", &[&key]).await;
    let mut impossible = whole.clone();
    impossible[9..15].fill(0xff);
    let longer = [&whole[..], b"tail"].concat();
    let later = [&[2], &whole[1..]].concat();
    let foreign = [&[0], &whole[1..]].concat();
    let damages =
        [&whole[..0], &whole[..1], &whole[..36], &whole[..40], &impossible, &longer, &later, &foreign];
    for damaged in damages {
        fixture.ask::<()>("SET", &[&key, damaged]).await;
        let what = format!("{} bytes", damaged.len());
        let kind = fixture.backend.load(id(1), now()).await.unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::UnknownFormat), "{what}: {kind:?}");
        assert_eq!(
            fixture.backend.delete(id(1), None, now()).await.unwrap(),
            DeleteOutcome::Deleted,
            "{what}"
        );
        assert_eq!(
            fixture.backend.delete(id(1), None, now()).await.unwrap(),
            DeleteOutcome::Absent,
            "{what}"
        );
    }
    fixture.discard().await;
}

#[tokio::test]
async fn a_list_leaves_damage_out() {
    let Some(fixture) = Fixture::shared().await else { return };
    for number in 1..=4 {
        create(&fixture.backend, number, record("{}").with_principal(principal("alice"))).await;
    }
    fixture.ask::<()>("SETRANGE", &[&fixture.key(2), b"0", b"\x02"]).await;
    fixture.ask::<()>("DEL", &[&fixture.key(3)]).await;
    fixture.ask::<()>("RPUSH", &[&fixture.key(3), b"x"]).await;
    for of in [None, principal("alice")] {
        let (mut seen, mut after) = (BTreeSet::new(), None);
        loop {
            let page = fixture.backend.list(of.as_ref(), after, 1, now()).await.unwrap();
            seen.extend(page.sessions.into_iter().map(|(id, _)| id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, BTreeSet::from([id(1), id(4)]));
    }
    fixture.discard().await;
}

/// The bytes of `record_format`'s golden test, as a server of an earlier release holds them.
#[tokio::test]
async fn stored_bytes_of_format_1_are_read() {
    let Some(fixture) = Fixture::shared().await else { return };
    let stored = b"\x01\x00\x00\x00\x05\x9a\xbc\xde\xf0\x01\x8b\xcf\xe5\x68\x00\x01\x8b\xcf\xe5\x6b\xe8\
        \x01\x8c\x0d\xb2\x5c\x00\x00\x07\x00\x00\x00\x03\x00\x00\x00\x0b\xc3\xa9lise\x01\x00\xff{\"views\":7}";
    fixture.ask::<()>("SET", &[&fixture.key(1), stored]).await;
    let record = fixture.backend.load(id(1), now()).await.unwrap().unwrap();
    assert_eq!(record.principal, principal("élise"));
    assert_eq!(record.data, "{\"views\":7}");
    let mut next = record.clone();
    next.revision = record.revision.next(1);
    let _ = fixture.backend.update(id(1), record.revision, next, now()).await.unwrap();
    let mut expected = stored.to_vec();
    expected[4..9].copy_from_slice(&[6, 0, 0, 0, 1]);
    assert_eq!(fixture.ask::<Vec<u8>>("GET", &[&fixture.key(1)]).await, expected);
    fixture.discard().await;
}
