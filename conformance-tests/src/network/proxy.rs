//! The proxy itself: a listener on the loopback interface, and the switch.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::relay::Relay;
use super::state::{Fault, Plan, State, Traffic, Way};

/// A TCP proxy in front of a server, whose faults a test switches while connections are open.
///
/// It listens on a free port of the loopback interface. Its tasks run on the runtime that it was started on and end
/// with it; connections that are open then are reset.
///
/// ```
/// # async fn example(server: std::net::SocketAddr) -> std::io::Result<()> {
/// use conformance_tests::network::{Fault, FaultProxy, Way};
///
/// let mut proxy = FaultProxy::start(server).await?;
/// // A driver is opened at `proxy.address()`. Ten bytes of its next answer get through, then it is cut off.
/// proxy.reset_at(Way::Replies, 10, Fault::None).await?;
/// // .. a verb ..
/// proxy.struck().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    server: SocketAddr,
    state: watch::Sender<State>,
    /// Accepts connections, unless they are refused, and owns them.
    acceptor: Option<JoinHandle<()>>,
    /// Keeps the port while nobody listens on it.
    _reserved: Option<TcpSocket>,
}

impl FaultProxy {
    /// A proxy without a fault in front of `server`.
    ///
    /// # Errors
    ///
    /// Those of the operating system, which has no port or no socket left.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let first = socket((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = first.local_addr()?;
        // Elsewhere than on Unix the port is free for a while when connections are refused.
        let (listener, reserved) = if cfg!(unix) {
            (socket(address)?.listen(BACKLOG)?, Some(first))
        } else {
            (first.listen(BACKLOG)?, None)
        };
        let (state, _) = watch::channel(State::default());
        let acceptor = Some(tokio::spawn(accept(listener, server, state.clone())));
        Ok(Self { address, server, state, acceptor, _reserved: reserved })
    }

    /// Where it listens: what a driver takes for the server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen since its start.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.state.borrow().traffic
    }

    /// Begins `fault`, for open connections as for new ones. From the return on it holds.
    ///
    /// # Errors
    ///
    /// Those of the operating system, if it does not let the proxy listen again.
    pub async fn set(&mut self, fault: Fault) -> io::Result<()> {
        self.change(|state| state.begin(fault, false)).await
    }

    /// Resets the open connections; those that follow meet `fault`.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn reset(&mut self, fault: Fault) -> io::Result<()> {
        self.change(|state| state.begin(fault, true)).await
    }

    /// Lets `byte` more bytes through in this direction, over all connections; the next one, and everything after
    /// it in either direction, meets `fault`. Until then there is no fault.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn set_at(&mut self, way: Way, byte: u64, fault: Fault) -> io::Result<()> {
        self.plan(Plan { way, left: byte, resets: false, fault }).await
    }

    /// As [`set_at`](Self::set_at), and the connections that are open then are reset instead of passing that byte
    /// on.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn reset_at(&mut self, way: Way, byte: u64, fault: Fault) -> io::Result<()> {
        self.plan(Plan { way, left: byte, resets: true, fault }).await
    }

    /// Waits until the present fault has held, swallowed or cut off a byte.
    pub async fn struck(&self) {
        let mut state = self.state.subscribe();
        // Cannot end before: `self` is one of the senders.
        let _ = state.wait_for(|state| state.has_struck).await;
    }

    /// Whether the present fault has held, swallowed or cut off a byte.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.state.borrow().has_struck
    }

    async fn plan(&mut self, plan: Plan) -> io::Result<()> {
        self.change(|state| {
            state.begin(Fault::None, false);
            state.plan = Some(plan);
        })
        .await
    }

    async fn change(&mut self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        // It ends by itself, and is not to be taken for one that goes on.
        let refused = self.state.borrow().fault == Fault::Refuse;
        if refused {
            self.join_acceptor().await;
        }
        self.state.send_modify(|state| {
            (state.plan, state.has_struck) = (None, false);
            change(state);
        });
        let refuses = self.state.borrow().fault == Fault::Refuse;
        if refuses {
            self.join_acceptor().await;
        } else if self.acceptor.is_none() {
            let listener = socket(self.address)?.listen(BACKLOG)?;
            self.acceptor = Some(tokio::spawn(accept(listener, self.server, self.state.clone())));
        }
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| !state.has_stragglers()).await;
        Ok(())
    }

    async fn join_acceptor(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.await;
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(acceptor) = &self.acceptor {
            acceptor.abort();
        }
    }
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the listener before may still be on their way out.
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Accepts until connections are to be refused. The listener ends before, and every connection with it.
async fn accept(listener: TcpListener, server: SocketAddr, state: watch::Sender<State>) {
    let mut relays = JoinSet::new();
    let mut now = state.subscribe();
    loop {
        let client = tokio::select! {
            biased;
            _ = now.wait_for(|state| state.fault == Fault::Refuse) => break,
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                // Whoever it was has gone again.
                Err(_) => continue,
            },
        };
        relays.spawn(Relay::new(state.clone()).run(client, server));
        while relays.try_join_next().is_some() {}
    }
    drop(listener);
    relays.shutdown().await;
}
