//! One question to several servers at once: who is slow or gone holds nobody up.

use redis::{AsyncConnectionConfig, Cmd, RedisResult, Value};
use tokio::task::JoinSet;

use crate::connection::Limits;
use crate::source::{Access, Address};

/// The answers, as they come, from connections made for the purpose.
pub(crate) struct Answers(JoinSet<(Address, RedisResult<Value>)>);

impl Answers {
    /// Asks; needs a runtime with time.
    pub(crate) fn ask(
        servers: impl IntoIterator<Item = (Access, Address)>,
        question: &Cmd,
        limits: Limits,
    ) -> Self {
        let mut asked = JoinSet::new();
        for (access, address) in servers {
            let question = question.clone();
            asked.spawn(async move {
                let answer = ask(&access, &address, &question, limits).await;
                (address, answer)
            });
        }
        Self(asked)
    }

    /// The next answer; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<(Address, RedisResult<Value>)> {
        // A task that panicked has no answer, as if its server had not been asked.
        loop {
            if let Ok(answer) = self.0.join_next().await? {
                return Some(answer);
            }
        }
    }
}

async fn ask(access: &Access, address: &Address, question: &Cmd, limits: Limits) -> RedisResult<Value> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limits.connect))
        .set_response_timeout(Some(limits.connect));
    let client = access.client_at(address)?;
    let mut link = client.get_multiplexed_async_connection_with_config(&config).await?;
    link.send_packed_command(question).await?.extract_error()
}
