//! The contract between the core and a store: eight verbs over records.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Error, ErrorKind, Principal, Record, Result, Revision, SessionId, Timestamp};

/// A store of sessions, or a layer over one.
///
/// | verb | live | expired, not yet purged | absent or deleted |
/// |---|---|---|---|
/// | [`create`](Self::create) | `Occupied(current)`, the original untouched | replaces it, atomically | stores it |
/// | [`load`](Self::load) | the record | `None` | `None` |
/// | [`update`](Self::update), revision equal | stored as given | `Gone` | `Gone`, nothing created |
/// | [`update`](Self::update), revision differs | `Conflict(current)` | `Gone` | `Gone` |
/// | [`touch`](Self::touch) | moves the expiry | `false` | `false` |
/// | [`delete`](Self::delete) | `Deleted`, or `Conflict(current)` if `expected` differs | `Absent` | `Absent` |
///
/// # Rules for every verb
///
/// - A record is dead exactly when `now >= expires_at`, by the `now` that the caller passes: never by the
///   store's own clock. A store's own expiry is garbage collection and comes later.
/// - Verbs on one id are atomic and linearizable. Half a record is never visible.
/// - A store that fails is `Err`, an absent session is `Ok`: the two are never confused.
/// - A verb whose future is dropped may take effect later, once, or never; never half.
/// - A create is never sent twice with one id, not by a client's retry either: a late copy
///   could land after a sign-out and bring the session back. The core takes a fresh id for each create.
/// - A stored record that cannot be read is [`Corrupt`](ErrorKind::Corrupt) to a verb that would have to,
///   [`UnknownFormat`](ErrorKind::UnknownFormat) if a newer version may read it, and stays as it is. What removes
///   or replaces it whole need not read it: `delete` without `expected` removes it, an `update` or `delete` whose
///   `expected` matches and a `purge_expired` may. `list` leaves it out. A `touch` may go on where the times are
///   stored apart from what is damaged.
/// - Verbs are called within a tokio runtime, of either flavour.
///
/// The trait is frozen: `docs/adr/0005-the-backend-trait-is-frozen.md` says what was tried, and what may still be
/// added. The published conformance suite checks these rules on any driver. Five verbs make a driver;
/// `purge_expired` and `list` are [`Unsupported`](ErrorKind::Unsupported) unless they are overridden.
///
/// # Errors
///
/// Drivers make them by [`Error::new`]; [`SessionManager`](crate::SessionManager) adds the operation.
/// The kind says what the caller may take for granted:
///
/// | kind | the store |
/// |---|---|
/// | [`Overloaded`](ErrorKind::Overloaded), [`Config`](ErrorKind::Config), [`SchemaMissing`](ErrorKind::SchemaMissing), [`TooLarge`](ErrorKind::TooLarge), [`Unsupported`](ErrorKind::Unsupported) | was not changed, and never will be by this call |
/// | [`Corrupt`](ErrorKind::Corrupt), [`UnknownFormat`](ErrorKind::UnknownFormat) | was not changed: what is there cannot be read |
/// | [`Unavailable`](ErrorKind::Unavailable), [`Timeout`](ErrorKind::Timeout), [`Contended`](ErrorKind::Contended), [`Internal`](ErrorKind::Internal), and every other | may have been changed, or may be later: a lost connection is as ambiguous as a timeout |
#[async_trait]
pub trait SessionBackend: Debug + Send + Sync + 'static {
    /// Stores a record under an id that nobody has.
    ///
    /// Live: `Occupied` with what is there, which stays. Expired: replaced, atomically. Absent: stored.
    /// Concurrent: of several creates with one id, one wins.
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome>;

    /// The record, if it is live. Changes nothing.
    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>>;

    /// As [`load`](Self::load), never from a cache. Caches override it; for every other backend the
    /// two are the same.
    async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        self.load(id, now).await
    }

    /// Replaces the whole record, if it is live and its revision is `expected`.
    ///
    /// Live with another revision: `Conflict` with the record as it was after the attempt, never an
    /// older snapshot, so never with `expected` itself. Expired or absent: `Gone`, and nothing is created.
    /// Concurrent: of several updates with one `expected`, one wins.
    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome>;

    /// Moves a live record's expiry: `expires_at = min(deadline, max(old, new))`,
    /// `touched_at = max(old, now)`; revision, principal, meta and data stay as they are.
    ///
    /// Whether there was a live record. Idempotent.
    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool>;

    /// Removes a live record; with `expected`, only if that is its revision.
    ///
    /// Live with another revision: `Conflict`, as in [`update`](Self::update). Expired or absent:
    /// `Absent`. Once it has returned `Deleted`, no late update, touch or purge brings the session back.
    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome>;

    /// Removes up to `limit` records that are dead at `now`, and never a live one.
    ///
    /// May stop half-way and is safe to repeat and to run in several places at once: each deletion checks
    /// again that its record is dead. A store that expires records by itself returns `Ok(Purged::default())`.
    /// A `limit` of 0 removes nothing and says that there is no more.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) by default.
    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        let _ = (now, limit);
        Err(Error::describe(ErrorKind::Unsupported, "purge_expired"))
    }

    /// Live records, in the driver's own order: those of `principal`, or all with `None`.
    ///
    /// The pages from the first to the one without [`next`](Listing::next) contain every session that was live
    /// with that principal before the first call and stays so, at least once. They may contain others, and one
    /// twice, so callers check each. A page has at most `limit` sessions and may have fewer, or none, with
    /// more behind it; a `limit` of 0 asks for nothing and gets an empty page without `next`.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) by default; [`Config`](ErrorKind::Config) for a
    /// cursor that this driver did not make.
    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        let _ = (principal, after, limit, now);
        Err(Error::describe(ErrorKind::Unsupported, "list"))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: SessionBackend + ?Sized> SessionBackend for Arc<B> {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        (**self).create(id, record, now).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        (**self).load(id, now).await
    }

    async fn load_latest(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        (**self).load_latest(id, now).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        (**self).update(id, expected, record, now).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        (**self).touch(id, expires_at, now).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        (**self).delete(id, expected, now).await
    }

    async fn purge_expired(&self, now: Timestamp, limit: usize) -> Result<Purged> {
        (**self).purge_expired(now, limit).await
    }

    async fn list(
        &self,
        principal: Option<&Principal>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Listing> {
        (**self).list(principal, after, limit, now).await
    }
}

/// What [`SessionBackend::create`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CreateOutcome {
    /// The record is stored.
    Created,
    /// The id has a live session already: this one, untouched.
    Occupied(Record),
}

/// What [`SessionBackend::update`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum UpdateOutcome {
    /// The record is stored as given.
    Updated,
    /// The live record has another revision: this is it, untouched.
    Conflict(Record),
    /// There is no live record, and none was made.
    Gone,
}

/// What [`SessionBackend::delete`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum DeleteOutcome {
    /// A live record was removed.
    Deleted,
    /// The live record has another revision than the expected one: this is it, untouched.
    Conflict(Record),
    /// There was no live record.
    Absent,
}

/// What [`SessionBackend::purge_expired`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// How many records were removed.
    pub removed: u64,
    /// Whether more may be left: call again, also if none was removed. `false` does not promise that none is left;
    /// one that another caller is at work on may be passed over.
    pub more: bool,
}

impl Purged {
    /// `removed` records are gone; `more` may be left.
    #[must_use]
    pub fn new(removed: u64, more: bool) -> Self {
        Self { removed, more }
    }
}

/// One page of [`SessionBackend::list`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// The sessions, in the driver's own order.
    pub sessions: Vec<(SessionId, Record)>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<Cursor>,
}

impl Listing {
    /// A page of `sessions`, with more of them behind `next`.
    #[must_use]
    pub fn new(sessions: Vec<(SessionId, Record)>, next: Option<Cursor>) -> Self {
        Self { sessions, next }
    }
}

/// A place in a [`Listing`], in a form that only the driver that made it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Bytes);

impl Cursor {
    /// A cursor with a driver's own content. Most drivers want [`after`](Self::after).
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The content given to [`from_bytes`](Self::from_bytes).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The place right behind `id`.
    #[must_use]
    pub fn after(id: SessionId) -> Self {
        Self(Bytes::copy_from_slice(id.as_bytes()))
    }

    /// The id given to [`after`](Self::after).
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if the cursor was not made by it.
    pub fn session_id(&self) -> Result<SessionId> {
        <[u8; 16]>::try_from(&*self.0)
            .map(SessionId::from_bytes)
            .map_err(|_| Error::describe(ErrorKind::Config, "a foreign cursor"))
    }
}
