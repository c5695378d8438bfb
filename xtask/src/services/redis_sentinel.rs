//! A private Redis with a replica, watched by three sentinels.

use std::process::Command;

use super::resp::{Resp, expect};
use super::service::{Service, Setup};

#[derive(Debug)]
pub(crate) struct RedisSentinel {
    pub(crate) name: &'static str,
}

/// What the sentinels call the master.
const MASTER: &str = "sessions";
const SENTINELS: usize = 3;
const DATA: [&str; 2] = ["redis-0.conf", "redis-1.conf"];

impl Service for RedisSentinel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn programs(&self) -> &'static [&'static str] {
        &["redis-server"]
    }

    fn package_name(&self) -> &'static str {
        "redis-server"
    }

    fn port_count(&self) -> usize {
        DATA.len() + SENTINELS
    }

    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        let password = &setup.state.password;
        for name in DATA {
            let configuration = format!(
                "bind 127.0.0.1\nrequirepass {password}\nmasterauth {password}\ndaemonize no\nset-proc-title no\n\
                 save \"\"\nappendonly no\nmaxmemory-policy noeviction\nrepl-diskless-sync-delay 0\n"
            );
            setup.write_private(name, &configuration)?;
        }
        for sentinel in 0..SENTINELS {
            setup.write_private(&file(sentinel), "bind 127.0.0.1\ndaemonize no\nset-proc-title no\n")?;
        }
        Ok(())
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        let server = |name: &str, index: usize| {
            let mut server = setup.command("redis-server");
            server.arg(setup.directory.join(name)).arg("--port").arg(port(setup, index).to_string());
            server
        };
        let mut servers: Vec<_> = (0..DATA.len()).map(|index| server(DATA[index], index)).collect();
        for sentinel in 0..SENTINELS {
            let mut server = server(&file(sentinel), DATA.len() + sentinel);
            server.arg("--sentinel");
            servers.push(server);
        }
        servers
    }

    /// Says who watches whom, if they do not know yet, and asks whether all see each other.
    fn check(&self, setup: &Setup) -> Result<(), String> {
        let connect = |index: usize, password| Resp::new(setup.connect_to(port(setup, index))?, password);
        let password = setup.state.password.as_str();
        let mut data = [connect(0, Some(password))?, connect(1, Some(password))?];
        let mut sentinels = Vec::new();
        for sentinel in 0..SENTINELS {
            sentinels.push(connect(DATA.len() + sentinel, None)?);
        }
        let mut masters = Vec::new();
        for sentinel in &mut sentinels {
            let mut master = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER])?;
            if master.is_empty() {
                let first = port(setup, 0).to_string();
                data[1].ask(&["REPLICAOF", "127.0.0.1", &first])?;
                sentinel.ask(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &first, "2"])?;
                sentinel.ask(&["SENTINEL", "SET", MASTER, "auth-pass", password])?;
                // No test takes this master away, so it is not to be taken for failed, however busy the machine is.
                sentinel.ask(&["SENTINEL", "SET", MASTER, "down-after-milliseconds", "60000"])?;
                master = format!("127.0.0.1\n{first}");
            }
            masters.push(master);
        }
        if masters.iter().any(|master| *master != masters[0]) {
            return Err("the sentinels do not agree on the master".to_owned());
        }
        for sentinel in &mut sentinels {
            let state = pairs(&sentinel.ask(&["SENTINEL", "MASTER", MASTER])?);
            expect(&state, "flags", "master")?;
            expect(&state, "num-slaves", "1")?;
            expect(&state, "num-other-sentinels", "2")?;
            sentinel.ask(&["SENTINEL", "CKQUORUM", MASTER])?;
            expect(&pairs(&sentinel.ask(&["SENTINEL", "REPLICAS", MASTER])?), "flags", "slave")?;
        }
        for data in &mut data {
            let replication = data.ask(&["INFO", "replication"])?;
            match super::resp::field(&replication, "role") {
                "slave" => expect(&replication, "master_link_status", "up")?,
                _ => expect(&replication, "connected_slaves", "1")?,
            }
        }
        Ok(())
    }

    fn url(&self, setup: &Setup) -> String {
        let hosts: Vec<_> = (0..SENTINELS)
            .map(|sentinel| format!("127.0.0.1:{}", port(setup, DATA.len() + sentinel)))
            .collect();
        format!("redis-sentinel://default:{}@{}/{MASTER}/0", setup.state.password, hosts.join(","))
    }
}

fn file(sentinel: usize) -> String {
    format!("sentinel-{sentinel}.conf")
}

fn port(setup: &Setup, index: usize) -> u16 {
    setup.state.ports.get(index).copied().unwrap_or_default()
}

/// Names and values in turns, as `name:value` lines.
fn pairs(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).map(|pair| format!("{}:{}\n", pair[0], pair[1])).collect()
}
