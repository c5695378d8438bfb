//! The server: stores in memory behind a socket, correct throughout.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{
    CreateOutcome, DeleteOutcome, Result, Revision, SessionBackend as _, SessionId, Timestamp, UpdateOutcome,
};
use session_memory::MemoryBackend;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::protocol::{id, record, time, word};

/// A server that starts with its first use, and ends with the runtime of that.
#[derive(Debug, Default)]
pub(super) struct Server {
    address: tokio::sync::OnceCell<SocketAddr>,
    stores: Arc<Mutex<BTreeMap<String, Store>>>,
}

#[derive(Clone, Debug, Default)]
struct Store {
    memory: Arc<MemoryBackend>,
    damaged: BTreeSet<SessionId>,
}

type Stores = Arc<Mutex<BTreeMap<String, Store>>>;

impl Server {
    pub(super) async fn start(&self) -> io::Result<SocketAddr> {
        let start = async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let stores = self.stores.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, stores.clone()));
                }
            });
            Ok(address)
        };
        self.address.get_or_try_init(start).await.copied()
    }

    pub(super) fn damage(&self, namespace: &str, id: SessionId) {
        lock(&self.stores).entry(namespace.to_owned()).or_default().damaged.insert(id);
    }
}

async fn serve(mut stream: TcpStream, stores: Stores) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (from, mut to) = stream.split();
    let mut lines = BufReader::new(from).lines();
    // What ends without its end of line is no call.
    while let Some(line) = next_line(&mut lines).await? {
        let words: Vec<_> = line.split(' ').collect();
        let answer = match answer(&stores, &words).await {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => format!("failed {:?}", error.kind()),
            None => "misunderstood".to_owned(),
        };
        to.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

async fn next_line<R: tokio::io::AsyncBufRead + Unpin>(
    lines: &mut tokio::io::Lines<R>,
) -> io::Result<Option<String>> {
    Ok(lines.next_line().await?.and_then(|line| line.strip_suffix('.').map(str::to_owned)))
}

/// `None` for what is no call.
async fn answer(stores: &Stores, words: &[&str]) -> Option<Result<String>> {
    let [namespace, verb, name, now, rest @ ..] = words else { return None };
    let (id, now) = (id(name)?, time(now)?);
    let Store { memory, damaged } = lock(stores).entry((*namespace).to_owned()).or_default().clone();
    if damaged.contains(&id) {
        return Some(Ok("corrupt".to_owned()));
    }
    let revision = |word: &str| Revision::from_i64(word.parse().ok()?);
    Some(match (*verb, rest) {
        ("create", [new]) => memory.create(id, record(new)?, now).await.map(|outcome| match outcome {
            CreateOutcome::Created => "created".to_owned(),
            CreateOutcome::Occupied(current) => format!("occupied {}", word(&current)),
        }),
        ("load", []) => memory.load(id, now).await.map(|found| match found {
            None => "none".to_owned(),
            Some(record) => format!("record {}", word(&record)),
        }),
        ("update", [expected, new]) => {
            memory.update(id, revision(expected)?, record(new)?, now).await.map(|outcome| match outcome {
                UpdateOutcome::Updated => "updated".to_owned(),
                UpdateOutcome::Conflict(current) => format!("conflict {}", word(&current)),
                UpdateOutcome::Gone => "gone".to_owned(),
            })
        }
        ("touch", [expires_at]) => {
            let expires_at: Timestamp = time(expires_at)?;
            memory.touch(id, expires_at, now).await.map(|touched| format!("touched {touched}"))
        }
        ("delete", [expected]) => {
            let expected = if *expected == "-" { None } else { Some(revision(expected)?) };
            memory.delete(id, expected, now).await.map(|outcome| match outcome {
                DeleteOutcome::Deleted => "deleted".to_owned(),
                DeleteOutcome::Conflict(current) => format!("conflict {}", word(&current)),
                DeleteOutcome::Absent => "absent".to_owned(),
            })
        }
        _ => return None,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
