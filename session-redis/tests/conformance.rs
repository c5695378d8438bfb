//! The conformance suite on this driver, against the server that `SESSION_TEST_REDIS` names. The other topologies
//! run the same.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::{Damage, Harness, Promises, async_trait};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo as _, RedisError, Role};
use session_core::{Error, ErrorKind, Result, SessionBackend, SessionId};
use session_redis::{RedisBackend, RedisConfig, RedisTls, RedisTopology};

/// Namespaces are prefixes, without a separator, so that one may be the beginning of another.
#[derive(Debug)]
struct Redis {
    name: &'static str,
    server: RedisConfig,
}

/// Where the suite waits no longer for what does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The limits of those who talk to a server that may not answer.
const SHORT: Duration = Duration::from_secs(3);

impl Redis {
    /// With limits that no machine is too busy for.
    fn config(&self, namespace: &str) -> RedisConfig {
        let config = self.server.clone().with_prefix(namespace);
        config.with_connect_timeout(PATIENCE).with_response_timeout(PATIENCE)
    }

    /// Whether the driver goes where it is told: others tell it where to go on, and a certificate where it may.
    fn has_one_address(&self) -> bool {
        self.server.topology == RedisTopology::Standalone && self.server.tls == RedisTls::Off
    }

    async fn connect(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(Arc::new(RedisBackend::connect(self.config(namespace)).await?))
    }

    /// Connections that the driver does not know of, one to each server with keys of its own.
    async fn raw(&self) -> Result<Masters> {
        let RedisConfig { host, port, more_hosts, topology, .. } = &self.server;
        let mut hosts = vec![(host.clone(), *port)];
        match topology {
            RedisTopology::Sentinel { master_name, .. } => {
                let sentinel = format!("redis://{host}:{port}");
                let mut sentinel = self.raw_to(Client::open(sentinel).map_err(internal)?).await?;
                let question: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", master_name.as_bytes()];
                hosts = vec![ask_one(&mut sentinel, &question).await.map_err(internal)?];
            }
            _ => hosts.extend(more_hosts.iter().cloned()),
        }
        let mut masters = Vec::new();
        for (host, port) in hosts {
            let mut connection = self.raw_to(self.client(&host, port)?).await?;
            let role: Role = ask_one(&mut connection, &[b"ROLE"]).await.map_err(internal)?;
            if matches!(role, Role::Primary { .. }) {
                masters.push(connection);
            }
        }
        Ok(Masters(masters))
    }

    fn client(&self, host: &str, port: u16) -> Result<Client> {
        let scheme = if self.server.tls == RedisTls::Off { "redis" } else { "rediss" };
        let info = format!("{scheme}://{host}:{port}/{}", self.server.database);
        let info = info.into_connection_info().map_err(internal)?;
        let mut redis = info.redis_settings().clone();
        if let Some(password) = &self.server.password {
            redis = redis.set_username(self.server.username.as_deref().unwrap_or("default"));
            redis = redis.set_password(password);
        }
        let info = info.set_redis_settings(redis);
        let client = match &self.server.tls {
            #[cfg(feature = "tls")]
            RedisTls::Roots(pem) => {
                let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, certificates)
            }
            _ => Client::open(info),
        };
        client.map_err(internal)
    }

    async fn raw_to(&self, client: Client) -> Result<MultiplexedConnection> {
        // The client's own limits are half a second and a second.
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        client.get_multiplexed_async_connection_with_config(&limits).await.map_err(internal)
    }

    /// The keys that begin with the namespace, those of longer namespaces included.
    async fn keys(&self, namespace: &str) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        for mut connection in self.raw().await?.0 {
            let mut cursor = 0_u64;
            loop {
                let mut command = redis::cmd("SCAN");
                command.arg(cursor).arg("COUNT").arg(10_000);
                let (next, names): (u64, Vec<Vec<u8>>) =
                    command.query_async(&mut connection).await.map_err(internal)?;
                keys.extend(names.into_iter().filter(|name| name.starts_with(namespace.as_bytes())));
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(keys)
    }
}

/// Connections to all servers with keys of their own.
struct Masters(Vec<MultiplexedConnection>);

/// Asks the server that has the key.
async fn ask<T: FromRedisValue>(masters: &mut Masters, parts: &[&[u8]]) -> Result<T> {
    for master in &mut masters.0 {
        match ask_one(master, parts).await {
            // Another one has it.
            Err(error) if error.redirect_node().is_some() => {}
            answer => return answer.map_err(internal),
        }
    }
    Err(Error::describe(ErrorKind::Internal, "no master serves the key"))
}

async fn ask_one<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    parts: &[&[u8]],
) -> std::result::Result<T, RedisError> {
    let mut command = redis::Cmd::new();
    for part in parts {
        command.arg(*part);
    }
    command.query_async(connection).await
}

#[async_trait]
impl Harness for Redis {
    fn name(&self) -> &str {
        self.name
    }

    fn promises(&self) -> Promises {
        let promises = Promises::default()
            .with_list()
            .with_native_expiry()
            .with_expiry_slack(RedisConfig::new("").expiry_slack)
            .with_durability()
            .with_shared_handles()
            .with_scan()
            .with_damage();
        if self.has_one_address() { promises.with_network() } else { promises }
    }

    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        self.connect(namespace).await
    }

    /// Also those that a glob would take for it, and those that its own keys begin with.
    fn similar_namespaces(&self, namespace: &str) -> Vec<String> {
        let all_but_the_last = &namespace[..namespace.len() - 1];
        vec![
            format!("{namespace}b"),
            format!("{namespace}principal:"),
            all_but_the_last.to_owned(),
            format!("{all_but_the_last}?"),
            format!("{all_but_the_last}*"),
            format!("{all_but_the_last}[0-9a-f]"),
            format!("{{{namespace}}}"),
        ]
    }

    async fn second_handle(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    async fn server(&self) -> Result<Option<SocketAddr>> {
        if !self.has_one_address() {
            return Ok(None);
        }
        let mut found = (self.server.host.as_str(), self.server.port)
            .to_socket_addrs()
            .map_err(|error| Error::new(ErrorKind::Config, error))?;
        Ok(found.next())
    }

    async fn open_through(
        &self,
        namespace: &str,
        address: SocketAddr,
    ) -> Result<Option<Arc<dyn SessionBackend>>> {
        let mut config = self.config(namespace).with_port(address.port());
        config.host = address.ip().to_string();
        let config = config.with_connect_timeout(SHORT).with_response_timeout(SHORT);
        Ok(Some(Arc::new(RedisBackend::connect(config).await?)))
    }

    async fn reopen(&self, namespace: &str) -> Result<Option<Arc<dyn SessionBackend>>> {
        self.connect(namespace).await.map(Some)
    }

    async fn scan(&self, namespace: &str) -> Result<Option<Vec<Bytes>>> {
        let mut connection = self.raw().await?;
        let mut pieces: Vec<Bytes> = Vec::new();
        for key in self.keys(namespace).await? {
            let kind: String = ask(&mut connection, &[b"TYPE", &key]).await?;
            let values: Vec<Vec<u8>> = match kind.as_str() {
                "string" => vec![ask(&mut connection, &[b"GET", &key]).await?],
                "zset" => ask(&mut connection, &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"]).await?,
                // It has expired since.
                _ => Vec::new(),
            };
            pieces.push(key.into());
            pieces.extend(values.into_iter().map(Bytes::from));
        }
        Ok(Some(pieces))
    }

    async fn damage(&self, namespace: &str, id: SessionId, damage: Damage) -> Result<Option<bool>> {
        let key = [namespace.as_bytes(), id.as_bytes()].concat();
        let mut connection = self.raw().await?;
        let stored: Option<Vec<u8>> = ask(&mut connection, &[b"GET", &key]).await?;
        let Some(stored) = stored else { return Ok(Some(false)) };
        let Some(spoilt) = spoil(&stored, damage) else { return Ok(None) };
        ask::<()>(&mut connection, &[b"SET", &key, &spoilt, b"KEEPTTL"]).await?;
        Ok(Some(true))
    }

    async fn time_to_live(&self, namespace: &str, id: SessionId) -> Result<Option<Duration>> {
        let key = [namespace.as_bytes(), id.as_bytes()].concat();
        let left: i64 = ask(&mut self.raw().await?, &[b"PTTL", &key]).await?;
        Ok(Some(match left {
            // A key without an end, and no key.
            -1 => Duration::MAX,
            -2 => Duration::ZERO,
            millis => Duration::from_millis(millis.unsigned_abs()),
        }))
    }

    async fn open_with_slack(
        &self,
        namespace: &str,
        slack: Duration,
    ) -> Result<Option<Arc<dyn SessionBackend>>> {
        let config = self.config(namespace).with_expiry_slack(slack);
        Ok(Some(Arc::new(RedisBackend::connect(config).await?)))
    }

    async fn discard(&self, namespace: &str) {
        let discarded = async {
            let mut connection = self.raw().await?;
            for key in self.keys(namespace).await? {
                ask::<()>(&mut connection, &[b"UNLINK", &key]).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = discarded.await {
            eprintln!("{namespace} is left behind: {error}");
        }
    }
}

/// A record of format 1 with other bookkeeping or values, its lengths put right.
fn spoil(stored: &[u8], damage: Damage) -> Option<Vec<u8>> {
    let number = |at: usize, len: usize| {
        stored[at..at + len].iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let meta = 37 + number(27, 2).saturating_sub(1);
    let data = meta + number(29, 4);
    if damage == Damage::Unreadable {
        // No format has this number.
        return Some([&[0], &stored[1..]].concat());
    }
    let (meta, data, start) = match damage {
        Damage::Meta(bytes) => (bytes, Bytes::copy_from_slice(&stored[data..]), &stored[..meta]),
        Damage::Data(bytes) => (Bytes::copy_from_slice(&stored[meta..data]), bytes, &stored[..meta]),
        _ => return None,
    };
    let mut spoilt = start.to_vec();
    spoilt[29..33].copy_from_slice(&u32::try_from(meta.len()).ok()?.to_be_bytes());
    spoilt[33..37].copy_from_slice(&u32::try_from(data.len()).ok()?.to_be_bytes());
    spoilt.extend(meta);
    spoilt.extend(data);
    Some(spoilt)
}

fn internal(error: RedisError) -> Error {
    Error::new(ErrorKind::Internal, error)
}

/// The configuration that a URL of `cargo xtask services` stands for.
fn server(url: &str) -> Result<RedisConfig> {
    let (url, authority) = url.split_once("?ca_file=").map_or((url, None), |(url, file)| (url, Some(file)));
    let config = RedisConfig::from_url(url)?;
    Ok(match authority {
        Some(file) => config.with_tls(RedisTls::Roots(std::fs::read(file).map_err(|error| {
            Error::new(ErrorKind::Config, error).with_detail("no certificate of an authority")
        })?)),
        None => config,
    })
}

/// Runs the suite against the server that the variable names.
pub(crate) fn run(name: &'static str, variable: &str, expected: &str) -> ExitCode {
    match env::var(variable).map(|url| server(&url)) {
        Ok(Ok(server)) => conformance_tests::run(Redis { name, server }, expected),
        Ok(Err(error)) => {
            eprintln!("{name}: {variable} is not understood: {error}");
            ExitCode::FAILURE
        }
        Err(_) if env::var_os("SESSION_TEST_ALLOW_MISSING").is_some_and(|value| value == "1") => {
            eprintln!("{name}: not tested, {variable} is not set");
            ExitCode::SUCCESS
        }
        Err(_) => {
            eprintln!("{name}: {variable} names no server (SESSION_TEST_ALLOW_MISSING=1 to do without)");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    run("redis", "SESSION_TEST_REDIS", "tests/conformance.expected")
}
