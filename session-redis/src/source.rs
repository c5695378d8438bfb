//! Where a connection leads to: a server at an address, or the master that sentinels name.

use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisResult};

use crate::connection::{Failure, Limits};
#[cfg(feature = "sentinel")]
use crate::sentinel::Sentinels;
use crate::server::{self, Mode};

#[derive(Clone)]
pub(crate) enum Source {
    /// This server, whose address may lead elsewhere later.
    Server(Client),
    #[cfg(feature = "sentinel")]
    Sentinels(Sentinels),
    /// This node of a cluster.
    #[cfg(feature = "cluster")]
    Node(Client),
}

impl Source {
    /// A connection to a master of the kind that is expected.
    pub(crate) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        limits: Limits,
    ) -> Result<MultiplexedConnection, Failure> {
        let (client, mode) = match self {
            Self::Server(client) => (client, Mode::Standalone),
            #[cfg(feature = "sentinel")]
            Self::Sentinels(sentinels) => return sentinels.connect(config, limits).await,
            #[cfg(feature = "cluster")]
            Self::Node(client) => (client, Mode::Cluster),
        };
        #[cfg(not(feature = "sentinel"))]
        let _ = limits;
        let mut link = client.get_multiplexed_async_connection_with_config(config).await?;
        server::inspect(&mut link, mode).await?;
        Ok(link)
    }
}

/// What is common to all servers of one store: users, passwords, TLS. Their addresses differ.
#[derive(Clone)]
pub(crate) struct Access(Box<ConnectionInfo>);

impl Access {
    pub(crate) fn new(info: ConnectionInfo) -> Self {
        // In RESP3 the client says when a connection has ended, not only that a command was lost.
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Self(Box::new(info.set_redis_settings(redis)))
    }

    /// A client for the address of its own.
    pub(crate) fn client(&self) -> RedisResult<Client> {
        Client::open((*self.0).clone())
    }

    /// A client for another address.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    pub(crate) fn client_at(&self, address: &Address) -> RedisResult<Client> {
        let Address { host, port } = address.clone();
        let moved = match self.0.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Client::open((*self.0).clone().set_addr(moved))
    }

    pub(crate) fn database(&self) -> i64 {
        self.0.redis_settings().db()
    }

    /// Where it leads to, if that is a host and a port.
    pub(crate) fn address(&self) -> Option<Address> {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Address { host: host.clone(), port: *port })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}
