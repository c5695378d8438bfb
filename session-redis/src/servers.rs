//! All that a backend talks to: one server, the master that sentinels name, or a cluster's masters.

use std::fmt;
use std::sync::Arc;

use redis::{Cmd, RedisResult, Value};
use session_core::Result;

#[cfg(feature = "cluster")]
use crate::cluster::Cluster;
use crate::connection::{Connection, SendError, With};
use crate::home::Homes;
use crate::replicas::Replicas;

/// Clones share the connections.
#[derive(Clone)]
pub(crate) struct Servers {
    pub(crate) kind: Kind,
    pub(crate) homes: Arc<Homes>,
}

#[derive(Clone)]
pub(crate) enum Kind {
    One(Connection),
    #[cfg(feature = "cluster")]
    Cluster(Cluster),
}

impl Servers {
    /// Connects now, if there is no connection.
    pub(crate) async fn open(&self) -> Result<()> {
        match &self.kind {
            Kind::One(connection) => connection.open().await,
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.learn().await,
        }
    }

    /// Sends a command about one key, once; its reply.
    pub(crate) async fn send(&self, key: &[u8], command: &Cmd) -> Result<Value, SendError> {
        self.send_to(key, command, None).await
    }

    /// The same, and then waits for replicas.
    pub(crate) async fn send_to(
        &self,
        key: &[u8],
        command: &Cmd,
        replicas: Option<Replicas>,
    ) -> Result<Value, SendError> {
        #[cfg(not(feature = "cluster"))]
        let _ = key;
        match &self.kind {
            Kind::One(connection) => connection.send(command, With { asking: false, replicas }).await,
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.send(key, command, replicas).await,
        }
    }

    /// Sends several commands, each about one key; the reply to each.
    pub(crate) async fn send_all(
        &self,
        commands: Vec<(Vec<u8>, Cmd)>,
    ) -> Result<Vec<Result<Value, SendError>>, SendError> {
        match &self.kind {
            Kind::One(connection) => {
                let mut pipeline = redis::pipe();
                for (_, command) in commands {
                    pipeline.add_command(command);
                }
                let replies = connection.send_all(&pipeline).await?;
                Ok(replies.into_iter().map(|reply| reply.map_err(SendError::Redis)).collect())
            }
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.send_all(commands).await,
        }
    }

    /// Every server that holds keys of its own, in an order that stays the same while the number does.
    pub(crate) async fn masters(&self) -> Result<(u64, Vec<Connection>)> {
        match &self.kind {
            Kind::One(connection) => Ok((0, vec![connection.clone()])),
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.masters().await,
        }
    }

    /// The answers of all servers that may come to hold keys. One of a cluster that cannot be reached has none.
    pub(crate) async fn ask_every_server(&self, question: &Cmd) -> Result<Vec<RedisResult<Value>>> {
        match &self.kind {
            Kind::One(connection) => match connection.send(question, With::default()).await {
                Ok(reply) => Ok(vec![Ok(reply)]),
                Err(SendError::Redis(error)) => Ok(vec![Err(error)]),
                Err(error) => Err(error.into()),
            },
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => {
                let (cluster, question) = (cluster.clone(), question.clone());
                let asking = async move {
                    let (mut replies, mut answers) = (Vec::new(), cluster.ask_every_node(&question).await?);
                    while let Some((address, reply)) = answers.next().await {
                        match reply {
                            Err(error) if error.is_io_error() => {
                                let crate::source::Address { host, port } = address;
                                tracing::warn!(%host, port, %error, "a node of the cluster was not asked");
                            }
                            reply => replies.push(reply),
                        }
                    }
                    Ok(replies)
                };
                self.homes.current()?.run(asking).await
            }
        }
    }

    /// Looks whether another server is the master by now. The nodes of a cluster say so themselves.
    pub(crate) fn look_around(&self) {
        match &self.kind {
            Kind::One(connection) => connection.look_around(),
            #[cfg(feature = "cluster")]
            Kind::Cluster(_) => {}
        }
    }

    /// Runs a verb of several commands to its end, whether its caller waits for it or not.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        verb: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.homes.current()?.run(verb).await
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::One(connection) => connection.fmt(f),
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.fmt(f),
        }
    }
}
