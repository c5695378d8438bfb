//! The Lua scripts, each about one key, and how they are run.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, ServerErrorKind, Value};
use session_core::Result;

use crate::connection::SendError;
use crate::replicas::Replicas;
use crate::servers::Servers;

/// A script under the digest that servers remember it by.
pub(crate) struct Script {
    text: &'static str,
    digest: String,
}

macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("scripts/", $file))),+)))
    };
}

pub(crate) static CREATE: LazyLock<Script> = script!("header.lua", "create.lua");
pub(crate) static UPDATE: LazyLock<Script> = script!("update.lua");
pub(crate) static TOUCH: LazyLock<Script> = script!("header.lua", "touch.lua");
pub(crate) static DELETE: LazyLock<Script> = script!("header.lua", "delete.lua");
pub(crate) static INDEX: LazyLock<Script> = script!("index.lua");

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }

    /// Runs it on one key.
    ///
    /// It is sent by its digest, and once more with its text if the server says that it does not know it: then,
    /// and only then, nothing has been run. After any other error it is not sent again, because a create
    /// that lands twice could revive a session that was deleted in between.
    pub(crate) async fn run(
        &self,
        servers: &Servers,
        replicas: Option<Replicas>,
        key: &[u8],
        arguments: &[&[u8]],
    ) -> Result<Value> {
        let by_digest = self.command("EVALSHA", &self.digest, key, arguments);
        match servers.send_to(key, &by_digest, replicas).await {
            Err(SendError::Redis(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let with_text = self.command("EVAL", self.text, key, arguments);
                Ok(Box::pin(servers.send_to(key, &with_text, replicas)).await?)
            }
            result => Ok(result?),
        }
    }

    fn command(&self, name: &str, script: &str, key: &[u8], arguments: &[&[u8]]) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(1).arg(key);
        for argument in arguments {
            command.arg(*argument);
        }
        command
    }
}
