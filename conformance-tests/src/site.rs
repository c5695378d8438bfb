//! What cases of sessions work with: a manager over a spied-on driver, requests that come with a token,
//! and what they are answered.

use std::fmt::Debug;
use std::sync::Arc;

use session_core::{
    Committed, ErrorKind, Record, Result, Session, SessionBackend, SessionId, SessionManager,
    SessionManagerBuilder, SessionToken,
};

use crate::check::{CaseResult, Failure, ensure};
use crate::context::{Context, MINUTE};
use crate::spy::Spy;

/// One node of a web site. Clones are the same node.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) ctx: Context,
    pub(crate) spy: Spy,
    pub(crate) manager: SessionManager,
}

impl Site {
    /// A node with the defaults and the case's clock.
    pub(crate) fn new(ctx: &Context) -> CaseResult<Self> {
        Self::with(ctx, |builder| builder)
    }

    /// A node with other settings.
    pub(crate) fn with(
        ctx: &Context,
        configure: impl FnOnce(SessionManagerBuilder) -> SessionManagerBuilder,
    ) -> CaseResult<Self> {
        Self::over(ctx, ctx.backend(), configure)
    }

    /// A node over another handle to the same sessions.
    pub(crate) fn over(
        ctx: &Context,
        backend: Arc<dyn SessionBackend>,
        configure: impl FnOnce(SessionManagerBuilder) -> SessionManagerBuilder,
    ) -> CaseResult<Self> {
        let spy = Spy::new(backend);
        // Whoever wants the store's answers to be late says how late: a busy machine is no reason.
        let builder = SessionManager::builder(spy.clone()).clock(ctx.clock().clone()).store_timeout(MINUTE);
        Ok(Self { ctx: ctx.clone(), manager: configure(builder).build()?, spy })
    }

    /// A session of nobody that holds `n = 0`; its token.
    pub(crate) async fn visit(&self) -> CaseResult<String> {
        self.create(|session| session.insert("n", 0)).await
    }

    /// A session of `principal` that holds `n = 0`; its token.
    pub(crate) async fn member(&self, principal: &str) -> CaseResult<String> {
        self.create(|session| {
            session.insert("n", 0)?;
            session.sign_in(principal)
        })
        .await
    }

    /// A session with whatever `fill` puts there; its token.
    pub(crate) async fn create(&self, fill: impl FnOnce(&Session) -> Result<()>) -> CaseResult<String> {
        let session = self.manager.open(None).await?;
        fill(&session)?;
        token(session.commit().await?)
    }

    /// A request that comes with `token` and means a stored session.
    pub(crate) async fn open(&self, token: &str) -> CaseResult<Session> {
        let session = self.manager.open(Some(token)).await?;
        ensure(!session.is_new() && !session.is_superseded(), "a current token opened no session")?;
        Ok(session)
    }

    /// A whole request: opens, changes, commits.
    pub(crate) async fn request(
        &self,
        token: &str,
        change: impl FnOnce(&Session) -> Result<()>,
    ) -> CaseResult<Committed> {
        let session = self.open(token).await?;
        change(&session)?;
        Ok(session.commit().await?)
    }

    /// A request that adds 1 to `n` among others that do so: it commits again for as long as others are first
    /// for the whole of a commit's time. On a busy machine that is time for a few attempts.
    pub(crate) async fn count_among_others(&self, token: &str) -> CaseResult {
        let session = self.open(token).await?;
        add_one(&session)?;
        loop {
            match session.commit().await {
                Err(error) if error.kind() == ErrorKind::Contended => {}
                committed => return unchanged(committed?),
            }
        }
    }

    /// A request that adds 1 to `n`.
    pub(crate) async fn count(&self, token: &str) -> CaseResult {
        unchanged(self.request(token, add_one).await?)
    }

    /// The value of `n`.
    pub(crate) async fn n(&self, token: &str) -> CaseResult<u64> {
        Ok(self.open(token).await?.get("n")?.unwrap_or_default())
    }

    /// What is stored of the session that `token` is for.
    pub(crate) async fn record(&self, token: &str) -> CaseResult<Record> {
        let record = self.ctx.backend().load(id(token)?, self.ctx.now()).await?;
        record.ok_or_else(|| Failure::new("the session is gone"))
    }

    /// Fails unless `token` is a stranger's: a new session of nobody.
    pub(crate) async fn expect_stranger(&self, token: &str, what: &str) -> CaseResult {
        let session = self.manager.open(Some(token)).await?;
        ensure(session.is_new(), format!("{what}: the token opened more than a new session"))?;
        ensure(session.principal().is_none(), format!("{what}: somebody is signed in"))?;
        ensure(session.id().is_none(), format!("{what}: the session has an id"))
    }

    /// Fails unless `token` is superseded.
    pub(crate) async fn expect_superseded(&self, token: &str, what: &str) -> CaseResult<Session> {
        let session = self.manager.open(Some(token)).await?;
        ensure(session.is_superseded(), format!("{what}: the token is not superseded"))?;
        ensure(!session.is_new(), format!("{what}: the session is new"))?;
        Ok(session)
    }
}

/// What a request does to its session.
pub(crate) type Step = fn(&Session) -> Result<()>;

/// `update` of `n`.
pub(crate) fn add_one(session: &Session) -> Result<()> {
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).map(drop)
}

/// The id in a token.
pub(crate) fn id(token: &str) -> CaseResult<SessionId> {
    let token = SessionToken::parse(token).ok_or_else(|| Failure::new("the core made a malformed token"))?;
    Ok(token.id())
}

/// The token that a commit hands out.
#[track_caller]
pub(crate) fn token(committed: Committed) -> CaseResult<String> {
    match committed {
        Committed::SetToken { token, .. } => Ok(token.expose()),
        other => Err(Failure::new(format!("commit: expected a token, got {other:?}"))),
    }
}

/// Fails unless a commit tells the client nothing.
#[track_caller]
pub(crate) fn unchanged(committed: Committed) -> CaseResult {
    match committed {
        Committed::Unchanged => Ok(()),
        other => Err(Failure::new(format!("commit: expected Unchanged, got {other:?}"))),
    }
}

/// Fails unless a commit tells the client to forget its token.
#[track_caller]
pub(crate) fn cleared(committed: Committed) -> CaseResult {
    match committed {
        Committed::ClearToken => Ok(()),
        other => Err(Failure::new(format!("commit: expected ClearToken, got {other:?}"))),
    }
}

/// Fails unless this is an error of that kind.
#[track_caller]
pub(crate) fn refused<T: Debug>(result: Result<T>, kind: ErrorKind, what: &str) -> CaseResult {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        other => Err(Failure::new(format!("{what}: expected {kind:?}, got {other:?}"))),
    }
}
