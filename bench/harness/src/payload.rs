//! The values of sessions: the same on every side, and never the same in two writes.

use serde_json::{Map, Value, json};

use crate::{Failure, Values};

/// The value that changes with each write: stores may skip a write that changes nothing.
pub const CHANGING: &str = "seen";

/// The value that is read where one is read.
pub const READ: &str = "entry_10_title";

/// The values of a session. All are of the same size, whatever `write` is.
#[must_use]
pub fn values(values: Values, write: u64) -> Map<String, Value> {
    match values {
        Values::Small => small(write),
        Values::Large => large(),
    }
}

/// What [`CHANGING`] holds after this write.
#[must_use]
pub fn changed(write: u64) -> Value {
    json!(1_000_000_000 + write % 1_000_000_000)
}

/// Whether the values have the size that the figures are said to be for.
pub(crate) fn check(kind: Values) -> Result<(), Failure> {
    let bytes = serde_json::to_vec(&values(kind, 0))?.len();
    let expected = match kind {
        Values::Small => 256..=256,
        Values::Large => 4000..=4200,
    };
    if expected.contains(&bytes) { Ok(()) } else { Err(format!("values of {bytes} bytes").into()) }
}

/// 256 bytes in six values.
fn small(write: u64) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("user_id".into(), json!("8f3c2b1e-77aa-4d0c-9a51-c0ffee123456"));
    map.insert("name".into(), json!("Rosalind Example-Lindqvist"));
    map.insert("email".into(), json!("rosalind.example@mail.example.org"));
    map.insert("roles".into(), json!(["editor", "billing", "support"]));
    map.insert(CHANGING.into(), changed(write));
    map.insert("csrf".into(), json!("q7Zt0vNfX1mRk9LwYb3sHd8cUe2aPg5oTj6iQxK4rVn1yBz5uWc3gJk8mSx"));
    map
}

/// 4 KiB in a hundred values.
fn large() -> Map<String, Value> {
    let entry = |n: usize| {
        let field = ["title", "seller", "place", "added", "wish"][n % 5];
        (format!("entry_{:02}_{field}", n / 5), json!(format!("short text, number {n:02}")))
    };
    (0..100).map(entry).collect()
}
