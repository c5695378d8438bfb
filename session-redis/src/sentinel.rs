//! The master that sentinels name: asked for whenever a connection is needed, so a failover is followed as soon
//! as the old master's connection has ended.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Value, from_redis_value};
use session_core::ErrorKind;

use crate::connection::{Failure, Limits};
use crate::peers::Answers;
use crate::server::{self, Mode};
use crate::source::{Access, Address};

#[derive(Clone)]
pub(crate) struct Sentinels {
    /// How each sentinel is reached.
    pub(crate) sentinels: Arc<[Access]>,
    /// How the master is reached, but for its address.
    pub(crate) master: Access,
    pub(crate) name: Arc<str>,
}

impl Sentinels {
    /// A connection to the master. Sentinels learn of a failover one after the other: an address counts by how
    /// many of them name it, and who answers there must be a master.
    pub(crate) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        limits: Limits,
    ) -> Result<MultiplexedConnection, Failure> {
        let mut failure = None;
        for address in self.named(limits, &mut failure).await {
            match self.try_connect(&address, config).await {
                Ok(link) => return Ok(link),
                Err(other) => failure = Some(other),
            }
        }
        Err(failure.unwrap_or_else(|| self.unknown()))
    }

    async fn try_connect(
        &self,
        address: &Address,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Failure> {
        let client = self.master.client_at(address)?;
        let mut link = client.get_multiplexed_async_connection_with_config(config).await?;
        server::inspect(&mut link, Mode::Standalone).await?;
        Ok(link)
    }

    /// The addresses that sentinels name, the most named one first, once more than half of all agree or the last
    /// has answered.
    async fn named(&self, limits: Limits, failure: &mut Option<Failure>) -> Vec<Address> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&*self.name);
        let sentinels = self.sentinels.iter().filter_map(|access| Some((access.clone(), access.address()?)));
        // Half of the time is left for the master.
        let limits = Limits { connect: limits.connect / 2, ..limits };
        let mut answers = Answers::ask(sentinels, &question, limits);
        let mut named: Vec<(Address, usize)> = Vec::new();
        while let Some((_, answer)) = answers.next().await {
            match answer.map(master) {
                Ok(Some(address)) => {
                    let count = match named.iter_mut().find(|(known, _)| *known == address) {
                        Some((_, count)) => {
                            *count += 1;
                            *count
                        }
                        None => {
                            named.push((address, 1));
                            1
                        }
                    };
                    if count > self.sentinels.len() / 2 {
                        // What the others name is no master any more, even if it does not know that itself.
                        named.retain(|(_, of_address)| *of_address == count);
                        break;
                    }
                }
                Ok(None) => *failure = Some(self.unknown()),
                Err(error) => *failure = failure.take().or(Some(error.into())),
            }
        }
        named.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        named.into_iter().map(|(address, _)| address).collect()
    }

    fn unknown(&self) -> Failure {
        let detail = format!("the sentinels do not watch a master `{}`", self.name.escape_default());
        Failure::Refused(ErrorKind::Config, detail)
    }
}

fn master(answer: Value) -> Option<Address> {
    let (host, port) = from_redis_value::<Option<(String, u16)>>(answer).ok()??;
    Some(Address { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_an_address_or_nothing() {
        let answer = |reply: &str| master(redis::parse_redis_value(reply.as_bytes()).unwrap());
        let address = Address { host: "10.0.0.7".to_owned(), port: 6379 };
        assert_eq!(answer("*2\r\n$8\r\n10.0.0.7\r\n$4\r\n6379\r\n"), Some(address));
        for reply in ["*-1\r\n", "_\r\n", "*0\r\n", "$1\r\nx\r\n", "*2\r\n$1\r\nh\r\n$5\r\n99999\r\n"] {
            assert_eq!(answer(reply), None, "{reply}");
        }
    }
}
