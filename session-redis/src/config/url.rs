//! URLs of one server, of a cluster's nodes, and of sentinels.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use session_core::{Error, ErrorKind, Result};

use super::{RedisConfig, RedisTls, RedisTopology};

/// Where sentinels listen.
const SENTINEL_PORT: u16 = 26379;

impl RedisConfig {
    /// The servers at a URL. `rediss` instead of `redis` encrypts all connections; user and password are
    /// percent-decoded, and those of the servers with the data: sentinels have [their own](RedisTopology::Sentinel).
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` | one server |
    /// | `redis[s]-cluster://[[USER]:PASSWORD@]HOST[:PORT],..` | a cluster, found through any of these nodes |
    /// | `redis[s]-sentinel://[[USER]:PASSWORD@]HOST[:PORT],../MASTER[/DATABASE]` | the master of this name, by these sentinels (port 26379) |
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if it is not such a URL, or goes on with `?` or `#`. The error does not show it.
    pub fn from_url(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(misshapen)?;
        let scheme = scheme.to_ascii_lowercase();
        let (transport, kind) = scheme.split_once('-').unwrap_or((&scheme, ""));
        let tls = match transport {
            "redis" => RedisTls::Off,
            "rediss" => RedisTls::SystemRoots,
            _ => return Err(misshapen()),
        };
        // The client would take some options of its own there, and pass over all others.
        if rest.contains(['?', '#']) {
            return Err(misshapen());
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let hosts: Vec<&str> = hosts.split(',').collect();
        let (topology, default_port, database) = match kind {
            "" if hosts.len() == 1 => (RedisTopology::Standalone, None, path),
            "cluster" if matches!(path, "" | "0") => (RedisTopology::Cluster, None, ""),
            "sentinel" => {
                let (name, database) = path.split_once('/').unwrap_or((path, ""));
                // The characters that sentinels take.
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                if name.is_empty() || !name.bytes().all(is_name) {
                    return Err(misshapen());
                }
                let master_name = name.to_owned();
                let topology = RedisTopology::Sentinel { master_name, username: None, password: None };
                (topology, Some(SENTINEL_PORT), database)
            }
            _ => return Err(misshapen()),
        };
        let mut addresses = Vec::with_capacity(hosts.len());
        for host in hosts {
            addresses.push(address(&parse(&format!("redis://{}", with_port(host, default_port)))?)?);
        }
        let (host, port) = addresses.remove(0);
        let user = if authority.contains('@') { format!("{user}@") } else { String::new() };
        // The client knows how to read the rest.
        let info = parse(&format!("redis://{user}host/{database}"))?;
        let redis = info.redis_settings();
        let database = u32::try_from(redis.db()).map_err(|_| misshapen())?;
        let (username, password) = (redis.username().map(str::to_owned), redis.password().map(str::to_owned));
        let more_hosts = addresses;
        Ok(Self { port, more_hosts, topology, tls, username, password, database, ..Self::new(host) })
    }
}

fn parse(url: &str) -> Result<ConnectionInfo> {
    url.into_connection_info().map_err(|_| misshapen())
}

fn address(info: &ConnectionInfo) -> Result<(String, u16)> {
    match info.addr().clone() {
        ConnectionAddr::Tcp(host, port) => Ok((host, port)),
        _ => Err(misshapen()),
    }
}

fn with_port(host: &str, default: Option<u16>) -> String {
    // The colons of an address of version 6 stand in brackets.
    let has_port = host.rsplit_once(']').map_or(host, |(_, rest)| rest).contains(':');
    match default {
        Some(port) if !has_port => format!("{host}:{port}"),
        _ => host.to_owned(),
    }
}

fn misshapen() -> Error {
    let detail = "a Redis URL is `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, \
                  `redis[s]-cluster://[..@]HOST[:PORT],..` or \
                  `redis[s]-sentinel://[..@]HOST[:PORT],../MASTER[/DATABASE]`, \
                  with user and password percent-encoded";
    Error::describe(ErrorKind::Config, detail)
}
