//! Long random traces, compared call by call with a map: sliding expiry, shorter lives, changed principals, clocks
//! that jump back, purges of any size, and two backends on one file.

use std::collections::BTreeMap;
use std::path::Path;

use session_core::{
    CreateOutcome, DeleteOutcome, Principal, Record, Revision, SessionBackend, SessionId, Timestamp,
    UpdateOutcome,
};
use session_sql::sqlite::{SqliteBackend, SqliteConfig, SqliteExecution};

use crate::common::{at, database, id, raw};

/// What the contract says, of the records that are there, dead ones included.
#[derive(Default)]
struct Model(BTreeMap<SessionId, Record>);

impl Model {
    fn live(&self, id: SessionId, now: Timestamp) -> Option<&Record> {
        self.0.get(&id).filter(|record| record.is_live(now))
    }

    fn create(&mut self, id: SessionId, record: Record, now: Timestamp) -> CreateOutcome {
        match self.live(id, now) {
            Some(current) => CreateOutcome::Occupied(current.clone()),
            None => {
                self.0.insert(id, record);
                CreateOutcome::Created
            }
        }
    }

    fn update(&mut self, id: SessionId, expected: Revision, record: Record, now: Timestamp) -> UpdateOutcome {
        match self.live(id, now) {
            None => UpdateOutcome::Gone,
            Some(current) if current.revision != expected => UpdateOutcome::Conflict(current.clone()),
            Some(_) => {
                self.0.insert(id, record);
                UpdateOutcome::Updated
            }
        }
    }

    fn touch(&mut self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> bool {
        let is_live = self.live(id, now).is_some();
        if is_live && let Some(record) = self.0.get_mut(&id) {
            record.touch(expires_at, now);
        }
        is_live
    }

    fn delete(&mut self, id: SessionId, expected: Option<Revision>, now: Timestamp) -> DeleteOutcome {
        match self.live(id, now) {
            None => DeleteOutcome::Absent,
            Some(current) if expected.is_some_and(|expected| current.revision != expected) => {
                DeleteOutcome::Conflict(current.clone())
            }
            Some(_) => {
                self.0.remove(&id);
                DeleteOutcome::Deleted
            }
        }
    }

    fn list(&self, principal: Option<&Principal>, now: Timestamp) -> Vec<(SessionId, Record)> {
        self.0
            .iter()
            .filter(|(_, record)| record.is_live(now))
            .filter(|(_, record)| principal.is_none() || record.principal.as_ref() == principal)
            .map(|(id, record)| (*id, record.clone()))
            .collect()
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32 % sides
    }

    fn instant(&mut self) -> Timestamp {
        at(i64::from(self.roll(60)))
    }

    fn record(&mut self, revision: Revision) -> Record {
        let principal = match self.roll(5) {
            0 => None,
            1 => Some(""),
            2 => Some("b"),
            _ => Some("a"),
        };
        Record::new(revision, self.instant(), self.instant(), self.instant())
            .with_principal(principal.map(|name| Principal::new(name).unwrap()))
            .with_data(vec![b'x'; self.roll(3) as usize])
    }
}

/// The ids that are stored, with their expiry, where each is filed no later than it expires.
fn stored(path: &Path) -> Vec<(SessionId, i64)> {
    let connection = raw(path);
    let mut statement =
        connection.prepare("SELECT id, expires_at, filed_at FROM sessions ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?))).unwrap();
    rows.map(|row| {
        let (id, expires_at, filed_at) = row.unwrap();
        assert!(filed_at <= expires_at, "a purge would not find it in time");
        (SessionId::from_bytes(id), expires_at)
    })
    .collect()
}

/// Purges until nothing more is said to be left.
async fn purge(backend: &SqliteBackend, path: &Path, model: &mut Model, now: Timestamp, limit: usize) {
    for _ in 0..100 {
        let before = model.0.len();
        let purged = backend.purge_expired(now, limit).await.unwrap();
        let left = stored(path);
        model.0.retain(|id, record| {
            let kept = left.iter().any(|(stored, _)| stored == id);
            assert!(kept || !record.is_live(now), "a live one was purged");
            kept
        });
        assert_eq!(left.len(), model.0.len());
        assert_eq!(purged.removed as usize, before - left.len());
        assert!(purged.removed as usize <= limit);
        if !purged.more {
            assert!(left.iter().all(|(_, expires_at)| *expires_at > now.as_millis()), "some dead are left");
            return;
        }
    }
    panic!("there is always more");
}

async fn trace(seed: u64, settings: &str, steps: u32) {
    let (_directory, path) = database();
    raw(&path).execute_batch(settings).unwrap();
    let config = SqliteConfig::new(&path);
    let backends = [
        SqliteBackend::connect(config.clone()).await.unwrap(),
        SqliteBackend::connect(config.with_execution(SqliteExecution::OnThreads)).await.unwrap(),
    ];
    let (mut dice, mut model, mut clock) = (Dice(seed), Model::default(), 0_u32);
    for step in 0..steps {
        clock = match dice.roll(12) {
            0 => dice.roll(60),
            1..4 => (clock + dice.roll(4)).min(59),
            _ => clock,
        };
        let (now, backend) = (at(i64::from(clock)), &backends[dice.roll(2) as usize]);
        let id = id(dice.roll(5));
        let current = model.0.get(&id).map(|record| record.revision);
        let revision = current.filter(|_| dice.roll(4) > 0).unwrap_or(Revision::first(dice.roll(1_000)));
        let next = revision.next(step);
        match dice.roll(12) {
            0..3 => {
                let record = dice.record(Revision::first(step));
                let outcome = backend.create(id, record.clone(), now).await.unwrap();
                assert_eq!(outcome, model.create(id, record, now), "{seed} {step}");
            }
            3..6 => {
                let record = dice.record(next);
                let outcome = backend.update(id, revision, record.clone(), now).await.unwrap();
                assert_eq!(outcome, model.update(id, revision, record, now), "{seed} {step}");
            }
            6..9 => {
                let expires_at = dice.instant();
                let outcome = backend.touch(id, expires_at, now).await.unwrap();
                assert_eq!(outcome, model.touch(id, expires_at, now), "{seed} {step}");
            }
            9 => {
                let expected = (dice.roll(3) > 0).then_some(revision);
                let outcome = backend.delete(id, expected, now).await.unwrap();
                assert_eq!(outcome, model.delete(id, expected, now), "{seed} {step}");
            }
            10 => {
                let limit = [1, 2, 3, usize::MAX][dice.roll(4) as usize];
                purge(backend, &path, &mut model, now, limit).await;
            }
            _ => {
                for principal in [None, Some(""), Some("a"), Some("b")] {
                    let principal = principal.map(|name| Principal::new(name).unwrap());
                    let listed = backend.list(principal.as_ref(), None, 100, now).await.unwrap().sessions;
                    assert_eq!(listed, model.list(principal.as_ref(), now), "{seed} {step}");
                }
            }
        }
        let loaded = backends[dice.roll(2) as usize].load(id, now).await.unwrap();
        assert_eq!(loaded.as_ref(), model.live(id, now), "{seed} {step}");
    }
    assert_eq!(stored(&path).len(), model.0.len());
}

/// Of files that somebody else has made.
const SETTINGS: [&str; 4] = [
    "",
    "PRAGMA page_size = 512; VACUUM",
    "PRAGMA page_size = 65536; PRAGMA encoding = 'UTF-16'; VACUUM",
    "PRAGMA auto_vacuum = FULL; PRAGMA secure_delete = ON; VACUUM",
];

#[tokio::test]
async fn random_traces_come_to_what_a_map_comes_to() {
    for (seed, settings) in (1..).zip(SETTINGS) {
        trace(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed), settings, 1_000).await;
    }
}
