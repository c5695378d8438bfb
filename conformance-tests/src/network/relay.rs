//! One connection through the proxy: two streams, and what is passed on between them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::state::{Order, State, Way};

/// A connection's place in the state, for as long as it is open.
pub(super) struct Relay {
    state: watch::Sender<State>,
    era: u64,
}

impl Relay {
    pub(super) fn new(state: watch::Sender<State>) -> Self {
        let mut era = 0;
        state.send_modify(|state| {
            era = state.era;
            *state.open.entry(era).or_default() += 1;
            state.traffic.connections += 1;
        });
        Self { state, era }
    }

    /// Passes bytes on until both sides have ended, one fails, or the connection is reset.
    pub(super) async fn run(self, mut client: TcpStream, server: SocketAddr) {
        let mut now = self.state.subscribe();
        let is_over = now.wait_for(|state| state.era != self.era);
        let work = async {
            // Whenever it is closed before both sides have said goodbye, by whatever, it is reset.
            client.set_zero_linger()?;
            client.set_nodelay(true)?;
            let mut server = TcpStream::connect(server).await?;
            server.set_zero_linger()?;
            server.set_nodelay(true)?;
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            tokio::try_join!(
                self.pump(Way::Requests, from_client, to_server),
                self.pump(Way::Replies, from_server, to_client),
            )
        };
        tokio::select! {
            biased;
            _ = is_over => {}
            _ = work => {}
        }
    }

    async fn pump(&self, way: Way, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let len = from.read(&mut buffer).await?;
            if len == 0 {
                return to.shutdown().await;
            }
            let mut rest = &buffer[..len];
            while !rest.is_empty() {
                match self.decide(way, rest.len()) {
                    Order::Pass(len, delay) => {
                        if delay > Duration::ZERO {
                            tokio::time::sleep(delay).await;
                        }
                        to.write_all(&rest[..len]).await?;
                        rest = &rest[len..];
                        // Whoever reads may come before the next piece.
                        tokio::task::yield_now().await;
                    }
                    Order::Swallow => rest = &[],
                    Order::Wait => self.wait().await,
                    Order::Reset => return Err(io::ErrorKind::ConnectionReset.into()),
                }
            }
        }
    }

    fn decide(&self, way: Way, len: usize) -> Order {
        let mut order = Order::Wait;
        self.state.send_modify(|state| order = state.decide(self.era, way, len));
        order
    }

    async fn wait(&self) {
        let mut now = self.state.subscribe();
        // Cannot end without a change: this is one of the senders.
        let _ = now.wait_for(|state| state.fault != super::Fault::Hold || state.era != self.era).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.send_modify(|state| {
            if let Some(count) = state.open.get_mut(&self.era) {
                *count -= 1;
                if *count == 0 {
                    state.open.remove(&self.era);
                }
            }
        });
    }
}
