//! The other sessions of whoever is signed in: seeing them and ending them.

use crate::detached::Detached;
use crate::meta::Meta;
use crate::session::Session;
use crate::{ErrorKind, Principal, Result, SessionId, SessionInfo};

impl Session {
    /// The live sessions of the principal who is signed in to this one as it is stored, this one included; none for
    /// nobody. A [`sign_in`](Self::sign_in) of somebody else gives no rights before its commit, and takes those that
    /// there were: then there are none, either.
    ///
    /// # Errors
    ///
    /// [`Stale`](ErrorKind::Stale) or [`Gone`](ErrorKind::Gone) if this session's token was replaced or the
    /// session ended meanwhile; otherwise as for [`SessionManager::list`](crate::SessionManager::list).
    pub async fn siblings(&self) -> Result<Vec<SessionInfo>> {
        match self.confirm().await? {
            Some(principal) => self.shared.manager.list_for(&principal, self.id()).await,
            None => Ok(Vec::new()),
        }
    }

    /// Ends another session of the same principal; `false` if `id` is not a live one of theirs.
    ///
    /// Takes effect at once, not with the commit. Given its own id it ends this session, and leaves the
    /// cookie; [`sign_out`](Self::sign_out) is for that.
    ///
    /// # Errors
    ///
    /// [`Stale`](ErrorKind::Stale) or [`Gone`](ErrorKind::Gone) if this session's token was replaced or the
    /// session ended meanwhile, and nothing was revoked. Those of the store.
    pub async fn revoke(&self, id: SessionId) -> Result<bool> {
        if self.is_superseded() {
            return Err(ErrorKind::Stale.into());
        }
        let Some(principal) = self.confirm().await? else { return Ok(false) };
        let manager = &self.shared.manager;
        match manager.store().load_latest(id, manager.now()).await? {
            Some(other) if other.principal.as_ref() == Some(&principal) => {
                manager.revoke_if_of(id, other.revision, &principal).await
            }
            _ => Ok(false),
        }
    }

    /// Replaces this session's token, commits, and then ends every other session of its principal;
    /// returns how many.
    ///
    /// The token is replaced because a thief may hold this very one. Nothing is revoked if the commit
    /// fails. [`reload`](Self::reload) before changing the session again. `0`, and nothing done, if
    /// nobody is signed in. Goes on to its end when the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Self::commit) and
    /// [`SessionManager::revoke_all`](crate::SessionManager::revoke_all).
    pub async fn revoke_others(&self) -> Result<u64> {
        let Some(principal) = self.principal() else {
            self.state().is_writable()?;
            return Ok(0);
        };
        self.rotate()?;
        let session = self.clone();
        let work = async move {
            // The answer is kept for the HTTP layer.
            let _ = session.commit().await?;
            session.shared.manager.revoke_all_but(&principal, session.id()).await
        };
        Detached::new(work).await
    }

    /// Whose sessions this one may see and end, once it is sure that the token still counts; `None` where nobody
    /// is signed in.
    async fn confirm(&self) -> Result<Option<Principal>> {
        let (base, signs_in) = {
            let state = self.state();
            (state.base().cloned(), state.intent().sign_in.clone())
        };
        let Some(base) = base else { return Ok(None) };
        let manager = &self.shared.manager;
        let Some(own) = manager.store().load_latest(base.id(), manager.now()).await? else {
            return Err(ErrorKind::Gone.into());
        };
        if !Meta::decode(&own.meta)?.secrets.may_write(base.digest) {
            return Err(ErrorKind::Stale.into());
        }
        Ok(own.principal.filter(|stored| signs_in.is_none_or(|principal| principal == *stored)))
    }
}
