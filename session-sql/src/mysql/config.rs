//! What a MySQL backend can be told, with the default and the cost of each choice.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};
use sqlx::mysql::MySqlConnectOptions;
use sqlx::{ConnectOptions as _, MySql};

use crate::TargetSession;
use crate::server::Hosts;

/// Where the server is, and how to treat it.
///
/// ```
/// use std::time::Duration;
/// use session_sql::mysql::MysqlConfig;
///
/// let config = MysqlConfig::from_url("mysql://shop:secret@db.example.com/shop?ssl-mode=VERIFY_IDENTITY")?
///     .with_table("web.sessions")
///     .with_statement_timeout(Duration::from_secs(1));
/// assert!(!format!("{config:?}").contains("secret"));
/// # Ok::<(), session_core::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct MysqlConfig {
    /// The server, the database, the account and TLS. Its `ssl-mode`, like that of MySQL's clients, is `PREFERRED`
    /// unless told otherwise, which does not check the server's certificate: over a network take
    /// `VERIFY_IDENTITY`. An authority given for certificates is trusted besides those of the system, so anything
    /// less lets in whoever has one of theirs. What it says of the session (time zone, character set, `sql_mode`) has no effect. Not
    /// used with a pool of the application.
    pub connection: MySqlConnectOptions,

    /// Further servers of the same sessions, such as the replicas of which one takes the primary's place when that
    /// fails, in the order in which they are asked. Default none. Not used with a pool of the application.
    pub alternatives: Vec<MySqlConnectOptions>,

    /// Which of the servers connections may go to. Default `None`: those that take writes
    /// ([`ReadWrite`](TargetSession::ReadWrite)) if there are alternatives, else
    /// [`Any`](TargetSession::Any). Not used with a pool of the application.
    pub target_session: Option<TargetSession>,

    /// The table, with its database (`web.sessions`) or without: then it is in the connection's. Default
    /// `sessions`; each part at most 48 lower-case ASCII letters, digits and underscores. Applications that share
    /// a database take different names.
    pub table: String,

    /// The most connections of this backend. Default 10. Each is a thread of the server, and all programs
    /// together may have as many as its `max_connections`, 151 by default. Not used with a pool of the
    /// application.
    pub max_connections: NonZeroU32,

    /// How long [`connect`](super::MysqlBackend::connect) waits for the server's welcome, of several
    /// for that of each. Default 5 s; at least 1 ms, at most an hour. Not used with a pool of the application.
    pub connect_timeout: Duration,

    /// How long a verb waits for a connection: for a free one, or for a new one to be made. Default 2 s; at
    /// least 1 ms, at most an hour. A long one keeps callers waiting on a server that is down; a short
    /// one fails under bursts.
    pub acquire_timeout: Duration,

    /// How long the server works on one statement before it gives up. Default 2 s; at least 1 ms, at most an
    /// hour. The driver itself gives up a second later, for a server that no longer answers, and closes the
    /// connection. MySQL knows such a limit for reading statements only: there, and with a pool of the
    /// application, it is the driver that gives up on a write, while the server may go on.
    pub statement_timeout: Duration,

    /// How long a statement waits for a lock that somebody else holds. Default 1 s; at least 1 ms, at most
    /// an hour. The server counts whole seconds: a part of one is rounded up. Not used with a pool of the
    /// application.
    pub lock_timeout: Duration,

    /// How many verbs may be under way or wait for a connection before further ones are `Overloaded`. Default
    /// 1024; costs the memory of the records that wait.
    pub queue_capacity: NonZeroUsize,

    /// Whether connections keep prepared statements. Default `true`; costs the server some kilobytes per
    /// connection, and of its `max_prepared_stmt_count` up to eighty for each. `false` is for
    /// proxies that hand one server connection to several clients. It doubles the round trips, and over TCP a
    /// statement that soon follows another on its connection waits for 40 ms, in transactions too: a connection
    /// does some twenty verbs a second, or batches of them.
    pub statement_cache: bool,

    /// Whether connecting makes what is missing of the table, its indexes and its view. Default `false`: an
    /// account that serves sessions need not be one that may create tables. With `false` connecting to a
    /// database without the table or an index is `SchemaMissing`.
    pub auto_migrate: bool,
}

impl MysqlConfig {
    /// The server at a URL that begins with `mysql://` or `mariadb://`, with options of MySQL's clients and of this
    /// driver: `mysql://account:password@host:3306/database?ssl-mode=VERIFY_IDENTITY&table=web.sessions`.
    ///
    /// Several hosts stand side by side: `mysql://account:password@first:3306,second:3307/database`. A connection goes
    /// to the first that lets it in and, unless `target_session_attrs` is `any`, takes writes.
    ///
    /// Special characters in names and passwords are percent-encoded.
    ///
    /// - MySQL's: `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key` and `socket` (a path; the host has no effect then).
    ///   With `ssl-ca` and without `ssl-mode` that is `VERIFY_CA`.
    /// - libpq's `target_session_attrs`: `read-write` or `any`.
    /// - This driver's, named as the fields here: `table`, `max_connections`, `queue_capacity`,
    ///   `statement_cache`, `auto_migrate`, `connect_timeout` in seconds, and in milliseconds `acquire_timeout`,
    ///   `statement_timeout` and `lock_timeout`.
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
    pub fn new(connection: MySqlConnectOptions) -> Self {
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
        }
    }

    /// Adds a server to the [`alternatives`](Self::alternatives).
    #[must_use]
    pub fn with_alternative(mut self, connection: MySqlConnectOptions) -> Self {
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
    pub(super) fn hosts(&self) -> Hosts<MySql> {
        let servers = std::iter::once(&self.connection).chain(&self.alternatives);
        let candidates: Vec<_> = servers.map(|server| self.connect_options(server)).collect();
        let target = self.target_session.unwrap_or(match self.alternatives.is_empty() {
            true => TargetSession::Any,
            false => TargetSession::ReadWrite,
        });
        Hosts::new(candidates, target == TargetSession::ReadWrite, self.connect_timeout)
    }

    /// How the driver's own connections to one of them are made. What sqlx would set on each stands in the driver's own settings.
    fn connect_options(&self, server: &MySqlConnectOptions) -> MySqlConnectOptions {
        let options = server.clone().pipes_as_concat(false).no_engine_substitution(false);
        let options = options.timezone(None).set_names(false).disable_statement_logging();
        if self.statement_cache { options } else { options.statement_cache_capacity(0) }
    }
}

impl fmt::Debug for MysqlConfig {
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
        } = self;
        f.debug_struct("MysqlConfig")
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
            .finish()
    }
}

/// Where the server is, without who asks: host and port, or its socket.
pub(super) fn address(options: &MySqlConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MysqlConfig {
        MysqlConfig::from_url("mysql://account:hunter2@host:1234/database").unwrap()
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
        assert!(config.statement_cache && !config.auto_migrate);
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
