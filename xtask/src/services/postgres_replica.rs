//! A private PostgreSQL primary and a replica that follows it. A commit waits until the replica shows it, so that tests
//! can ask either one.

use std::path::PathBuf;
use std::process::Command;

use super::postgres::{self, DATABASE, Postgres, USER};
use super::service::{Service, Setup};

#[derive(Debug)]
pub(crate) struct PostgresReplica {
    pub(crate) name: &'static str,
}

/// How each of the two is made.
const SERVER: Postgres = Postgres { name: "postgres-replica", fsync: false };

impl Service for PostgresReplica {
    fn name(&self) -> &'static str {
        self.name
    }

    fn programs(&self) -> &'static [&'static str] {
        SERVER.programs()
    }

    fn directories(&self) -> Vec<PathBuf> {
        SERVER.directories()
    }

    fn package_name(&self) -> &'static str {
        SERVER.package_name()
    }

    fn refuses_root(&self) -> bool {
        true
    }

    fn port_count(&self) -> usize {
        2
    }

    fn stop_signal(&self) -> &'static str {
        SERVER.stop_signal()
    }

    /// A cluster that has never run is as good as a backup of it.
    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        SERVER.prepare(setup)?;
        let mut copy = setup.command("cp");
        let status = copy.arg("-R").args([postgres::data(setup), replica(setup)]).status();
        let status = status.map_err(|error| format!("cp does not start: {error}"))?;
        if !status.success() {
            return Err(format!("the cluster could not be copied ({status})"));
        }
        setup.write_private("replica/standby.signal", "")?;
        // Not among the arguments, which everybody sees.
        setup.write_private("passwords", &format!("*:*:*:{USER}:{}\n", setup.state.password))?;
        Ok(())
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        let [primary, follower] = [(postgres::data(setup), 0), (replica(setup), 1)].map(|(data, place)| {
            let _ = std::fs::remove_file(data.join("postmaster.pid"));
            let mut server = setup.command("postgres");
            server.arg("-D").arg(data).arg("-p").arg(setup.port_of(place).to_string());
            server
        });
        let (mut primary, mut follower) = (primary, follower);
        // Kept for a replica that was away; whichever starts first, the other finds it soon.
        primary.args(["-c", "wal_keep_size=1GB", "-c", "synchronous_standby_names=*"]);
        primary.args(["-c", "synchronous_commit=remote_apply"]);
        let passwords = setup.directory.join("passwords");
        let source =
            format!("host=127.0.0.1 port={} user={USER} passfile={}", setup.port(), passwords.display());
        follower.args([
            "-c",
            &format!("primary_conninfo={source}"),
            "-c",
            "wal_retrieve_retry_interval=100ms",
        ]);
        vec![primary, follower]
    }

    fn check(&self, setup: &Setup) -> Result<(), String> {
        (0..2).try_for_each(|place| postgres::takes_connections(setup, setup.port_of(place)))
    }

    fn url(&self, setup: &Setup) -> String {
        let [primary, follower] = [0, 1].map(|place| format!("127.0.0.1:{}", setup.port_of(place)));
        format!("postgres://{USER}:{}@{primary},{follower}/{DATABASE}", setup.state.password)
    }
}

fn replica(setup: &Setup) -> PathBuf {
    setup.directory.join("replica")
}
