//! Batches as transactions: what ends one, and in what state the connection and the rows are then.

use session_core::{ErrorKind, Result, SessionBackend, UpdateOutcome};
use session_sql::mysql::MysqlBackend;

use crate::batches::{Occupied, all, next, one_connection, queued, together, updating};
use crate::common::{
    LONG, create, id, locking, now, pool, record, run, shown, sql_id, until_waiting, with_table,
};
use crate::statements::{count, counted};

#[test]
fn a_statement_that_takes_too_long_is_a_timeout_for_all_of_its_batch() {
    with_table(async |table| {
        let config = one_connection(table).with_statement_timeout(LONG / 20);
        let backend = MysqlBackend::connect(config).await.unwrap();
        for number in 0..10 {
            create(&backend, number, record("old")).await;
        }
        let before = table.dump().await;
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(3))).await;
        let revision = record("").revision;
        let first = queued([updating(&backend, 3, revision, "x")]).await;
        until_waiting(table, 1).await;
        let calls = queued((0..10).map(|number| updating(&backend, number, revision, "x"))).await;
        for outcome in all(first).await.into_iter().chain(all(calls).await) {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            assert!(shown(&error).contains("1969"), "{error:?}");
        }
        drop(lock);
        assert_eq!(table.dump().await, before, "what timed out has not happened");
        assert_eq!(updating(&backend, 3, revision, "x").await.unwrap(), UpdateOutcome::Updated);
    });
}

#[test]
fn a_connection_killed_in_a_batch_fails_the_batch_and_no_other() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(one_connection(table)).await.unwrap();
        for number in 0..6 {
            create(&backend, number, record("old")).await;
        }
        let before = table.dump().await;
        let occupied = Occupied::new(table, &backend).await;
        let revision = record("").revision;
        let calls = queued((0..6).map(|number| updating(&backend, number, revision, "new"))).await;
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(3))).await;
        occupied.release(table).await;
        until_waiting(table, 1).await;
        let driver = "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST \
                      WHERE ID <> CONNECTION_ID() AND INFO LIKE 'UPDATE %`{t}`%'";
        let driver = table.texts(driver).await;
        assert_eq!(driver.len(), 1);
        table.execute(&format!("KILL CONNECTION {}", driver[0])).await.unwrap();
        for outcome in all(calls).await {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Unavailable);
        }
        let _ = backend.delete(id(999), None, now()).await.unwrap();
        assert_eq!(table.dump().await, before, "half a batch has happened");
        run(&mut lock, table, "ROLLBACK").await;
        let calls = (0..6).map(|number| updating(&backend, number, revision, "new"));
        for outcome in together(table, &backend, calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
    });
}

#[test]
fn a_deadlock_is_tried_again() {
    with_table(async |table| {
        let backend = MysqlBackend::connect(one_connection(table)).await.unwrap();
        for number in 1..=3 {
            create(&backend, number, record("old")).await;
        }
        let occupied = Occupied::new(table, &backend).await;
        let revision = record("").revision;
        let calls = queued((1..=3).map(|number| updating(&backend, number, revision, "new"))).await;
        // Somebody else holds session 2 and then asks for session 1, which a batch of 1, 2 and 3 holds by then. Of the
        // two the server ends the one that has changed less.
        let mut other = table.raw().await;
        let heavy = "BEGIN; INSERT INTO {t} (id, revision, expires_at, deadline, touched_at, meta, data) \
                     SELECT UNHEX(MD5(seq)), 1, 1, 1, 1, '', '' FROM seq_1_to_100";
        run(&mut other, table, heavy).await;
        run(&mut other, table, &locking(2)).await;
        occupied.release(table).await;
        until_waiting(table, 1).await;
        run(&mut other, table, &locking(1)).await;
        run(&mut other, table, "ROLLBACK").await;
        for outcome in all(calls).await {
            assert_eq!(outcome.unwrap(), UpdateOutcome::Updated);
        }
    });
}

/// Whatever the isolation level of the application's connections.
#[test]
fn a_conflict_of_a_batch_is_read_after_the_attempt() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        with_table(async |table| {
            let (backend, pool) = counted(table, isolation).await;
            for number in 1..=3 {
                create(&backend, number, record("old")).await;
            }
            let occupied = Occupied::new(table, &backend).await;
            let revision = record("").revision;
            let calls = queued((1..=3).map(|number| updating(&backend, number, revision, "new"))).await;
            let mut other = table.raw().await;
            let winner = "BEGIN; UPDATE {t} SET revision = revision + 4294967296, data = 'won' WHERE id = ";
            run(&mut other, table, &format!("{winner}{}", sql_id(2))).await;
            occupied.release(table).await;
            until_waiting(table, 1).await;
            run(&mut other, table, "COMMIT").await;
            let outcomes = all(calls).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
            let UpdateOutcome::Conflict(current) = &outcomes[1] else { panic!("{isolation}: {outcomes:?}") };
            assert_eq!((current.revision.sequence(), &current.data[..]), (2, &b"won"[..]), "{isolation}");
            assert_eq!([&outcomes[0], &outcomes[2]], [&UpdateOutcome::Updated; 2], "{isolation}");
            assert_eq!(backend.load(id(2), now()).await.unwrap().as_ref(), Some(current), "{isolation}");
            // Ended.
            count(&pool, "Com_commit").await;
        });
    }
}

#[test]
fn the_updates_of_a_batch_that_have_matched_are_told_by_their_revisions() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        for number in 1..=3 {
            create(&backend, number, record("old")).await;
        }
        let revision = record("").revision;
        let mut won = record("won");
        won.revision = revision.next(8);
        let update = backend.update(id(2), revision, won.clone(), now()).await.unwrap();
        assert_eq!(update, UpdateOutcome::Updated);
        let calls = || (1..=3).map(|number| updating(&backend, number, revision, "new"));
        let outcomes: Vec<_> =
            together(table, &backend, calls()).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(
            outcomes,
            [UpdateOutcome::Updated, UpdateOutcome::Conflict(won.clone()), UpdateOutcome::Updated]
        );
        assert_eq!(count(&pool, "Com_rollback").await, 0);

        // Sent again: what they bring is there, and they have not brought it this time.
        let outcomes: Vec<_> =
            together(table, &backend, calls()).await.into_iter().map(Result::unwrap).collect();
        let conflicts = [next("new"), won, next("new")].map(UpdateOutcome::Conflict);
        assert_eq!(outcomes, conflicts);
        assert_eq!(count(&pool, "Com_rollback").await, 1);
    });
}

/// Whether it is the row of a dead session or of one that expects just that revision; in a lenient mode, too.
#[test]
fn a_revision_that_was_there_before_is_nobodys_update() {
    with_table(async |table| {
        let pool = pool(table, 1, "SET SESSION sql_mode = ''");
        let backend = MysqlBackend::from_pool(pool.clone(), one_connection(table)).await.unwrap();
        for number in 1..=4 {
            create(&backend, number, record("old")).await;
        }
        let (first, brought) = (record("").revision, next("new"));
        let is_there = format!("UPDATE {{t}} SET revision = {} WHERE id > ", brought.revision.as_i64());
        table.execute(&format!("{is_there}{}", sql_id(1))).await.unwrap();
        table.execute(&format!("UPDATE {{t}} SET expires_at = 5 WHERE id = {}", sql_id(2))).await.unwrap();
        // One as usual, one of a dead session, one that leaves the revision as it is, one that was sent before.
        let expected = |number| if number == 3 { brought.revision } else { first };
        let calls = (1..=4).map(|number| updating(&backend, number, expected(number), "new"));
        let outcomes: Vec<_> =
            together(table, &backend, calls).await.into_iter().map(Result::unwrap).collect();
        let mut left = record("old");
        left.revision = brought.revision;
        let conflict = UpdateOutcome::Conflict(left.clone());
        assert_eq!(outcomes, [UpdateOutcome::Updated, UpdateOutcome::Gone, UpdateOutcome::Updated, conflict]);
        assert_eq!(count(&pool, "Com_rollback").await, 1);
        for (number, stored) in [(1, Some(&brought)), (2, None), (3, Some(&brought)), (4, Some(&left))] {
            assert_eq!(backend.load(id(number), now()).await.unwrap().as_ref(), stored, "{number}");
        }
    });
}

#[test]
fn a_batch_whose_callers_have_gone_leaves_no_transaction() {
    with_table(async |table| {
        let (backend, pool) = counted(table, "READ COMMITTED").await;
        for number in 0..6 {
            create(&backend, number, record("old")).await;
        }
        let occupied = Occupied::new(table, &backend).await;
        let revision = record("").revision;
        let calls = queued((0..6).map(|number| updating(&backend, number, revision, "new"))).await;
        let mut lock = table.raw().await;
        run(&mut lock, table, &format!("BEGIN; {}", locking(3))).await;
        occupied.release(table).await;
        until_waiting(table, 1).await;
        for call in &calls {
            call.abort();
        }
        for call in calls {
            assert!(call.await.unwrap_err().is_cancelled());
        }
        run(&mut lock, table, "ROLLBACK").await;
        for number in 0..6 {
            assert_eq!(backend.load(id(number), now()).await.unwrap(), Some(next("new")), "{number}");
        }
        count(&pool, "Com_commit").await;
    });
}
