//! Backends that each break one rule of the contract and keep all others: the proof that the suite sees
//! what it is there to see. All wrap the same correct store.

mod create;
mod delete;
mod driver;
mod handle;
mod identity;
mod index;
mod kept;
mod list;
mod load;
mod matrix;
mod network;
mod packet;
mod processes;
mod purge;
mod run;
mod store;
mod stored;
mod touch;
mod unreadable;
mod update;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use session_core::{
    CreateOutcome, Cursor, DeleteOutcome, ErrorKind, Listing, Principal, Purged, Record, Result, Revision,
    SessionBackend, SessionId, Timestamp, UpdateOutcome,
};

use self::handle::Copies;
pub use self::network::run_network;
pub use self::processes::run_processes;
pub use self::run::run;
pub(crate) use self::run::{Proof, Suspect, prove};
use self::store::{LIMIT, Store};

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
    /// The store removes records by itself, at the wrong time.
    Kept(kept::Fault),
    /// A record that cannot be read is taken for something else.
    Unreadable(unreadable::Fault),
    /// The index beside the records is not what it should be.
    Index(index::Fault),
    /// Writes at the same time add up.
    Packet,
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
        wrap(kept::FAULTS, Fault::Kept),
        wrap(unreadable::FAULTS, Fault::Unreadable),
        wrap(index::FAULTS, Fault::Index),
        wrap(packet::FAULTS, |()| Fault::Packet),
    ]
    .concat()
}

#[derive(Debug)]
struct BrokenBackend {
    fault: Fault,
    store: Arc<Store>,
    copies: Copies,
}

impl BrokenBackend {
    /// What is stored of a record, or that it is too large.
    async fn record(&self, record: Record) -> Result<Record> {
        let record = match self.fault {
            Fault::Stored(fault) => stored::stored(fault, record),
            _ => record,
        };
        if let Fault::Packet = self.fault {
            packet::send(&self.store, record.data.len()).await?;
        }
        if record.data.len() > LIMIT { Err(ErrorKind::TooLarge.into()) } else { Ok(record) }
    }

    fn id(&self, id: SessionId) -> SessionId {
        match self.fault {
            Fault::Identity => identity::taken_for(&self.store, id),
            _ => id,
        }
    }

    fn kept(&self) -> Option<kept::Fault> {
        if let Fault::Kept(fault) = self.fault { Some(fault) } else { None }
    }

    fn unreadable(&self) -> Option<unreadable::Fault> {
        if let Fault::Unreadable(fault) = self.fault { Some(fault) } else { None }
    }

    fn refuse_if_locked(&self) -> Result<()> {
        // Whoever is refused ends it: one is enough to show that the store is locked.
        if self.store.is_locked.swap(false, Ordering::SeqCst) {
            Err(ErrorKind::Timeout.into())
        } else {
            Ok(())
        }
    }

    /// Moves the store's own expiry after a verb that has stored something.
    async fn keep(&self, id: SessionId, verb: kept::Verb, now: Timestamp) -> Result<()> {
        let record = self.store.dead_or_alive(id).await?;
        kept::keep(self.kept(), &self.store, id, record.as_ref(), verb, now);
        Ok(())
    }

    async fn load_readable(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.store.expire(id, self.kept() == Some(kept::Fault::RealTime)).await?;
        if self.store.is_unreadable(id, now).await? {
            unreadable::refuse(self.unreadable())
        } else {
            Ok(None)
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SessionBackend for BrokenBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        self.refuse_if_locked()?;
        let (id, record) = (self.id(id), self.record(record).await?);
        if self.store.is_unreadable(id, now).await? {
            if self.unreadable() != Some(unreadable::Fault::CreateReplaces) {
                return unreadable::refuse(self.unreadable());
            }
            self.store.mend(id);
            self.store.force(id, record).await?;
            return Ok(CreateOutcome::Created);
        }
        let outcome = match self.fault {
            Fault::Create(fault) => create::create(fault, &self.store, id, record, now).await,
            Fault::Index(fault) => index::create(fault, &self.store, id, record, now).await,
            Fault::Handle(_) => self.copies.create(&self.store, id, record, now).await,
            _ => self.store.create(id, record, now).await,
        }?;
        if outcome == CreateOutcome::Created {
            self.store.mend(id);
            self.keep(id, kept::Verb::Create, now).await?;
        }
        Ok(outcome)
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let id = self.id(id);
        if let Err(error) = self.load_readable(id, now).await {
            let is_none = self.unreadable() == Some(unreadable::Fault::LoadIsNone);
            return if is_none { Ok(None) } else { Err(error) };
        }
        match self.fault {
            Fault::Load(fault) => load::load(fault, &self.store, id, now).await,
            Fault::Handle(fault) => self.copies.load(fault, &self.store, id, now).await,
            _ => self.store.load(id, now).await,
        }
    }

    async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let id = self.id(id);
        if let Err(error) = self.load_readable(id, now).await {
            let is_none = self.unreadable() == Some(unreadable::Fault::LatestIsNone);
            return if is_none { Ok(None) } else { Err(error) };
        }
        match self.fault {
            Fault::Load(fault) => load::load_latest(fault, &self.store, id, now).await,
            Fault::Handle(fault) => self.copies.load(fault, &self.store, id, now).await,
            _ => self.store.load(id, now).await,
        }
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        self.refuse_if_locked()?;
        let id = self.id(id);
        let record = match self.record(record).await {
            Err(_) if matches!(self.fault, Fault::Update(update::Fault::TooLargeRemoves)) => {
                let _ = self.store.delete(id, None, now).await?;
                return Err(ErrorKind::TooLarge.into());
            }
            record => record?,
        };
        if self.store.is_unreadable(id, now).await? {
            let is_gone = self.unreadable() == Some(unreadable::Fault::UpdateIsGone);
            return if is_gone { Ok(UpdateOutcome::Gone) } else { unreadable::refuse(self.unreadable()) };
        }
        let outcome = match self.fault {
            Fault::Update(fault) => update::update(fault, &self.store, id, expected, record, now).await,
            Fault::Index(fault) => index::update(fault, &self.store, id, expected, record, now).await,
            Fault::Handle(fault) => self.copies.update(fault, &self.store, id, expected, record, now).await,
            _ => self.store.update(id, expected, record, now).await,
        }?;
        if outcome == UpdateOutcome::Updated {
            self.keep(id, kept::Verb::Update, now).await?;
        }
        Ok(outcome)
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        self.refuse_if_locked()?;
        let id = self.id(id);
        let touched = match self.fault {
            Fault::Touch(fault) => touch::touch(fault, &self.store, id, expires_at, now).await,
            Fault::Handle(_) => self.copies.touch(&self.store, id, expires_at, now).await,
            _ => self.store.touch(id, expires_at, now).await,
        }?;
        if touched {
            self.keep(id, kept::Verb::Touch { until: expires_at }, now).await?;
        }
        Ok(touched)
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        use unreadable::Fault::{
            DeleteIsAbsent, DeleteIsCorrupt, DeleteLeavesDamage, DeleteOfRevisionRemoves,
        };
        self.refuse_if_locked()?;
        let id = self.id(id);
        if self.store.is_unreadable(id, now).await? {
            let removes = expected.is_none() && self.unreadable() != Some(DeleteIsCorrupt);
            if !removes && self.unreadable() != Some(DeleteOfRevisionRemoves) {
                return unreadable::refuse(self.unreadable());
            }
            if self.unreadable() == Some(DeleteLeavesDamage) {
                return Ok(DeleteOutcome::Deleted);
            }
            self.store.mend(id);
            let outcome = self.store.delete(id, None, now).await?;
            let is_absent = self.unreadable() == Some(DeleteIsAbsent);
            return Ok(if is_absent { DeleteOutcome::Absent } else { outcome });
        }
        match self.fault {
            Fault::Delete(fault) => delete::delete(fault, &self.store, id, expected, now).await,
            Fault::Index(fault) => index::delete(fault, &self.store, id, expected, now).await,
            Fault::Handle(_) => self.copies.delete(&self.store, id, expected, now).await,
            _ => self.store.delete(id, expected, now).await,
        }
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        match self.fault {
            Fault::Unreadable(unreadable::Fault::PurgeFails) if self.store.has_damage() => {
                unreadable::refuse(self.unreadable())
            }
            Fault::Purge(fault) => purge::purge_expired(fault, &self.store, now, limit).await,
            Fault::Index(fault) => index::purge_expired(fault, &self.store, now, limit).await,
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
        let mut page = match self.fault {
            Fault::List(fault) => list::list(fault, &self.store, principal, after, limit, now).await,
            Fault::Index(fault) => index::list(fault, &self.store, principal, after, limit, now).await,
            _ => self.store.memory.list(principal, after, limit, now).await,
        }?;
        let mut sessions = Vec::with_capacity(page.sessions.len());
        for (id, record) in page.sessions {
            if !self.store.is_unreadable(id, now).await? {
                sessions.push((id, record));
                continue;
            }
            match self.unreadable() {
                Some(unreadable::Fault::ListFails) => return unreadable::refuse(self.unreadable()),
                Some(unreadable::Fault::ListEnds) => page.next = None,
                _ => {}
            }
        }
        page.sessions = sessions;
        Ok(page)
    }
}
