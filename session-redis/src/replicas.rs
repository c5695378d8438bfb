//! Waiting until replicas have a write, which a failover may lose otherwise.

use std::time::Duration;

use redis::{Cmd, RedisResult, Value};
use session_core::{Error, ErrorKind};

/// How many replicas must have a write, and how long to wait for them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replicas {
    pub(crate) count: u32,
    pub(crate) timeout: Duration,
}

impl Replicas {
    /// What follows a write on its connection: it answers for what that connection has written.
    pub(crate) fn command(self) -> Cmd {
        let mut command = redis::cmd("WAIT");
        command.arg(self.count).arg(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX));
        command
    }

    /// An error if fewer have it. The write stands on the master all the same: replicas that are late get it too.
    pub(crate) fn judge(self, reply: RedisResult<Value>) -> Result<(), TooFew> {
        match reply {
            Ok(Value::Int(confirmed)) if confirmed >= i64::from(self.count) => Ok(()),
            Ok(Value::Int(confirmed)) => Err(TooFew { wanted: self.count, confirmed: Some(confirmed) }),
            _ => Err(TooFew { wanted: self.count, confirmed: None }),
        }
    }
}

/// A write that has been done, and that a failover may undo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooFew {
    wanted: u32,
    confirmed: Option<i64>,
}

impl From<TooFew> for Error {
    fn from(TooFew { wanted, confirmed }: TooFew) -> Self {
        let detail = match confirmed {
            Some(confirmed) => {
                format!("written, but {confirmed} of {wanted} replicas have confirmed it in time")
            }
            None => format!("written, but the server does not say whether {wanted} replicas have it"),
        };
        Self::describe(ErrorKind::Indeterminate, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_replicas_than_wanted_leave_the_outcome_open() {
        let replicas = Replicas { count: 2, timeout: Duration::from_millis(1500) };
        assert_eq!(replicas.command().get_packed_command(), b"*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$4\r\n1500\r\n");
        for enough in [2, 3] {
            assert!(replicas.judge(Ok(Value::Int(enough))).is_ok());
        }
        let denied = (redis::ErrorKind::Extension, "NOPERM").into();
        for reply in [Ok(Value::Int(1)), Ok(Value::Int(0)), Ok(Value::Nil), Err(denied)] {
            let error = Error::from(replicas.judge(reply).unwrap_err());
            assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error}");
        }
    }
}
