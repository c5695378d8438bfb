//! What a Postgres backend can be told, with the default and the cost of each choice.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Postgres};

use crate::TargetSession;
use crate::server::Hosts;

/// Where the server is, and how to treat it.
///
/// ```
/// use std::time::Duration;
/// use session_sql::postgres::PostgresConfig;
///
/// let config = PostgresConfig::from_url("postgres://shop:secret@db.example.com/shop?sslmode=verify-full")?
///     .with_table("web.sessions")
///     .with_statement_timeout(Duration::from_secs(1));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), session_core::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresConfig {
    /// The server, the database, the role and TLS. Default: as the variables `PGHOST`, `PGUSER` and
    /// their like say. Its `sslmode`, like libpq's, is `prefer` unless told otherwise, which does not check
    /// the server's certificate: over a network take `verify-full`. An authority given for certificates is
    /// trusted besides those of the system, so anything less lets in whoever has one of theirs. Not used with
    /// a pool of the application.
    pub connection: PgConnectOptions,

    /// Further servers of the same sessions, such as the replicas of which one takes the primary's place when that
    /// fails, in the order in which they are asked. Default none. Not used with a pool of the application.
    pub alternatives: Vec<PgConnectOptions>,

    /// Which of the servers connections may go to. Default `None`: those that take writes
    /// ([`ReadWrite`](TargetSession::ReadWrite)) if there are alternatives, else
    /// [`Any`](TargetSession::Any). Not used with a pool of the application.
    pub target_session: Option<TargetSession>,

    /// The table, with its schema (`web.sessions`) or without: then the connection's `search_path` finds
    /// it. Default `sessions`; each part at most 48 lower-case ASCII letters, digits and underscores.
    /// Applications that share a schema take different names.
    pub table: String,

    /// The most connections of this backend. Default 10; more are of little use, as each verb has at most two
    /// statements under way. Each is a process of the server, and all programs
    /// together may have as many as its `max_connections`, 100 by default. Not used with a pool of the
    /// application.
    pub max_connections: NonZeroU32,

    /// How long [`connect`](super::PostgresBackend::connect) waits for the server's welcome, of several
    /// for that of each. Default 5 s; at least 1 ms, at most an hour. Not used with a pool of the application.
    pub connect_timeout: Duration,

    /// How long a verb waits to be begun: behind others, for a free connection, or for a new one to be made. Default
    /// 2 s; at least 1 ms, at most an hour. A long one keeps callers waiting on a server that is down; a short
    /// one fails under bursts.
    pub acquire_timeout: Duration,

    /// How long the server works on one statement before it gives up. Default 2 s; at least 1 ms, at most an
    /// hour. The driver itself gives up a second later, for a server that no longer answers, and closes the
    /// connection. With a pool of the application only the latter holds: the server goes on, unless
    /// the pool has a `statement_timeout` of its own.
    pub statement_timeout: Duration,

    /// How long a statement waits for a lock that somebody else holds. Default 1 s; at least 1 ms, at most
    /// an hour. Not used with a pool of the application.
    pub lock_timeout: Duration,

    /// How many verbs may be under way or wait for a connection before further ones are `Overloaded`. Default
    /// 1024; costs the memory of the records that wait.
    pub queue_capacity: NonZeroUsize,

    /// Whether connections keep prepared statements. Default `true`; costs the server some kilobytes per
    /// connection. `false` doubles the round trips, and is for poolers that hand one server connection to
    /// several clients.
    pub statement_cache: bool,

    /// Whether connecting makes what is missing of the table, its indexes and its view. Default `false`: a
    /// role that serves sessions need not be one that may create tables. With `false` connecting to a
    /// database without them is `SchemaMissing`.
    pub auto_migrate: bool,

    /// Whether the table is `UNLOGGED`. Default `false`. Writes are cheaper then, as the server keeps no log of them;
    /// a crash of the server leaves the table empty, every user signed out, and so does a failover, as replicas do not
    /// get it. Made so with a table that is missing; connecting to one that is not as said here is
    /// [`Config`](ErrorKind::Config), and `ALTER TABLE sessions SET UNLOGGED` (or `LOGGED`) makes it so, while nobody
    /// can use it.
    pub unlogged: bool,
}

impl PostgresConfig {
    /// The server at a URL, as libpq writes them, with options of libpq and of this driver:
    /// `postgres://role:password@host:5432/database?sslmode=verify-full&table=web.sessions`.
    ///
    /// Several hosts stand side by side: `postgres://role:password@first:5432,second:5433/database`. A connection goes
    /// to the first that lets it in and, unless `target_session_attrs` is `any`, takes writes.
    ///
    /// What it leaves out comes from `PGHOST`, `PGUSER` and their like, and the password from `~/.pgpass`.
    ///
    /// - libpq's: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host`, `hostaddr`, `port`, `dbname`, `user`,
    ///   `password`, `application_name`, `options`, `target_session_attrs` (`read-write` or `any`), and `connect_timeout` in seconds, as there. With
    ///   `sslrootcert` (a file of PEM, or `system`) the server's certificate is checked: as `verify-ca` says with
    ///   `sslmode=require`, like libpq, or without `sslmode`; with `system` as `verify-full` says.
    /// - This driver's, named as the fields here: `table`, `max_connections`, `queue_capacity`,
    ///   `statement_cache`, `auto_migrate`, `unlogged`, and in milliseconds `acquire_timeout`, `statement_timeout` and
    ///   `lock_timeout`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) for what is no such URL, an option that is unknown or given twice, and a
    /// value that cannot be. It names the option, and never shows a value.
    pub fn from_url(url: &str) -> Result<Self> {
        super::url::parse(url)
    }

    /// The server that `connection` leads to.
    #[must_use]
    pub fn new(connection: PgConnectOptions) -> Self {
        Self {
            connection,
            alternatives: Vec::new(),
            target_session: None,
            table: "sessions".to_owned(),
            max_connections: NonZeroU32::MIN.saturating_add(9),
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(2),
            lock_timeout: Duration::from_secs(1),
            queue_capacity: NonZeroUsize::MIN.saturating_add(1023),
            statement_cache: true,
            auto_migrate: false,
            unlogged: false,
        }
    }

    /// Adds a server to the [`alternatives`](Self::alternatives).
    #[must_use]
    pub fn with_alternative(mut self, connection: PgConnectOptions) -> Self {
        self.alternatives.push(connection);
        self
    }

    /// Replaces [`target_session`](Self::target_session).
    #[must_use]
    pub fn with_target_session(mut self, target_session: TargetSession) -> Self {
        self.target_session = Some(target_session);
        self
    }

    /// Replaces [`table`](Self::table).
    #[must_use]
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// Replaces [`max_connections`](Self::max_connections).
    #[must_use]
    pub fn with_max_connections(mut self, max_connections: NonZeroU32) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// Replaces [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn with_connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// Replaces [`acquire_timeout`](Self::acquire_timeout).
    #[must_use]
    pub fn with_acquire_timeout(mut self, acquire_timeout: Duration) -> Self {
        self.acquire_timeout = acquire_timeout;
        self
    }

    /// Replaces [`statement_timeout`](Self::statement_timeout).
    #[must_use]
    pub fn with_statement_timeout(mut self, statement_timeout: Duration) -> Self {
        self.statement_timeout = statement_timeout;
        self
    }

    /// Replaces [`lock_timeout`](Self::lock_timeout).
    #[must_use]
    pub fn with_lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.lock_timeout = lock_timeout;
        self
    }

    /// Replaces [`queue_capacity`](Self::queue_capacity).
    #[must_use]
    pub fn with_queue_capacity(mut self, queue_capacity: NonZeroUsize) -> Self {
        self.queue_capacity = queue_capacity;
        self
    }

    /// Replaces [`statement_cache`](Self::statement_cache).
    #[must_use]
    pub fn with_statement_cache(mut self, statement_cache: bool) -> Self {
        self.statement_cache = statement_cache;
        self
    }

    /// Replaces [`auto_migrate`](Self::auto_migrate).
    #[must_use]
    pub fn with_auto_migrate(mut self, auto_migrate: bool) -> Self {
        self.auto_migrate = auto_migrate;
        self
    }

    /// Replaces [`unlogged`](Self::unlogged).
    #[must_use]
    pub fn with_unlogged(mut self, unlogged: bool) -> Self {
        self.unlogged = unlogged;
        self
    }

    /// Checks the limits that the fields' documentation gives.
    pub(super) fn check(&self) -> Result<()> {
        for (name, timeout) in [
            ("connect", self.connect_timeout),
            ("acquire", self.acquire_timeout),
            ("statement", self.statement_timeout),
            ("lock", self.lock_timeout),
        ] {
            if !(SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&timeout) {
                let detail = format!("a timeout for {name} of {timeout:?}; at least 1 ms, at most an hour");
                return Err(Error::describe(ErrorKind::Config, detail));
            }
        }
        Ok(())
    }

    /// The servers that the driver's own connections may go to.
    pub(super) fn hosts(&self) -> Hosts<Postgres> {
        let servers = std::iter::once(&self.connection).chain(&self.alternatives);
        let candidates: Vec<_> = servers.map(|server| self.connect_options(server)).collect();
        let target = self.target_session.unwrap_or(match self.alternatives.is_empty() {
            true => TargetSession::Any,
            false => TargetSession::ReadWrite,
        });
        Hosts::new(candidates, target == TargetSession::ReadWrite, self.connect_timeout)
    }

    /// How the driver's own connections to one of them are made.
    fn connect_options(&self, server: &PgConnectOptions) -> PgConnectOptions {
        let millis = |timeout: Duration| timeout.as_millis().to_string();
        let mut options = server
            .clone()
            // Floats are no concern of this table, and poolers refuse startup parameters they do not know.
            .extra_float_digits(None)
            .options([
                ("statement_timeout", millis(self.statement_timeout)),
                ("lock_timeout", millis(self.lock_timeout)),
                // The verbs rest on it, whatever the server, the database or the role has as default.
                ("default_transaction_isolation", "read committed".to_owned()),
                // Batches lock their rows in the order in which they are given, so that two never wait for
                // each other. Joining by a scan of the table would lock in another one, and a new table is
                // scanned until its statistics are made. No statement here is better off with a scan.
                ("enable_hashjoin", "off".to_owned()),
                ("enable_mergejoin", "off".to_owned()),
                ("enable_seqscan", "off".to_owned()),
            ])
            .disable_statement_logging();
        if !self.statement_cache {
            options = options.statement_cache_capacity(0);
        }
        if options.get_application_name().is_none() {
            options = options.application_name("session-kit");
        }
        options
    }
}

impl Default for PostgresConfig {
    /// The server that `PGHOST`, `PGUSER` and their like lead to.
    fn default() -> Self {
        Self::new(PgConnectOptions::new())
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field is shown or hidden on purpose.
        let Self {
            connection,
            alternatives,
            target_session,
            table,
            max_connections,
            connect_timeout,
            acquire_timeout,
            statement_timeout,
            lock_timeout,
            queue_capacity,
            statement_cache,
            auto_migrate,
            unlogged,
        } = self;
        f.debug_struct("PostgresConfig")
            .field("connection", &format_args!("{}", address(connection)))
            .field("alternatives", &alternatives.iter().map(address).collect::<Vec<_>>())
            .field("target_session", target_session)
            .field("table", table)
            .field("max_connections", max_connections)
            .field("connect_timeout", connect_timeout)
            .field("acquire_timeout", acquire_timeout)
            .field("statement_timeout", statement_timeout)
            .field("lock_timeout", lock_timeout)
            .field("queue_capacity", queue_capacity)
            .field("statement_cache", statement_cache)
            .field("auto_migrate", auto_migrate)
            .field("unlogged", unlogged)
            .finish()
    }
}

/// Where the server is, without who asks: host and port, or the directory of its socket.
pub(super) fn address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => format!("{}:{}", socket.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PostgresConfig {
        PostgresConfig::from_url("postgres://role:hunter2@host:1234/database").unwrap()
    }

    #[test]
    fn defaults_are_those_documented() {
        let config = config();
        assert_eq!(config.table, "sessions");
        assert_eq!(config.max_connections.get(), 10);
        assert_eq!(config.connect_timeout, Duration::from_secs(5));
        assert_eq!(config.acquire_timeout, Duration::from_secs(2));
        assert_eq!(config.statement_timeout, Duration::from_secs(2));
        assert_eq!(config.lock_timeout, Duration::from_secs(1));
        assert_eq!(config.queue_capacity.get(), 1024);
        assert!(config.statement_cache && !config.auto_migrate && !config.unlogged);
    }

    #[test]
    fn timeouts_out_of_their_limits_are_refused() {
        for timeout in [Duration::ZERO, Duration::from_micros(999), Duration::MAX] {
            for config in [
                config().with_connect_timeout(timeout),
                config().with_acquire_timeout(timeout),
                config().with_statement_timeout(timeout),
                config().with_lock_timeout(timeout),
            ] {
                assert_eq!(config.check().unwrap_err().kind(), ErrorKind::Config);
            }
        }
        config().check().unwrap();
    }

    #[test]
    fn debug_shows_where_but_not_the_password() {
        let shown = format!("{:?}", config());
        assert!(shown.contains("host:1234") && !shown.contains("hunter2"), "{shown}");
    }
}
