//! What verbs write to the indexes, counted by the server.

use std::time::{Duration, Instant};

use session_core::{Record, Revision, SessionBackend, UpdateOutcome};
use sqlx::Row as _;

use crate::common::{at, id, principal, with_table};

/// What a touch costs: a row version in the same page, and no write to any index.
#[test]
fn touches_and_updates_leave_the_indexes_alone() {
    with_table(async |table| {
        let backend = table.connect().await;
        let day = 86_400_000;
        let start = 1 << 40;
        let mut current = Record::new(Revision::first(1), at(start), at(start + day), at(start + 9 * day))
            .with_principal(principal("alice"))
            .with_data(vec![b'x'; 500]);
        let _ = backend.create(id(1), current.clone(), at(start)).await.unwrap();
        for minute in 1..=4 {
            let time = start + minute * 60_000;
            assert!(backend.touch(id(1), at(time + day), at(time)).await.unwrap());
            let mut next = current.clone().with_data(vec![b'y'; 400]);
            next.revision = current.revision.next(7);
            next.expires_at = at(time + day);
            let updated = backend.update(id(1), current.revision, next.clone(), at(time)).await.unwrap();
            assert_eq!(updated, UpdateOutcome::Updated);
            current = next;
        }
        // However far, but not to before it was filed: that changes the indexes.
        let time = start + day / 2;
        assert!(backend.touch(id(1), at(time + 2 * day), at(time)).await.unwrap());
        let mut shorter = current.clone();
        (shorter.revision, shorter.expires_at) = (current.revision.next(7), at(start + day - 1));
        let updated = backend.update(id(1), current.revision, shorter, at(time)).await.unwrap();
        assert_eq!(updated, UpdateOutcome::Updated);
        let started = Instant::now();
        loop {
            // The server's counters come about a second late.
            let counters = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{t}'";
            let row = &table.rows(counters).await[0];
            let (updates, hot): (i64, i64) = (row.get(0), row.get(1));
            if updates == 10 {
                assert_eq!(hot, 9);
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{updates} updates were counted");
            // Statements bring the counters of their connection up to date.
            backend.load(id(1), at(time)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
