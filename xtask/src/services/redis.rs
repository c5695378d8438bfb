//! A private Redis that keeps everything in memory.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;

use super::service::{Service, Setup};

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) name: &'static str,
    /// Whether writes go to a file. Tests of anything but crashes are faster without.
    pub(crate) append_only: bool,
}

impl Service for Redis {
    fn name(&self) -> &'static str {
        self.name
    }

    fn programs(&self) -> &'static [&'static str] {
        &["redis-server"]
    }

    fn package_name(&self) -> &'static str {
        "redis-server"
    }

    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        setup.write_private("redis.conf", &self.configuration(&setup.state.password)).map(drop)
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        let mut server = setup.command("redis-server");
        server.arg(setup.directory.join("redis.conf")).arg("--port").arg(setup.port().to_string());
        vec![server]
    }

    fn check(&self, setup: &Setup) -> Result<(), String> {
        let mut stream = setup.connect()?;
        let lost = |error: std::io::Error| error.to_string();
        stream.write_all(format!("AUTH {}\r\nPING\r\n", setup.state.password).as_bytes()).map_err(lost)?;
        let mut answers = BufReader::new(stream).lines();
        for expected in ["+OK", "+PONG"] {
            let answer = answers.next().ok_or("the connection was closed")?.map_err(lost)?;
            if answer != expected {
                return Err(answer);
            }
        }
        Ok(())
    }

    fn url(&self, setup: &Setup) -> String {
        format!("redis://default:{}@127.0.0.1:{}/0", setup.state.password, setup.port())
    }
}

impl Redis {
    /// `set-proc-title`: the command line stays as it was, since the process is recognised by it.
    fn configuration(&self, password: &str) -> String {
        let append_only = if self.append_only { "yes" } else { "no" };
        format!(
            "bind 127.0.0.1\n\
             requirepass {password}\n\
             daemonize no\n\
             set-proc-title no\n\
             save \"\"\n\
             appendonly {append_only}\n\
             maxmemory-policy noeviction\n"
        )
    }
}
