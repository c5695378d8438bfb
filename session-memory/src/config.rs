//! What can be chosen about the store: how many sessions it may hold.

use std::num::NonZeroUsize;

/// The settings of a [`MemoryBackend`](crate::MemoryBackend).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// The most sessions that are kept, expired ones included; without limit by default.
    pub capacity: Option<NonZeroUsize>,
}

impl MemoryConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps at most `capacity` sessions: a create beyond it evicts the session that expires next.
    ///
    /// The newcomer itself stays, however short its life. Creates that run in parallel may exceed the
    /// limit by one each until they return. [`evicted`](crate::MemoryBackend::evicted) counts.
    #[must_use]
    pub fn with_capacity(mut self, capacity: NonZeroUsize) -> Self {
        self.capacity = Some(capacity);
        self
    }
}
