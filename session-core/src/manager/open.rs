//! Opening: what a token that a request brings stands for.

use crate::manager::SessionManager;
use crate::meta::Meta;
use crate::secrets::{Presented, Secrets};
use crate::session::{Base, Origin, Session};
use crate::token::SecretDigest;
use crate::{
    DeleteOutcome, Record, Result, Revision, SessionEvent, SessionId, SessionToken, Timestamp, UpdateOutcome,
};

impl SessionManager {
    /// Opens the session that `token` is for.
    ///
    /// - No token, a malformed one, one of an unknown or expired session, or a wrong secret: a new, empty
    ///   session. It gets an id of its own when something is stored; a presented id is never adopted.
    /// - The current secret of a live session, or one that a periodic rotation has replaced and that is valid
    ///   still: that session.
    /// - A secret that died less than `grace` ago: a *superseded* session, which reads as empty and refuses
    ///   changes with [`Stale`](crate::ErrorKind::Stale). The request was in flight when another one signed in.
    ///
    /// # Errors
    ///
    /// A store that fails is an error, never an empty session: so nothing can be written after a
    /// failed read (OWASP ASVS 16.5.3). [`Corrupt`](crate::ErrorKind::Corrupt) and
    /// [`UnknownFormat`](crate::ErrorKind::UnknownFormat) if the record cannot be read.
    pub async fn open(&self, token: Option<&str>) -> Result<Session> {
        match token.and_then(SessionToken::parse) {
            Some(token) => Ok(Session::new(self.clone(), self.find(&token).await?)),
            None => Ok(Session::new(self.clone(), Origin::New)),
        }
    }

    /// Looks up what a token stands for that a client has presented.
    pub(crate) fn find(&self, token: &SessionToken) -> impl Future<Output = Result<Origin>> + Send {
        self.look_up(token, true)
    }

    /// Looks again at the session of a handle. No client has presented its token now: that a rotation has
    /// arrived, or that a copy was kept, is not to be told from it, however long a stream goes on.
    pub(crate) fn find_again(&self, token: &SessionToken) -> impl Future<Output = Result<Origin>> + Send {
        self.look_up(token, false)
    }

    async fn look_up(&self, token: &SessionToken, presented_now: bool) -> Result<Origin> {
        let (digest, now) = (token.digest(), self.now());
        let closer_look = match self.store().load(token.id(), now).await? {
            None => return Ok(Origin::New),
            Some(found) => {
                let mut meta = Meta::decode(&found.meta)?;
                if self.opens_simply(&mut meta.secrets, digest, now, presented_now) {
                    return Ok(Origin::Live(Base::new(token.clone(), digest, found, meta)?));
                }
                // Boxed, because a handler's future, which is moved and allocated, has room for this one.
                Box::pin(self.look_closer(token, digest, found, now, presented_now))
            }
        };
        closer_look.await
    }

    /// Whether the secret opens the session and there is nothing to write down. If not, the secrets are to be read
    /// again: what there was to write down is in them.
    fn opens_simply(
        &self,
        secrets: &mut Secrets,
        digest: SecretDigest,
        now: Timestamp,
        presented_now: bool,
    ) -> bool {
        let grace = self.settings().grace;
        let presented = secrets.classify(digest, now, grace);
        let opens = matches!(presented, Presented::Current | Presented::Replaced);
        opens && !(presented_now && secrets.present(digest, now, grace))
    }

    /// Looks at what a token has found that does not simply open it.
    async fn look_closer(
        &self,
        token: &SessionToken,
        digest: SecretDigest,
        found: Record,
        mut now: Timestamp,
        presented_now: bool,
    ) -> Result<Origin> {
        let id = token.id();
        let mut record = Some(found);
        let mut is_latest = false;
        while let Some(found) = record.take() {
            let grace = self.settings().grace;
            let mut meta = Meta::decode(&found.meta)?;
            let presented = meta.secrets.classify(digest, now, grace);
            record = match presented {
                Presented::Current | Presented::Replaced => {
                    if !presented_now || !meta.secrets.present(digest, now, grace) {
                        return Ok(Origin::Live(Base::new(token.clone(), digest, found, meta)?));
                    }
                    match self.note_presentation(id, &found, meta, now).await? {
                        Noted::Done(record, meta) => {
                            return Ok(Origin::Live(Base::new(token.clone(), digest, record, meta)?));
                        }
                        Noted::Conflict(current) => Some(current),
                        Noted::Gone => None,
                    }
                }
                // A cache may not have heard of the rotation that this secret comes from.
                _ if !is_latest => {
                    is_latest = true;
                    self.store().load_latest(id, now).await?
                }
                _ if !presented_now => return Ok(Origin::Superseded),
                Presented::Superseded => {
                    self.notice(SessionEvent::Superseded(id));
                    return Ok(Origin::Superseded);
                }
                Presented::Replayed => {
                    self.notice(SessionEvent::Replayed(id));
                    match self.settings().on_replay {
                        OnReplay::Reject => None,
                        OnReplay::Revoke => self.revoke_replayed(id, found.revision, now).await?,
                    }
                }
                Presented::Unknown => {
                    self.notice(SessionEvent::Forged(id));
                    None
                }
            };
            now = self.now();
        }
        Ok(Origin::New)
    }

    /// Writes down that a secret was presented, before the request's handler runs: what it replaced
    /// dies `grace` from now, whatever becomes of the request.
    async fn note_presentation(
        &self,
        id: SessionId,
        found: &Record,
        meta: Meta,
        now: Timestamp,
    ) -> Result<Noted> {
        let mut noted = meta.clone();
        noted.push_revision(found.revision);
        let mut record = found.clone();
        record.revision = found.revision.next(rand::random());
        record.meta = noted.encode()?;
        record.touch(meta.lifetime.expires_at(now, found.deadline), now);
        match self.store().update(id, found.revision, record.clone(), now).await {
            Ok(UpdateOutcome::Updated) => Ok(Noted::Done(record, noted)),
            Ok(UpdateOutcome::Conflict(current)) => Ok(Noted::Conflict(current)),
            Ok(UpdateOutcome::Gone) => Ok(Noted::Gone),
            // The request is not worse off for it: its commit writes it down, or the next request does.
            Err(error) => {
                tracing::warn!(?id, %error, "could not note that a rotated token has arrived");
                Ok(Noted::Done(found.clone(), meta))
            }
        }
    }

    /// Ends a session of whose secret somebody has kept a copy; what is there instead, if another
    /// request wrote it meanwhile.
    async fn revoke_replayed(
        &self,
        id: SessionId,
        revision: Revision,
        now: Timestamp,
    ) -> Result<Option<Record>> {
        match self.store().delete(id, Some(revision), now).await? {
            DeleteOutcome::Deleted => {
                self.notice(SessionEvent::Revoked(id));
                Ok(None)
            }
            DeleteOutcome::Conflict(current) => Ok(Some(current)),
            DeleteOutcome::Absent => Ok(None),
        }
    }
}

/// What became of noting that a secret was presented.
enum Noted {
    Done(Record, Meta),
    Conflict(Record),
    Gone,
}

/// What to do when a token comes back that was replaced by a periodic rotation long ago: somebody has
/// kept a copy of a cookie, the thief or the owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnReplay {
    /// Treat it as any wrong token. The default.
    #[default]
    Reject,
    /// End the session, so that whoever has the newer token is out, too. Never on a token that was replaced
    /// at a sign-in, forged or forgotten: else a planted one would sign the owner out.
    Revoke,
}
