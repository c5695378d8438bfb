//! A master with a replica, and three sentinels that watch them.

use std::time::Duration;

use session_redis::RedisConfig;
use tempfile::TempDir;

use crate::load::{fresh_prefix, patient};
use crate::node::{Node, free_ports, there_is_a_server, until};

const MASTER: &str = "sessions";

pub(crate) struct PrivateSentinel {
    /// At first, the first one is the master.
    pub(crate) data: Vec<Node>,
    pub(crate) sentinels: Vec<Node>,
    _directory: TempDir,
}

impl PrivateSentinel {
    /// Sentinels that take the master for failed after `timeout`, and ask for a password themselves if one is given.
    pub(crate) async fn start(timeout: Duration, password: Option<&str>) -> Option<Self> {
        if !there_is_a_server() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let ports = free_ports(5);
        let (mut data, mut sentinels) = (Vec::new(), Vec::new());
        for (number, &port) in ports.iter().enumerate() {
            let master = ports[0].to_string();
            let mut node = match number {
                0 => Node::new(directory.path(), port, DATA),
                1 => {
                    let replica = [DATA, &["--replicaof", "127.0.0.1", &master]].concat();
                    Node::new(directory.path(), port, &replica)
                }
                _ => {
                    let node = Node::new(directory.path(), port, &["sentinel.conf", "--sentinel"]);
                    let mut text = format!(
                        "sentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
                         sentinel down-after-milliseconds {MASTER} {}\nsentinel failover-timeout {MASTER} 10000\n",
                        timeout.as_millis()
                    );
                    if let Some(password) = password {
                        text += &format!("requirepass {password}\nsentinel sentinel-pass {password}\n");
                    }
                    std::fs::write(node.directory().join("sentinel.conf"), text).unwrap();
                    node
                }
            };
            node.run();
            if number < 2 { data.push(node) } else { sentinels.push(node) }
        }
        let all = Self { data, sentinels, _directory: directory };
        until("the replica is linked", async || {
            all.data[1].says(&["INFO", "replication"], "master_link_status:up").await
        })
        .await;
        for sentinel in &all.sentinels {
            until("the sentinels see each other and the replica", async || {
                let mut ask = redis::cmd("SENTINEL");
                ask.arg("MASTER").arg(MASTER);
                let Ok(mut connection) = sentinel.connect().await else { return false };
                if let Some(password) = password {
                    redis::cmd("AUTH").arg(password).query_async::<()>(&mut connection).await.unwrap();
                }
                let state: Vec<String> = ask.query_async(&mut connection).await.unwrap_or_default();
                let has = |name: &str, value: &str| state.windows(2).any(|pair| pair == [name, value]);
                has("num-slaves", "1") && has("num-other-sentinels", "2") && has("flags", "master")
            })
            .await;
        }
        Some(all)
    }

    pub(crate) fn config(&self) -> RedisConfig {
        let hosts: Vec<_> = self.sentinels.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let config =
            RedisConfig::from_url(&format!("redis-sentinel://{}/{MASTER}", hosts.join(","))).unwrap();
        patient(config.with_prefix(fresh_prefix()))
    }

    /// Until the sentinels have promoted this one.
    pub(crate) async fn until_master(&self, data: usize) {
        let node = &self.data[data];
        until("the replica is promoted", async || node.says(&["INFO", "replication"], "role:master").await)
            .await;
    }

    /// Asks for a failover though nothing has failed.
    pub(crate) async fn fail_over(&self) {
        let sentinel = &self.sentinels[0];
        // Refused while another one is under way, or the replica's state is not known yet.
        until("a failover begins", async || {
            sentinel.try_ask::<()>(&["SENTINEL", "FAILOVER", MASTER]).await.is_ok()
        })
        .await;
    }
}

const DATA: &[&str] = &["--save", "", "--repl-diskless-sync-delay", "0"];
