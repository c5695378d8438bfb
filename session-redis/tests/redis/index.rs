//! The index of a principal: written first, cleaned by time and on delete, and by nothing else.

use crate::common::{Fixture, NOW, at, create, id, now, principal, record};
use crate::server::Server;
use session_core::{
    CreateOutcome, DeleteOutcome, ErrorKind, Record, Revision, SessionBackend, SessionId, UpdateOutcome,
};

const SLACK: i64 = 600_000;

fn of_alice() -> Record {
    record("{}").with_principal(principal("alice"))
}

fn successor(record: &Record) -> Record {
    let mut next = record.clone();
    next.revision = record.revision.next(1);
    next
}

async fn listed(fixture: &Fixture, name: &str) -> Vec<SessionId> {
    let page = fixture.backend.list(principal(name).as_ref(), None, 100, now()).await.unwrap();
    page.sessions.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test]
async fn it_is_written_before_the_record() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, of_alice()).await;
    create(&fixture.backend, 2, record("{}")).await;
    let (index, _) = fixture.index().await.unwrap();
    fixture.ask::<()>("DEL", &[&index]).await;
    fixture.ask::<()>("SET", &[&index, b"no index"]).await;
    // The index cannot be written, so the record must not be.
    let error = fixture.backend.create(id(3), of_alice(), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(fixture.backend.load(id(3), now()).await.unwrap(), None);
    let signed_in = successor(&of_alice());
    let error = fixture.backend.update(id(2), record("").revision, signed_in, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(fixture.backend.load(id(2), now()).await.unwrap(), Some(record("{}")));
    fixture.discard().await;
}

#[tokio::test]
async fn entries_carry_the_deadline_and_only_ever_a_later_one() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, of_alice()).await;
    let (_, entries) = fixture.index().await.unwrap();
    assert_eq!(entries, [(id(1), NOW + 10_000)]);

    let mut longer = successor(&of_alice());
    longer.deadline = at(NOW + 50_000);
    let outcome = fixture.backend.update(id(1), of_alice().revision, longer.clone(), now()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
    assert_eq!(fixture.index().await.unwrap().1, [(id(1), NOW + 50_000)]);

    // A create that finds the id taken has written its entry already; the one that counts stays.
    let outcome = fixture.backend.create(id(1), of_alice(), now()).await.unwrap();
    assert_eq!(outcome, CreateOutcome::Occupied(longer.clone()));
    let mut shorter = successor(&longer);
    shorter.deadline = at(NOW + 20_000);
    let _ = fixture.backend.update(id(1), longer.revision, shorter, now()).await.unwrap();
    assert_eq!(fixture.index().await.unwrap().1, [(id(1), NOW + 50_000)]);
    fixture.discard().await;
}

#[tokio::test]
async fn a_list_cleans_nothing() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, of_alice()).await;
    let (index, _) = fixture.index().await.unwrap();
    // What a create has written that is still on its way.
    fixture.ask::<()>("ZADD", &[&index, b"2000000", id(2).as_bytes()]).await;
    assert_eq!(listed(&fixture, "alice").await, [id(1)]);
    assert_eq!(fixture.index().await.unwrap().1, [(id(1), NOW + 10_000), (id(2), 2_000_000)]);
    create(&fixture.backend, 2, of_alice()).await;
    assert_eq!(listed(&fixture, "alice").await, [id(1), id(2)]);
    fixture.discard().await;
}

#[tokio::test]
async fn a_failed_or_moving_update_cleans_nothing() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, record("{}")).await;
    let lost =
        fixture.backend.update(id(1), Revision::first(9), successor(&of_alice()), now()).await.unwrap();
    assert_eq!(lost, UpdateOutcome::Conflict(record("{}")));
    assert_eq!(fixture.index().await, None, "an update that is not stored writes no index");
    let _ = fixture.backend.update(id(1), record("").revision, successor(&of_alice()), now()).await.unwrap();
    let mut nobody = successor(&successor(&of_alice()));
    nobody.principal = None;
    let outcome =
        fixture.backend.update(id(1), successor(&of_alice()).revision, nobody, now()).await.unwrap();
    assert_eq!(outcome, UpdateOutcome::Updated);
    assert_eq!(fixture.index().await.unwrap().1, [(id(1), NOW + 10_000)]);
    assert_eq!(listed(&fixture, "alice").await, []);
    fixture.discard().await;
}

#[tokio::test]
async fn a_delete_cleans_its_own_entry() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, of_alice()).await;
    create(&fixture.backend, 2, of_alice()).await;
    let conflict = fixture.backend.delete(id(1), Some(Revision::first(9)), now()).await.unwrap();
    assert_eq!(conflict, DeleteOutcome::Conflict(of_alice()));
    assert_eq!(fixture.index().await.unwrap().1.len(), 2);
    let _ = fixture.backend.delete(id(1), None, now()).await.unwrap();
    assert_eq!(fixture.index().await.unwrap().1, [(id(2), NOW + 10_000)]);
    let _ = fixture.backend.delete(id(2), Some(of_alice().revision), now()).await.unwrap();
    assert_eq!(fixture.index().await, None);
    assert!(fixture.keys().await.is_empty());
}

#[tokio::test]
async fn time_cleans_what_has_ended_for_every_clock_within_the_slack() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, of_alice()).await;
    let end = NOW + 10_000;
    for (number, moment, expected) in [(2, end + SLACK - 1, 2), (3, end + SLACK, 2)] {
        let mut later = of_alice();
        (later.expires_at, later.deadline) = (at(moment + 1_000), at(moment + 10_000_000));
        let _ = fixture.backend.create(id(number), later, at(moment)).await.unwrap();
        let (_, entries) = fixture.index().await.unwrap();
        assert_eq!(entries.len(), expected, "at {moment}");
        assert_eq!(entries.iter().any(|(entry, _)| *entry == id(1)), number == 2, "at {moment}");
    }
    fixture.discard().await;
}

#[tokio::test]
async fn it_is_kept_as_long_as_its_last_session_may_live() {
    let Some(fixture) = Fixture::shared().await else { return };
    let mut long = of_alice();
    long.deadline = at(NOW + 100_000_000);
    create(&fixture.backend, 1, long).await;
    let (index, _) = fixture.index().await.unwrap();
    let kept = async || fixture.ask::<i64>("PTTL", &[&index]).await;
    let whole = 100_000_000 + SLACK;
    assert!((whole - 60_000..=whole).contains(&kept().await));
    create(&fixture.backend, 2, of_alice()).await;
    assert!(kept().await > whole - 60_000, "a short session must not shorten it");
    fixture.ask::<()>("PERSIST", &[&index]).await;
    create(&fixture.backend, 3, of_alice()).await;
    assert!(kept().await > 0, "it must not stay for ever");
    fixture.discard().await;
}

#[tokio::test]
async fn foreign_entries_name_no_session() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, of_alice()).await;
    let (index, _) = fixture.index().await.unwrap();
    let (absent, endless) = (id(7), id(8));
    let entries: [&[u8]; 7] =
        [&index, b"2000000", b"short", b"2000000", absent.as_bytes(), b"inf", endless.as_bytes()];
    fixture.ask::<()>("ZADD", &entries).await;
    assert_eq!(listed(&fixture, "alice").await, [id(1)]);
    fixture.discard().await;
}

#[tokio::test]
async fn entries_that_have_ended_are_not_looked_at() {
    let Some(fixture) = Fixture::shared().await else { return };
    create(&fixture.backend, 1, of_alice()).await;
    create(&fixture.backend, 2, of_alice()).await;
    let (index, _) = fixture.index().await.unwrap();
    let ended = NOW.to_string();
    fixture.ask::<()>("ZADD", &[&index, ended.as_bytes(), id(2).as_bytes()]).await;
    assert_eq!(listed(&fixture, "alice").await, [id(1)]);
    fixture.discard().await;
}

/// A session that stays with its principal costs one command per update.
#[tokio::test]
async fn updates_of_a_signed_in_session_leave_it_alone() {
    let Some(server) = Server::start(&[]) else { return };
    let fixture = Fixture::on(&server).await;
    create(&fixture.backend, 1, of_alice()).await;
    fixture.ask::<()>("CONFIG", &[b"RESETSTAT"]).await;
    let mut current = of_alice();
    for _ in 0..10 {
        let next = successor(&current).with_data("other");
        let outcome = fixture.backend.update(id(1), current.revision, next.clone(), now()).await.unwrap();
        assert_eq!(outcome, UpdateOutcome::Updated);
        current = next;
    }
    let stats: String = fixture.ask("INFO", &[b"commandstats"]).await;
    let calls = |name: &str| {
        let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:calls=")));
        line.and_then(|line| line.split(['=', ',']).nth(1)?.parse::<u32>().ok()).unwrap_or(0)
    };
    assert_eq!((calls("evalsha") + calls("eval"), calls("zadd")), (11, 0), "{stats}");
}
