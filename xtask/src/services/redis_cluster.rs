//! A private Redis Cluster: three masters with a replica each. Redis 7 or later, for the ports of its bus.

use std::process::Command;

use super::resp::{Resp, expect};
use super::service::{Service, Setup};

#[derive(Debug)]
pub(crate) struct RedisCluster {
    pub(crate) name: &'static str,
}

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;

impl Service for RedisCluster {
    fn name(&self) -> &'static str {
        self.name
    }

    fn programs(&self) -> &'static [&'static str] {
        &["redis-server"]
    }

    fn package_name(&self) -> &'static str {
        "redis-server"
    }

    /// One for the clients of each node, and one for the other nodes.
    fn port_count(&self) -> usize {
        2 * NODES
    }

    fn process_count(&self) -> usize {
        NODES
    }

    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        let password = &setup.state.password;
        for node in 0..NODES {
            // No test takes a node away from this cluster, so none of its nodes is to be taken for failed, however
            // busy the machine is.
            let configuration = format!(
                "bind 127.0.0.1\nrequirepass {password}\nmasterauth {password}\ndaemonize no\nset-proc-title no\n\
                 save \"\"\nappendonly no\nmaxmemory-policy noeviction\nrepl-diskless-sync-delay 0\n\
                 cluster-enabled yes\ncluster-config-file node-{node}.cluster\ncluster-node-timeout 60000\n"
            );
            setup.write_private(&file(node), &configuration)?;
        }
        Ok(())
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        let server = |node: usize| {
            let mut server = setup.command("redis-server");
            server.arg(setup.directory.join(file(node)));
            server.arg("--port").arg(port(setup, node).to_string());
            server.arg("--cluster-port").arg(port(setup, NODES + node).to_string());
            server
        };
        (0..NODES).map(server).collect()
    }

    /// Does what is next, until nothing is left to do: nodes learn of each other in their own time.
    fn check(&self, setup: &Setup) -> Result<(), String> {
        let mut nodes = Vec::new();
        for node in 0..NODES {
            nodes.push(Resp::new(setup.connect_to(port(setup, node))?, Some(&setup.state.password))?);
        }
        for (number, node) in nodes.iter_mut().enumerate().take(MASTERS) {
            let own = own_line(&node.ask(&["CLUSTER", "NODES"])?);
            // Every node starts as a master of nothing, at epoch 0.
            if own.contains("master") && own.split(' ').nth(8).is_none() && own.split(' ').nth(6) == Some("0")
            {
                let (first, last) = (number * SLOTS / MASTERS, (number + 1) * SLOTS / MASTERS - 1);
                node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
                node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
            }
        }
        let ids =
            nodes.iter_mut().map(|node| node.ask(&["CLUSTER", "MYID"])).collect::<Result<Vec<_>, _>>()?;
        let known = nodes[0].ask(&["CLUSTER", "NODES"])?;
        let mut unknown = 0;
        for node in (1..NODES).filter(|node| !known.contains(&ids[*node])) {
            let (port, bus) = (port(setup, node).to_string(), port(setup, NODES + node).to_string());
            nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
            unknown += 1;
        }
        if unknown > 0 {
            return Err(format!("{unknown} nodes are unknown to the first"));
        }
        for number in MASTERS..NODES {
            let own = own_line(&nodes[number].ask(&["CLUSTER", "NODES"])?);
            if own.contains("master") && own.split(' ').nth(8).is_none() {
                nodes[number].ask(&["CLUSTER", "REPLICATE", &ids[number - MASTERS]])?;
            }
        }
        for node in &mut nodes {
            let state = node.ask(&["CLUSTER", "INFO"])?;
            expect(&state, "cluster_state", "ok")?;
            expect(&state, "cluster_slots_ok", &SLOTS.to_string())?;
            expect(&state, "cluster_known_nodes", &NODES.to_string())?;
            let known = node.ask(&["CLUSTER", "NODES"])?;
            let replicas = known.lines().filter(|line| line.contains("slave ")).count();
            if replicas != NODES - MASTERS {
                return Err(format!("a node knows of {replicas} replicas"));
            }
            let replication = node.ask(&["INFO", "replication"])?;
            match super::resp::field(&replication, "role") {
                "slave" => expect(&replication, "master_link_status", "up")?,
                _ => expect(&replication, "connected_slaves", "1")?,
            }
        }
        Ok(())
    }

    fn url(&self, setup: &Setup) -> String {
        let hosts: Vec<_> = (0..NODES).map(|node| format!("127.0.0.1:{}", port(setup, node))).collect();
        format!("redis-cluster://default:{}@{}", setup.state.password, hosts.join(","))
    }
}

const SLOTS: usize = 16384;

fn file(node: usize) -> String {
    format!("node-{node}.conf")
}

fn port(setup: &Setup, index: usize) -> u16 {
    setup.state.ports.get(index).copied().unwrap_or_default()
}

/// What a node says of itself: id, address, flags, master, two times, epoch, link, slots.
fn own_line(nodes: &str) -> String {
    nodes.lines().find(|line| line.contains("myself")).unwrap_or_default().to_owned()
}
