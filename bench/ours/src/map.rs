//! The limit of a store in memory: a concurrent map of shared bytes, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bench_harness::{Cell, Failure, Operation, Program, Store, id, payload};
use bytes::Bytes;
use dashmap::DashMap;
use serde::Deserialize;

#[derive(Clone)]
pub(crate) struct SharedMap {
    map: Arc<DashMap<[u8; 16], Bytes>>,
    next: Arc<AtomicU64>,
    template: Bytes,
    writes: u8,
}

/// [`payload::READ`]. The other values are passed over, and checked to be JSON.
#[derive(Deserialize)]
pub(crate) struct OneValue {
    #[serde(rename = "entry_10_title")]
    pub(crate) read: String,
}

impl SharedMap {
    pub(crate) async fn open(program: Program) -> Result<Self, Failure> {
        let template = Bytes::from(serde_json::to_vec(&payload::values(program.values, 0))?);
        let map = DashMap::new();
        for number in 0..program.sessions {
            map.insert(id(number), Bytes::copy_from_slice(&template));
        }
        let next = Arc::new(AtomicU64::new(program.sessions));
        Ok(Self { map: Arc::new(map), next, template, writes: 0 })
    }

    fn load(&self, session: u64) -> Result<Bytes, Failure> {
        let bytes = self.map.get(&id(session)).map(|bytes| Bytes::clone(&bytes));
        Ok(bytes.ok_or("a session is missing")?)
    }

    fn write(&mut self, id: [u8; 16]) {
        let mut bytes = self.template.to_vec();
        self.writes = self.writes.wrapping_add(1);
        bytes[0] = self.writes;
        self.map.insert(id, Bytes::from(bytes));
    }
}

impl Store for SharedMap {
    fn workers(&self, cell: &Cell) -> Result<Vec<Self>, Failure> {
        Ok(vec![self.clone(); cell.tasks])
    }

    fn timed_every(&self) -> u64 {
        16
    }

    async fn operate(&mut self, operation: Operation, session: u64) -> Result<(), Failure> {
        match operation {
            Operation::Load => {
                std::hint::black_box(self.load(session)?);
            }
            Operation::ReadOne => {
                let values: OneValue = serde_json::from_slice(&self.load(session)?)?;
                std::hint::black_box(values.read);
            }
            Operation::Update => self.write(id(session)),
            Operation::Create => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                self.write(id(number));
            }
            other => return Err(format!("no operation of a map: {other:?}").into()),
        }
        Ok(())
    }
}
