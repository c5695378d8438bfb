//! From a URL to a store: one arm per driver, each compiled in by its feature.

use std::sync::Arc;

use session_core::{
    Error, ErrorKind, Janitor, Result, SessionBackend, SessionManager, SessionManagerBuilder,
};

use crate::url::StoreUrl;

/// A manager of sessions in the store at `url`, with the default settings and a
/// [`Janitor`] that sweeps expired sessions while a clone of the manager lives.
///
/// ```
/// # async fn example() -> session_kit::Result<()> {
/// let sessions = session_kit::connect("memory:").await?;
/// # let _ = sessions; Ok(()) }
/// ```
///
/// # Errors
///
/// [`Config`](ErrorKind::Config) for an unknown scheme, an unknown option, a value that cannot be, or a
/// driver that is not compiled in: the error names the feature. Those of the store otherwise.
pub async fn connect(url: &str) -> Result<SessionManager> {
    builder(url).await?.build()
}

/// The same, for changing settings before [`build`](SessionManagerBuilder::build). The janitor is on here, too;
/// [`janitor(None)`](SessionManagerBuilder::janitor) turns it off.
///
/// # Errors
///
/// Those of [`connect`].
pub async fn builder(url: &str) -> Result<SessionManagerBuilder> {
    Ok(SessionManager::builder(backend(url).await?).janitor(Janitor::new()))
}

/// The store itself, for layers and copies.
///
/// # Errors
///
/// Those of [`connect`].
pub async fn backend(url: &str) -> Result<Arc<dyn SessionBackend>> {
    let parsed = StoreUrl::parse(url)?;
    match parsed.scheme() {
        "file" => file(parsed).await,
        "memory" => memory(parsed),
        "mysql" | "mariadb" => mysql(url).await,
        "postgres" | "postgresql" => postgres(url).await,
        "redis" | "rediss" => redis(parsed).await,
        "redis-cluster" | "rediss-cluster" => redis_cluster(parsed).await,
        "redis-sentinel" | "rediss-sentinel" => redis_sentinel(parsed).await,
        "sqlite" => sqlite(parsed).await,
        other => {
            let detail = format!(
                "no store has the scheme `{other}:`; known are `memory:`, `file:PATH`, `sqlite:PATH`, \
                 `postgres://`, `mysql://`, `mariadb://`, `redis[s]://HOST`, `redis[s]-cluster://HOST,..` and \
                 `redis[s]-sentinel://HOST,../MASTER`"
            );
            Err(Error::describe(ErrorKind::Config, detail))
        }
    }
}

#[cfg(feature = "file")]
async fn file(mut url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    use std::time::Duration;

    use session_file::{FileBackend, FileConfig};

    let mut config = FileConfig::new(url.path()?);
    if let Some(durability) = durability(&mut url)? {
        config = config.with_durability(durability);
    }
    if let Some(millis) = url.option("busy_timeout")? {
        config = config.with_busy_timeout(Duration::from_millis(millis));
    }
    if let Some(threads) = url.option("threads")? {
        config = config.with_threads(threads);
    }
    if let Some(create) = url.option("create")? {
        config = config.with_create_if_missing(create);
    }
    url.finish()?;
    Ok(Arc::new(FileBackend::connect(config).await?))
}

/// What stores with files of their own take.
#[cfg(any(feature = "file", feature = "sqlite"))]
fn durability(url: &mut StoreUrl) -> Result<Option<session_core::Durability>> {
    use session_core::Durability;

    match url.option::<String>("durability")?.as_deref() {
        None => Ok(None),
        Some("process-crash") => Ok(Some(Durability::ProcessCrash)),
        Some("power-loss") => Ok(Some(Durability::PowerLoss)),
        Some(_) => {
            let detail = "`durability` is `process-crash` or `power-loss`";
            Err(Error::describe(ErrorKind::Config, detail))
        }
    }
}

#[cfg(feature = "memory")]
fn memory(mut url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    use session_memory::{MemoryBackend, MemoryConfig};

    let mut config = MemoryConfig::new();
    if let Some(capacity) = url.option("capacity")? {
        config = config.with_capacity(capacity);
    }
    url.finish_without_path()?;
    Ok(Arc::new(MemoryBackend::with_config(config)))
}

#[cfg(feature = "sqlite")]
async fn sqlite(mut url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    use std::time::Duration;

    use session_sql::sqlite::{SqliteBackend, SqliteConfig};

    let mut config = SqliteConfig::new(url.path()?);
    if let Some(table) = url.option::<String>("table")? {
        config = config.with_table(table);
    }
    if let Some(durability) = durability(&mut url)? {
        config = config.with_durability(durability);
    }
    if let Some(millis) = url.option("busy_timeout")? {
        config = config.with_busy_timeout(Duration::from_millis(millis));
    }
    if let Some(auto_migrate) = url.option("auto_migrate")? {
        config = config.with_auto_migrate(auto_migrate);
    }
    if let Some(create) = url.option("create")? {
        config = config.with_create_if_missing(create);
    }
    url.finish()?;
    Ok(Arc::new(SqliteBackend::connect(config).await?))
}

#[cfg(feature = "redis")]
async fn redis(mut url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    use std::time::Duration;

    use session_redis::{OnEviction, RedisBackend, RedisConfig, RedisTls, RedisTopology};

    let mut config = RedisConfig::from_url(&url.server())?;
    if let Some(prefix) = url.option::<String>("prefix")? {
        config = config.with_prefix(prefix);
    }
    if let Some(millis) = url.option("connect_timeout")? {
        config = config.with_connect_timeout(Duration::from_millis(millis));
    }
    if let Some(millis) = url.option("response_timeout")? {
        config = config.with_response_timeout(Duration::from_millis(millis));
    }
    if let Some(millis) = url.option("expiry_slack")? {
        config = config.with_expiry_slack(Duration::from_millis(millis));
    }
    if let Some(replicas) = url.option("wait_replicas")? {
        config = config.with_wait_replicas(replicas);
    }
    if let Some(millis) = url.option("wait_timeout")? {
        config = config.with_wait_timeout(Duration::from_millis(millis));
    }
    if let RedisTopology::Sentinel { username, password, .. } = &mut config.topology {
        *username = url.option("sentinel_username")?;
        *password = url.option("sentinel_password")?;
    }
    if let Some(eviction) = url.option::<String>("eviction")? {
        config = config.with_on_eviction(match eviction.as_str() {
            "refuse" => OnEviction::Refuse,
            "allow" => OnEviction::Allow,
            _ => return Err(Error::describe(ErrorKind::Config, "`eviction` is `refuse` or `allow`")),
        });
    }
    if let Some(path) = url.option::<String>("ca_file")? {
        if config.tls == RedisTls::Off {
            return Err(Error::describe(ErrorKind::Config, "`ca_file` is for `rediss:`"));
        }
        let pem = std::fs::read(path).map_err(|error| {
            Error::new(ErrorKind::Config, error).with_detail("the option `ca_file` cannot be read")
        })?;
        config = config.with_tls(RedisTls::Roots(pem));
    }
    url.finish()?;
    Ok(Arc::new(RedisBackend::connect(config).await?))
}

#[cfg(feature = "redis-cluster")]
async fn redis_cluster(url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    redis(url).await
}

#[cfg(feature = "redis-sentinel")]
async fn redis_sentinel(url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    redis(url).await
}

/// The driver reads the whole URL: it is libpq's, with options of this driver among those of libpq.
#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Arc<dyn SessionBackend>> {
    use session_sql::postgres::{PostgresBackend, PostgresConfig};

    Ok(Arc::new(PostgresBackend::connect(PostgresConfig::from_url(url)?).await?))
}

/// The driver reads the whole URL: options of MySQL's clients stand among its own.
#[cfg(feature = "mysql")]
async fn mysql(url: &str) -> Result<Arc<dyn SessionBackend>> {
    use session_sql::mysql::{MysqlBackend, MysqlConfig};

    Ok(Arc::new(MysqlBackend::connect(MysqlConfig::from_url(url)?).await?))
}

#[cfg(not(feature = "file"))]
async fn file(_url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("file"))
}

#[cfg(not(feature = "memory"))]
fn memory(_url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("memory"))
}

#[cfg(not(feature = "mysql"))]
async fn mysql(_url: &str) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("mysql"))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_url: &str) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("postgres"))
}

#[cfg(not(feature = "sqlite"))]
async fn sqlite(_url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("sqlite"))
}

#[cfg(not(feature = "redis-cluster"))]
async fn redis_cluster(_url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("redis-cluster"))
}

#[cfg(not(feature = "redis-sentinel"))]
async fn redis_sentinel(_url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("redis-sentinel"))
}

#[cfg(not(feature = "redis"))]
async fn redis(_url: StoreUrl) -> Result<Arc<dyn SessionBackend>> {
    Err(not_compiled_in("redis"))
}

#[cfg(not(all(
    feature = "file",
    feature = "memory",
    feature = "mysql",
    feature = "postgres",
    feature = "redis",
    feature = "redis-cluster",
    feature = "redis-sentinel",
    feature = "sqlite"
)))]
fn not_compiled_in(feature: &'static str) -> Error {
    let detail = format!("`{feature}:` stores need the cargo feature `{feature}` of session-kit");
    Error::describe(ErrorKind::Config, detail)
}
