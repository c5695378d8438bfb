//! actix-session's store in Redis, which keeps each value as JSON in a map of strings. Its verbs need no server of
//! actix-web around them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use actix_session::storage::{RedisSessionStore, SessionStore};
use bench_harness::{Cell, Failure, Operation, Program, RedisDatabase, Store, parallel, payload};
use time::Duration;

#[derive(Clone)]
pub(crate) struct ActixSession {
    store: RedisSessionStore,
    values: HashMap<String, String>,
    /// It draws keys itself, and finds sessions by them only.
    keys: Arc<[String]>,
    writes: u64,
}

impl ActixSession {
    /// One connection, which carries the commands of all tasks: its default.
    pub(crate) async fn open(program: Program) -> Result<Self, Failure> {
        let database = RedisDatabase::find(&program).await?;
        let store = RedisSessionStore::new(database.url.as_str()).await?;
        let values = payload::values(program.values, 0).into_iter();
        let values: HashMap<_, _> = values.map(|(key, value)| (key, value.to_string())).collect();
        let keys = Arc::new(Mutex::new(Vec::new()));
        let (creator, state, drawn) = (store.clone(), values.clone(), Arc::clone(&keys));
        parallel(0..program.sessions, move |_| {
            let (creator, state, drawn) = (creator.clone(), state.clone(), Arc::clone(&drawn));
            async move {
                let key = creator.save(state, &Duration::DAY).await?;
                drawn.lock().unwrap_or_else(PoisonError::into_inner).push(key.as_ref().to_owned());
                Ok(())
            }
        })
        .await?;
        let keys = std::mem::take(&mut *keys.lock().unwrap_or_else(PoisonError::into_inner)).into();
        Ok(Self { store, values, keys, writes: 0 })
    }

    async fn load(&self, session: u64) -> Result<HashMap<String, String>, Failure> {
        let key = self.keys[usize::try_from(session)?].clone().try_into()?;
        Ok(self.store.load(&key).await?.ok_or("a session is missing")?)
    }

    /// Overwrites unseen what is there: this library knows no other write.
    async fn update(&mut self, session: u64) -> Result<(), Failure> {
        self.writes += 1;
        if let Some(value) = self.values.get_mut(payload::CHANGING) {
            *value = payload::changed(self.writes).to_string();
        }
        let key = self.keys[usize::try_from(session)?].clone().try_into()?;
        self.store.update(key, self.values.clone(), &Duration::DAY).await?;
        Ok(())
    }

    async fn read_one(&self, session: u64) -> Result<(), Failure> {
        let values = self.load(session).await?;
        let value: String = serde_json::from_str(values.get(payload::READ).ok_or("a value is missing")?)?;
        std::hint::black_box(value);
        Ok(())
    }
}

impl Store for ActixSession {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        let worker = |task| Self { writes: (cell.seed << 20) + (task << 40), ..self.clone() };
        Ok((0..cell.tasks as u64).map(worker).collect())
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        match operation {
            Operation::Load => {
                std::hint::black_box(self.load(session).await?);
                Ok(())
            }
            Operation::Update => self.update(session).await,
            Operation::ReadOne => self.read_one(session).await,
            other => Err(format!("not measured: {other:?}").into()),
        }
    }
}
