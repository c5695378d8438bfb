//! What a Redis backend can be told, with the default and the cost of each choice.

use std::fmt;
use std::time::Duration;

use session_core::{Error, ErrorKind, Result};

mod url;

/// Where the servers are, and how to treat them.
///
/// ```
/// use session_redis::RedisConfig;
///
/// # fn main() -> session_core::Result<()> {
/// let config = RedisConfig::from_url("rediss://shop:secret@redis.internal:6380/2")?.with_prefix("shop:session:");
/// assert_eq!((config.host.as_str(), config.port, config.database), ("redis.internal", 6380, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The server's name or address; of a cluster or of sentinels that of any. No default.
    pub host: String,

    /// The server's port. Default 6379.
    pub port: u16,

    /// Further nodes of the cluster, or sentinels, in case that one is away when it is asked. Default none.
    pub more_hosts: Vec<(String, u16)>,

    /// What answers there. Default [`RedisTopology::Standalone`] (`redis://`).
    pub topology: RedisTopology,

    /// Whether the connection is encrypted, and whom to trust. Default [`RedisTls::Off`] (`redis://`).
    pub tls: RedisTls,

    /// The ACL user. Default `None`: the server's default user.
    pub username: Option<String>,

    /// The password. Default `None`. Never shown.
    pub password: Option<String>,

    /// The database number. Default 0. Applications that share a server do better with prefixes: lists of all
    /// sessions walk through one database, but a memory limit and a `FLUSHALL` concern them all.
    pub database: u32,

    /// What the keys begin with, taken literally. Default `session:`; any bytes, at most 128. Applications that
    /// share a database take different ones; each byte costs one in every key.
    pub prefix: Vec<u8>,

    /// How long a verb waits for a connection, if there is none. Default 2 s; at least 1 ms, at most an hour.
    pub connect_timeout: Duration,

    /// How long each command waits for its reply. Default 4 s; at least 1 ms, at most an hour. A verb takes one
    /// command, or two or three if a principal is involved. After a timeout the connection is replaced.
    pub response_timeout: Duration,

    /// How much longer than its session the server keeps a key. Default 10 min; at most 400 days. It is how far
    /// the clocks of the application's machines may be apart before a session is lost to a clock that is
    /// ahead; costs the memory of the dead sessions meanwhile.
    pub expiry_slack: Duration,

    /// How many replicas must have a write before it counts as done. Default 0: a failover may lose what it was
    /// told last. With more, a write that fewer have confirmed within [`wait_timeout`](Self::wait_timeout) fails as
    /// [`Indeterminate`](ErrorKind::Indeterminate): it stands on the master, and a failover may undo it. Costs
    /// each write a round trip between the servers, for which the writes of a process to one server queue; they have
    /// a connection of their own, so reads do not. A touch does not wait.
    pub wait_replicas: u32,

    /// How long a write waits for replicas. Default 1 s; at least 1 ms, less than
    /// [`response_timeout`](Self::response_timeout).
    pub wait_timeout: Duration,

    /// What to do with a server that throws keys away when its memory is full. Default [`OnEviction::Refuse`].
    pub on_eviction: OnEviction,
}

/// What kind of servers.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisTopology {
    /// One server, or whatever stands for one.
    #[default]
    Standalone,
    /// The nodes of a Redis Cluster. It has no databases but 0. Needs the feature `cluster`.
    Cluster,
    /// Sentinels, who name the master. They are encrypted as it is. Needs the feature `sentinel`.
    Sentinel {
        /// What they call it.
        master_name: String,
        /// The sentinels' own ACL user.
        username: Option<String>,
        /// The sentinels' own password. Never shown.
        password: Option<String>,
    },
}

/// Whether a connection is encrypted.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisTls {
    /// It is not: for servers on the same machine or in a private network.
    Off,
    /// By a certificate that one of the system's authorities has signed (`rediss://`). Needs the feature `tls`.
    SystemRoots,
    /// By a certificate that one of these authorities has signed, in PEM. Needs the feature `tls`.
    Roots(Vec<u8>),
}

/// What to do with a server that has a `maxmemory` and evicts keys when it is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnEviction {
    /// Connecting to it fails; also if the server does not say.
    #[default]
    Refuse,
    /// Connecting to it works. Sessions may end at any time, and the lists of principals may miss some, so that
    /// revoking all sessions of somebody may leave one.
    Allow,
}

impl RedisConfig {
    /// The server at `host`, on Redis' port, without TLS.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 6379,
            more_hosts: Vec::new(),
            topology: RedisTopology::default(),
            tls: RedisTls::Off,
            username: None,
            password: None,
            database: 0,
            prefix: b"session:".to_vec(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(4),
            expiry_slack: Duration::from_secs(10 * 60),
            wait_replicas: 0,
            wait_timeout: Duration::from_secs(1),
            on_eviction: OnEviction::default(),
        }
    }

    /// Replaces [`port`](Self::port).
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds to [`more_hosts`](Self::more_hosts).
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>, port: u16) -> Self {
        self.more_hosts.push((host.into(), port));
        self
    }

    /// Replaces [`topology`](Self::topology).
    #[must_use]
    pub fn with_topology(mut self, topology: RedisTopology) -> Self {
        self.topology = topology;
        self
    }

    /// Replaces [`tls`](Self::tls).
    #[must_use]
    pub fn with_tls(mut self, tls: RedisTls) -> Self {
        self.tls = tls;
        self
    }

    /// Replaces [`username`](Self::username).
    #[must_use]
    pub fn with_username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Replaces [`password`](Self::password).
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Replaces [`database`](Self::database).
    #[must_use]
    pub fn with_database(mut self, database: u32) -> Self {
        self.database = database;
        self
    }

    /// Replaces [`prefix`](Self::prefix).
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Replaces [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn with_connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// Replaces [`response_timeout`](Self::response_timeout).
    #[must_use]
    pub fn with_response_timeout(mut self, response_timeout: Duration) -> Self {
        self.response_timeout = response_timeout;
        self
    }

    /// Replaces [`expiry_slack`](Self::expiry_slack).
    #[must_use]
    pub fn with_expiry_slack(mut self, expiry_slack: Duration) -> Self {
        self.expiry_slack = expiry_slack;
        self
    }

    /// Replaces [`wait_replicas`](Self::wait_replicas).
    #[must_use]
    pub fn with_wait_replicas(mut self, wait_replicas: u32) -> Self {
        self.wait_replicas = wait_replicas;
        self
    }

    /// Replaces [`wait_timeout`](Self::wait_timeout).
    #[must_use]
    pub fn with_wait_timeout(mut self, wait_timeout: Duration) -> Self {
        self.wait_timeout = wait_timeout;
        self
    }

    /// Replaces [`on_eviction`](Self::on_eviction).
    #[must_use]
    pub fn with_on_eviction(mut self, on_eviction: OnEviction) -> Self {
        self.on_eviction = on_eviction;
        self
    }

    /// Checks the limits that are documented at the fields.
    pub(crate) fn check(&self) -> Result<()> {
        let timeouts = SHORTEST_TIMEOUT..=LONGEST_TIMEOUT;
        let problem = if self.prefix.len() > LONGEST_PREFIX {
            format!("a prefix of {} bytes; at most {LONGEST_PREFIX}", self.prefix.len())
        } else if !timeouts.contains(&self.connect_timeout) || !timeouts.contains(&self.response_timeout) {
            "a timeout is at least 1 ms, at most an hour".to_owned()
        } else if self.expiry_slack > LONGEST_SLACK {
            "the expiry slack is at most 400 days".to_owned()
        } else if self.wait_timeout < SHORTEST_TIMEOUT || self.wait_timeout >= self.response_timeout {
            "the wait for replicas is at least 1 ms, and shorter than that for a response".to_owned()
        } else if self.topology == RedisTopology::Cluster && self.database != 0 {
            "a cluster has no databases but 0".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::describe(ErrorKind::Config, problem))
    }

    /// What stands after the first.
    pub(crate) fn further_hosts(&self) -> impl Iterator<Item = (&String, u16)> {
        self.more_hosts.iter().map(|(host, port)| (host, *port))
    }
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);
const LONGEST_SLACK: Duration = Duration::from_secs(400 * 24 * 60 * 60);
const LONGEST_PREFIX: usize = 128;

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field is shown or hidden on purpose.
        let Self {
            host,
            port,
            more_hosts,
            topology,
            tls,
            username,
            password,
            database,
            prefix,
            connect_timeout,
            response_timeout,
            expiry_slack,
            wait_replicas,
            wait_timeout,
            on_eviction,
        } = self;
        f.debug_struct("RedisConfig")
            .field("host", host)
            .field("port", port)
            .field("more_hosts", more_hosts)
            .field("topology", topology)
            .field("tls", tls)
            .field("username", username)
            .field("password", &password.as_ref().map(|_| ".."))
            .field("database", database)
            .field("prefix", &format_args!("\"{}\"", prefix.escape_ascii()))
            .field("connect_timeout", connect_timeout)
            .field("response_timeout", response_timeout)
            .field("expiry_slack", expiry_slack)
            .field("wait_replicas", wait_replicas)
            .field("wait_timeout", wait_timeout)
            .field("on_eviction", on_eviction)
            .finish()
    }
}

impl fmt::Debug for RedisTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standalone => f.write_str("Standalone"),
            Self::Cluster => f.write_str("Cluster"),
            Self::Sentinel { master_name, username, password } => f
                .debug_struct("Sentinel")
                .field("master_name", master_name)
                .field("username", username)
                .field("password", &password.as_ref().map(|_| ".."))
                .finish(),
        }
    }
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::SystemRoots => "SystemRoots",
            Self::Roots(_) => "Roots(..)",
        })
    }
}

#[cfg(test)]
mod tests;
