//! The limit of a store in files: one directory, a file for each session, read on the calling thread, and replaced by
//! moving another file over it in as many threads as there are tasks.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bench_harness::{Cell, Failure, Operation, Program, Store, id, parallel, payload};
use session_core::Durability;
use tokio::sync::{mpsc, oneshot};

use crate::eviction::evict;

pub(crate) struct RawFile {
    shared: Arc<Shared>,
    /// Of a worker of a cell that writes.
    writer: Option<mpsc::UnboundedSender<oneshot::Sender<Result<(), Failure>>>>,
}

struct Shared {
    directory: File,
    flushes: bool,
    sessions: u64,
    /// The number of the next session that is made, and of the first one that this cell has made.
    next: AtomicU64,
    first_new: AtomicU64,
    data: Vec<u8>,
}

/// A thread that writes, one session after the other.
struct Writer {
    shared: Arc<Shared>,
    operation: Operation,
    /// No other writer's.
    temporary: String,
    random: fastrand::Rng,
    writes: u64,
}

impl RawFile {
    pub(crate) async fn open(program: Program, durability: Durability) -> Result<Self, Failure> {
        // Names are short then, and nothing is looked up on the way to them.
        std::env::set_current_dir(&program.directory)?;
        let shared = Arc::new(Shared {
            directory: File::open(".")?,
            flushes: durability == Durability::PowerLoss,
            sessions: program.sessions,
            next: AtomicU64::new(program.sessions),
            first_new: AtomicU64::new(program.sessions),
            data: serde_json::to_vec(&payload::values(program.values, 0))?,
        });
        let filled = Arc::clone(&shared);
        parallel(0..program.sessions, move |number| {
            let shared = Arc::clone(&filled);
            async move { Ok(fs::write(name(number), &shared.data)?) }
        })
        .await?;
        Ok(Self { shared, writer: None })
    }

    /// How many sessions are written for each word with the thread that does it: so few where each waits for the disk
    /// that no task is much ahead of others at the end of a cell.
    fn per_call(&self) -> u64 {
        if self.shared.flushes { 4 } else { 16 }
    }

    fn worker(&self, cell: &Cell, task: usize) -> Self {
        let shared = Arc::clone(&self.shared);
        if matches!(cell.operation, Operation::Load | Operation::LoadFromDisk) {
            return Self { shared, writer: None };
        }
        let (calls, mut called) = mpsc::unbounded_channel::<oneshot::Sender<Result<(), Failure>>>();
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            operation: cell.operation,
            temporary: format!("{task}.new"),
            random: fastrand::Rng::with_seed((cell.seed << 16) + task as u64),
            writes: (cell.seed << 20) + ((task as u64) << 40),
        };
        let per_call = self.per_call();
        thread::spawn(move || {
            while let Some(answer) = called.blocking_recv() {
                let _ = answer.send((0..per_call).try_for_each(|_| writer.write()));
            }
        });
        Self { shared, writer: Some(calls) }
    }
}

impl Writer {
    fn write(&mut self) -> Result<(), Failure> {
        let number = match self.operation {
            Operation::Create => self.shared.next.fetch_add(1, Ordering::Relaxed),
            _ => self.random.u64(..self.shared.sessions),
        };
        self.writes += 1;
        let mut data = self.shared.data.clone();
        data[..8].copy_from_slice(&self.writes.to_be_bytes());
        let mut file = File::create(&self.temporary)?;
        file.write_all(&data)?;
        if self.shared.flushes {
            file.sync_all()?;
        }
        drop(file);
        fs::rename(&self.temporary, name(number))?;
        if self.shared.flushes {
            self.shared.directory.sync_all()?;
        }
        Ok(())
    }
}

impl Store for RawFile {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        Ok((0..cell.tasks).map(|task| self.worker(cell, task)).collect())
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        match operation {
            Operation::Load | Operation::LoadFromDisk => {
                let mut data = Vec::with_capacity(4096);
                File::open(name(session))?.take(4096).read_to_end(&mut data)?;
                std::hint::black_box(data);
                Ok(())
            }
            Operation::Update | Operation::Create => {
                let (answer, outcome) = oneshot::channel();
                self.writer.as_ref().ok_or("no writer")?.send(answer)?;
                outcome.await?
            }
            other => Err(format!("no operation of a directory: {other:?}").into()),
        }
    }

    fn operations_per_call(&self) -> u64 {
        if self.writer.is_some() { self.per_call() } else { 1 }
    }

    async fn prepare(&self, operation: Operation) -> Result<(), Failure> {
        if operation == Operation::LoadFromDisk {
            evict(Path::new("."))?;
        }
        self.shared.first_new.store(self.shared.next.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(())
    }

    async fn clean_up(&self, _: Operation) -> Result<(), Failure> {
        for number in self.shared.first_new.load(Ordering::Relaxed)..self.shared.next.load(Ordering::Relaxed)
        {
            fs::remove_file(name(number))?;
        }
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("{:032x}", u128::from_be_bytes(id(number)))
}
