//! What a request has read and wants changed: plain data behind the session's lock, no I/O.

use std::sync::Arc;

use bytes::Bytes;

use crate::change::{Change, UpdateFunction, take_flash};
use crate::meta::Meta;
use crate::secrets::Rotation;
use crate::session::Committed;
use crate::token::SecretDigest;
use crate::values::{Document, Inserted, Path};
use crate::{
    Error, ErrorKind, Lifetime, Principal, Record, Result, Revision, SessionId, SessionToken, Timestamp,
};

/// Where a session came from when it was opened, or stands after a commit.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Nothing is stored.
    New,
    /// A live record, opened by its current secret.
    Live(Arc<Base>),
    /// The token was replaced a moment ago: reads see nothing, writes are refused.
    Superseded,
}

impl Origin {
    pub(crate) fn id(&self) -> Option<SessionId> {
        match self {
            Self::Live(base) => Some(base.id()),
            Self::New | Self::Superseded => None,
        }
    }

    /// The values that a request begins with.
    fn document(&self) -> &Document {
        static EMPTY: Document = Document::empty();
        match self {
            Self::Live(base) => &base.document,
            Self::New | Self::Superseded => &EMPTY,
        }
    }
}

/// A stored session as this request knows it.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) token: SessionToken,
    /// Of the token's secret: computed once.
    pub(crate) digest: SecretDigest,
    pub(crate) revision: Revision,
    pub(crate) principal: Option<Principal>,
    pub(crate) touched_at: Timestamp,
    pub(crate) deadline: Timestamp,
    /// How many bytes the values take in the store.
    pub(crate) data_len: usize,
    pub(crate) meta: Meta,
    pub(crate) document: Document,
}

impl Base {
    /// `digest` is that of the token, `meta` what the record's own says, which is not looked at.
    pub(crate) fn new(
        token: SessionToken,
        digest: SecretDigest,
        record: Record,
        meta: Meta,
    ) -> Result<Arc<Self>> {
        let Record { revision, principal, touched_at, deadline, data, .. } = record;
        let (data_len, document) = (data.len(), meta.codec.read(data)?);
        let base =
            Self { token, digest, revision, principal, touched_at, deadline, data_len, meta, document };
        Ok(Arc::new(base))
    }

    pub(crate) fn id(&self) -> SessionId {
        self.token.id()
    }

    /// Whether it was opened by the secret that counts now, not by one that is valid still.
    pub(crate) fn has_current_secret(&self) -> bool {
        self.meta.secrets.current == self.digest
    }
}

/// What is seldom there and large is boxed, because every request makes and moves one of these.
#[derive(Debug)]
pub(crate) struct State {
    phase: Phase,
    origin: Origin,
    /// The values, where they are not those of the origin.
    changed: Option<Document>,
    changes: Vec<Change>,
    /// Whether the one change surely made other values of those that were loaded: they need not be compared.
    differs: bool,
    /// What was read, where overwriting it unseen is to be noticed.
    reads: Vec<Path>,
    intent: Intent,
    /// The session that this request ends.
    ending: Option<Arc<Base>>,
    /// Whether it has been ended, by a commit that failed later.
    ended: bool,
    attempts: Attempts,
    /// What the browser is to be told, of all commits so far.
    answer: Option<Box<Committed>>,
}

/// What is to happen to a session beside changes of its values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intent {
    pub(crate) rotate: Option<Rotation>,
    pub(crate) sign_in: Option<Principal>,
    pub(crate) lifetime: Option<Lifetime>,
    /// Whether nothing of what was there before stays: somebody else signs in.
    pub(crate) start_over: bool,
    /// Whether a rotation that is merely due waits for the next request: the answer to this one may have left, and
    /// nobody would hear of a new token.
    pub(crate) keep_token: bool,
}

impl Intent {
    pub(crate) fn changes_privilege(&self) -> bool {
        self.rotate == Some(Rotation::Privilege) || self.sign_in.is_some()
    }
}

/// Updates that were sent and whose outcome is unknown.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) revisions: Vec<Revision>,
    /// The token with the secret that they rotate to, the same in each, and why.
    pub(crate) fresh: Option<Box<(SessionToken, Rotation)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Destroyed,
    Committing,
    /// A commit failed and may have taken effect: it can be called again, nothing else.
    Undecided,
    Committed,
}

/// What a commit works on; given back by [`State::finish`] or [`State::put_back`].
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) origin: Origin,
    pub(crate) document: Document,
    pub(crate) changes: Vec<Change>,
    pub(crate) differs: bool,
    pub(crate) reads: Vec<Path>,
    pub(crate) intent: Intent,
    pub(crate) ending: Option<Arc<Base>>,
    pub(crate) ended: bool,
    pub(crate) attempts: Attempts,
    phase: Phase,
}

impl State {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            phase: Phase::Open,
            origin,
            changed: None,
            changes: Vec::new(),
            differs: false,
            reads: Vec::new(),
            intent: Intent::default(),
            ending: None,
            ended: false,
            attempts: Attempts::default(),
            answer: None,
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn base(&self) -> Option<&Arc<Base>> {
        match &self.origin {
            Origin::Live(base) => Some(base),
            Origin::New | Origin::Superseded => None,
        }
    }

    /// The token to open the session again by, an end that was not committed set aside.
    pub(crate) fn token(&self) -> Option<SessionToken> {
        self.ending.as_ref().or_else(|| self.base()).map(|base| base.token.clone())
    }

    pub(crate) fn principal(&self) -> Option<&Principal> {
        self.intent.sign_in.as_ref().or_else(|| self.base()?.principal.as_ref())
    }

    pub(crate) fn document(&self) -> &Document {
        self.changed.as_ref().unwrap_or_else(|| self.origin.document())
    }

    fn document_mut(&mut self) -> &mut Document {
        self.changed.get_or_insert_with(|| self.origin.document().clone())
    }

    pub(crate) fn is_writable(&self) -> Result<()> {
        match (self.phase, &self.origin) {
            (Phase::Open, Origin::Superseded) => Err(ErrorKind::Stale.into()),
            (Phase::Open, _) => Ok(()),
            (Phase::Destroyed, _) => Err(ErrorKind::Gone.into()),
            (Phase::Committing | Phase::Undecided | Phase::Committed, _) => {
                Err(ErrorKind::AlreadyCommitted.into())
            }
        }
    }

    pub(crate) fn note_read(&mut self, path: &Path) {
        let is_own = self.changes.iter().any(|change| change.determines(path));
        if !is_own && !self.reads.contains(path) {
            self.reads.push(path.clone());
        }
    }

    pub(crate) fn insert(&mut self, path: Path, text: Bytes) -> Result<()> {
        let Inserted { lists, replaced_another } = self.document_mut().insert(&path, text.clone())?;
        self.note(Change::Insert { path, text, lists }, replaced_another);
        Ok(())
    }

    pub(crate) fn remove(&mut self, path: Path) -> Result<Option<Bytes>> {
        let (removed, lists) = self.document_mut().remove(&path)?;
        // Also where there was nothing: by the time of the commit there may be.
        self.note(Change::Remove { path, lists }, false);
        Ok(removed)
    }

    pub(crate) fn push(&mut self, path: Path, text: Bytes) -> Result<()> {
        let lists = self.document_mut().push(&path, text.clone())?;
        self.note(Change::Push { path, text, lists }, false);
        Ok(())
    }

    pub(crate) fn update(&mut self, path: Path, text: Bytes, function: UpdateFunction) -> Result<()> {
        let Inserted { lists, replaced_another } = self.document_mut().insert(&path, text)?;
        self.note(Change::Update { path, function, lists }, replaced_another);
        Ok(())
    }

    fn note(&mut self, change: Change, differs: bool) {
        self.differs = differs && self.changes.is_empty();
        self.changes.push(change);
    }

    pub(crate) fn clear(&mut self) {
        self.changed = Some(Document::empty());
        self.note(Change::Clear, false);
    }

    pub(crate) fn take_flash(&mut self, messages: Vec<Bytes>) -> Result<()> {
        take_flash(self.document_mut(), &messages)?;
        self.note(Change::TakeFlash { messages }, false);
        Ok(())
    }

    pub(crate) fn rotate(&mut self, by: Rotation) {
        if self.intent.rotate != Some(Rotation::Privilege) {
            self.intent.rotate = Some(by);
        }
    }

    pub(crate) fn set_lifetime(&mut self, lifetime: Lifetime) {
        self.intent.lifetime = Some(lifetime);
    }

    pub(crate) fn sign_in(&mut self, principal: Principal) -> Result<()> {
        match self.is_writable() {
            Err(error) if error.kind() == ErrorKind::Stale => self.origin = Origin::New,
            result => result?,
        }
        // What one person left in a session is not shown to the next.
        if self.principal().is_some_and(|other| *other != principal) {
            self.forget_changes();
            self.intent.start_over = true;
        }
        self.intent.sign_in = Some(principal);
        Ok(())
    }

    /// Ends the session with the next commit; what follows is a new one.
    pub(crate) fn end(&mut self) {
        if let Origin::Live(base) = std::mem::replace(&mut self.origin, Origin::New) {
            self.ending = Some(base);
        }
        self.forget_changes();
    }

    /// Leaves an empty session with nothing to be done.
    fn forget_changes(&mut self) {
        self.changed = Some(Document::empty());
        self.changes.clear();
        self.differs = false;
        self.reads.clear();
        self.intent = Intent { keep_token: self.intent.keep_token, ..Intent::default() };
    }

    pub(crate) fn destroy(&mut self) {
        self.end();
        self.phase = Phase::Destroyed;
    }

    /// Drops every change, but not the end of a session that was asked for.
    pub(crate) fn abandon(&mut self) {
        if !matches!(self.phase, Phase::Open | Phase::Destroyed) {
            return;
        }
        let origin = self.origin.clone();
        let Self { ending, ended, answer, .. } = std::mem::replace(self, Self::new(origin));
        self.ending = ending;
        self.ended = ended;
        self.answer = answer;
    }

    pub(crate) fn has_ending(&self) -> bool {
        self.ending.is_some()
    }

    pub(super) fn is_committed(&self) -> bool {
        self.phase == Phase::Committed
    }

    /// Whether a commit that begins now has neither values nor an end to bring to the store.
    pub(super) fn is_untouched(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Destroyed)
            && self.changes.is_empty()
            && self.ending.is_none()
            && !self.ended
            && self.attempts.revisions.is_empty()
    }

    /// What [`finish`](Self::finish) does, where everything is as it was opened.
    pub(super) fn finish_untouched(&mut self) {
        self.phase = Phase::Committed;
        self.reads.clear();
        self.intent = Intent::default();
        self.attempts = Attempts::default();
    }

    pub(super) fn intent(&self) -> &Intent {
        &self.intent
    }

    /// Hands out what there is to commit; `None` after a commit. The caller has the turn.
    pub(crate) fn begin(&mut self) -> Result<Option<Box<Work>>> {
        match self.phase {
            Phase::Open | Phase::Destroyed | Phase::Undecided => {}
            Phase::Committed => return Ok(None),
            // With the turn in hand nobody else commits: this one never came back.
            Phase::Committing => {
                return Err(Error::describe(ErrorKind::Internal, "an earlier commit panicked"));
            }
        }
        let phase = match std::mem::replace(&mut self.phase, Phase::Committing) {
            // Whether it still is, this commit finds out.
            Phase::Undecided => Phase::Open,
            phase => phase,
        };
        if let Some(document) = &mut self.changed {
            // As one text from here on: cheap to copy.
            *document = Document::from_json(document.to_json());
        }
        Ok(Some(Box::new(Work {
            origin: self.origin.clone(),
            document: self.document().clone(),
            changes: std::mem::take(&mut self.changes),
            differs: self.differs,
            reads: self.reads.clone(),
            intent: self.intent.clone(),
            ending: self.ending.take(),
            ended: self.ended,
            attempts: std::mem::take(&mut self.attempts),
            phase,
        })))
    }

    /// Takes in a commit that succeeded.
    pub(crate) fn finish(&mut self, origin: Origin, committed: &Committed) {
        let answer = match committed {
            Committed::Unchanged => self.answer.take(),
            said => Some(Box::new(said.clone())),
        };
        *self = Self { phase: Phase::Committed, answer, ..Self::new(origin) };
    }

    /// Takes back the changes of a commit that failed.
    pub(crate) fn put_back(&mut self, work: Work) {
        let Work {
            origin: _,
            document: _,
            changes,
            differs: _,
            reads: _,
            intent: _,
            ending,
            ended,
            attempts,
            phase,
        } = work;
        let undecided = !attempts.revisions.is_empty();
        self.phase = if undecided { Phase::Undecided } else { phase };
        self.changes = changes;
        self.ending = ending;
        self.ended = ended;
        self.attempts = attempts;
        if ended {
            // Whatever else failed: the token that the client has is of no more use.
            self.answer = Some(Box::new(Committed::ClearToken));
        }
    }

    /// Starts over on what was opened again.
    pub(crate) fn reopen(&mut self, origin: Origin) {
        let (answer, intent) = (self.answer.take(), Intent { keep_token: true, ..Intent::default() });
        *self = Self { answer, intent, ..Self::new(origin) };
    }

    /// Takes no more changes, unless the session is opened again: there is no commit that would store them.
    pub(crate) fn close(&mut self) {
        if matches!(self.phase, Phase::Open | Phase::Destroyed) && !self.intent.keep_token {
            self.phase = Phase::Committed;
        }
    }

    pub(crate) fn answer(&self) -> Option<&Committed> {
        self.answer.as_deref()
    }
}
