//! Drivers of a small server, each of which breaks one rule about verbs that nobody waits for and about networks: a
//! store in memory behind a socket, and clients that ask it in lines of text.

mod client;
mod protocol;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use session_core::{Error, ErrorKind, Result, SessionBackend, SessionId};

use self::client::Client;
use self::server::Server;
use super::run::{Proof, Suspect, prove};
use crate::cases;
use crate::context::Context;
use crate::execute::Schedule;
use crate::harness::{Damage, Harness, Promises};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    WorksInTheCaller,
    LandsHalf,
    ResendsCreate,
    LostIsOverloaded,
    RefusedIsAbsent,
    CutIsAbsent,
    OneReadIsAnAnswer,
    GivesUpWhenRefused,
    WaitsForEver,
    QueueWaits,
    OneFailsAll,
    DropWaits,
}

const FAULTS: &[(Fault, &str, &str)] = &[
    (
        Fault::WorksInTheCaller,
        "works_in_the_caller",
        "dropping a verb abandons its reply only: the connection stays clean",
    ),
    (Fault::LandsHalf, "lands_half", "a dropped verb never takes effect half"),
    (Fault::ResendsCreate, "resends_create", "a create is never sent twice with one id"),
    (Fault::LostIsOverloaded, "lost_is_overloaded", "after `Overloaded` the store is as it was"),
    (Fault::RefusedIsAbsent, "refused_is_absent", "a store that fails is an error, never an absent session"),
    (Fault::CutIsAbsent, "cut_is_absent", "an answer that is cut off is none"),
    (Fault::OneReadIsAnAnswer, "one_read_is_an_answer", "answers come in whatever pieces"),
    (Fault::GivesUpWhenRefused, "gives_up_when_refused", "a server that is back is found again"),
    (Fault::WaitsForEver, "waits_for_ever", "a server that never answers is an error in bounded time"),
    (Fault::QueueWaits, "queue_waits", "who waits behind others is told in time"),
    (Fault::OneFailsAll, "one_fails_all", "a record that cannot be read fails the calls about it alone"),
    (Fault::DropWaits, "drop_waits", "a driver can be dropped while verbs are under way"),
];

/// Runs every broken client against the committed matrix at `matrix` (relative to the package).
///
/// It is the `main` of this crate's own `tests/broken_network.rs`, and otherwise as [`run`](super::run()).
pub fn run_network(matrix: impl AsRef<Path>) -> ExitCode {
    let suspect = |&(fault, name, breaks): &(Fault, &'static str, &'static str)| {
        let subject = Box::new(move || driver(Some(fault), name));
        Suspect::<Context> { name, breaks, subject }
    };
    let suspects = FAULTS.iter().map(suspect).collect();
    // One thread for driver, proxy and server: sockets decide what is ready, but nothing happens between two waits.
    let schedule = Schedule::Cooperative;
    let (what, report, threads) = ("clients", "broken-network", Some(FAULTS.len()));
    let proof = Proof { what, report, schedule, threads, cases: cases::network(), suspects };
    prove(&Arc::new(proof), matrix.as_ref())
}

fn driver(fault: Option<Fault>, name: &'static str) -> Arc<dyn Harness> {
    Arc::new(Driver { fault, name, server: Server::default() })
}

#[derive(Debug)]
struct Driver {
    fault: Option<Fault>,
    name: &'static str,
    server: Server,
}

#[async_trait]
impl Harness for Driver {
    fn name(&self) -> &str {
        self.name
    }

    fn promises(&self) -> Promises {
        Promises::default().with_network().with_damage()
    }

    async fn open(&self, namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        let address = self.server.start().await.map_err(unavailable)?;
        Ok(Arc::new(Client::open(self.fault, namespace, address)))
    }

    async fn server(&self) -> Result<Option<SocketAddr>> {
        self.server.start().await.map(Some).map_err(unavailable)
    }

    async fn open_through(
        &self,
        namespace: &str,
        address: SocketAddr,
    ) -> Result<Option<Arc<dyn SessionBackend>>> {
        Ok(Some(Arc::new(Client::open(self.fault, namespace, address))))
    }

    async fn damage(&self, namespace: &str, id: SessionId, _damage: Damage) -> Result<Option<bool>> {
        self.server.damage(namespace, id);
        Ok(Some(true))
    }
}

fn unavailable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, error)
}
