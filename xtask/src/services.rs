//! `cargo xtask services`: private servers for tests, on free ports of the loopback interface.
//!
//! They outlive the command that starts them, and are found again by what runs, not by what a file
//! says. To add one: implement `Service`, and list it in `KNOWN`.

mod home;
mod instance;
mod mariadb;
mod postgres;
mod postgres_replica;
mod process;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod redis_tls;
mod resp;
mod service;
mod state;
mod test_run;

use std::cell::LazyCell;
use std::path::Path;

use home::Home;
use instance::Instance;
use mariadb::Mariadb;
use postgres::Postgres;
use postgres_replica::PostgresReplica;
use redis::Redis;
use redis_cluster::RedisCluster;
use redis_sentinel::RedisSentinel;
use redis_tls::RedisTls;
use service::Service;
pub(crate) use test_run::TestRun;

use crate::programs::Programs;
use crate::steps::progress;
use crate::workspace::Workspace;

/// In the order in which they start. No test of these cuts the power, so none waits for the disk.
const KNOWN: [&dyn Service; 7] = [
    &Postgres { name: "postgres", fsync: false },
    &PostgresReplica { name: "postgres-replica" },
    &Mariadb { name: "mariadb", fsync: false },
    &Redis { name: "redis", append_only: false },
    &RedisCluster { name: "redis-cluster" },
    &RedisSentinel { name: "redis-sentinel" },
    &RedisTls,
];

/// For measurements. Databases wait for the disk as a server in use does; Redis keeps everything in memory.
const BENCHED: [&dyn Service; 5] = [
    &Postgres { name: "bench-postgres", fsync: true },
    &Mariadb { name: "bench-mariadb", fsync: true },
    &Redis { name: "bench-redis", append_only: false },
    &RedisCluster { name: "bench-redis-cluster" },
    &RedisSentinel { name: "bench-redis-sentinel" },
];

pub(crate) enum Request {
    Up(Vec<&'static dyn Service>),
    Down(Vec<&'static dyn Service>),
    /// What a test run starts for itself: waits for its end, then stops its services.
    Guard(String),
}

impl Request {
    /// Reads `up postgres redis`; no name means all.
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let Some((verb, names)) = words.split_first() else {
            return Err("`services` needs `up` or `down`".to_owned());
        };
        match (verb.as_str(), names) {
            ("up", names) => Ok(Self::Up(select(names)?)),
            ("down", names) => Ok(Self::Down(select(names)?)),
            ("guard", [run]) => Ok(Self::Guard(run.clone())),
            _ => Err(format!("`services` does not know `{}`", words.join(" "))),
        }
    }
}

/// Carries the request out; `Ok(false)` if one of the services could not be started or stopped.
pub(crate) fn run(workspace: &Workspace, request: Request) -> Result<bool, String> {
    let target = &workspace.target_directory;
    match request {
        Request::Up(services) => {
            let mut all_are_up = true;
            for (service, started) in up(target, &services, None) {
                match started {
                    Ok(url) => println!("{}={url}", service.variable()),
                    Err(reason) => {
                        progress(&reason);
                        all_are_up = false;
                    }
                }
            }
            Ok(all_are_up)
        }
        Request::Down(services) => down(target, &services, |_| true),
        Request::Guard(run) => test_run::guard(target, &run),
    }
}

/// The services that the rows of the conformance table need, and with them the tests of the same drivers.
pub(crate) fn of_rows(rows: &[&str]) -> Vec<&'static dyn Service> {
    let is_needed = |service: &&dyn Service| {
        let name = service.name();
        rows.contains(&name.strip_suffix("-replica").unwrap_or(name))
    };
    KNOWN.into_iter().filter(is_needed).collect()
}

/// The services that a group of the bench needs: that of its name, and as `redis-cluster` is compared with `redis`,
/// that of the name's beginning.
pub(crate) fn of_bench(group: &str) -> Vec<&'static dyn Service> {
    let kind = group.split('-').next().unwrap_or(group);
    let is_needed = |service: &&dyn Service| {
        service.name().strip_prefix("bench-").is_some_and(|name| name == group || name == kind)
    };
    BENCHED.into_iter().filter(is_needed).collect()
}

type Started = (&'static dyn Service, Result<String, String>);

/// One service that does not start stops no other.
fn up(target: &Path, services: &[&'static dyn Service], owner: Option<&str>) -> Vec<Started> {
    // Only where it is needed: servers that are there already ask nothing of this system.
    let home = LazyCell::new(|| process::can_be_found().and_then(|()| Home::lock(target)));
    let mut programs = Programs::default();
    let start = |service: &&'static dyn Service| {
        let started = match named(*service) {
            Some(url) => Ok(url),
            None => match &*home {
                Ok(home) => Instance::new(*service, home).up(owner, &mut programs),
                Err(reason) => Err(reason.clone()),
            },
        };
        (*service, started.map_err(|reason| format!("{}: {reason}", service.name())))
    };
    services.iter().map(start).collect()
}

/// The server that the caller has already.
fn named(service: &dyn Service) -> Option<String> {
    std::env::var(service.variable()).ok().filter(|url| !url.is_empty())
}

/// Stops those that are wanted; `Ok(false)` if one of them could not be stopped.
fn down(
    target: &Path,
    services: &[&'static dyn Service],
    is_wanted: impl Fn(&Instance) -> bool,
) -> Result<bool, String> {
    let home = Home::lock(target)?;
    let mut all_are_down = true;
    for service in services {
        let instance = Instance::new(*service, &home);
        if is_wanted(&instance)
            && let Err(reason) = instance.down()
        {
            progress(&format!("{}: {reason}", service.name()));
            all_are_down = false;
        }
    }
    Ok(all_are_down)
}

fn select(names: &[String]) -> Result<Vec<&'static dyn Service>, String> {
    let known: Vec<&str> = KNOWN.iter().map(|service| service.name()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("there is no service `{unknown}`, only {}", known.join(", ")));
    }
    let is_selected =
        |service: &&dyn Service| names.is_empty() || names.iter().any(|name| name == service.name());
    Ok(KNOWN.into_iter().filter(is_selected).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Request, String> {
        Request::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn names(services: &[&dyn Service]) -> Vec<&'static str> {
        services.iter().map(|service| service.name()).collect()
    }

    #[test]
    fn names_select_and_no_name_is_all() {
        for (words, expected) in [
            (
                "up",
                vec![
                    "postgres",
                    "postgres-replica",
                    "mariadb",
                    "redis",
                    "redis-cluster",
                    "redis-sentinel",
                    "redis-tls",
                ],
            ),
            ("up redis", vec!["redis"]),
            ("up redis postgres redis", vec!["postgres", "redis"]),
        ] {
            let Ok(Request::Up(services)) = parse(words) else { panic!("{words}") };
            assert_eq!(names(&services), expected, "{words}");
        }
        let Ok(Request::Down(services)) = parse("down postgres") else { panic!() };
        assert_eq!(names(&services), ["postgres"]);
    }

    #[test]
    fn what_is_unknown_is_named() {
        for words in ["", "start", "up mysql", "down --all", "guard"] {
            let problem = parse(words).err().unwrap();
            let named = words.split_whitespace().last().unwrap_or("up");
            assert!(problem.contains(named), "{words}: {problem}");
        }
    }

    #[test]
    fn groups_of_the_bench_have_servers_of_their_own() {
        for (group, expected) in [
            ("memory", vec![]),
            ("postgres", vec!["bench-postgres"]),
            ("redis", vec!["bench-redis"]),
            ("redis-cluster", vec!["bench-redis", "bench-redis-cluster"]),
            ("redis-sentinel", vec!["bench-redis", "bench-redis-sentinel"]),
        ] {
            assert_eq!(names(&of_bench(group)), expected, "{group}");
        }
    }

    #[test]
    fn rows_that_need_a_server_name_it() {
        assert_eq!(names(&of_rows(&["memory", "redis", "sqlite"])), ["redis"]);
        assert_eq!(names(&of_rows(&["postgres"])), ["postgres", "postgres-replica"]);
        assert!(of_rows(&["memory", "sqlite"]).is_empty());
        let variables = [
            "POSTGRES",
            "POSTGRES_REPLICA",
            "MARIADB",
            "REDIS",
            "REDIS_CLUSTER",
            "REDIS_SENTINEL",
            "REDIS_TLS",
        ];
        assert_eq!(
            KNOWN.map(|service| service.variable()),
            variables.map(|name| format!("SESSION_TEST_{name}"))
        );
    }
}
