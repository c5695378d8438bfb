//! A broken backend as a driver: the namespaces, and what a harness may do behind a driver's back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{Result, SessionBackend, SessionId};

use super::handle::Copies;
use super::store::{LIMIT, SLACK, Store};
use super::{Broken, BrokenBackend};
use crate::harness::{Damage, Harness, Promises};

/// Every namespace of one run of a case, by name.
#[derive(Debug)]
pub(super) struct Driver {
    broken: Broken,
    stores: Mutex<BTreeMap<String, Arc<Store>>>,
}

impl Driver {
    pub(super) fn new(broken: Broken) -> Arc<Self> {
        Arc::new(Self { broken, stores: Mutex::default() })
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Store>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, namespace: &str) -> Option<Arc<Store>> {
        self.stores().get(namespace).cloned()
    }

    /// A namespace with what a careless driver takes for a part of it: those that begin with its name.
    fn backend(&self, namespace: &str, store: Store) -> Arc<dyn SessionBackend> {
        let store = Arc::new(store);
        let mut stores = self.stores();
        let longer = |(name, _): &(&String, &Arc<Store>)| name.starts_with(namespace);
        let shorter = |(name, _): &(&String, &Arc<Store>)| namespace.starts_with(name.as_str());
        for (_, other) in stores.iter().filter(shorter) {
            other.take_for_own(store.clone());
        }
        for (_, other) in stores.iter().filter(longer) {
            store.take_for_own(other.clone());
        }
        stores.insert(namespace.to_owned(), store.clone());
        self.handle(store)
    }

    /// One more connection to a namespace, with whatever a careless driver keeps in it.
    fn handle(&self, store: Arc<Store>) -> Arc<dyn SessionBackend> {
        Arc::new(BrokenBackend { fault: self.broken.fault, store, copies: Copies::default() })
    }
}

/// A harness must own its driver, and a driver that is shared can tell what its namespaces hold.
#[derive(Debug)]
pub(super) struct BrokenHarness(pub(super) Arc<Driver>);

#[async_trait]
impl Harness for BrokenHarness {
    fn name(&self) -> &str {
        self.0.broken.name
    }

    fn promises(&self) -> Promises {
        Promises::default()
            .with_list()
            .with_purge()
            .with_shared_handles()
            .with_scan()
            .with_damage()
            .with_max_payload(LIMIT)
            .with_expiry_slack(SLACK)
    }

    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(self.0.backend(namespace, Store::default()))
    }

    async fn open_with_slack(
        &self,
        namespace: &str,
        slack: Duration,
    ) -> Result<Option<Arc<dyn SessionBackend>>> {
        Ok(Some(self.0.backend(namespace, Store::removing_after(slack))))
    }

    async fn second_handle(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        Ok(self.0.store(namespace).map(|store| self.0.handle(store)))
    }

    async fn scan(&self, namespace: &str) -> Result<Option<Vec<Bytes>>> {
        match self.0.store(namespace) {
            Some(store) => store.pieces().await.map(Some),
            None => Ok(None),
        }
    }

    async fn damage(&self, namespace: &str, id: SessionId, damage: Damage) -> Result<Option<bool>> {
        match self.0.store(namespace) {
            Some(store) => store.damage(id, damage).await.map(Some),
            None => Ok(None),
        }
    }

    async fn time_to_live(&self, namespace: &str, id: SessionId) -> Result<Option<Duration>> {
        Ok(self.0.store(namespace).map(|store| store.time_to_live(id)))
    }

    async fn discard(&self, namespace: &str) {
        // Stores that took each other for their own would keep each other for ever.
        if let Some(store) = self.0.stores().remove(namespace) {
            store.forget_others();
        }
    }
}
