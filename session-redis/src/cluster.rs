//! A cluster: one connection to each of its masters, and the map of which serves what.
//!
//! A command goes to a second node only if the first has refused to run it, or could not be reached at all. The
//! client's own cluster connection sends again whatever it has lost the reply to, a create included.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, ErrorKind as Redis, RedisError, ServerErrorKind as Server, Value};
use session_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{sleep, timeout};

use crate::agreement;
use crate::connection::{Connection, Failure, Limits, SendError, With};
use crate::error::{ends_the_connection, may_have_a_successor};
use crate::home::Homes;
use crate::peers::Answers;
use crate::replicas::Replicas;
use crate::slots::{Layout, SLOTS, redirected, slot};
use crate::source::{Access, Address, Source};

/// Clones share the connections.
#[derive(Clone)]
pub(crate) struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    seeds: Vec<Access>,
    /// How every node is reached, but for its address.
    access: Access,
    limits: Limits,
    homes: Arc<Homes>,
    map: Mutex<Map>,
    /// Held while nodes are asked for the layout; what the last time failed with.
    asking: AsyncMutex<Option<Failure>>,
    /// How often they have been asked.
    asked: AtomicU64,
}

#[derive(Default)]
struct Map {
    /// Every node that is known to serve something, or did.
    nodes: Vec<Node>,
    /// By slot, the position of its master in `nodes`.
    owners: Vec<Option<usize>>,
    layout: Option<Layout>,
}

#[derive(Clone)]
struct Node {
    address: Address,
    connection: Connection,
}

impl Cluster {
    /// Expects at least one seed.
    pub(crate) fn new(seeds: Vec<Access>, access: Access, limits: Limits, homes: Arc<Homes>) -> Self {
        let shared = Shared {
            seeds,
            access,
            limits,
            homes,
            map: Mutex::default(),
            asking: AsyncMutex::new(None),
            asked: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks the nodes which of them serves what, once for all who want to know.
    pub(crate) async fn learn(&self) -> Result<()> {
        let (cluster, seen) = (self.clone(), self.shared.asked.load(Ordering::SeqCst));
        // A task, because a caller that goes away must not take the answer from the others who wait for it. Boxed before
        // that: it takes kilobytes, which each command would carry about in vain.
        let learning = Box::pin(async move { cluster.ask_nodes(seen).await.map_err(Failure::into_error) });
        self.shared.homes.current()?.run(learning).await
    }

    /// Sends a command about one key to the master that serves it.
    pub(crate) async fn send(
        &self,
        key: &[u8],
        command: &Cmd,
        replicas: Option<Replicas>,
    ) -> Result<Value, SendError> {
        let slot = slot(key);
        if self.shared.owner(slot).is_none() {
            self.learn().await.map_err(SendError::NotSent)?;
        }
        let mut node = self.shared.owner(slot).ok_or_else(|| SendError::NotSent(unserved()))?;
        let (mut asking, mut has_learnt, mut redirections) = (false, false, 0);
        let deadline = Instant::now() + self.shared.limits.connect;
        loop {
            let error = match node.connection.send(command, With { asking, replicas }).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            (node, asking) = match &error {
                // It has not been sent; another node may have taken this one's place.
                SendError::NotSent(_) if !has_learnt => {
                    has_learnt = true;
                    let _ = self.learn().await;
                    match self.shared.owner(slot) {
                        Some(other) if other.address != node.address => (other, false),
                        _ => return Err(error),
                    }
                }
                SendError::Redis(redis) => match self.redirection(redis, slot, &node) {
                    Some(other) => other,
                    None => return Err(error),
                },
                _ => return Err(error),
            };
            redirections += 1;
            if redirections > AT_ONCE {
                // While a slot changes hands, both of its nodes may name the other one for a moment.
                if Instant::now() >= deadline {
                    return Err(SendError::NotSent(unserved()));
                }
                Box::pin(self.pause()).await.map_err(SendError::NotSent)?;
            }
        }
    }

    /// Sends commands, each about one key; the reply to each. Those that a node refuses go singly where it says.
    pub(crate) async fn send_all(
        &self,
        commands: Vec<(Vec<u8>, Cmd)>,
    ) -> Result<Vec<Result<Value, SendError>>, SendError> {
        let owners: Vec<_> = commands.iter().map(|(key, _)| self.shared.owner(slot(key))).collect();
        let addresses: BTreeSet<_> = owners.iter().flatten().map(|node| &node.address).collect();
        let mut replies: Vec<Option<Result<Value, SendError>>> = commands.iter().map(|_| None).collect();
        for address in addresses {
            let of_node =
                |number: &usize| owners[*number].as_ref().is_some_and(|node| node.address == *address);
            let numbers: Vec<usize> = (0..commands.len()).filter(of_node).collect();
            let Some(node) = numbers.first().and_then(|number| owners[*number].as_ref()) else { continue };
            let mut pipeline = redis::pipe();
            for number in &numbers {
                pipeline.add_command(commands[*number].1.clone());
            }
            // Who cannot be reached is asked again below, where his successor is looked for.
            let answers = match node.connection.send_all(&pipeline).await {
                Ok(answers) => answers,
                Err(SendError::NotSent(_)) => continue,
                Err(error) => {
                    if let SendError::Redis(error) = &error {
                        self.learn_from(error);
                    }
                    return Err(error);
                }
            };
            for (number, answer) in numbers.into_iter().zip(answers) {
                let is_elsewhere = answer.as_ref().is_err_and(|error| error.redirect_node().is_some());
                if let Err(error) = &answer {
                    self.learn_from(error);
                }
                replies[number] = (!is_elsewhere).then(|| answer.map_err(SendError::Redis));
            }
        }
        let mut all = Vec::with_capacity(commands.len());
        for ((key, command), reply) in commands.iter().zip(replies) {
            all.push(match reply {
                Some(reply) => reply,
                None => self.send(key, command, None).await,
            });
        }
        Ok(all)
    }

    /// All masters, in an order that stays the same while the fingerprint does.
    pub(crate) async fn masters(&self) -> Result<(u64, Vec<Connection>)> {
        self.learn().await?;
        let map = self.shared.map();
        let Some(layout) = &map.layout else { return Err(unserved()) };
        let connection_to =
            |address: &Address| map.nodes.iter().find(|node| node.address == *address).cloned();
        let masters = layout.masters.iter().filter_map(|master| connection_to(&master.address));
        Ok((layout.fingerprint, masters.map(|node| node.connection).collect()))
    }

    /// Asks every node, replicas included: each may be a master tomorrow.
    pub(crate) async fn ask_every_node(&self, question: &Cmd) -> Result<Answers> {
        self.learn().await?;
        let map = self.shared.map();
        let Some(layout) = &map.layout else { return Err(unserved()) };
        let addresses = layout.masters.iter().map(|master| &master.address).chain(&layout.replicas);
        let nodes = addresses.map(|address| (self.shared.access.clone(), address.clone()));
        Ok(Answers::ask(nodes.collect::<Vec<_>>(), question, self.shared.limits))
    }

    /// Where to go on after this error, and whether by `ASKING`. Nowhere if the command may have been run.
    fn redirection(&self, error: &RedisError, slot: usize, node: &Node) -> Option<(Node, bool)> {
        let address = || redirected(error.redirect_node()?.0, &node.address).ok();
        match error.kind() {
            Redis::Server(Server::Moved) => {
                let other = self.shared.node(address()?).ok()?;
                self.shared.set_owner(slot, &other);
                self.learn_behind();
                Some((other, false))
            }
            Redis::Server(Server::Ask) => Some((self.shared.node(address()?).ok()?, true)),
            _ => {
                self.learn_from(error);
                None
            }
        }
    }

    /// Asks the nodes if this error may mean that another one serves what this one does not.
    fn learn_from(&self, error: &RedisError) {
        let may_be_elsewhere = matches!(
            error.kind(),
            // One that loads its data was away, and may have been replaced meanwhile.
            Redis::Server(Server::ClusterDown | Server::ReadOnly | Server::MasterDown | Server::BusyLoading)
        );
        if may_be_elsewhere || may_have_a_successor(error) || ends_the_connection(error) {
            self.learn_behind();
        }
    }

    /// Asks the nodes without anybody waiting, unless they are being asked.
    fn learn_behind(&self) {
        if self.shared.asking.try_lock().is_ok()
            && let Ok(home) = self.shared.homes.current()
        {
            let (cluster, seen) = (self.clone(), self.shared.asked.load(Ordering::SeqCst));
            drop(home.spawn(async move { cluster.ask_nodes(seen).await }));
        }
    }

    async fn pause(&self) -> Result<()> {
        let pause = async {
            sleep(PAUSE).await;
            Ok(())
        };
        // There, because the caller's runtime may be without time.
        self.shared.homes.current()?.run(pause).await
    }

    /// What a node that is behind says wrongly is put right by redirections.
    async fn ask_nodes(&self, seen: u64) -> Result<(), Failure> {
        let mut failed = self.shared.asking.lock().await;
        if self.shared.asked.load(Ordering::SeqCst) != seen {
            return failed.clone().map_or(Ok(()), Err);
        }
        let result = match timeout(self.shared.limits.connect, self.shared.ask_layout()).await {
            Ok(result) => result,
            Err(_) => {
                Err(Failure::Refused(ErrorKind::Unavailable, "no node of the cluster answers in time".into()))
            }
        };
        let result = result.and_then(|layout| self.shared.adopt(layout));
        *failed = result.as_ref().err().cloned();
        self.shared.asked.fetch_add(1, Ordering::SeqCst);
        result
    }
}

impl Shared {
    /// Masters and seeds are asked, and if none of them knows, the replicas: one may have taken over.
    async fn ask_layout(&self) -> Result<Layout, Failure> {
        let mut asked = BTreeSet::new();
        let (mut first, mut then) = (Vec::new(), Vec::new());
        {
            let map = self.map();
            let reached_at = |address: &Address| (self.access.clone(), address.clone());
            let known = map.nodes.iter().map(|node| reached_at(&node.address));
            let seeds = self.seeds.iter().filter_map(|seed| Some((seed.clone(), seed.address()?)));
            first.extend(known.chain(seeds).filter(|(_, address)| asked.insert(address.clone())));
            let replicas = map.layout.iter().flat_map(|layout| &layout.replicas).map(reached_at);
            then.extend(replicas.filter(|(_, address)| asked.insert(address.clone())));
        }
        let mut failure = None;
        for nodes in [first, then] {
            if let Some(layout) = agreement::most_named(nodes, self.limits, &mut failure).await {
                return Ok(layout);
            }
        }
        Err(failure.unwrap_or_else(|| {
            Failure::Refused(ErrorKind::Unavailable, "the cluster serves no slots".to_owned())
        }))
    }

    /// Connections to nodes that stay are kept, those to others end.
    fn adopt(&self, layout: Layout) -> Result<(), Failure> {
        let mut map = self.map();
        let mut nodes = Vec::with_capacity(layout.masters.len());
        let mut owners = vec![None; SLOTS];
        for (position, master) in layout.masters.iter().enumerate() {
            let known = map.nodes.iter().find(|node| node.address == master.address).cloned();
            nodes.push(match known {
                Some(node) => node,
                None => self.new_node(master.address.clone())?,
            });
            for &(first, last) in &master.ranges {
                owners.get_mut(first..=last).into_iter().flatten().for_each(|owner| *owner = Some(position));
            }
        }
        *map = Map { nodes, owners, layout: Some(layout) };
        Ok(())
    }

    fn owner(&self, slot: usize) -> Option<Node> {
        let map = self.map();
        map.owners.get(slot).copied().flatten().and_then(|position| map.nodes.get(position)).cloned()
    }

    fn set_owner(&self, slot: usize, node: &Node) {
        let mut map = self.map();
        let position = map.nodes.iter().position(|known| known.address == node.address);
        if let Some(owner) = map.owners.get_mut(slot) {
            *owner = position.or(*owner);
        }
    }

    /// The node at this address, known from now on.
    fn node(&self, address: Address) -> Result<Node, Failure> {
        let mut map = self.map();
        if let Some(node) = map.nodes.iter().find(|node| node.address == address) {
            return Ok(node.clone());
        }
        let node = self.new_node(address)?;
        map.nodes.push(node.clone());
        Ok(node)
    }

    fn new_node(&self, address: Address) -> Result<Node, Failure> {
        let source = Source::Node(self.access.client_at(&address)?);
        let connection = Connection::new(source, self.limits, Arc::clone(&self.homes));
        Ok(Node { address, connection })
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        // Nothing under this lock can be left half done.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.shared.map().nodes.clone();
        f.debug_map().entries(nodes.iter().map(|node| (node.address.to_string(), &node.connection))).finish()
    }
}

/// Redirections that are followed without a pause.
const AT_ONCE: u32 = 3;
const PAUSE: Duration = Duration::from_millis(10);

fn unserved() -> Error {
    Error::describe(ErrorKind::Unavailable, "no node of the cluster serves this key")
}
