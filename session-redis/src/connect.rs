//! The ways to a backend: a configuration, or the application's own clients.

use std::sync::Arc;

use session_core::{Result, SessionBackend, SessionId, Timestamp};

use crate::backend::{RedisBackend, Store};
use crate::config::RedisConfig;
use crate::home::Homes;
use crate::keys::Keys;
use crate::replicas::Replicas;
use crate::server::check_eviction;
use crate::topology::Endpoints;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
use crate::topology::of_client;

impl RedisBackend {
    /// Connects to the servers that `config` describes.
    ///
    /// Finds out at once whether it is one that sessions may be kept on and whether the user may run scripts.
    /// Needs a tokio runtime with time. The connection lives on it if it has several threads, else on one of the
    /// driver's own.
    ///
    /// # Errors
    ///
    /// - [`Config`](session_core::ErrorKind::Config): user or password are refused, or a right is missing; the server is older
    ///   than 6.2, of another topology, or evicts keys; the sentinels do not know the master; TLS does not work out; a
    ///   field is out of its limits, or needs a feature of this crate.
    /// - [`Unavailable`](session_core::ErrorKind::Unavailable): the server cannot be reached, is loading its data, or is a
    ///   replica.
    /// - [`Timeout`](session_core::ErrorKind::Timeout): it does not answer.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        config.check()?;
        Self::begin(Endpoints::of(&config)?, config).await
    }

    /// As [`connect`](Self::connect), with the address, user, password, database and TLS of the application's own
    /// client, instead of those in `config`. The driver makes its own connection by it: one that the application
    /// holds may send a lost command again, by which a session that was deleted could come back.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    pub async fn from_client(client: redis::Client, config: RedisConfig) -> Result<Self> {
        config.check()?;
        Self::begin(Endpoints::from(client), config).await
    }

    /// As [`from_client`](Self::from_client), for a cluster: the clients lead to some of its nodes. The others are
    /// reached as the first is, but for the address.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    #[cfg(feature = "cluster")]
    pub async fn from_cluster_clients(
        nodes: impl IntoIterator<Item = redis::Client>,
        config: RedisConfig,
    ) -> Result<Self> {
        config.check()?;
        let seeds = nodes.into_iter().map(|client| of_client(&client)).collect();
        Self::begin(Endpoints::Cluster { seeds }, config).await
    }

    /// As [`from_client`](Self::from_client), for Sentinel: the clients lead to the sentinels, who call the master
    /// `name`. It is reached as `master` says, but for the address.
    ///
    /// # Errors
    ///
    /// Those of [`connect`](Self::connect).
    #[cfg(feature = "sentinel")]
    pub async fn from_sentinel_clients(
        sentinels: impl IntoIterator<Item = redis::Client>,
        name: impl Into<String>,
        master: redis::Client,
        config: RedisConfig,
    ) -> Result<Self> {
        config.check()?;
        let sentinels = sentinels.into_iter().map(|client| of_client(&client)).collect();
        let endpoints = Endpoints::Sentinels { sentinels, master: of_client(&master), name: name.into() };
        Self::begin(endpoints, config).await
    }

    async fn begin(endpoints: Endpoints, config: RedisConfig) -> Result<Self> {
        let homes = Homes::choose()?;
        let servers = endpoints.servers(&config, &homes)?;
        servers.open().await?;
        check_eviction(&servers, config.on_eviction).await?;
        let replicas = (config.wait_replicas > 0)
            .then_some(Replicas { count: config.wait_replicas, timeout: config.wait_timeout });
        let writes = match replicas {
            // While it waits for replicas, a connection answers nothing else.
            Some(_) => endpoints.servers(&config, &homes)?,
            None => servers.clone(),
        };
        let store = Store {
            servers,
            writes,
            address: endpoints.address(),
            keys: Keys::new(config.prefix),
            // Limited to 400 days.
            slack: config.expiry_slack,
            replicas,
        };
        if replicas.is_some() {
            // Waits for nobody, but fails if it may not be asked.
            let (id, mut question) = (SessionId::from_bytes([0; 16]), redis::cmd("WAIT"));
            store.writes.send(&store.keys.record(id), question.arg(0).arg(1)).await?;
        }
        let backend = Self { store: Arc::new(store) };
        // At the end of time no record is live, so this changes nothing, whatever is there.
        backend.touch(SessionId::from_bytes([0; 16]), Timestamp::MAX, Timestamp::MAX).await?;
        Ok(backend)
    }
}
