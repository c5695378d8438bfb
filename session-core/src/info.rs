//! A session as seen from outside: for "where am I signed in" pages and for operators.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::meta::Meta;
use crate::values::{AsKey, Document, decode};
use crate::{Principal, Record, Result, SessionId, Timestamp};

/// A live session as it was when it was listed. Read-only: end it with
/// [`Session::revoke`](crate::Session::revoke) or [`SessionManager::revoke`](crate::SessionManager::revoke).
#[derive(Clone)]
pub struct SessionInfo {
    id: SessionId,
    created_at: Timestamp,
    authenticated_at: Option<Timestamp>,
    last_seen: Timestamp,
    expires_at: Timestamp,
    principal: Option<Principal>,
    is_current: bool,
    document: Document,
}

impl SessionInfo {
    pub(crate) fn new(id: SessionId, record: Record, is_current: bool) -> Result<Self> {
        let meta = Meta::decode(&record.meta)?;
        let document = meta.codec.read(record.data)?;
        Ok(Self {
            id,
            created_at: meta.created_at,
            authenticated_at: meta.authenticated_at,
            last_seen: record.touched_at,
            expires_at: record.expires_at,
            principal: record.principal,
            is_current,
            document,
        })
    }

    /// Its public id, never its token.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// When it was created.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When somebody last signed in to it.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated_at
    }

    /// When it was last used, to within a tenth of the idle time, at most a minute.
    #[must_use]
    pub fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// When it ends if nobody uses it again.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Who is signed in.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Whether it is the session that asked.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_current
    }

    /// One of its values; see [`Session::get`](crate::Session::get).
    ///
    /// # Errors
    ///
    /// As for [`Session::get`](crate::Session::get).
    pub fn get<T: DeserializeOwned>(&self, key: impl AsKey<T>) -> Result<Option<T>> {
        let path = key.to_path()?;
        self.document.lookup(&path)?.map(|text| decode(&text, &path)).transpose()
    }
}

impl fmt::Debug for SessionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            created_at,
            authenticated_at,
            last_seen,
            expires_at,
            principal,
            is_current,
            document: _,
        } = self;
        f.debug_struct("SessionInfo")
            .field("id", id)
            .field("created_at", created_at)
            .field("authenticated_at", authenticated_at)
            .field("last_seen", last_seen)
            .field("expires_at", expires_at)
            .field("principal", principal)
            .field("is_current", is_current)
            .finish_non_exhaustive()
    }
}
