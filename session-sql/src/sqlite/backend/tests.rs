//! What can only be shown with a hand on the backend's own connections.

use std::time::{Duration, Instant};

use session_core::{Durability, Revision};

use super::*;

fn id(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn record(data: Vec<u8>) -> Record {
    Record::new(Revision::first(1), Timestamp::MIN, Timestamp::MAX, Timestamp::MAX).with_data(data)
}

async fn setting<T: rusqlite::types::FromSql + Send + 'static>(queue: &Queue, pragma: &str) -> T {
    let sql = format!("PRAGMA {pragma}");
    queue.run(MANY, move |connection| Ok(connection.query_row(&sql, [], |row| row.get(0))?)).await.unwrap()
}

#[tokio::test]
async fn connections_have_their_settings() {
    let directory = tempfile::tempdir().unwrap();
    for (durability, synchronous) in [(Durability::ProcessCrash, 1_i64), (Durability::PowerLoss, 2)] {
        let config = SqliteConfig::new(directory.path().join("a.db")).with_durability(durability);
        let backend = SqliteBackend::connect(config).await.unwrap();
        assert_eq!(setting::<i64>(&backend.shared.writer, "synchronous").await, synchronous);
        assert_eq!(setting::<i64>(&backend.shared.writer, "wal_autocheckpoint").await, 0);
        assert_eq!(setting::<i64>(&backend.shared.writer, "query_only").await, 0);
        assert_eq!(setting::<i64>(&backend.shared.readers, "query_only").await, 1);
        for queue in [&backend.shared.writer, &backend.shared.readers] {
            assert_eq!(setting::<String>(queue, "journal_mode").await, "wal");
        }
        let inline = backend.shared.inline_reads.as_ref().unwrap().free_connection().unwrap();
        for (pragma, value) in [("query_only", 1), ("busy_timeout", 0)] {
            let set: i64 = inline.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap();
            assert_eq!(set, value, "{pragma}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_unavailable_keeps_what_was_there_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let file = SqliteConfig::new(directory.path().join("full.db"));
    for config in [file, SqliteConfig::in_memory()] {
        let backend = SqliteBackend::connect(config).await.unwrap();
        let now = Timestamp::MIN;
        let old = record(vec![b'o'; 10_000]);
        let mut large = record(vec![b'l'; 100_000]);
        large.revision = old.revision.next(2);
        let _ = backend.create(id(1), old.clone(), now).await.unwrap();

        let pages: i64 = setting(&backend.shared.writer, "page_count").await;
        let _: i64 = setting(&backend.shared.writer, &format!("max_page_count = {}", pages + 1)).await;
        let errors = [
            backend.create(id(2), large.clone(), now).await.unwrap_err(),
            backend.update(id(1), old.revision, large.clone(), now).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.is_retryable());
        }
        assert_eq!(backend.load(id(1), now).await.unwrap(), Some(old.clone()));
        assert_eq!(backend.load(id(2), now).await.unwrap(), None);
        assert!(backend.touch(id(1), Timestamp::MAX, now).await.unwrap(), "what takes no space works");

        let _: i64 = setting(&backend.shared.writer, "max_page_count = 1000000").await;
        let updated = backend.update(id(1), old.revision, large.clone(), now).await.unwrap();
        assert_eq!(updated, UpdateOutcome::Updated);
        assert_eq!(backend.create(id(2), large.clone(), now).await.unwrap(), CreateOutcome::Created);
        assert_eq!(backend.load(id(1), now).await.unwrap(), Some(large));
    }
}

#[tokio::test]
async fn a_table_dropped_while_running_is_schema_missing() {
    let backend = SqliteBackend::connect(SqliteConfig::in_memory()).await.unwrap();
    let drop = |connection: &Connection| Ok(connection.execute_batch("DROP TABLE sessions")?);
    backend.shared.writer.run(MANY, drop).await.unwrap();
    let errors = [
        backend.load(id(1), Timestamp::MIN).await.unwrap_err(),
        backend.create(id(1), record(Vec::new()), Timestamp::MIN).await.unwrap_err(),
        backend.purge_expired(Timestamp::MIN, 1).await.unwrap_err(),
        backend.list(None, None, 1, Timestamp::MIN).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::SchemaMissing);
        assert!(error.to_string().contains("migrate"), "{error}");
    }
}

#[tokio::test]
async fn a_record_that_does_not_fit_is_too_large_and_changes_nothing() {
    let backend = SqliteBackend::connect(SqliteConfig::in_memory()).await.unwrap();
    let old = record(vec![1]);
    let _ = backend.create(id(1), old.clone(), Timestamp::MIN).await.unwrap();
    let most = 1_000_000_000;
    let error = backend.update(id(1), old.revision, record(vec![0; most + 1]), Timestamp::MIN).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(backend.load(id(1), Timestamp::MIN).await.unwrap(), Some(old));
}

#[tokio::test]
async fn everything_stays_on_threads_if_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(directory.path().join("a.db")).with_execution(SqliteExecution::OnThreads);
    let backend = SqliteBackend::connect(config).await.unwrap();
    assert!(backend.shared.inline_reads.is_none() && backend.shared.inline_writes.is_none());
    let _ = backend.create(id(1), record(vec![1]), Timestamp::MIN).await.unwrap();
    assert_eq!(backend.load(id(1), Timestamp::MIN).await.unwrap(), Some(record(vec![1])));
}

#[tokio::test]
async fn what_is_quick_is_answered_at_once_and_sees_every_write() {
    let directory = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(directory.path().join("a.db")).await.unwrap();
    let mut current = record(vec![0]);
    let _ = backend.create(id(1), current.clone(), Timestamp::MIN).await.unwrap();
    let (mut loads, mut updates) = (0, 0);
    let started = Instant::now();
    // A busy machine is seldom quick; one that never is would be waited for no longer than a minute.
    for number in 1.. {
        if number > 400 && ((loads > 0 && updates > 0) || started.elapsed() > Duration::from_secs(60)) {
            break;
        }
        let mut next = record(vec![number as u8]);
        next.revision = current.revision.next(number);
        let update = backend.update(id(1), current.revision, next.clone(), Timestamp::MIN);
        let (polls, updated) = counted(update).await;
        assert_eq!(updated.unwrap(), UpdateOutcome::Updated);
        updates += usize::from(polls == 1);
        let (polls, loaded) = counted(backend.load(id(1), Timestamp::MIN)).await;
        assert_eq!(loaded.unwrap().as_ref(), Some(&next));
        loads += usize::from(polls == 1);
        current = next;
    }
    assert!(loads > 0 && updates > 0, "{loads} loads and {updates} updates were quick enough");
}

/// What `future` comes to, and after how many polls.
async fn counted<F: Future>(future: F) -> (usize, F::Output) {
    let mut future = std::pin::pin!(future);
    let mut polls = 0;
    let output = std::future::poll_fn(|context| {
        polls += 1;
        future.as_mut().poll(context)
    })
    .await;
    (polls, output)
}

#[tokio::test]
async fn only_writes_that_need_no_flush_may_run_on_the_calling_thread() {
    let directory = tempfile::tempdir().unwrap();
    let file = || SqliteConfig::new(directory.path().join("a.db"));
    for (config, may) in [
        (file(), true),
        (file().with_durability(Durability::PowerLoss), false),
        (file().with_execution(SqliteExecution::OnThreads), false),
        (SqliteConfig::in_memory(), false),
    ] {
        let backend = SqliteBackend::connect(config.clone()).await.unwrap();
        assert_eq!(backend.shared.inline_writes.is_some(), may, "{config:?}");
    }
}
