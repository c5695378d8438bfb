//! From the client's errors to the kinds of the contract. What a server says may quote a command with a
//! session's data in it, so only the code goes on.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind as Redis, RedisError, ServerErrorKind as Server, Value};
use session_core::{Error, ErrorKind};

/// The error of a command that was sent, or of a connection that could not be made.
pub(crate) fn from_redis(error: &RedisError) -> Error {
    let (kind, detail) = classify(error);
    let converted = match source(error) {
        Some(source) => Error::new(kind, source),
        None => Error::from(kind),
    };
    match detail {
        Some(detail) => converted.with_detail(detail),
        None => converted,
    }
}

/// The error of a connection that could not be made: what TLS does not accept is the certificate. Once commands
/// were sent, the same may come of a damaged reply to one that the server has run.
pub(crate) fn from_connecting(error: &RedisError) -> Error {
    let converted = from_redis(error);
    if error.kind() != Redis::Io || !is_invalid_data(error) {
        return converted;
    }
    let failed = match source(error) {
        Some(source) => Error::new(ErrorKind::Config, source),
        None => ErrorKind::Config.into(),
    };
    failed.with_detail("the TLS handshake failed")
}

/// What a script reports of one of its commands, as if that had been sent by itself. Redis 6.2 says first where in the
/// script it was: `@user_script: 30: -READONLY You can't write against a read only replica.`
pub(crate) fn of_script(error: RedisError) -> RedisError {
    let text = [error.code().unwrap_or_default(), error.detail().unwrap_or_default()].join(" ");
    let Some((_, (_, said))) =
        text.rsplit_once("@user_script: ").and_then(|(before, rest)| Some((before, rest.split_once(": ")?)))
    else {
        return error;
    };
    let line = if said.starts_with('-') { format!("{said}\r\n") } else { format!("-ERR {said}\r\n") };
    match redis::parse_redis_value(line.as_bytes()).map(Value::extract_error) {
        Ok(Err(said)) => said,
        _ => error,
    }
}

/// Whether the connection that it came from is of no further use.
pub(crate) fn ends_the_connection(error: &RedisError) -> bool {
    match error.kind() {
        // After a timeout as well: a peer that has vanished never closes a connection.
        Redis::Io | Redis::Parse | Redis::AuthenticationFailed => true,
        // The server has become a replica, or asks for the password again: a new connection may find another one.
        Redis::Server(Server::ReadOnly | Server::MasterDown) => true,
        _ => error.code() == Some("NOAUTH"),
    }
}

/// Whether another server may be the master by now: this one is cut off from its replicas.
pub(crate) fn may_have_a_successor(error: &RedisError) -> bool {
    error.code() == Some("NOREPLICAS")
}

fn classify(error: &RedisError) -> (ErrorKind, Option<&'static str>) {
    match error.kind() {
        Redis::Io if error.is_timeout() => (ErrorKind::Timeout, None),
        Redis::Io => (ErrorKind::Unavailable, None),
        Redis::Parse => (ErrorKind::Unavailable, Some("the answer is not of Redis' protocol")),
        Redis::AuthenticationFailed => (ErrorKind::Config, Some(SIGN_IN)),
        Redis::InvalidClientConfig | Redis::EmptySentinelList => (ErrorKind::Config, None),
        Redis::RESP3NotSupported => (ErrorKind::Config, Some("the server is older than Redis 6.2")),
        Redis::MasterNameNotFoundBySentinel
        | Redis::NoValidReplicasFoundBySentinel
        | Redis::ClusterConnectionNotFound => (ErrorKind::Unavailable, None),
        Redis::UnexpectedReturnType | Redis::Client => (ErrorKind::Internal, None),
        Redis::Server(server) => classify_server(server, error.detail().unwrap_or_default()),
        Redis::Extension => classify_code(error.code().unwrap_or_default()),
        // The enum may grow; what nobody has thought about is not a promise that a retry helps.
        _ => (ErrorKind::Internal, None),
    }
}

fn classify_server(server: Server, text: &str) -> (ErrorKind, Option<&'static str>) {
    match server {
        Server::BusyLoading => (ErrorKind::Unavailable, Some("the server is loading its data")),
        Server::ReadOnly => (ErrorKind::Unavailable, Some(REPLICA)),
        Server::TryAgain | Server::ClusterDown | Server::MasterDown => (ErrorKind::Unavailable, None),
        Server::Moved | Server::Ask | Server::CrossSlot => (ErrorKind::Config, Some(CLUSTER)),
        Server::NoPerm => (ErrorKind::Config, Some(RIGHT)),
        Server::ResponseError if MISSED_RIGHTS.iter().any(|words| text.contains(words)) => {
            (ErrorKind::Config, Some(RIGHT))
        }
        Server::ResponseError if text.contains("not allowed in cluster mode") => {
            (ErrorKind::Config, Some(CLUSTER))
        }
        Server::ResponseError if text.contains("cluster support disabled") => {
            (ErrorKind::Config, Some("the server is not part of a cluster"))
        }
        // The one of the unnamed errors that passes by itself.
        Server::ResponseError if text.starts_with("max number of clients") => {
            (ErrorKind::Unavailable, Some("the server has as many clients as it takes"))
        }
        Server::ResponseError if text.starts_with("unknown command") => {
            (ErrorKind::Config, Some("the server does not have a command that is needed"))
        }
        Server::ResponseError if text.contains("DB index") => {
            (ErrorKind::Config, Some("the server does not have this database"))
        }
        Server::ResponseError | Server::ExecAbort | Server::NoScript | Server::NotBusy | Server::NoSub => {
            (ErrorKind::Internal, None)
        }
        _ => (ErrorKind::Internal, None),
    }
}

/// Codes that the client has no name for.
fn classify_code(code: &str) -> (ErrorKind, Option<&'static str>) {
    match code {
        "OOM" => (ErrorKind::Unavailable, Some("the server is at its `maxmemory`")),
        "MISCONF" => {
            (ErrorKind::Unavailable, Some("the server takes no writes while it cannot save to disk"))
        }
        "NOREPLICAS" => {
            (ErrorKind::Unavailable, Some("the server has fewer replicas than it needs for writes"))
        }
        "BUSY" | "UNKILLABLE" => (ErrorKind::Unavailable, Some("a script keeps the server busy")),
        "WRONGTYPE" => (ErrorKind::Corrupt, Some("a key under the prefix is of another type")),
        "WRONGPASS" | "NOAUTH" => (ErrorKind::Config, Some(SIGN_IN)),
        "NOPROTO" => (ErrorKind::Config, Some("the server is older than Redis 6.2")),
        "DENIED" => (ErrorKind::Config, Some("the server is in protected mode")),
        _ => (ErrorKind::Internal, None),
    }
}

/// How servers say it without a code of its own: of SELECT, of scripts, and of scripts in Redis 6.2.
const MISSED_RIGHTS: [&str; 3] =
    ["has no permissions", "ACL failure in script", "The user executing the script can't"];
const RIGHT: &str = "the user lacks a right; the documentation of session-redis lists those needed";
const SIGN_IN: &str = "the server refuses this user and password, or asks for some";
pub(crate) const REPLICA: &str = "the server is a replica, which takes no writes";
pub(crate) const CLUSTER: &str = "the server is part of a cluster; its URL begins with `redis-cluster:`";

fn is_invalid_data(error: &RedisError) -> bool {
    io_error(error).is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// The client shares its causes, and the pointer that it shares them by is an error too.
fn io_error(error: &RedisError) -> Option<&io::Error> {
    StdError::source(error)?.downcast_ref::<Arc<dyn StdError + Send + Sync>>()?.downcast_ref()
}

/// What may be shown: the words of the operating system and of TLS, which hold no data, or the server's code.
fn source(error: &RedisError) -> Option<Cause> {
    if error.kind() == Redis::Io {
        return Some(Cause(error.to_string()));
    }
    let code = error.code()?;
    let is_code = !code.is_empty() && code.len() <= 32 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then(|| Cause(format!("the server answered {code}")))
}

#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the client makes of a server's error line.
    fn answered(line: &str) -> RedisError {
        let reply = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        reply.extract_error().unwrap_err()
    }

    #[test]
    fn every_answer_has_its_kind() {
        for (line, kind) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Unavailable),
            ("MISCONF Redis is configured to save RDB snapshots", ErrorKind::Unavailable),
            ("NOREPLICAS Not enough good replicas to write.", ErrorKind::Unavailable),
            ("LOADING Redis is loading the dataset in memory", ErrorKind::Unavailable),
            ("READONLY You can't write against a read only replica.", ErrorKind::Unavailable),
            ("MASTERDOWN Link with MASTER is down", ErrorKind::Unavailable),
            ("CLUSTERDOWN Hash slot not served", ErrorKind::Unavailable),
            ("TRYAGAIN Multiple keys request during rehashing", ErrorKind::Unavailable),
            ("BUSY Redis is busy running a script.", ErrorKind::Unavailable),
            ("ERR max number of clients reached", ErrorKind::Unavailable),
            ("WRONGTYPE Operation against a key", ErrorKind::Corrupt),
            ("WRONGPASS invalid username-password pair", ErrorKind::Config),
            ("NOAUTH Authentication required.", ErrorKind::Config),
            ("NOPERM this user has no permissions", ErrorKind::Config),
            ("ERR ACL failure in script: User x has no permissions", ErrorKind::Config),
            ("ERR The user executing the script can't run this command", ErrorKind::Config),
            ("ERR SELECT is not allowed in cluster mode", ErrorKind::Config),
            ("NOPROTO unsupported protocol version", ErrorKind::Config),
            ("DENIED Redis is running in protected mode", ErrorKind::Config),
            ("MOVED 3999 127.0.0.1:6381", ErrorKind::Config),
            ("ASK 3999 127.0.0.1:6381", ErrorKind::Config),
            ("CROSSSLOT Keys in request don't hash", ErrorKind::Config),
            ("ERR unknown command 'EVALSHA', with args", ErrorKind::Config),
            ("ERR DB index is out of range", ErrorKind::Config),
            ("NOSCRIPT No matching script.", ErrorKind::Internal),
            ("EXECABORT Transaction discarded", ErrorKind::Internal),
            ("ERR syntax error", ErrorKind::Internal),
            ("SOMETHING new", ErrorKind::Internal),
        ] {
            let error = from_redis(&answered(line));
            assert_eq!(error.kind(), kind, "{line}");
        }
    }

    #[test]
    fn failures_of_the_connection_have_their_kinds() {
        for (io, kind) in [
            (io::ErrorKind::ConnectionRefused, ErrorKind::Unavailable),
            (io::ErrorKind::BrokenPipe, ErrorKind::Unavailable),
            (io::ErrorKind::TimedOut, ErrorKind::Timeout),
            (io::ErrorKind::InvalidData, ErrorKind::Unavailable),
        ] {
            let error = RedisError::from(io::Error::from(io));
            assert!(ends_the_connection(&error), "{io}");
            let connecting = from_connecting(&error).kind();
            assert_eq!(connecting == ErrorKind::Config, io == io::ErrorKind::InvalidData, "{io}");
            let error = from_redis(&error);
            assert_eq!(error.kind(), kind, "{io}");
            assert!(error.source().is_some(), "{io}");
        }
        for (redis, kind) in [
            (Redis::Parse, ErrorKind::Unavailable),
            (Redis::AuthenticationFailed, ErrorKind::Config),
            (Redis::InvalidClientConfig, ErrorKind::Config),
            (Redis::RESP3NotSupported, ErrorKind::Config),
            (Redis::UnexpectedReturnType, ErrorKind::Internal),
            (Redis::Client, ErrorKind::Internal),
            (Redis::MasterNameNotFoundBySentinel, ErrorKind::Unavailable),
        ] {
            let error = from_redis(&RedisError::from((redis, "canary", "canary".to_owned())));
            assert_eq!(error.kind(), kind, "{redis:?}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn a_server_that_cannot_serve_any_more_is_left() {
        for line in ["READONLY replica", "MASTERDOWN x", "NOAUTH Authentication required."] {
            assert!(ends_the_connection(&answered(line)), "{line}");
        }
        for line in ["OOM x", "WRONGTYPE x", "NOPERM x", "ERR x", "LOADING x", "NOSCRIPT x"] {
            assert!(!ends_the_connection(&answered(line)), "{line}");
        }
    }

    /// As Redis 6.2.14 answers, to `redis.pcall` and to `redis.call`.
    #[test]
    fn errors_within_scripts_of_redis_6_2_have_their_kinds() {
        for (said, kind) in [
            ("-READONLY You can't write against a read only replica.", ErrorKind::Unavailable),
            ("-NOREPLICAS Not enough good replicas to write.", ErrorKind::Unavailable),
            ("-OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Unavailable),
            ("-MISCONF Redis is configured to save RDB snapshots", ErrorKind::Unavailable),
            ("The user executing the script can't run this command or subcommand", ErrorKind::Config),
            ("Something: else", ErrorKind::Internal),
        ] {
            let place = "@user_script: 30: ";
            for line in [
                format!("{place}{said}"),
                format!("ERR Error running script (call to f_0a1b): @user_script:30: {place}{said}"),
            ] {
                let error = of_script(answered(&line));
                assert_eq!(from_redis(&error).kind(), kind, "{line}");
                assert_eq!(ends_the_connection(&error), said.contains("READONLY"), "{line}");
                assert_eq!(may_have_a_successor(&error), said.contains("NOREPLICAS"), "{line}");
            }
        }
        for line in ["ERR syntax error", "OOM x script: 0a1b, on @user_script:30.", "@user_script: x"] {
            assert_eq!(of_script(answered(line)), answered(line));
        }
    }

    #[test]
    fn what_the_server_quotes_does_not_get_out() {
        for line in ["ERR unknown command, with args beginning with: 'canary'", "canary canary", "OOM canary"]
        {
            let error = from_redis(&answered(line));
            let source = error.source().map(ToString::to_string);
            let chain = format!("{error} {error:?} {source:?}");
            assert!(!chain.contains("canary"), "{chain}");
        }
        assert_eq!(from_redis(&answered("OOM x")).source().unwrap().to_string(), "the server answered OOM");
    }
}
