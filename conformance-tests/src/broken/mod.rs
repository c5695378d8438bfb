//! Backends that each break one rule of the contract and keep all others: the proof that the suite sees
//! what it is there to see. All wrap the same correct store.

mod create;
mod delete;
mod handle;
mod identity;
mod list;
mod load;
mod matrix;
mod purge;
mod run;
mod store;
mod stored;
mod touch;
mod update;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, Listing, Principal, Purged, Record, Result, Revision,
    SessionBackend, SessionId, Timestamp, UpdateOutcome,
};

use self::handle::Copies;
pub use self::run::run;
use self::store::Store;
use crate::harness::{Harness, Promises};

/// One rule, broken. Each verb has its own list of them.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Create(create::Fault),
    Load(load::Fault),
    Update(update::Fault),
    Touch(touch::Fault),
    Delete(delete::Fault),
    Purge(purge::Fault),
    List(list::Fault),
    /// What one handle does to another.
    Handle(handle::Fault),
    /// What is stored is not what was given.
    Stored(stored::Fault),
    /// Ids that are not the same are taken to be.
    Identity,
}

/// A broken backend by name, with the sentence of the contract that it breaks.
#[derive(Clone, Copy, Debug)]
struct Broken {
    name: &'static str,
    breaks: &'static str,
    fault: Fault,
}

/// Every broken backend, by verb.
fn all() -> Vec<Broken> {
    fn wrap<F: Copy>(
        faults: &'static [(F, &'static str, &'static str)],
        fault: fn(F) -> Fault,
    ) -> Vec<Broken> {
        faults.iter().map(|&(own, name, breaks)| Broken { name, breaks, fault: fault(own) }).collect()
    }
    [
        wrap(create::FAULTS, Fault::Create),
        wrap(load::FAULTS, Fault::Load),
        wrap(update::FAULTS, Fault::Update),
        wrap(touch::FAULTS, Fault::Touch),
        wrap(delete::FAULTS, Fault::Delete),
        wrap(purge::FAULTS, Fault::Purge),
        wrap(list::FAULTS, Fault::List),
        wrap(handle::FAULTS, Fault::Handle),
        wrap(stored::FAULTS, Fault::Stored),
        wrap(identity::FAULTS, |()| Fault::Identity),
    ]
    .concat()
}

/// A broken backend with its stores, so that a namespace can be opened twice.
#[derive(Debug)]
struct BrokenDriver {
    broken: Broken,
    stores: Mutex<HashMap<String, Arc<Store>>>,
}

impl BrokenDriver {
    fn new(broken: Broken) -> Self {
        Self { broken, stores: Mutex::default() }
    }

    fn handle(&self, namespace: &str) -> Arc<dyn SessionBackend> {
        let store = self.stores().entry(namespace.to_owned()).or_default().clone();
        Arc::new(BrokenBackend { fault: self.broken.fault, store, copies: Copies::default() })
    }

    fn stores(&self) -> MutexGuard<'_, HashMap<String, Arc<Store>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Harness for BrokenDriver {
    fn name(&self) -> &str {
        self.broken.name
    }

    fn promises(&self) -> Promises {
        Promises::default().with_list().with_purge().with_shared_handles()
    }

    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(self.handle(namespace))
    }

    async fn second_handle(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        Ok(Some(self.handle(namespace)))
    }
}

#[derive(Debug)]
struct BrokenBackend {
    fault: Fault,
    store: Arc<Store>,
    copies: Copies,
}

impl BrokenBackend {
    fn record(&self, record: Record) -> Record {
        match self.fault {
            Fault::Stored(fault) => stored::stored(fault, record),
            _ => record,
        }
    }

    fn id(&self, id: SessionId) -> SessionId {
        match self.fault {
            Fault::Identity => identity::taken_for(&self.store, id),
            _ => id,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionBackend for BrokenBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        let (id, record) = (self.id(id), self.record(record));
        match self.fault {
            Fault::Create(fault) => create::create(fault, &self.store, id, record, now).await,
            Fault::Handle(_) => self.copies.create(&self.store, id, record, now).await,
            _ => self.store.create(id, record, now).await,
        }
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        match self.fault {
            Fault::Load(fault) => load::load(fault, &self.store, id, now).await,
            Fault::Handle(fault) => self.copies.load(fault, &self.store, id, now).await,
            _ => self.store.load(self.id(id), now).await,
        }
    }

    async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        match self.fault {
            Fault::Load(fault) => load::load_latest(fault, &self.store, id, now).await,
            Fault::Handle(fault) => self.copies.load(fault, &self.store, id, now).await,
            _ => self.store.load(self.id(id), now).await,
        }
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let (id, record) = (self.id(id), self.record(record));
        match self.fault {
            Fault::Update(fault) => update::update(fault, &self.store, id, expected, record, now).await,
            Fault::Handle(fault) => self.copies.update(fault, &self.store, id, expected, record, now).await,
            _ => self.store.update(id, expected, record, now).await,
        }
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        let id = self.id(id);
        match self.fault {
            Fault::Touch(fault) => touch::touch(fault, &self.store, id, expires_at, now).await,
            Fault::Handle(_) => self.copies.touch(&self.store, id, expires_at, now).await,
            _ => self.store.touch(id, expires_at, now).await,
        }
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let id = self.id(id);
        match self.fault {
            Fault::Delete(fault) => delete::delete(fault, &self.store, id, expected, now).await,
            Fault::Handle(_) => self.copies.delete(&self.store, id, expected, now).await,
            _ => self.store.delete(id, expected, now).await,
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        match self.fault {
            Fault::Purge(fault) => purge::purge_expired(fault, &self.store, now, limit).await,
            Fault::Handle(_) => self.copies.purge_expired(&self.store, now, limit).await,
            _ => self.store.memory.purge_expired(now, limit).await,
        }
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        match self.fault {
            Fault::List(fault) => list::list(fault, &self.store, principal, after, limit, now).await,
            _ => self.store.memory.list(principal, after, limit, now).await,
        }
    }
}
