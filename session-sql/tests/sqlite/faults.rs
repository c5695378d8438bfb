//! Databases that cannot be used, for good or for now: a typed error each time, and what was stored stays.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{NOW, at, create, database, dump, id, now, raw, record};
use session_core::{Durability, Error, ErrorKind, SessionBackend, SessionManager};
use session_sql::sqlite::{SqliteBackend, SqliteConfig};
use tokio::task::JoinSet;

async fn refused(config: SqliteConfig) -> Error {
    SqliteBackend::connect(config).await.unwrap_err()
}

fn hold_the_write_lock(path: &Path) -> rusqlite::Connection {
    let connection = raw(path);
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    connection
}

#[tokio::test]
async fn a_missing_directory_is_a_mistake_of_the_configuration() {
    let (directory, path) = database();
    let error = refused(SqliteConfig::new(directory.path().join("nowhere/sessions.db"))).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("nowhere/sessions.db: its directory does not exist"), "{error}");

    let error = refused(SqliteConfig::new(&path).with_create_if_missing(false)).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!path.exists());

    assert_eq!(refused(SqliteConfig::new("")).await.kind(), ErrorKind::Config);
    assert_eq!(refused(SqliteConfig::new(directory.path())).await.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn values_out_of_their_limits_are_refused_before_anything_is_made() {
    let (_directory, path) = database();
    let config = SqliteConfig::new(&path);
    for config in [
        config.clone().with_table("sessions\"; DROP TABLE users; --"),
        config.clone().with_busy_timeout(Duration::ZERO),
        config.clone().with_busy_timeout(Duration::MAX),
        config.clone().with_queue_capacity(NonZeroUsize::new((1 << 20) + 1).unwrap()),
        config.clone().with_queue_capacity(NonZeroUsize::MAX),
    ] {
        assert_eq!(refused(config).await.kind(), ErrorKind::Config);
    }
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_of_something_else_is_corrupt_and_left_alone() {
    let (_directory, path) = database();
    let text = b"not a database, whatever its name says\n".repeat(100);
    fs::write(&path, &text).unwrap();
    let error = refused(SqliteConfig::new(&path)).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("sessions.db"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), text);
}

#[tokio::test]
async fn a_table_of_something_else_is_found_at_connect() {
    let (_directory, path) = database();
    raw(&path).execute_batch("CREATE TABLE sessions (id TEXT, data TEXT)").unwrap();
    assert_eq!(refused(SqliteConfig::new(&path)).await.kind(), ErrorKind::SchemaMissing);
    let other = SqliteConfig::new(&path).with_table("web_sessions");
    create(&SqliteBackend::connect(other).await.unwrap(), 1, record("x")).await;
}

#[tokio::test]
async fn a_missing_table_is_found_at_connect_and_says_what_to_run() {
    let (_directory, path) = database();
    let config = SqliteConfig::new(&path).with_auto_migrate(false);
    let error = refused(config.clone()).await;
    assert_eq!(error.kind(), ErrorKind::SchemaMissing);
    assert!(error.to_string().contains("SqliteBackend::migrate"), "{error}");
    SqliteBackend::migrate(config.clone()).await.unwrap();
    SqliteBackend::migrate(config.clone()).await.unwrap();
    create(&SqliteBackend::connect(config).await.unwrap(), 1, record("x")).await;
}

#[cfg(unix)]
#[tokio::test]
async fn modes_of_new_files_are_private_and_old_ones_stay() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    create(&backend, 1, record("x")).await;
    let mut names = Vec::new();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["sessions.db", "sessions.db-shm", "sessions.db-wal"]);

    let shared = directory.path().join("shared.db");
    fs::write(&shared, "").unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o640)).unwrap();
    SqliteBackend::open(&shared).await.unwrap();
    assert_eq!(fs::metadata(&shared).unwrap().permissions().mode() & 0o777, 0o640);
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_is_another_name_of_the_database() {
    use std::os::unix::fs::symlink;
    let (directory, path) = database();
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let link = elsewhere.join("link.db");
    symlink(&path, &link).unwrap();

    let error = refused(SqliteConfig::new(&link)).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("link.db: a symbolic link to nothing"), "{error}");
    assert!(!path.exists());

    let backend = SqliteBackend::open(&path).await.unwrap();
    let by_link = SqliteBackend::open(&link).await.unwrap();
    create(&by_link, 1, record("x")).await;
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1, "the log is beside the database");
}

#[tokio::test]
async fn clean_restart_keeps_everything() {
    let (_directory, path) = database();
    for durability in [Durability::ProcessCrash, Durability::PowerLoss] {
        let config = SqliteConfig::new(&path).with_durability(durability);
        let backend = SqliteBackend::connect(config.clone()).await.unwrap();
        let start = dump(&path).len() as u32;
        for number in start..start + 50 {
            let whole = record(&number.to_string()).with_principal(crate::common::principal("alice"));
            create(&backend, number, whole).await;
        }
        assert!(backend.touch(id(start), at(NOW + 5_000), now()).await.unwrap());
        let _ = backend.delete(id(start + 1), None, now()).await.unwrap();
        let before = dump(&path);
        drop(backend);
        let again = SqliteBackend::connect(config).await.unwrap();
        assert_eq!(dump(&path), before);
        let listed =
            again.list(crate::common::principal("alice").as_ref(), None, 1_000, now()).await.unwrap();
        assert_eq!(listed.sessions.len(), before.len());
        // So that the ids of the next round are new.
        create(&again, start + 1, record("x").with_principal(crate::common::principal("alice"))).await;
    }
}

#[tokio::test]
async fn a_held_lock_times_out_and_loads_go_on() {
    let (_directory, path) = database();
    let patience = Duration::from_millis(500);
    let config = SqliteConfig::new(&path).with_busy_timeout(patience);
    let backend = SqliteBackend::connect(config.clone()).await.unwrap();
    create(&backend, 1, record("old")).await;
    let before = dump(&path);

    let lock = hold_the_write_lock(&path);
    let started = Instant::now();
    // All at once: each of them waits for its turn and for the lock, together no longer than it may. One after the
    // other they would take most of a minute.
    let mut touches = JoinSet::new();
    for _ in 0..100 {
        let backend = backend.clone();
        touches.spawn(async move { backend.touch(id(1), now(), now()).await });
    }
    let (create, update, touch, delete, purge, load) = tokio::join!(
        backend.create(id(2), record("new"), now()),
        backend.update(id(1), record("").revision, record("new"), now()),
        backend.touch(id(1), now(), now()),
        backend.delete(id(1), None, now()),
        backend.purge_expired(now(), 10),
        backend.load(id(1), now()),
    );
    let errors = [
        create.unwrap_err(),
        update.unwrap_err(),
        touch.unwrap_err(),
        delete.unwrap_err(),
        purge.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.is_retryable());
    }
    while let Some(touched) = touches.join_next().await {
        assert_eq!(touched.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    }
    let elapsed = started.elapsed();
    assert!(elapsed >= patience && elapsed < Duration::from_secs(30), "{elapsed:?}");
    assert_eq!(load.unwrap(), Some(record("old")), "readers wait for nobody");
    assert_eq!(refused(config).await.kind(), ErrorKind::Timeout);

    drop(lock);
    assert_eq!(dump(&path), before, "what timed out has not happened and will not");
    crate::common::create(&backend, 2, record("new")).await;
}

#[tokio::test]
async fn the_driver_gives_up_before_the_manager_does() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    // With the defaults of both.
    let manager = SessionManager::builder(backend).build().unwrap();
    let lock = hold_the_write_lock(&path);
    let session = manager.open(None).await.unwrap();
    session.insert("n", 1).unwrap();
    let error = session.commit().await.unwrap_err();
    // What the manager says of its own has no cause.
    assert!(std::error::Error::source(&error).is_some(), "{error:?}");
    drop(lock);
    assert!(dump(&path).is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn the_runtime_goes_on_while_a_verb_waits() {
    let (_directory, path) = database();
    let backend = SqliteBackend::open(&path).await.unwrap();
    let lock = hold_the_write_lock(&path);
    let (created, ()) = tokio::join!(backend.create(id(1), record("x"), now()), async {
        // Runs on the one thread that the create above is waiting on.
        assert_eq!(backend.load(id(1), now()).await.unwrap(), None);
        drop(lock);
    });
    assert_eq!(created.unwrap(), session_core::CreateOutcome::Created);
}

#[test]
fn no_async_runtime_is_needed() {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread::{Thread, current, park};

    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(current())));
    let (_directory, path) = database();
    for config in [SqliteConfig::in_memory(), SqliteConfig::new(&path)] {
        let mut future = Box::pin(async {
            let backend = SqliteBackend::connect(config).await.unwrap();
            // More than it takes until files are served on the calling thread.
            for number in 0..1_000 {
                create(&backend, number, record("x")).await;
            }
            backend.load(id(1), now()).await.unwrap()
        });
        let loaded = loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(loaded) => break loaded,
                Poll::Pending => park(),
            }
        };
        assert_eq!(loaded, Some(record("x")));
    }
}

#[tokio::test]
async fn threads_end_with_the_last_clone_and_leave_one_file() {
    for _ in 0..20 {
        let (directory, path) = database();
        let backend = SqliteBackend::open(&path).await.unwrap();
        let clone = backend.clone();
        drop(backend);
        create(&clone, 1, record("x")).await;
        drop(clone);
        // The last connection to close removes the two others, and connections close with their threads.
        let started = Instant::now();
        while fs::read_dir(directory.path()).unwrap().count() > 1 {
            assert!(started.elapsed() < Duration::from_secs(30), "a connection is still open");
            tokio::task::yield_now().await;
        }
        let again = SqliteBackend::open(&path).await.unwrap();
        assert_eq!(again.load(id(1), now()).await.unwrap(), Some(record("x")));
    }
}

#[tokio::test]
async fn a_lock_on_a_database_that_is_not_in_wal_mode_yet_is_waited_for() {
    let (_directory, path) = database();
    let patience = Duration::from_millis(200);
    for lock in ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "BEGIN; SELECT * FROM other"] {
        let holder = raw(&path);
        holder.execute_batch("CREATE TABLE IF NOT EXISTS other (a)").unwrap();
        holder.execute_batch(lock).unwrap();
        let started = Instant::now();
        let error = refused(SqliteConfig::new(&path).with_busy_timeout(patience)).await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{lock}");
        assert!(started.elapsed() >= patience, "{lock}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn errors_show_nothing_of_a_session() {
    let (_directory, path) = database();
    let config = SqliteConfig::new(&path).with_busy_timeout(Duration::from_millis(1));
    let backend = SqliteBackend::connect(config).await.unwrap();
    let lock = hold_the_write_lock(&path);
    let secret =
        record("canary").with_meta(&b"canary"[..]).with_principal(crate::common::principal("canary"));
    let error = backend.create(id(1), secret, now()).await.unwrap_err();
    let mut shown = format!("{error} {error:?} {backend:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        shown += &format!(" {error} {error:?}");
        source = error.source();
    }
    assert!(!shown.contains("canary"), "{shown}");
    drop(lock);
}
