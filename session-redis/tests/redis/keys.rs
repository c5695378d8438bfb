//! Prefixes: taken literally, whatever is in them, and apart from each other.

use std::collections::BTreeSet;

use crate::common::{Fixture, create, id, now, principal, record};
use session_core::{SessionBackend, SessionId};
use session_redis::RedisBackend;

async fn listed(backend: &RedisBackend, of: Option<&str>) -> BTreeSet<SessionId> {
    let of = of.map(|name| principal(name).unwrap());
    let page = backend.list(of.as_ref(), None, 1_000, now()).await.unwrap();
    assert_eq!(page.next, None);
    page.sessions.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test]
async fn prefixes_are_literal_and_apart() {
    let Some(fixture) = Fixture::shared().await else { return };
    let endings: [&[u8]; 17] = [
        b"",
        b"a",
        b"*",
        b"?",
        b"[ab]",
        b"[^a]",
        b"[a",
        b"a]",
        b"\\",
        b"\\*",
        b"a-z",
        b"{a}",
        b"}{",
        b"\xff\x00\xfe",
        b"\r\n",
        b" ",
        b"aprincipal:",
    ];
    let mut backends = Vec::new();
    for (number, ending) in (1..).zip(endings) {
        let prefix = [&fixture.prefix[..], ending].concat();
        let backend = fixture.with_prefix(&prefix).await;
        create(&backend, number, record("{}").with_principal(principal("alice"))).await;
        backends.push((number, ending, backend));
    }
    for (number, ending, backend) in &backends {
        let own = BTreeSet::from([id(*number)]);
        assert_eq!(listed(backend, None).await, own, "all under {:?}", ending.escape_ascii().to_string());
        assert_eq!(
            listed(backend, Some("alice")).await,
            own,
            "of alice under {:?}",
            ending.escape_ascii().to_string()
        );
        for (other, _, _) in &backends {
            assert_eq!(backend.load(id(*other), now()).await.unwrap().is_some(), other == number);
        }
    }
    fixture.discard().await;
}

#[tokio::test]
async fn keys_of_others_are_in_no_list() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("{}")).await;
    let name = |rest: &[u8]| [&fixture.prefix[..], rest].concat();
    fixture.ask::<()>("SET", &[&name(b"fifteen bytes.."), b"x"]).await;
    fixture.ask::<()>("SET", &[&name(b"seventeen bytes.."), b"x"]).await;
    fixture.ask::<()>("SET", &[&name(b"sixteen bytes..."), b"not a record"]).await;
    fixture.ask::<()>("RPUSH", &[&name(b"sixteen bytes; l"), b"x"]).await;
    fixture.ask::<()>("SADD", &[&name(b"sixteen bytes; s"), b"x"]).await;
    assert_eq!(listed(&fixture.backend, None).await, BTreeSet::from([id(1)]));
    fixture.discard().await;
}

#[tokio::test]
async fn a_page_of_large_records_ends_early() {
    const SESSIONS: u32 = 150;
    let Some(fixture) = Fixture::shared().await else { return };
    let data = "x".repeat(64 << 10);
    for number in 0..SESSIONS {
        create(&fixture.backend, number, record(&data).with_principal(principal("alice"))).await;
    }
    for of in [None, principal("alice")] {
        let (mut pages, mut seen, mut after) = (0, BTreeSet::new(), None);
        loop {
            let page = fixture.backend.list(of.as_ref(), after, 1_000, now()).await.unwrap();
            assert!(page.sessions.len() < 130, "a page of {} records of 64 KiB", page.sessions.len());
            seen.extend(page.sessions.into_iter().map(|(id, _)| id));
            (pages, after) = (pages + 1, page.next);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (0..SESSIONS).map(id).collect());
        assert!(pages > 1);
    }
    fixture.discard().await;
}

#[tokio::test]
async fn a_session_is_one_key_and_its_principal_another() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("{}")).await;
    assert_eq!(fixture.keys().await, [fixture.key(1)]);
    create(&fixture.backend, 2, record("{}").with_principal(principal("alice@example.org"))).await;
    create(&fixture.backend, 3, record("{}").with_principal(principal("alice@example.org"))).await;
    let keys = fixture.keys().await;
    assert_eq!(keys.len(), 4);
    for key in keys {
        assert!(!key.windows(5).any(|part| part == b"alice"), "a key names a principal");
        assert!(fixture.ask::<i64>("PTTL", &[&key]).await > 0, "a key that stays for ever");
    }
    fixture.discard().await;
}

#[tokio::test]
async fn a_list_of_all_outlives_a_table_that_grows_and_shrinks() {
    const SESSIONS: u32 = 300;
    let Some(fixture) = Fixture::shared().await else { return };
    for number in 0..SESSIONS {
        create(&fixture.backend, number, record("{}")).await;
    }
    // The server's table of keys is made larger by the one half of the pages, smaller by the other.
    let passing = |number: u32| [&fixture.prefix[..], b"passing", &number.to_be_bytes()].concat();
    let (mut pages, mut seen, mut after) = (0, BTreeSet::new(), None);
    loop {
        let page = fixture.backend.list(None, after, 7, now()).await.unwrap();
        assert!(page.sessions.len() <= 7);
        seen.extend(page.sessions.into_iter().map(|(id, _)| id));
        after = page.next;
        if after.is_none() {
            break;
        }
        let command = if pages < 20 { "SET" } else { "DEL" };
        for number in 0..100 {
            let key = passing((pages % 20) * 100 + number);
            let arguments: &[&[u8]] = if pages < 20 { &[&key, b"x"] } else { &[&key] };
            fixture.ask::<redis::Value>(command, arguments).await;
        }
        pages += 1;
        assert!(pages < 10_000, "the list has no end");
    }
    assert_eq!(seen, (0..SESSIONS).map(id).collect());
    for number in 0..2_000 {
        fixture.ask::<redis::Value>("DEL", &[&passing(number)]).await;
    }
    fixture.discard().await;
}
