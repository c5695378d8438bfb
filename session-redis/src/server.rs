//! Whether a server is one that sessions may be kept on: its version, its role, and what it does when its
//! memory is full.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind as Redis, RedisResult, Value, from_redis_value};
use session_core::{Error, ErrorKind, Result};

use crate::config::OnEviction;
use crate::connection::Failure;
use crate::error::{CLUSTER, REPLICA, from_redis};
use crate::servers::Servers;

/// `ZADD` takes `GT` from this version on.
const OLDEST: (u32, u32) = (6, 2);

/// What a server is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Standalone,
    #[cfg(feature = "cluster")]
    Cluster,
}

/// Looks at the server at the other end of a new connection. HELLO answers whatever the user's rights.
pub(crate) async fn inspect(link: &mut MultiplexedConnection, expected: Mode) -> Result<(), Failure> {
    let reply: HashMap<String, Value> = redis::cmd("HELLO").arg(3).query_async(link).await?;
    let text = |field: &str| -> String {
        reply.get(field).cloned().and_then(|value| from_redis_value(value).ok()).unwrap_or_default()
    };
    judge(expected, &text("version"), &text("mode"), &text("role"))
}

fn judge(expected: Mode, version: &str, mode: &str, role: &str) -> Result<(), Failure> {
    let refused = |kind, detail: String| Err(Failure::Refused(kind, detail));
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => {}
        (Some(major), Some(minor)) => {
            let detail = format!("the server has version {major}.{minor}; sessions need 6.2 or later");
            return refused(ErrorKind::Config, detail);
        }
        _ => return refused(ErrorKind::Config, "the server does not tell its version".to_owned()),
    }
    #[cfg(feature = "cluster")]
    let is_expected = (mode == "cluster") == (expected == Mode::Cluster);
    #[cfg(not(feature = "cluster"))]
    let is_expected = expected == Mode::Standalone && mode != "cluster";
    match (mode, role) {
        ("sentinel", _) => {
            refused(ErrorKind::Config, "the server is a sentinel, which keeps no data".to_owned())
        }
        ("cluster", _) if !is_expected => refused(ErrorKind::Config, CLUSTER.to_owned()),
        _ if !is_expected => refused(
            ErrorKind::Config,
            "the server is not part of a cluster; its URL begins with `redis:`".to_owned(),
        ),
        // It may be promoted, or the name lead elsewhere, a moment later.
        (_, "replica" | "slave") => refused(ErrorKind::Unavailable, REPLICA.to_owned()),
        _ => Ok(()),
    }
}

/// Refuses a server that may throw sessions away: a session lost is a user signed out, and an index lost is a
/// session that nobody can revoke.
pub(crate) async fn check_eviction(servers: &Servers, on_eviction: OnEviction) -> Result<()> {
    if on_eviction == OnEviction::Allow {
        return Ok(());
    }
    // INFO says what CONFIG GET says, and managed servers and careful users have it where CONFIG is denied.
    for reply in servers.ask_every_server(redis::cmd("INFO").arg("memory")).await? {
        check_answer(reply)?;
    }
    Ok(())
}

fn check_answer(reply: RedisResult<Value>) -> Result<()> {
    let reply = match reply {
        Ok(value) => value,
        Err(error) if matches!(error.kind(), Redis::Server(_) | Redis::Extension) => {
            let detail = "the server does not say by `INFO memory` whether it evicts sessions; \
                          give the user that right, or allow eviction";
            return Err(Error::describe(ErrorKind::Config, detail));
        }
        Err(error) => return Err(from_redis(&error)),
    };
    let text: String = from_redis_value(reply).unwrap_or_default();
    match evicting_policy(&text) {
        Ok(None) => Ok(()),
        Ok(Some(policy)) => {
            let detail = format!(
                "the server evicts keys when its memory is full (`maxmemory-policy {policy}`): sessions would be \
                 lost; set `noeviction`, or allow eviction"
            );
            Err(Error::describe(ErrorKind::Config, detail))
        }
        Err(()) => {
            let detail =
                "the server's `INFO memory` does not tell its eviction policy; allow eviction if it has none";
            Err(Error::describe(ErrorKind::Config, detail))
        }
    }
}

/// The policy by which the server evicts; `None` if it does not, an error if it does not say.
fn evicting_policy(info: &str) -> Result<Option<&str>, ()> {
    let field = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim())
    };
    match (field("maxmemory"), field("maxmemory_policy")) {
        (Some("0"), _) | (_, Some("noeviction")) => Ok(None),
        (Some(_), Some(policy)) if policy.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') => {
            Ok(Some(policy))
        }
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(version: &str, mode: &str, role: &str) -> Option<ErrorKind> {
        judged_for(Mode::Standalone, version, mode, role)
    }

    fn judged_for(expected: Mode, version: &str, mode: &str, role: &str) -> Option<ErrorKind> {
        match judge(expected, version, mode, role) {
            Ok(()) => None,
            Err(Failure::Refused(kind, _)) => Some(kind),
            Err(Failure::Redis(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn versions_from_6_2_on_are_taken() {
        for version in ["6.2.0", "6.2.14", "6.10.0", "7.0.15", "8.1.3", "10.0", "255.255.255"] {
            assert_eq!(judged(version, "standalone", "master"), None, "{version}");
        }
        for version in ["6.0.16", "6.1.241", "5.0.7", "", "seven", "7"] {
            assert_eq!(judged(version, "standalone", "master"), Some(ErrorKind::Config), "{version}");
        }
    }

    #[test]
    fn only_a_single_master_is_taken() {
        for (mode, role, kind) in [
            ("cluster", "master", ErrorKind::Config),
            ("sentinel", "", ErrorKind::Config),
            ("standalone", "replica", ErrorKind::Unavailable),
            ("standalone", "slave", ErrorKind::Unavailable),
        ] {
            assert_eq!(judged("7.0.0", mode, role), Some(kind), "{mode} {role}");
        }
        assert_eq!(judged("7.0.0", "standalone", "master"), None);
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn only_masters_of_a_cluster_are_taken_for_nodes() {
        for (mode, role, kind) in [
            ("cluster", "master", None),
            ("cluster", "replica", Some(ErrorKind::Unavailable)),
            ("standalone", "master", Some(ErrorKind::Config)),
            ("sentinel", "", Some(ErrorKind::Config)),
        ] {
            assert_eq!(judged_for(Mode::Cluster, "7.0.0", mode, role), kind, "{mode} {role}");
        }
    }

    #[test]
    fn a_limit_with_a_policy_evicts() {
        for (info, policy) in [
            ("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", Ok(None)),
            ("maxmemory:100\r\nmaxmemory_policy:noeviction\r\n", Ok(None)),
            ("maxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n", Ok(Some("allkeys-lru"))),
            ("maxmemory:100\nmaxmemory_policy:volatile-ttl\n", Ok(Some("volatile-ttl"))),
            ("used_memory:100\r\n", Err(())),
            ("maxmemory:100\r\n", Err(())),
            ("", Err(())),
        ] {
            assert_eq!(evicting_policy(info), policy, "{info}");
        }
    }
}
