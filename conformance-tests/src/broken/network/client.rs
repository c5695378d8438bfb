//! The driver: a task with one connection works through the calls of all; with the faults of those that do not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{
    CreateOutcome, DeleteOutcome, Error, ErrorKind, Record, Result, Revision, SessionBackend, SessionId,
    Timestamp, UpdateOutcome,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::Fault;
use super::protocol::{id_word, record, word};

/// How long a call waits for whatever it waits for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a driver that waits when it is dropped does so: longer than any case would.
const ENDLESS: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Client {
    fault: Option<Fault>,
    namespace: String,
    calls: mpsc::UnboundedSender<Job>,
    /// Of calls that do their work themselves.
    line: Arc<Mutex<Line>>,
    under_way: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Job {
    call: String,
    answer: oneshot::Sender<Result<String>>,
}

impl Client {
    pub(super) fn open(fault: Option<Fault>, namespace: &str, server: SocketAddr) -> Self {
        let line = || Line { fault, server, stream: None, has_given_up: AtomicBool::new(false) };
        let (calls, jobs) = mpsc::unbounded_channel();
        let under_way = Arc::new(AtomicUsize::new(0));
        tokio::spawn(work(line(), jobs, under_way.clone()));
        Self { fault, namespace: namespace.to_owned(), calls, line: Arc::new(Mutex::new(line())), under_way }
    }

    async fn call(&self, verb: &str, id: SessionId, now: Timestamp, rest: &str) -> Result<String> {
        let call = format!("{} {verb} {} {}{rest}.\n", self.namespace, id_word(id), now.as_millis());
        let answer = if self.fault == Some(Fault::WorksInTheCaller) {
            timeout(PATIENCE, async { self.line.lock().await.ask(&call).await }).await
        } else {
            let (sender, answer) = oneshot::channel();
            let _ = self.calls.send(Job { call, answer: sender });
            let answer = async { answer.await.unwrap_or_else(|_| Err(ErrorKind::Unavailable.into())) };
            match self.fault {
                Some(Fault::WaitsForEver | Fault::QueueWaits) => Ok(answer.await),
                _ => timeout(PATIENCE, answer).await,
            }
        };
        let answer = answer.unwrap_or_else(|_| Err(ErrorKind::Timeout.into()))?;
        match answer.as_str() {
            "corrupt" => Err(ErrorKind::Corrupt.into()),
            _ => Ok(answer),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.fault == Some(Fault::DropWaits) && self.under_way.load(Ordering::SeqCst) > 0 {
            thread::sleep(ENDLESS);
        }
    }
}

async fn work(mut line: Line, mut jobs: mpsc::UnboundedReceiver<Job>, under_way: Arc<AtomicUsize>) {
    while let Some(Job { call, answer }) = jobs.recv().await {
        // What nobody waits for any more, and has not begun, is left out.
        if answer.is_closed() {
            continue;
        }
        under_way.fetch_add(1, Ordering::SeqCst);
        let mut result = line.ask(&call).await;
        if result.is_err() && line.fault == Some(Fault::ResendsCreate) && call.contains(" create ") {
            result = line.ask(&call).await;
        }
        under_way.fetch_sub(1, Ordering::SeqCst);
        if line.fault == Some(Fault::OneFailsAll) && result.as_ref().is_ok_and(|answer| answer == "corrupt") {
            while let Ok(neighbour) = jobs.try_recv() {
                let _ = neighbour.answer.send(Err(ErrorKind::Corrupt.into()));
            }
        }
        let _ = answer.send(result);
    }
}

/// A connection, once it is needed, and the next one when that has broken.
#[derive(Debug)]
struct Line {
    fault: Option<Fault>,
    server: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    has_given_up: AtomicBool,
}

impl Line {
    async fn ask(&mut self, call: &str) -> Result<String> {
        let fault = self.fault;
        let asked = match fault {
            // The same, and the bytes that are left stay for the next one.
            Some(Fault::WaitsForEver | Fault::WorksInTheCaller) => Ok(self.exchange(call).await),
            _ => timeout(PATIENCE, self.exchange(call)).await,
        };
        let result = asked.unwrap_or_else(|_| Err(ErrorKind::Timeout.into()));
        if result.is_err() {
            self.stream = None;
        }
        match result {
            Err(error)
                if fault == Some(Fault::LostIsOverloaded) && error.kind() == ErrorKind::Unavailable =>
            {
                Err(ErrorKind::Overloaded.into())
            }
            Err(error) if fault == Some(Fault::RefusedIsAbsent) && call.contains(" load ") => {
                if error.kind() == ErrorKind::Unavailable { Ok("none".to_owned()) } else { Err(error) }
            }
            result => result,
        }
    }

    async fn exchange(&mut self, call: &str) -> Result<String> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let gives_up = self.fault == Some(Fault::GivesUpWhenRefused);
                if gives_up && self.has_given_up.load(Ordering::SeqCst) {
                    return Err(ErrorKind::Unavailable.into());
                }
                let stream = TcpStream::connect(self.server).await;
                self.has_given_up.store(stream.is_err(), Ordering::SeqCst);
                self.stream.insert(BufReader::new(stream.map_err(unavailable)?))
            }
        };
        stream.write_all(call.as_bytes()).await.map_err(unavailable)?;
        let mut answer = Vec::new();
        if self.fault == Some(Fault::OneReadIsAnAnswer) {
            answer.resize(16 * 1024, 0);
            let len = stream.read(&mut answer).await.map_err(unavailable)?;
            answer.truncate(len);
        } else {
            let read = stream.read_until(b'\n', &mut answer).await;
            let is_taken = self.fault == Some(Fault::CutIsAbsent) && !answer.is_empty();
            if !is_taken {
                read.map_err(unavailable)?;
                if answer.last() != Some(&b'\n') {
                    return Err(Error::describe(ErrorKind::Unavailable, "an answer that was cut off"));
                }
            }
        }
        String::from_utf8(answer).map(|answer| answer.trim_end().to_owned()).map_err(|_| strange())
    }
}

#[async_trait]
impl SessionBackend for Client {
    async fn create(&self, id: SessionId, new: Record, now: Timestamp) -> Result<CreateOutcome> {
        let answer = self.call("create", id, now, &format!(" {}", word(&new))).await?;
        match answer.split_once(' ') {
            None if answer == "created" => Ok(CreateOutcome::Created),
            Some(("occupied", current)) => Ok(CreateOutcome::Occupied(record(current).ok_or_else(strange)?)),
            _ => Err(strange()),
        }
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        let answer = self.call("load", id, now, "").await?;
        match answer.split_once(' ') {
            None if answer == "none" => Ok(None),
            Some(("record", found)) if record(found).is_some() => Ok(record(found)),
            _ if self.fault == Some(Fault::CutIsAbsent) => Ok(None),
            _ => Err(strange()),
        }
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        new: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        let mut expected = expected;
        if self.fault == Some(Fault::LandsHalf) {
            let half = new.clone().with_meta(Bytes::new());
            let answer =
                self.call("update", id, now, &format!(" {} {}", expected.as_i64(), word(&half))).await?;
            if answer == "updated" {
                expected = new.revision;
            }
        }
        let answer = self.call("update", id, now, &format!(" {} {}", expected.as_i64(), word(&new))).await?;
        match answer.split_once(' ') {
            None if answer == "updated" => Ok(UpdateOutcome::Updated),
            None if answer == "gone" => Ok(UpdateOutcome::Gone),
            Some(("conflict", current)) => Ok(UpdateOutcome::Conflict(record(current).ok_or_else(strange)?)),
            _ => Err(strange()),
        }
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        match self.call("touch", id, now, &format!(" {}", expires_at.as_millis())).await?.as_str() {
            "touched true" => Ok(true),
            "touched false" => Ok(false),
            _ => Err(strange()),
        }
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        let expected = expected.map_or("-".to_owned(), |expected| expected.as_i64().to_string());
        let answer = self.call("delete", id, now, &format!(" {expected}")).await?;
        match answer.split_once(' ') {
            None if answer == "deleted" => Ok(DeleteOutcome::Deleted),
            None if answer == "absent" => Ok(DeleteOutcome::Absent),
            Some(("conflict", current)) => Ok(DeleteOutcome::Conflict(record(current).ok_or_else(strange)?)),
            _ => Err(strange()),
        }
    }
}

fn unavailable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, error)
}

fn strange() -> Error {
    Error::describe(ErrorKind::Internal, "an answer that is none")
}
