//! A session as a store keeps it.

use std::fmt;

use bytes::Bytes;

use crate::{Principal, Revision, Timestamp};

/// One session in a store. Cheap to clone: `meta`, `data` and the principal are shared.
///
/// Drivers keep every field and interpret three: they compare `revision` for equality, compare
/// `expires_at` with the caller's `now`, and keep [`touch`](crate::SessionBackend::touch) below `deadline`.
/// The core makes all of them, and enforces both limits again on every load.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Which write this is; updates compare it.
    pub revision: Revision,
    /// The record is dead from this instant on: exactly when `now >= expires_at`. Never past `deadline` in
    /// what the core makes.
    pub expires_at: Timestamp,
    /// The absolute limit: no touch moves `expires_at` past it. At most 400 days ahead.
    pub deadline: Timestamp,
    /// When the record was last created, updated or touched.
    pub touched_at: Timestamp,
    /// Who is signed in, for [`list`](crate::SessionBackend::list). `Some("")` is somebody.
    pub principal: Option<Principal>,
    /// The core's bookkeeping, digests included; drivers never look inside.
    pub meta: Bytes,
    /// The session's values.
    pub data: Bytes,
}

impl Record {
    /// A record without principal, bookkeeping and values.
    #[must_use]
    pub fn new(
        revision: Revision,
        touched_at: Timestamp,
        expires_at: Timestamp,
        deadline: Timestamp,
    ) -> Self {
        Self {
            revision,
            expires_at,
            deadline,
            touched_at,
            principal: None,
            meta: Bytes::new(),
            data: Bytes::new(),
        }
    }

    /// The same record with this principal, or with none.
    #[must_use]
    pub fn with_principal(mut self, principal: Option<Principal>) -> Self {
        self.principal = principal;
        self
    }

    /// The same record with this bookkeeping.
    #[must_use]
    pub fn with_meta(mut self, meta: impl Into<Bytes>) -> Self {
        self.meta = meta.into();
        self
    }

    /// The same record with these values.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// Whether the session lives at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// What a touch at `now` makes of the record: `expires_at` moves to the one asked for, never back
    /// and never past the deadline; `touched_at` moves to `now`, never back.
    ///
    /// For drivers that hold records in memory; the others say the same in their own language.
    pub fn touch(&mut self, expires_at: Timestamp, now: Timestamp) {
        self.expires_at = self.expires_at.max(expires_at).min(self.deadline);
        self.touched_at = self.touched_at.max(now);
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart, so that a new field is shown or hidden on purpose.
        let Self { revision, expires_at, deadline, touched_at, principal, meta, data } = self;
        f.debug_struct("Record")
            .field("revision", revision)
            .field("expires_at", expires_at)
            .field("deadline", deadline)
            .field("touched_at", touched_at)
            .field("principal", principal)
            .field("meta", &format_args!("{} bytes", meta.len()))
            .field("data", &format_args!("{} bytes", data.len()))
            .finish()
    }
}
