//! URLs with options of libpq, which sqlx reads, and of this driver, which it does not know.

use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use session_core::{Error, ErrorKind, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::config::PostgresConfig;
use crate::server::host_list;

/// What sqlx takes from a URL. It logs the value of any other option, so that none must get there.
const OF_LIBPQ: [&str; 11] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
];

pub(super) fn parse(url: &str) -> Result<PostgresConfig> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = base.split_once("://").unwrap_or_default();
    if !["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(mistake("a server's URL begins with `postgres://` or `postgresql://`"));
    }
    // The rest of a password, which would be read as the database or nothing, and its beginning as a port.
    if rest.contains('#') || rest.split_once('/').is_some_and(|(_, database)| database.contains('@')) {
        return Err(mistake(
            "the characters `#`, `/`, `?` and `@` in a name or a password are written `%23`, `%2F`, `%3F` and `%40`",
        ));
    }
    let mut of_libpq: Vec<&str> = Vec::new();
    let mut own: Vec<(String, String)> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut trusts_system = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| mistake("options are written `?name=value&name=value`"))?;
        let name = decode(name)?;
        if matches!(&*name, "host" | "hostaddr" | "port") && decode(value)?.contains(',') {
            return Err(mistake(
                "several hosts are written where one is: `postgres://role@host:5432,host:5433/db`",
            ));
        }
        if seen.contains(&name) {
            return Err(mistake(format!("the option `{name}` is given twice")));
        }
        if name == "sslrootcert" && value == "system" {
            trusts_system = true;
        } else if name == "user" || OF_LIBPQ.contains(&name.as_str()) {
            of_libpq.push(pair);
        } else {
            own.push((name.clone(), decode(value)?));
        }
        seen.push(name);
    }
    let urls = host_list::split(rest).map_err(mistake)?;
    if urls.len() > 1 && ["host", "hostaddr", "port"].iter().any(|name| seen.iter().any(|seen| seen == name))
    {
        return Err(mistake(
            "the options `host`, `hostaddr` and `port` have no place beside a list of hosts",
        ));
    }
    let trust = Trust {
        of_system: trusts_system,
        is_root_given: seen.iter().any(|name| name == "sslrootcert") || is_set("PGSSLROOTCERT"),
        is_mode_given: seen.iter().any(|name| name == "sslmode") || is_set("PGSSLMODE"),
    };
    let mut servers = Vec::new();
    for rest in urls {
        let connection: PgConnectOptions = format!("postgres://{rest}?{}", of_libpq.join("&"))
            .parse()
            // Without sqlx's own error, which quotes values.
            .map_err(|_| mistake("the `postgres:` URL, or one of its options, cannot be read"))?;
        servers.push(trust.apply(connection)?);
    }
    let mut config = PostgresConfig::new(servers.remove(0));
    config.alternatives = servers;
    own.into_iter().try_fold(config, apply)
}

/// What is said of the servers' certificates.
struct Trust {
    of_system: bool,
    is_root_given: bool,
    is_mode_given: bool,
}

impl Trust {
    /// As libpq does, and as who names an authority means it: sqlx would look at no certificate.
    fn apply(&self, connection: PgConnectOptions) -> Result<PgConnectOptions> {
        Ok(match connection.get_ssl_mode() {
            PgSslMode::VerifyFull if self.of_system => connection,
            _ if self.of_system && !self.is_mode_given => connection.ssl_mode(PgSslMode::VerifyFull),
            // Anybody may have a certificate of those authorities.
            _ if self.of_system => {
                return Err(mistake("`sslrootcert=system` goes with `sslmode=verify-full` only"));
            }
            PgSslMode::Require if self.is_root_given => connection.ssl_mode(PgSslMode::VerifyCa),
            PgSslMode::Prefer if self.is_root_given && !self.is_mode_given => {
                connection.ssl_mode(PgSslMode::VerifyCa)
            }
            _ => connection,
        })
    }
}

/// Whether the environment says it, where sqlx finds what the URL leaves out.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn apply(mut config: PostgresConfig, (name, value): (String, String)) -> Result<PostgresConfig> {
    match name.as_str() {
        "table" => config.table = value,
        "target_session_attrs" => {
            let target = value.parse().map_err(|()| {
                mistake("`target_session_attrs` is `read-write` or `any`, as sessions are written")
            })?;
            config.target_session = Some(target);
        }
        "max_connections" => config.max_connections = read(&name, &value)?,
        "queue_capacity" => config.queue_capacity = read(&name, &value)?,
        "statement_cache" => config.statement_cache = read(&name, &value)?,
        "auto_migrate" => config.auto_migrate = read(&name, &value)?,
        "unlogged" => config.unlogged = read(&name, &value)?,
        "acquire_timeout" => config.acquire_timeout = Duration::from_millis(read(&name, &value)?),
        "statement_timeout" => config.statement_timeout = Duration::from_millis(read(&name, &value)?),
        "lock_timeout" => config.lock_timeout = Duration::from_millis(read(&name, &value)?),
        "connect_timeout" => config.connect_timeout = Duration::from_secs(read(&name, &value)?),
        _ => return Err(mistake(format!("`postgres:` has no option `{name}`"))),
    }
    Ok(config)
}

fn read<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| mistake(format!("the option `{name}` cannot have this value")))
}

fn decode(text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(mistake("an option is not UTF-8")),
    }
}

fn mistake(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::describe(ErrorKind::Config, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TargetSession;

    #[test]
    fn options_of_libpq_and_of_the_driver_stand_side_by_side() {
        let config = parse(
            "postgresql://role:p%40ss@host:1234/db?sslmode=require&table=web.sessions&application_name=shop%20x\
             &max_connections=3&queue_capacity=4&statement_cache=false&auto_migrate=true&connect_timeout=7\
             &unlogged=true&acquire_timeout=8&statement_timeout=9&lock_timeout=10",
        )
        .unwrap();
        let connection = &config.connection;
        assert_eq!((connection.get_host(), connection.get_port()), ("host", 1234));
        assert_eq!((connection.get_username(), connection.get_database()), ("role", Some("db")));
        assert_eq!(connection.get_application_name(), Some("shop x"));
        assert_eq!(config.table, "web.sessions");
        assert_eq!((config.max_connections.get(), config.queue_capacity.get()), (3, 4));
        assert!(!config.statement_cache && config.auto_migrate && config.unlogged);
        assert_eq!(config.connect_timeout, Duration::from_secs(7));
        assert_eq!(config.acquire_timeout, Duration::from_millis(8));
        assert_eq!(config.statement_timeout, Duration::from_millis(9));
        assert_eq!(config.lock_timeout, Duration::from_millis(10));
    }

    #[test]
    fn a_socket_is_a_host() {
        for url in ["postgres:///db?host=/run/postgresql", "postgres://%2Frun%2Fpostgresql/db"] {
            assert_eq!(
                parse(url).unwrap().connection.get_socket().unwrap().to_str(),
                Some("/run/postgresql")
            );
        }
    }

    #[test]
    fn several_hosts_share_everything_else() {
        let config =
            parse("postgres://role:x@[::1]:1,%2Frun%2Fpostgresql,b/db?sslrootcert=ca.pem&table=t").unwrap();
        let servers = || std::iter::once(&config.connection).chain(&config.alternatives);
        let places: Vec<_> = servers().map(crate::postgres::config::address).collect();
        assert_eq!(places, ["[::1]:1", "/run/postgresql:5432", "b:5432"]);
        for server in servers() {
            assert_eq!((server.get_username(), server.get_database()), ("role", Some("db")));
            assert!(matches!(server.get_ssl_mode(), PgSslMode::VerifyCa));
        }
        assert_eq!((config.table.as_str(), config.target_session), ("t", None));
        for (value, expected) in [("any", TargetSession::Any), ("read-write", TargetSession::ReadWrite)] {
            let config = parse(&format!("postgres://role@host/db?target_session_attrs={value}")).unwrap();
            assert_eq!(config.target_session, Some(expected));
        }
    }

    #[test]
    fn an_authority_is_given_to_be_asked() {
        for (options, expected) in [
            ("", "Prefer"),
            ("sslmode=require", "Require"),
            ("sslrootcert=ca.pem", "VerifyCa"),
            ("sslmode=require&sslrootcert=ca.pem", "VerifyCa"),
            ("sslrootcert=ca.pem&sslmode=verify-full", "VerifyFull"),
            ("sslmode=prefer&sslrootcert=ca.pem", "Prefer"),
            ("sslmode=disable&sslrootcert=ca.pem", "Disable"),
            ("sslrootcert=system", "VerifyFull"),
            ("sslrootcert=system&sslmode=verify-full", "VerifyFull"),
        ] {
            let config = parse(&format!("postgres://role@host/db?{options}")).unwrap();
            assert_eq!(format!("{:?}", config.connection.get_ssl_mode()), expected, "{options}");
        }
    }

    #[test]
    fn a_mistake_is_named_and_values_are_not_shown() {
        for (url, name) in [
            ("", "postgres://"),
            ("mysql://role:hunter2@host/db", "postgres://"),
            ("postgres:role:hunter2", "postgres://"),
            ("postgres://role:hunter2@host:port/db", "cannot be read"),
            ("postgres://role:hunter2#x@host/db", "%23"),
            ("postgres://role:12#hunter2@host/db", "%23"),
            ("postgres://role:12/hunter2@host/db", "%2F"),
            ("postgres://role:12,hunter2/x@a,b/db", "%2F"),
            ("postgres://role:hunter2@a,,b/db", "list of hosts"),
            ("postgres://role:hunter2@a,b,/db", "list of hosts"),
            ("postgres://role:hunter2@a,b:hunter2/db", "cannot be read"),
            ("postgres://role:hunter2@a,:5432/db", "cannot be read"),
            ("postgres://role:hunter2@a,b/db?host=c", "`host`"),
            ("postgres://role:hunter2@a,b/db?port=1", "`port`"),
            ("postgres://role:hunter2@a/db?host=b,c", "host:5433"),
            ("postgres://role:hunter2@a/db?port=1%2C2", "host:5433"),
            ("postgres://role@a,b/db?target_session_attrs=hunter2", "`target_session_attrs`"),
            ("postgres://role@a,b/db?target_session_attrs=standby", "`target_session_attrs`"),
            ("postgres://role@host/db?tabel=hunter2", "`tabel`"),
            ("postgres://role@host/db?channel_binding=hunter2", "`channel_binding`"),
            ("postgres://role@host/db?table=hunter2&table=hunter2", "`table`"),
            ("postgres://role@host/db?sslmode=require&sslmode=disable", "`sslmode`"),
            ("postgres://role@host/db?sslmode=hunter2", "cannot be read"),
            ("postgres://role@host/db?sslmode=verify-ca&sslrootcert=system", "`sslmode=verify-full`"),
            ("postgres://role@host/db?port=hunter2", "cannot be read"),
            ("postgres://role@host/db?max_connections=0", "`max_connections`"),
            ("postgres://role@host/db?queue_capacity=hunter2", "`queue_capacity`"),
            ("postgres://role@host/db?auto_migrate=hunter2", "`auto_migrate`"),
            ("postgres://role@host/db?unlogged=hunter2", "`unlogged`"),
            ("postgres://role@host/db?lock_timeout=-1", "`lock_timeout`"),
            ("postgres://role@host/db?hunter2", "options are written"),
            ("postgres://role@host/db?table=%ff", "UTF-8"),
        ] {
            let error = parse(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(shown.contains(name) && !shown.contains("hunter2"), "{url}: {shown}");
            assert!(std::error::Error::source(&error).is_none(), "{url}");
        }
    }
}
