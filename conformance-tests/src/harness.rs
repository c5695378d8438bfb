//! What the author of a driver implements: how to open a store, and what the driver promises.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{Result, SessionBackend, SessionId};

/// A driver under test.
///
/// The suite opens a fresh namespace for each case. A namespace is a set of sessions of its own: a table,
/// a key prefix, a directory, a file, or simply a new store. Its name is 20 characters at most, lowercase
/// letters and digits, starting with a letter, and never used twice, also not by a later run.
///
/// Methods with a default belong to a [promise](Promises): whoever makes it overrides them.
#[async_trait]
pub trait Harness: Debug + Send + Sync + 'static {
    /// The row's name in test names and summaries: `sqlite`, `redis-cluster`.
    fn name(&self) -> &str;

    /// What the driver can do beyond the five verbs; nothing by default.
    fn promises(&self) -> Promises {
        Promises::default()
    }

    /// Opens a namespace that does not exist yet, ready for use.
    ///
    /// It is called within the runtime that the case runs on. Different namespaces are open at once.
    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>>;

    /// Other namespaces that a careless driver takes for this one, or a part of it. Override it to add
    /// the characters that mean something in your keys: globs, separators, quotes.
    fn similar_namespaces(&self, namespace: &str) -> Vec<String> {
        vec![format!("{namespace}b")]
    }

    /// Opens a namespace once more while the first handle is in use, as another process would.
    async fn second_handle(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        let _ = namespace;
        Ok(None)
    }

    /// Opens a namespace again after every handle to it was dropped.
    async fn reopen(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        let _ = namespace;
        Ok(None)
    }

    /// This program once more, as a process of its own that finds the same store: usually
    /// [`current_exe`](std::env::current_exe) with whatever tells it where. In that process
    /// [`run`](crate::run) runs no cases, but does what the suite asks for through the environment: it calls
    /// [`open`](Self::open) or [`second_handle`](Self::second_handle) and uses what it gets.
    fn process(&self) -> Option<Command> {
        None
    }

    /// Everything that is stored in a namespace, keys and values, as the store's own bytes: in as many
    /// pieces as is handy, none of them cut or encoded on the way.
    async fn scan(&self, namespace: &str) -> Result<Option<Vec<Bytes>>> {
        let _ = namespace;
        Ok(None)
    }

    /// Damages a stored record behind the driver's back. Whether it was there.
    async fn damage(&self, namespace: &str, id: SessionId, damage: Damage) -> Result<Option<bool>> {
        let _ = (namespace, id, damage);
        Ok(None)
    }

    /// How long the store itself will keep a record from now on: [`Duration::MAX`] if for ever, zero if it is not
    /// there.
    async fn time_to_live(&self, namespace: &str, id: SessionId) -> Result<Option<Duration>> {
        let _ = (namespace, id);
        Ok(None)
    }

    /// Opens a namespace that does not exist yet, with another slack than the driver's default between the end
    /// of a session and its removal by the store.
    async fn open_with_slack(
        &self,
        namespace: &str,
        slack: Duration,
    ) -> Result<Option<Arc<dyn SessionBackend>>> {
        let _ = (namespace, slack);
        Ok(None)
    }

    /// Where the server listens on TCP. The suite puts a [`FaultProxy`](crate::network::FaultProxy) in front of it.
    async fn server(&self) -> Result<Option<SocketAddr>> {
        Ok(None)
    }

    /// Opens a namespace once more while the first handle is in use, with the server at `address`: that of a proxy
    /// of the suite. With one connection, if the driver has several, and with limits of a few seconds to
    /// whatever it waits for; some cases wait for them.
    async fn open_through(
        &self,
        namespace: &str,
        address: SocketAddr,
    ) -> Result<Option<Arc<dyn SessionBackend>>> {
        let _ = (namespace, address);
        Ok(None)
    }

    /// Removes a namespace at the end of its case, passed or not. A failure to do so is the harness's own
    /// affair.
    async fn discard(&self, namespace: &str) {
        let _ = namespace;
    }
}

/// How [`Harness::damage`] spoils a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// Replaces the bookkeeping, [`Record::meta`](session_core::Record::meta), with these bytes.
    Meta(Bytes),
    /// Replaces the values, [`Record::data`](session_core::Record::data), with these bytes.
    Data(Bytes),
    /// Makes the whole record one that the driver cannot read, and leaves its expiry as it is where that stands by
    /// itself.
    Unreadable,
}

/// What a driver promises beyond the five verbs. The default promises nothing.
///
/// To promise too little is caught: a skipped case that would pass fails the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promises {
    /// It has `list`.
    pub list: bool,
    /// It has `purge_expired`.
    pub purge: bool,
    /// The store removes expired records by itself, so `purge_expired` has nothing to do.
    pub native_expiry: bool,
    /// What was acknowledged is there after [`Harness::reopen`].
    pub durable: bool,
    /// [`Harness::second_handle`] opens the same sessions.
    pub shared: bool,
    /// [`Harness::process`] and [`Harness::second_handle`] work: several processes share the sessions.
    pub processes: bool,
    /// The store is a server: [`Harness::server`] and [`Harness::open_through`] work.
    pub network: bool,
    /// [`Harness::scan`] works.
    pub scan: bool,
    /// [`Harness::damage`] works.
    pub damage: bool,
    /// The longest `data` that it takes, if there is a limit.
    pub max_payload: Option<usize>,
    /// How long the store keeps a record at least after its session has ended: the default slack of a driver
    /// whose store removes records by itself. [`Harness::time_to_live`] and [`Harness::open_with_slack`] work.
    pub expiry_slack: Option<Duration>,
}

impl Promises {
    /// Has `list`.
    #[must_use]
    pub fn with_list(mut self) -> Self {
        self.list = true;
        self
    }

    /// Has `purge_expired`, and it removes what is dead.
    #[must_use]
    pub fn with_purge(mut self) -> Self {
        self.purge = true;
        self
    }

    /// Has `purge_expired`, which leaves the work to the store's own expiry.
    #[must_use]
    pub fn with_native_expiry(mut self) -> Self {
        self.purge = true;
        self.native_expiry = true;
        self
    }

    /// Keeps what it acknowledged over [`Harness::reopen`].
    #[must_use]
    pub fn with_durability(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Shares its sessions between handles: [`Harness::second_handle`].
    #[must_use]
    pub fn with_shared_handles(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Shares its sessions between processes: [`Harness::process`].
    #[must_use]
    pub fn with_processes(mut self) -> Self {
        self.processes = true;
        self
    }

    /// Talks to a server over TCP: [`Harness::server`] and [`Harness::open_through`].
    #[must_use]
    pub fn with_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// [`Harness::scan`] works.
    #[must_use]
    pub fn with_scan(mut self) -> Self {
        self.scan = true;
        self
    }

    /// [`Harness::damage`] works.
    #[must_use]
    pub fn with_damage(mut self) -> Self {
        self.damage = true;
        self
    }

    /// Removes no record by itself before its session has been over for `slack`, its default.
    #[must_use]
    pub fn with_expiry_slack(mut self, slack: Duration) -> Self {
        self.expiry_slack = Some(slack);
        self
    }

    /// Takes `data` of at most `bytes`.
    #[must_use]
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }
}
