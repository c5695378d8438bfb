//! URLs with options of MySQL's clients, which sqlx reads, and of this driver, which it does not know.

use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use session_core::{Error, ErrorKind, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use super::config::MysqlConfig;
use crate::server::host_list;

/// What sqlx takes from a URL. It passes over any other option without a word, so that none must get there; and what
/// it would say of the session, such as its time zone, is for the driver to say.
const OF_MYSQL: [&str; 5] = ["socket", "ssl-ca", "ssl-cert", "ssl-key", "ssl-mode"];

pub(super) fn parse(url: &str) -> Result<MysqlConfig> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = base.split_once("://").unwrap_or_default();
    if !["mysql", "mariadb"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(mistake("a server's URL begins with `mysql://` or `mariadb://`"));
    }
    check_unencoded(rest, query)?;
    let mut of_mysql: Vec<&str> = Vec::new();
    let mut own: Vec<(String, String)> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| mistake("options are written `?name=value&name=value`"))?;
        let name = decode(name)?;
        if seen.contains(&name) {
            return Err(mistake(format!("the option `{name}` is given twice")));
        }
        if OF_MYSQL.contains(&name.as_str()) {
            of_mysql.push(pair);
        } else {
            own.push((name.clone(), decode(value)?));
        }
        seen.push(name);
    }
    let has = |name: &str| seen.iter().any(|seen| seen == name);
    let urls = host_list::split(rest).map_err(mistake)?;
    if urls.len() > 1 && has("socket") {
        return Err(mistake("the option `socket` has no place beside a list of hosts"));
    }
    let mut servers = Vec::new();
    for rest in urls {
        let connection: MySqlConnectOptions = format!("mysql://{rest}?{}", of_mysql.join("&"))
            .parse()
            // Without sqlx's own error, which quotes values.
            .map_err(|_| mistake("the `mysql:` URL, or one of its options, cannot be read"))?;
        servers.push(match has("ssl-ca") && !has("ssl-mode") {
            // As MySQL's clients do: sqlx would look at no certificate.
            true => connection.ssl_mode(MySqlSslMode::VerifyCa),
            false => connection,
        });
    }
    let mut config = MysqlConfig::new(servers.remove(0));
    config.alternatives = servers;
    own.into_iter().try_fold(config, apply)
}

/// Refuses what would be read as something else: the rest of a password as a port, a database, an option or nothing,
/// and an account that is not named as `root`.
fn check_unencoded(rest: &str, query: &str) -> Result<()> {
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let account = authority.rsplit_once('@').map_or("", |(account, _)| account);
    if rest.contains('#')
        || database.contains(['@', '/'])
        || account.contains('@')
        || query.contains(['#', '@'])
    {
        return Err(mistake(
            "the characters `#`, `/`, `?` and `@` in a name, a password or a value are written `%23`, `%2F`, `%3F` \
             and `%40`",
        ));
    }
    if account.is_empty() || account.starts_with(':') {
        return Err(mistake("the URL names no account, as in `mysql://account@host/database`"));
    }
    Ok(())
}

fn apply(mut config: MysqlConfig, (name, value): (String, String)) -> Result<MysqlConfig> {
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
        "acquire_timeout" => config.acquire_timeout = Duration::from_millis(read(&name, &value)?),
        "statement_timeout" => config.statement_timeout = Duration::from_millis(read(&name, &value)?),
        "lock_timeout" => config.lock_timeout = Duration::from_millis(read(&name, &value)?),
        "connect_timeout" => config.connect_timeout = Duration::from_secs(read(&name, &value)?),
        _ => return Err(mistake(format!("`mysql:` has no option `{name}`"))),
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
    fn options_of_mysql_and_of_the_driver_stand_side_by_side() {
        let config = parse(
            "MariaDB://account:p%40ss@host:1234/db?ssl-mode=REQUIRED&table=web.sessions\
             &max_connections=3&queue_capacity=4&statement_cache=false&auto_migrate=true&connect_timeout=7\
             &acquire_timeout=8&statement_timeout=9&lock_timeout=10",
        )
        .unwrap();
        let connection = &config.connection;
        assert_eq!((connection.get_host(), connection.get_port()), ("host", 1234));
        assert_eq!((connection.get_username(), connection.get_database()), ("account", Some("db")));
        assert!(matches!(connection.get_ssl_mode(), sqlx::mysql::MySqlSslMode::Required));
        assert_eq!(config.table, "web.sessions");
        assert_eq!((config.max_connections.get(), config.queue_capacity.get()), (3, 4));
        assert!(!config.statement_cache && config.auto_migrate);
        assert_eq!(config.connect_timeout, Duration::from_secs(7));
        assert_eq!(config.acquire_timeout, Duration::from_millis(8));
        assert_eq!(config.statement_timeout, Duration::from_millis(9));
        assert_eq!(config.lock_timeout, Duration::from_millis(10));
    }

    #[test]
    fn a_socket_is_an_option() {
        let config = parse("mysql://account@localhost/db?socket=/run/mysqld/mysqld.sock").unwrap();
        assert_eq!(config.connection.get_socket().unwrap().to_str(), Some("/run/mysqld/mysqld.sock"));
    }

    #[test]
    fn several_hosts_share_everything_else() {
        let config = parse("mysql://account:x@[::1]:1,b/db?ssl-ca=ca.pem&table=t").unwrap();
        let servers = || std::iter::once(&config.connection).chain(&config.alternatives);
        let places: Vec<_> = servers().map(crate::mysql::config::address).collect();
        assert_eq!(places, ["[::1]:1", "b:3306"]);
        for server in servers() {
            assert_eq!((server.get_username(), server.get_database()), ("account", Some("db")));
            assert!(matches!(server.get_ssl_mode(), MySqlSslMode::VerifyCa));
        }
        assert_eq!((config.table.as_str(), config.target_session), ("t", None));
        for (value, expected) in [("any", TargetSession::Any), ("read-write", TargetSession::ReadWrite)] {
            let config = parse(&format!("mysql://account@host/db?target_session_attrs={value}")).unwrap();
            assert_eq!(config.target_session, Some(expected));
        }
    }

    #[test]
    fn an_authority_is_given_to_be_asked() {
        for (options, checks) in [
            ("", false),
            ("ssl-ca=ca.pem", true),
            ("ssl-ca=ca.pem&ssl-mode=VERIFY_CA", true),
            ("ssl-mode=REQUIRED&ssl-ca=ca.pem", false),
        ] {
            let config = parse(&format!("mysql://account@host/db?{options}")).unwrap();
            let mode = config.connection.get_ssl_mode();
            assert_eq!(matches!(mode, MySqlSslMode::VerifyCa), checks, "{options}: {mode:?}");
        }
    }

    #[test]
    fn special_characters_are_decoded() {
        let config = parse("mysql://a%40b%3A:p%23%2F%3F@[::1]/d%2Db").unwrap();
        assert_eq!(config.connection.get_username(), "a@b:");
        assert_eq!(config.connection.get_database(), Some("d-b"));
    }

    #[test]
    fn a_mistake_is_named_and_values_are_not_shown() {
        for (url, name) in [
            ("", "mysql://"),
            ("postgres://account:hunter2@host/db", "mysql://"),
            ("mysql:account:hunter2", "mysql://"),
            ("mysql://account:hunter2@host:port/db", "cannot be read"),
            ("mysql://account:hunter2#x@host/db", "%23"),
            ("mysql://account:12/hunter2@host/db", "%2F"),
            ("mysql://account:hunter2@x@host/db", "%40"),
            ("mysql://account:1?hunter2@host/db", "%3F"),
            ("mysql://host/db", "no account"),
            ("mysql://:hunter2@host/db", "no account"),
            ("mysql://account:hunter2@a,,b/db", "list of hosts"),
            ("mysql://account:hunter2@a,b,/db", "list of hosts"),
            ("mysql://account:hunter2@a,b:hunter2/db", "cannot be read"),
            ("mysql://account:hunter2@a,:3306/db", "cannot be read"),
            ("mysql://account:hunter2@a,b/db?socket=/c", "`socket`"),
            ("mysql://account@a,b/db?target_session_attrs=hunter2", "`target_session_attrs`"),
            ("mysql://account@a,b/db?target_session_attrs=standby", "`target_session_attrs`"),
            ("mysql://account@host/db?tabel=hunter2", "`tabel`"),
            ("mysql://account@host/db?timezone=hunter2", "`timezone`"),
            ("mysql://account@host/db?charset=hunter2", "`charset`"),
            ("mysql://account@host/db?table=hunter2&table=hunter2", "`table`"),
            ("mysql://account@host/db?ssl-mode=REQUIRED&ssl-mode=DISABLED", "`ssl-mode`"),
            ("mysql://account@host/db?ssl-mode=hunter2", "cannot be read"),
            ("mysql://account@host/db?max_connections=0", "`max_connections`"),
            ("mysql://account@host/db?queue_capacity=hunter2", "`queue_capacity`"),
            ("mysql://account@host/db?auto_migrate=hunter2", "`auto_migrate`"),
            ("mysql://account@host/db?lock_timeout=-1", "`lock_timeout`"),
            ("mysql://account@host/db?hunter2", "options are written"),
            ("mysql://account@host/db?table=%ff", "UTF-8"),
        ] {
            let error = parse(url).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(shown.contains(name) && !shown.contains("hunter2"), "{url}: {shown}");
            assert!(std::error::Error::source(&error).is_none(), "{url}");
        }
    }
}
