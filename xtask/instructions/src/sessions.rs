//! Sessions of 4 KiB in 100 small values, the same in every run.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use session_core::{Committed, ErrorKind, IdGenerator, Result, SessionId, SessionManager, SessionToken};
use session_memory::MemoryBackend;

/// The value that is read and changed: one in the middle.
pub(crate) const KEY: &str = "entry_10_title";

pub(crate) struct Sessions {
    pub(crate) manager: SessionManager,
}

impl Sessions {
    pub(crate) fn new() -> Result<Self> {
        let manager = SessionManager::builder(MemoryBackend::new()).ids(Counted::default()).build()?;
        Ok(Self { manager })
    }

    /// The token of a new session with these values.
    pub(crate) async fn create(&self, values: &Value) -> Result<String> {
        let session = self.manager.open(None).await?;
        for (key, value) in values.as_object().into_iter().flatten() {
            session.insert([key], value)?;
        }
        match session.commit().await? {
            Committed::SetToken { token, .. } => Ok(token.expose()),
            Committed::Unchanged | Committed::ClearToken => Err(ErrorKind::Internal.into()),
        }
    }
}

/// The token of a session that was never created.
pub(crate) fn stranger() -> String {
    token(u64::MAX).expose()
}

/// Tokens that are the same in every run.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl IdGenerator for Counted {
    fn generate(&self) -> Result<SessionToken> {
        Ok(token(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

fn token(number: u64) -> SessionToken {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    SessionToken::from_parts(SessionId::from_bytes(id), [9; 32])
}

/// A hundred texts.
pub(crate) fn strings() -> Value {
    let entry = |n: usize| {
        (
            format!("entry_{:02}_{}", n / 5, ["title", "seller", "place", "added", "wish"][n % 5]),
            json!(format!("short text, number {n:02}")),
        )
    };
    (0..100).map(entry).collect()
}

/// Texts, numbers and flags.
pub(crate) fn mixed() -> Value {
    let entry = |n: usize| {
        let (item, field) = (n / 5, n % 5);
        let name = ["title", "seller", "quantity", "added_at", "is_gift"][field];
        let value = match field {
            0 => json!(format!("A thing that somebody wants, number {item:02}, in blue or some colour")),
            1 => json!(format!("seller{item:02}@example.org")),
            2 => json!(item % 4 + 1),
            3 => json!(1_767_225_600_000 + item * 86_400_000),
            _ => json!(item % 3 == 0),
        };
        (format!("entry_{item:02}_{name}"), value)
    };
    (0..100).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_4_kib_in_100_values() {
        for values in [strings(), mixed()] {
            assert_eq!(values.as_object().unwrap().len(), 100);
            let bytes = values.to_string().len();
            assert!((4000..=4200).contains(&bytes), "{bytes}");
            assert!(values[KEY].is_string());
        }
    }
}
