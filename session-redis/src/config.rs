//! What a Redis backend can be told, with the default and the cost of each choice.

use std::fmt;
use std::time::Duration;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo,
    io::tcp::TcpSettings,
};
use session_core::{Error, ErrorKind, Result};

/// Where the server is, and how to treat it.
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
    /// The server's name or address. No default.
    pub host: String,

    /// The server's port. Default 6379.
    pub port: u16,

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

    /// What to do with a server that throws keys away when its memory is full. Default [`OnEviction::Refuse`].
    pub on_eviction: OnEviction,
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
            tls: RedisTls::Off,
            username: None,
            password: None,
            database: 0,
            prefix: b"session:".to_vec(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(4),
            expiry_slack: Duration::from_secs(10 * 60),
            on_eviction: OnEviction::default(),
        }
    }

    /// The server at `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`. User and password are
    /// percent-decoded.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if it is not such a URL, or goes on with `?` or `#`. The error does not show it.
    pub fn from_url(url: &str) -> Result<Self> {
        let misshapen = || {
            let detail = "a Redis URL is `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, \
                          with user and password percent-encoded";
            Error::describe(ErrorKind::Config, detail)
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(misshapen)?;
        let tls = if scheme.eq_ignore_ascii_case("redis") {
            RedisTls::Off
        } else if scheme.eq_ignore_ascii_case("rediss") {
            RedisTls::SystemRoots
        } else {
            return Err(misshapen());
        };
        // The client would take some options of its own there, and pass over all others.
        if rest.contains(['?', '#']) {
            return Err(misshapen());
        }
        let info = format!("redis://{rest}").into_connection_info().map_err(|_| misshapen())?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else { return Err(misshapen()) };
        let redis = info.redis_settings();
        let database = u32::try_from(redis.db()).map_err(|_| misshapen())?;
        let (username, password) = (redis.username().map(str::to_owned), redis.password().map(str::to_owned));
        Ok(Self { port, tls, username, password, database, ..Self::new(host) })
    }

    /// Replaces [`port`](Self::port).
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
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
        } else {
            return Ok(());
        };
        Err(Error::describe(ErrorKind::Config, problem))
    }

    /// What the client connects with.
    pub(crate) fn client(&self) -> Result<Client> {
        // RESP3, because in it the client says when a connection has ended, not only that a command was lost.
        let mut redis = RedisConnectionInfo::default()
            .set_db(self.database.into())
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("session-redis", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &self.username {
            // Without a password the client would not sign in at all, as if no user were given.
            redis = redis.set_username(username).set_password(self.password.as_deref().unwrap_or_default());
        } else if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        // Commands are small and many: waiting to fill packets would cost each its round trip again.
        let tcp = TcpSettings::default().set_nodelay(true);
        let address = match self.tls {
            RedisTls::Off => ConnectionAddr::Tcp(self.host.clone(), self.port),
            RedisTls::SystemRoots | RedisTls::Roots(_) => ConnectionAddr::TcpTls {
                host: self.host.clone(),
                port: self.port,
                insecure: false,
                tls_params: None,
            },
        };
        let info = address.into_connection_info().map_err(|error| crate::error::from_redis(&error))?;
        self.tls_client(info.set_tcp_settings(tcp).set_redis_settings(redis))
    }

    #[cfg(feature = "tls")]
    fn tls_client(&self, info: ConnectionInfo) -> Result<Client> {
        use redis::TlsCertificates;

        if self.tls != RedisTls::Off {
            // The client takes the process's provider, and panics if none is chosen while several, or none, are
            // compiled in. The application's own choice comes first: then this does nothing.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client = match &self.tls {
            RedisTls::Roots(pem) => Client::build_with_tls(
                info,
                TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) },
            ),
            RedisTls::Off | RedisTls::SystemRoots => Client::open(info),
        };
        client
            .map_err(|_| Error::describe(ErrorKind::Config, "the certificates of authorities are not in PEM"))
    }

    #[cfg(not(feature = "tls"))]
    fn tls_client(&self, info: ConnectionInfo) -> Result<Client> {
        if self.tls != RedisTls::Off {
            let detail = "encrypted connections need the cargo feature `tls` of session-redis";
            return Err(Error::describe(ErrorKind::Config, detail));
        }
        Client::open(info).map_err(|error| crate::error::from_redis(&error))
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
            tls,
            username,
            password,
            database,
            prefix,
            connect_timeout,
            response_timeout,
            expiry_slack,
            on_eviction,
        } = self;
        f.debug_struct("RedisConfig")
            .field("host", host)
            .field("port", port)
            .field("tls", tls)
            .field("username", username)
            .field("password", &password.as_ref().map(|_| ".."))
            .field("database", database)
            .field("prefix", &format_args!("\"{}\"", prefix.escape_ascii()))
            .field("connect_timeout", connect_timeout)
            .field("response_timeout", response_timeout)
            .field("expiry_slack", expiry_slack)
            .field("on_eviction", on_eviction)
            .finish()
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
