//! Rules of the verb table that depend on how the SQL is written.

use std::path::Path;

use crate::common::{NOW, at, create, database, id, now, principal, raw, record};
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, ErrorKind, Purged, Record, Revision, SessionBackend, UpdateOutcome,
};
use session_sql::sqlite::{SqliteBackend, SqliteConfig};

async fn in_memory() -> SqliteBackend {
    SqliteBackend::connect(SqliteConfig::in_memory()).await.unwrap()
}

#[tokio::test]
async fn every_field_comes_back() {
    let bytes: Vec<u8> = (0..=255).collect();
    for principal in [None, principal(""), principal("a\0b \u{e9} e\u{301}"), principal(&"x".repeat(255))] {
        let backend = in_memory().await;
        let stored =
            Record::new(Revision::from_i64(i64::MAX).unwrap(), at(0), at(253_402_300_799_999), at(5))
                .with_principal(principal)
                .with_meta(bytes.clone())
                .with_data(bytes.repeat(4096));
        create(&backend, 1, stored.clone()).await;
        assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(stored));
    }
    let backend = in_memory().await;
    let empty = Record::new(Revision::first(0), now(), at(NOW + 1), at(NOW + 1));
    create(&backend, 1, empty.clone()).await;
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(empty));
}

#[tokio::test]
async fn create_replaces_the_expired_only() {
    let backend = in_memory().await;
    create(&backend, 1, record("old").with_principal(principal("alice"))).await;
    let outcome = backend.create(id(1), record("new"), at(NOW + 999)).await.unwrap();
    let old = record("old").with_principal(principal("alice"));
    assert_eq!(outcome, CreateOutcome::Occupied(old.clone()));
    assert_eq!(backend.load(id(1), at(NOW + 999)).await.unwrap(), Some(old));
    let outcome = backend.create(id(1), record("new"), at(NOW + 1_000)).await.unwrap();
    assert_eq!(outcome, CreateOutcome::Created);
    assert_eq!(
        backend.load(id(1), now()).await.unwrap(),
        Some(record("new")),
        "the principal is replaced too"
    );
}

#[tokio::test]
async fn update_needs_a_live_record_of_that_revision() {
    let backend = in_memory().await;
    let (first, mut second) = (record("first"), record("second"));
    second.revision = first.revision.next(9);
    create(&backend, 1, first.clone()).await;
    let dead = at(NOW + 1_000);
    assert_eq!(
        backend.update(id(1), first.revision, second.clone(), dead).await.unwrap(),
        UpdateOutcome::Gone
    );
    assert_eq!(
        backend.update(id(2), first.revision, second.clone(), now()).await.unwrap(),
        UpdateOutcome::Gone
    );
    assert_eq!(
        backend.update(id(1), second.revision, second.clone(), now()).await.unwrap(),
        UpdateOutcome::Conflict(first.clone())
    );
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(first.clone()));
    assert_eq!(backend.load(id(2), now()).await.unwrap(), None);
    assert_eq!(
        backend.update(id(1), first.revision, second.clone(), now()).await.unwrap(),
        UpdateOutcome::Updated
    );
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(second));
}

#[tokio::test]
async fn touch_does_what_records_do() {
    let instants = [0, NOW, NOW + 1, NOW + 999, NOW + 1_000, NOW + 5_000, NOW + 10_000, NOW + 20_000];
    for to in instants {
        for time in instants {
            let backend = in_memory().await;
            let mut expected = record("data");
            create(&backend, 1, expected.clone()).await;
            let live = expected.is_live(at(time));
            assert_eq!(backend.touch(id(1), at(to), at(time)).await.unwrap(), live);
            if live {
                expected.touch(at(to), at(time));
            }
            assert_eq!(backend.load(id(1), at(0)).await.unwrap(), Some(expected), "{to} at {time}");
        }
    }
    assert!(!in_memory().await.touch(id(1), at(NOW + 1), now()).await.unwrap());
}

#[tokio::test]
async fn delete_compares_the_revision_if_there_is_one() {
    let backend = in_memory().await;
    let current = record("data");
    let other = Some(current.revision.next(0));
    create(&backend, 1, current.clone()).await;
    assert_eq!(backend.delete(id(1), other, now()).await.unwrap(), DeleteOutcome::Conflict(current.clone()));
    assert_eq!(backend.delete(id(1), None, at(NOW + 1_000)).await.unwrap(), DeleteOutcome::Absent);
    assert_eq!(backend.delete(id(1), other, at(NOW + 1_000)).await.unwrap(), DeleteOutcome::Absent);
    assert_eq!(backend.delete(id(1), Some(current.revision), now()).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(backend.delete(id(1), None, now()).await.unwrap(), DeleteOutcome::Absent);
    create(&backend, 1, current).await;
    assert_eq!(backend.delete(id(1), None, now()).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(backend.load(id(1), now()).await.unwrap(), None);
}

#[tokio::test]
async fn purge_takes_the_dead_up_to_the_limit() {
    let backend = in_memory().await;
    for number in 0..1_200 {
        create(&backend, number, record("dies first")).await;
    }
    let mut longer = record("lives");
    longer.expires_at = at(NOW + 1_001);
    create(&backend, 5_000, longer.clone()).await;
    let dead = at(NOW + 1_000);
    assert_eq!(backend.purge_expired(now(), 10_000).await.unwrap(), Purged::new(0, false));
    assert_eq!(backend.purge_expired(dead, 7).await.unwrap(), Purged::new(7, true));
    assert_eq!(backend.purge_expired(dead, 1_000).await.unwrap(), Purged::new(1_000, true));
    assert_eq!(backend.purge_expired(dead, usize::MAX).await.unwrap(), Purged::new(193, false));
    assert_eq!(backend.load(id(5_000), dead).await.unwrap(), Some(longer));
}

#[tokio::test]
async fn list_goes_by_id_and_resumes() {
    let backend = in_memory().await;
    for number in [5, 3, 9, 1, 7] {
        create(&backend, number, record(&number.to_string()).with_principal(principal("alice"))).await;
    }
    create(&backend, 4, record("").with_principal(principal("Alice"))).await;
    create(&backend, 6, record("")).await;
    create(&backend, 8, record("").with_principal(principal(""))).await;

    let alice = principal("alice");
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = backend.list(alice.as_ref(), after, 2, now()).await.unwrap();
        assert!(page.sessions.len() <= 2);
        listed.extend(page.sessions.into_iter().map(|(id, _)| id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, [1, 3, 5, 7, 9].map(id));

    let everybody = backend.list(None, None, 8, now()).await.unwrap();
    assert_eq!(
        everybody.sessions.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [1, 3, 4, 5, 6, 7, 8, 9].map(id)
    );
    assert_eq!(everybody.next, None);
    let rest = backend.list(None, Some(Cursor::after(id(7))), 8, now()).await.unwrap();
    assert_eq!(rest.sessions.len(), 2);
    let nobody = backend.list(principal("").as_ref(), None, 8, now()).await.unwrap();
    assert_eq!(nobody.sessions.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id(8)]);
    assert!(backend.list(None, None, 8, at(NOW + 1_000)).await.unwrap().sessions.is_empty());
    let foreign = backend.list(None, Some(Cursor::from_bytes(&b"page 2"[..])), 8, now()).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn list_ends_a_page_of_large_sessions_early() {
    let backend = in_memory().await;
    let data = "x".repeat(1 << 20);
    for number in 0..10 {
        create(&backend, number, record(&data)).await;
    }
    let page = backend.list(None, None, 100, now()).await.unwrap();
    assert!((4..10).contains(&page.sessions.len()));
    let rest = backend.list(None, page.next, 100, now()).await.unwrap();
    assert_eq!(rest.sessions[0].0, id(page.sessions.len() as u32));
}

#[tokio::test]
async fn tables_of_one_file_are_separate() {
    let (_directory, path) = database();
    let [a, ab] = ["a", "ab"].map(|table| SqliteConfig::new(&path).with_table(table));
    let a = SqliteBackend::connect(a).await.unwrap();
    let ab = SqliteBackend::connect(ab).await.unwrap();
    create(&a, 1, record("a")).await;
    create(&ab, 1, record("ab")).await;
    let _ = a.delete(id(1), None, now()).await.unwrap();
    assert_eq!(ab.load(id(1), now()).await.unwrap(), Some(record("ab")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_counters_lose_nothing() {
    let (_directory, path) = database();
    let one = SqliteBackend::open(&path).await.unwrap();
    let other = SqliteBackend::open(&path).await.unwrap();
    create(&one, 1, record("0")).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let backend = if task % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move {
                for _ in 0..25 {
                    let mut current = backend.load(id(1), now()).await.unwrap().unwrap();
                    loop {
                        let count: u32 = std::str::from_utf8(&current.data).unwrap().parse().unwrap();
                        let mut next = record(&(count + 1).to_string());
                        next.revision = current.revision.next(task);
                        match backend.update(id(1), current.revision, next, now()).await.unwrap() {
                            UpdateOutcome::Updated => break,
                            UpdateOutcome::Conflict(newer) => current = newer,
                            UpdateOutcome::Gone => unreachable!(),
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(one.load(id(1), now()).await.unwrap().unwrap().data, "200");
}

/// The `filed_at` of the session.
fn filed_at(path: &Path) -> i64 {
    raw(path).query_row("SELECT filed_at FROM sessions", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_purge_finds_what_was_put_off_when_it_has_expired() {
    for write in ["update", "touch"] {
        let (_directory, path) = database();
        let backend = SqliteBackend::open(&path).await.unwrap();
        create(&backend, 1, record("old")).await;
        let later = at(NOW + 5_000);
        if write == "touch" {
            assert!(backend.touch(id(1), later, now()).await.unwrap());
        } else {
            let mut new = record("new");
            (new.revision, new.expires_at) = (new.revision.next(1), later);
            let updated = backend.update(id(1), record("old").revision, new, now()).await.unwrap();
            assert_eq!(updated, UpdateOutcome::Updated);
        }
        assert_eq!(filed_at(&path), NOW + 1_000, "{write}: the index is left alone");
        let purge = async |instant| backend.purge_expired(at(instant), 1).await.unwrap();
        assert_eq!(purge(NOW + 1_000).await, Purged::new(0, true), "{write}");
        assert_eq!(filed_at(&path), NOW + 5_000, "{write}");
        assert_eq!(purge(NOW + 4_999).await, Purged::new(0, false), "{write}");
        assert_eq!(purge(NOW + 5_000).await.removed, 1, "{write}");
    }
}

#[tokio::test]
async fn a_purge_finds_what_was_brought_forward_when_it_has_expired() {
    for damage in ["filed_at = filed_at", "filed_at = 9e12", "filed_at = 'late'", "filed_at = x''"] {
        let (_directory, path) = database();
        let backend = SqliteBackend::open(&path).await.unwrap();
        create(&backend, 1, record("old")).await;
        raw(&path).execute(&format!("UPDATE sessions SET {damage}"), []).unwrap();
        let mut new = record("new");
        (new.revision, new.expires_at, new.deadline) = (new.revision.next(1), at(NOW + 300), at(NOW + 400));
        let updated = backend.update(id(1), record("old").revision, new, now()).await.unwrap();
        assert_eq!(updated, UpdateOutcome::Updated, "{damage}");
        assert_eq!(filed_at(&path), NOW + 300, "{damage}");
        assert_eq!(backend.purge_expired(at(NOW + 300), 9).await.unwrap().removed, 1, "{damage}");
    }
}

#[tokio::test]
async fn a_touch_files_what_its_deadline_brings_forward() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    create(&backend, 1, record("x")).await;
    raw(&path).execute("UPDATE sessions SET deadline = ?1", [NOW + 200]).unwrap();
    assert!(backend.touch(id(1), at(NOW + 2_000), now()).await.unwrap());
    assert_eq!(filed_at(&path), NOW + 200);
    assert_eq!(backend.purge_expired(at(NOW + 200), 9).await.unwrap().removed, 1);
}
