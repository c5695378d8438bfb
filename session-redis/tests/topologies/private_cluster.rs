//! Three masters with a replica each.

use std::time::Duration;

use redis::Value;
use session_redis::RedisConfig;
use tempfile::TempDir;

use crate::load::{fresh_prefix, patient};
use crate::node::{Node, free_ports, there_is_a_server, until};

pub(crate) const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
pub(crate) const SLOTS: usize = 16384;

pub(crate) struct PrivateCluster {
    pub(crate) nodes: Vec<Node>,
    /// Where they listen for each other's keys: their ports, or those for TLS.
    ports: Vec<u16>,
    _directory: TempDir,
}

impl PrivateCluster {
    /// One whose nodes take each other for failed after `timeout`.
    pub(crate) async fn start(timeout: Duration, options: &[&str]) -> Option<Self> {
        if !there_is_a_server() {
            return None;
        }
        let ports = free_ports(2 * NODES);
        Self::start_on(tempfile::tempdir().unwrap(), &ports, &ports[..NODES], timeout, options).await
    }

    /// One that talks by TLS among itself, with a certificate and key in `directory`, and has ports for it.
    #[cfg(feature = "tls")]
    pub(crate) async fn start_tls(directory: TempDir) -> Option<Self> {
        if !there_is_a_server() {
            return None;
        }
        let ports = free_ports(3 * NODES);
        let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("root.pem"));
        let mut options = vec!["--tls-cert-file", &certificate, "--tls-key-file", &key];
        options.extend(["--tls-ca-cert-file", &authority, "--tls-auth-clients", "no"]);
        options.extend(["--tls-cluster", "yes", "--tls-replication", "yes"]);
        let never = Duration::from_secs(600);
        Self::start_on(directory, &ports[..2 * NODES], &ports[2 * NODES..], never, &options).await
    }

    async fn start_on(
        directory: TempDir,
        ports: &[u16],
        key_ports: &[u16],
        timeout: Duration,
        options: &[&str],
    ) -> Option<Self> {
        let timeout = timeout.as_millis().to_string();
        let mut nodes = Vec::new();
        for node in 0..NODES {
            let bus = ports[NODES + node].to_string();
            let mut arguments =
                vec!["--save", "", "--repl-diskless-sync-delay", "0", "--cluster-enabled", "yes"];
            arguments.extend(["--cluster-port", &bus, "--cluster-node-timeout", &timeout]);
            arguments.extend(["--cluster-replica-validity-factor", "0"]);
            arguments.extend(options);
            let tls = key_ports[node].to_string();
            if key_ports[node] != ports[node] {
                arguments.extend(["--tls-port", &tls]);
            }
            let mut node = Node::new(directory.path(), ports[node], &arguments);
            node.run();
            nodes.push(node);
        }
        let cluster = Self { nodes, ports: key_ports.to_vec(), _directory: directory };
        cluster.form(&ports[NODES..]).await;
        Some(cluster)
    }

    async fn form(&self, buses: &[u16]) {
        let mut names: Vec<String> = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            until("a node answers", async || node.try_ask::<String>(&["PING"]).await.is_ok()).await;
            names.push(node.ask(&["CLUSTER", "MYID"]).await);
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]).await;
            if number < MASTERS {
                let (first, last) = (number * SLOTS / MASTERS, (number + 1) * SLOTS / MASTERS - 1);
                node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await;
            }
        }
        for (port, bus) in self.ports.iter().zip(buses).skip(1) {
            let (port, bus) = (port.to_string(), bus.to_string());
            self.nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await;
        }
        for (node, master) in self.nodes[MASTERS..].iter().zip(&names) {
            let replicate = ["CLUSTER", "REPLICATE", master];
            until("a replica knows its master", async || node.try_ask::<()>(&replicate).await.is_ok()).await;
        }
        self.until_whole().await;
    }

    /// Until every node that runs takes the cluster for whole, and every replica that runs has its master.
    pub(crate) async fn until_whole(&self) {
        until("the cluster is whole", async || {
            for node in self.nodes.iter().filter(|node| node.is_running()) {
                let is_whole = node.says(&["CLUSTER", "INFO"], "cluster_state:ok").await
                    && node.says(&["CLUSTER", "INFO"], "cluster_known_nodes:6").await
                    && (node.says(&["INFO", "replication"], "role:master").await
                        || node.says(&["INFO", "replication"], "master_link_status:up").await);
                let known: String = node.try_ask(&["CLUSTER", "NODES"]).await.unwrap_or_default();
                let replicas = known.lines().filter(|line| line.contains("slave ")).count();
                let gone = self.nodes.iter().filter(|node| !node.is_running()).count();
                if !is_whole || replicas + gone < NODES - MASTERS {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Through every node.
    pub(crate) fn config(&self) -> RedisConfig {
        self.config_at("127.0.0.1")
    }

    /// The same, by this name of the machine.
    pub(crate) fn config_at(&self, host: &str) -> RedisConfig {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("{host}:{port}")).collect();
        let config = RedisConfig::from_url(&format!("redis-cluster://{}", hosts.join(","))).unwrap();
        patient(config.with_prefix(fresh_prefix()))
    }

    /// The master of a slot, as a node that runs sees it.
    pub(crate) async fn master_of(&self, slot: usize) -> usize {
        let node = self.nodes.iter().find(|node| node.is_running()).unwrap();
        let ranges: Vec<Vec<Value>> = node.ask(&["CLUSTER", "SLOTS"]).await;
        for range in ranges {
            let bound = |at: usize| redis::from_redis_value::<usize>(range[at].clone()).unwrap();
            if (bound(0)..=bound(1)).contains(&slot) {
                let master: Vec<Value> = redis::from_redis_value(range[2].clone()).unwrap();
                let port: u16 = redis::from_redis_value(master[1].clone()).unwrap();
                return self.nodes.iter().position(|node| node.port == port).unwrap();
            }
        }
        panic!("nobody serves slot {slot}");
    }

    /// Takes a slot with all that is in it to another master, as `redis-cli --cluster reshard` does.
    pub(crate) async fn move_slot(&self, slot: usize, from: usize, to: usize) {
        let (name, target) = (slot.to_string(), self.ports[to].to_string());
        let id_of = async |node: usize| self.nodes[node].ask::<String>(&["CLUSTER", "MYID"]).await;
        let (source_id, target_id) = (id_of(from).await, id_of(to).await);
        self.nodes[to].ask::<()>(&["CLUSTER", "SETSLOT", &name, "IMPORTING", &source_id]).await;
        self.nodes[from].ask::<()>(&["CLUSTER", "SETSLOT", &name, "MIGRATING", &target_id]).await;
        let mut source = self.nodes[from].connect().await.unwrap();
        loop {
            let mut keys = redis::cmd("CLUSTER");
            keys.arg("GETKEYSINSLOT").arg(&name).arg(1);
            let keys: Vec<Vec<u8>> = keys.query_async(&mut source).await.unwrap();
            let Some(key) = keys.first() else { break };
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(&target).arg(key).arg(0).arg(60_000);
            migrate.query_async::<()>(&mut source).await.unwrap();
        }
        for node in [to, from].into_iter().chain((0..MASTERS).filter(|node| ![to, from].contains(node))) {
            self.nodes[node].ask::<()>(&["CLUSTER", "SETSLOT", &name, "NODE", &target_id]).await;
        }
    }
}
