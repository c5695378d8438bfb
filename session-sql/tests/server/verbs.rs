//! Rules of the verb table that depend on how the SQL is written.

use session_core::{CreateOutcome, Purged, Record, Revision, SessionBackend};
use sqlx::Executor as _;

use crate::common::{NOW, at, create, hold, id, locking, now, pool, principal, record, with_table};
use crate::dialect::{self, Backend};

#[test]
fn every_field_comes_back() {
    with_table(async |table| {
        let backend = table.connect().await;
        let bytes: Vec<u8> = (0..=255).collect();
        let long = "x".repeat(255);
        let principals = [None, principal(""), principal("a\0b \u{e9} e\u{301}"), principal(&long)];
        for (number, principal) in (1..).zip(principals) {
            let stored =
                Record::new(Revision::from_i64(i64::MAX).unwrap(), at(0), at(253_402_300_799_999), at(5))
                    .with_principal(principal)
                    .with_meta(bytes.clone())
                    .with_data(bytes.repeat(4096));
            create(&backend, number, stored.clone()).await;
            assert_eq!(backend.load(id(number), now()).await.unwrap(), Some(stored));
        }
        let empty = Record::new(Revision::first(0), now(), at(NOW + 1), at(NOW + 1));
        create(&backend, 9, empty.clone()).await;
        assert_eq!(backend.load(id(9), now()).await.unwrap(), Some(empty));
    });
}

#[test]
fn create_replaces_the_expired_only() {
    with_table(async |table| {
        let backend = table.connect().await;
        let old = record("old").with_principal(principal("alice"));
        create(&backend, 1, old.clone()).await;
        let outcome = backend.create(id(1), record("new"), at(NOW + 999)).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Occupied(old.clone()));
        assert_eq!(backend.load(id(1), at(NOW + 999)).await.unwrap(), Some(old));
        let outcome = backend.create(id(1), record("new"), at(NOW + 1_000)).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
        let found = backend.load(id(1), now()).await.unwrap();
        assert_eq!(found, Some(record("new")), "the principal is replaced too");
    });
}

#[test]
fn touch_does_what_records_do() {
    with_table(async |table| {
        let backend = table.connect().await;
        let instants = [0, NOW, NOW + 1, NOW + 999, NOW + 1_000, NOW + 5_000, NOW + 10_000, NOW + 20_000];
        let mut number = 0;
        for to in instants {
            for time in instants {
                number += 1;
                let mut expected = record("data");
                create(&backend, number, expected.clone()).await;
                let live = expected.is_live(at(time));
                assert_eq!(backend.touch(id(number), at(to), at(time)).await.unwrap(), live);
                if live {
                    expected.touch(at(to), at(time));
                }
                assert_eq!(backend.load(id(number), at(0)).await.unwrap(), Some(expected), "{to} at {time}");
            }
        }
    });
}

#[test]
fn purge_takes_the_dead_up_to_the_limit() {
    with_table(async |table| {
        let backend = table.connect().await;
        let sql = format!(
            "INSERT INTO {{t}} (id, revision, expires_at, deadline, touched_at, meta, data) \
             SELECT {}, 4294967297, {}, {NOW}, {NOW}, '', '' FROM {}",
            dialect::digest("concat('', seq)"),
            NOW + 1_000,
            dialect::series(1_200)
        );
        table.execute(&sql).await.unwrap();
        let mut longer = record("lives");
        longer.expires_at = at(NOW + 1_001);
        create(&backend, 5_000, longer.clone()).await;
        let dead = at(NOW + 1_000);
        assert_eq!(backend.purge_expired(now(), 10_000).await.unwrap(), Purged::new(0, false));
        assert_eq!(backend.purge_expired(dead, 0).await.unwrap(), Purged::default());
        assert_eq!(backend.purge_expired(dead, 7).await.unwrap(), Purged::new(7, true));
        assert_eq!(backend.purge_expired(dead, 1_000).await.unwrap(), Purged::new(1_000, true));
        assert_eq!(backend.purge_expired(dead, usize::MAX).await.unwrap(), Purged::new(193, false));
        assert_eq!(backend.load(id(5_000), dead).await.unwrap(), Some(longer));
    });
}

#[test]
fn purge_passes_over_rows_that_others_hold() {
    with_table(async |table| {
        let backend = table.connect().await;
        create(&backend, 1, record("held")).await;
        create(&backend, 2, record("free")).await;
        let other = hold(table, &locking(1)).await;
        let purged = backend.purge_expired(at(NOW + 1_000), 10).await.unwrap();
        assert_eq!(purged.removed, 1);
        drop(other);
    });
}

#[test]
fn list_ends_a_page_of_large_sessions_early() {
    with_table(async |table| {
        let backend = table.connect().await;
        let data = "x".repeat(1 << 20);
        for number in 0..10 {
            create(&backend, number, record(&data)).await;
        }
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = backend.list(None, after, usize::MAX, now()).await.unwrap();
            assert!(page.sessions.len() <= 5, "{}", page.sessions.len());
            listed.extend(page.sessions.into_iter().map(|(id, _)| id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, (0..10).map(id).collect::<Vec<_>>());
    });
}

#[test]
fn list_by_principal_resumes_and_ends() {
    with_table(async |table| {
        let backend = table.connect().await;
        for number in [5, 3, 9, 1] {
            create(&backend, number, record("").with_principal(principal("alice"))).await;
        }
        for (number, other) in [(2, "Alice"), (4, "alicf"), (6, ""), (7, "alice\0")] {
            create(&backend, number, record("").with_principal(principal(other))).await;
        }
        let alice = principal("alice");
        let page = backend.list(alice.as_ref(), None, 2, now()).await.unwrap();
        assert_eq!(page.sessions.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(1), id(3)]);
        let page = backend.list(alice.as_ref(), page.next, 2, now()).await.unwrap();
        assert_eq!(page.sessions.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(5), id(9)]);
        assert_eq!(page.next, None);
        assert!(backend.list(alice.as_ref(), None, 0, now()).await.unwrap().sessions.is_empty());
    });
}

#[test]
fn everything_works_without_prepared_statements() {
    with_table(async |table| {
        let config = table.config.clone().with_statement_cache(false);
        let backend = Backend::connect(config).await.unwrap();
        create(&backend, 1, record("x")).await;
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
        let kept = backend.list(None, None, 10, now()).await.unwrap().sessions.len();
        assert_eq!(kept, 1);
    });
}

/// Times are numbers to the server: it never compares one with a clock, or reads one in a zone.
#[test]
fn the_servers_time_zone_does_not_matter() {
    with_table(async |table| {
        let mut backends = Vec::new();
        for zone in dialect::ZONES {
            // What the library says on connecting stands above the server's settings; this stands above both.
            let pool = pool(table, 2, format!("{} = '{zone}'", dialect::SET_ZONE));
            let shown = pool.fetch_one(dialect::SHOW_ZONE).await.unwrap();
            assert_eq!(dialect::text(&shown), zone);
            backends.push(Backend::from_pool(pool, table.config.clone()).await.unwrap());
        }
        for (number, own) in (0..).zip(&backends) {
            create(own, number, record("x")).await;
            for other in &backends {
                assert_eq!(other.load(id(number), at(NOW + 999)).await.unwrap(), Some(record("x")));
                assert_eq!(other.load(id(number), at(NOW + 1_000)).await.unwrap(), None);
                assert_eq!(other.purge_expired(at(NOW + 999), 10).await.unwrap().removed, 0);
            }
            let mut touched = record("x");
            touched.touch(at(NOW + 2_000), at(NOW + 1));
            assert!(own.touch(id(number), at(NOW + 2_000), at(NOW + 1)).await.unwrap());
            for other in &backends {
                assert_eq!(other.load(id(number), at(NOW + 1_999)).await.unwrap(), Some(touched.clone()));
                assert_eq!(other.list(None, None, 10, at(NOW + 2_000)).await.unwrap().sessions, []);
            }
            assert_eq!(own.purge_expired(at(NOW + 2_000), 10).await.unwrap().removed, 1);
        }
    });
}
