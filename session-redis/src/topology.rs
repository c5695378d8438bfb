//! From a configuration, or the application's own clients, to connections.

use std::sync::Arc;

use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, io::tcp::TcpSettings};
use session_core::{Error, ErrorKind, Result};

use crate::config::{RedisConfig, RedisTls, RedisTopology};
use crate::connection::{Connection, Limits};
use crate::error::from_redis;
use crate::home::Homes;
#[cfg(feature = "sentinel")]
use crate::sentinel::Sentinels;
use crate::servers::{Kind, Servers};
use crate::source::{Access, Source};

/// How the servers are reached.
pub(crate) enum Endpoints {
    Server(Access),
    #[cfg(feature = "cluster")]
    Cluster {
        seeds: Vec<Access>,
    },
    #[cfg(feature = "sentinel")]
    Sentinels {
        sentinels: Vec<Access>,
        master: Access,
        name: String,
    },
}

impl Endpoints {
    /// Those that the configuration describes.
    pub(crate) fn of(config: &RedisConfig) -> Result<Self> {
        let hosts = || std::iter::once((&config.host, config.port)).chain(config.further_hosts());
        let user = (config.username.as_deref(), config.password.as_deref());
        match &config.topology {
            RedisTopology::Standalone => {
                Ok(Self::Server(access(config, &config.host, config.port, user, config.database)?))
            }
            #[cfg(feature = "cluster")]
            RedisTopology::Cluster => {
                let seeds = hosts().map(|(host, port)| access(config, host, port, user, 0));
                Ok(Self::Cluster { seeds: seeds.collect::<Result<_>>()? })
            }
            #[cfg(feature = "sentinel")]
            RedisTopology::Sentinel { master_name, username, password } => {
                let watcher = (username.as_deref(), password.as_deref());
                let sentinels = hosts().map(|(host, port)| access(config, host, port, watcher, 0));
                let master = access(config, &config.host, config.port, user, config.database)?;
                let sentinels = sentinels.collect::<Result<_>>()?;
                Ok(Self::Sentinels { sentinels, master, name: master_name.clone() })
            }
            #[cfg(not(all(feature = "cluster", feature = "sentinel")))]
            _ => {
                let _ = hosts;
                let detail = "Redis Cluster and Sentinel need the cargo feature `cluster` or `sentinel` of session-redis";
                Err(Error::describe(ErrorKind::Config, detail))
            }
        }
    }

    /// Where they lead to, as an operator would write it.
    pub(crate) fn address(&self) -> String {
        let list = |accesses: &[Access]| -> String {
            let addresses = accesses.iter().filter_map(Access::address);
            addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Server(access) => format!("{}/{}", list(std::slice::from_ref(access)), access.database()),
            #[cfg(feature = "cluster")]
            Self::Cluster { seeds } => list(seeds),
            #[cfg(feature = "sentinel")]
            Self::Sentinels { sentinels, master, name } => {
                format!("{}/{name}/{}", list(sentinels), master.database())
            }
        }
    }

    /// The connections, none of them made yet.
    pub(crate) fn servers(&self, config: &RedisConfig, homes: &Arc<Homes>) -> Result<Servers> {
        let limits = Limits { connect: config.connect_timeout, response: config.response_timeout };
        let one = |source| Kind::One(Connection::new(source, limits, Arc::clone(homes)));
        let kind = match self {
            Self::Server(access) => one(Source::Server(access.client().map_err(|error| from_redis(&error))?)),
            #[cfg(feature = "cluster")]
            Self::Cluster { seeds } => {
                let Some(first) = seeds.first() else { return Err(nobody()) };
                let cluster =
                    crate::cluster::Cluster::new(seeds.clone(), first.clone(), limits, Arc::clone(homes));
                Kind::Cluster(cluster)
            }
            #[cfg(feature = "sentinel")]
            Self::Sentinels { sentinels, master, name } => {
                if sentinels.is_empty() {
                    return Err(nobody());
                }
                one(Source::Sentinels(Sentinels {
                    sentinels: sentinels.clone().into(),
                    master: master.clone(),
                    name: name.as_str().into(),
                }))
            }
        };
        Ok(Servers { kind, homes: Arc::clone(homes) })
    }
}

impl From<Client> for Endpoints {
    fn from(client: Client) -> Self {
        Self::Server(of_client(&client))
    }
}

/// What the application's client connects with.
pub(crate) fn of_client(client: &Client) -> Access {
    Access::new(client.get_connection_info().clone())
}

#[cfg(any(feature = "cluster", feature = "sentinel"))]
fn nobody() -> Error {
    Error::describe(ErrorKind::Config, "no server to ask is given")
}

/// What the client connects with.
fn access(
    config: &RedisConfig,
    host: &str,
    port: u16,
    (username, password): (Option<&str>, Option<&str>),
    database: u32,
) -> Result<Access> {
    let mut redis = RedisConnectionInfo::default()
        .set_db(database.into())
        .set_lib_name("session-redis", env!("CARGO_PKG_VERSION"));
    if let Some(username) = username {
        // Without a password the client would not sign in at all, as if no user were given.
        redis = redis.set_username(username).set_password(password.unwrap_or_default());
    } else if let Some(password) = password {
        redis = redis.set_password(password);
    }
    // Commands are small and many: waiting to fill packets would cost each its round trip again.
    let tcp = TcpSettings::default().set_nodelay(true);
    let host = host.to_owned();
    let address = match config.tls {
        RedisTls::Off => ConnectionAddr::Tcp(host, port),
        RedisTls::SystemRoots | RedisTls::Roots(_) => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
    };
    let info = address.into_connection_info().map_err(|error| from_redis(&error))?;
    Ok(of_client(&client(config, info.set_tcp_settings(tcp).set_redis_settings(redis))?))
}

#[cfg(feature = "tls")]
fn client(config: &RedisConfig, info: redis::ConnectionInfo) -> Result<Client> {
    use redis::TlsCertificates;

    if config.tls != RedisTls::Off {
        // The client takes the process's provider, and panics if none is chosen while several, or none, are
        // compiled in. The application's own choice comes first: then this does nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let client = match &config.tls {
        RedisTls::Roots(pem) => {
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) })
        }
        RedisTls::Off | RedisTls::SystemRoots => Client::open(info),
    };
    client.map_err(|_| Error::describe(ErrorKind::Config, "the certificates of authorities are not in PEM"))
}

#[cfg(not(feature = "tls"))]
fn client(config: &RedisConfig, info: redis::ConnectionInfo) -> Result<Client> {
    if config.tls != RedisTls::Off {
        let detail = "encrypted connections need the cargo feature `tls` of session-redis";
        return Err(Error::describe(ErrorKind::Config, detail));
    }
    Client::open(info).map_err(|error| from_redis(&error))
}
