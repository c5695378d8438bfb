//! The values of a session, as a handler reads and changes them.

use std::sync::MutexGuard;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::state::State;
use crate::values::{AsKey, AsPath, Path, decode, encode};
use crate::{Result, Session};

impl Session {
    /// The value at `key`; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`Decode`](crate::ErrorKind::Decode) if it is of another type. See also [`Session`].
    pub fn get<T: DeserializeOwned>(&self, key: impl AsKey<T>) -> Result<Option<T>> {
        let path = key.to_path()?;
        let text = self.read(&path).document().lookup(&path)?;
        text.map(|text| decode(&text, &path)).transpose()
    }

    /// Whether there is a value at `path`; null is one.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    pub fn contains(&self, path: impl AsPath) -> Result<bool> {
        let path = path.to_path()?;
        Ok(self.read(&path).document().lookup(&path)?.is_some())
    }

    /// The names of the members of the map at `path`, sorted; none if there is no map.
    /// The empty path `[""; 0]` stands for the whole session.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    pub fn keys(&self, path: impl AsPath) -> Result<Vec<String>> {
        let path = path.to_path()?;
        self.read(&path).document().keys(&path)
    }

    /// Sets the value at `key`, and makes the maps that lead there.
    ///
    /// # Errors
    ///
    /// [`Encode`](crate::ErrorKind::Encode) if it cannot be JSON, [`PathConflict`](crate::ErrorKind::PathConflict) if
    /// a value that is no map is in the way, [`TooLarge`](crate::ErrorKind::TooLarge) if it is nested deeper than
    /// 32 levels; then nothing has changed. See also [`Session`].
    ///
    /// JSON has no NaN and no infinity: they are stored as null, which is not a number when it is read.
    #[doc(alias = "set")]
    #[doc(alias = "save")]
    pub fn insert<T: Serialize>(&self, key: impl AsKey<T>, value: T) -> Result<()> {
        let path = key.to_path()?;
        let text = encode(&value, &path)?;
        let mut state = self.writable()?;
        state.insert(path, text)
    }

    /// Computes the value at `key` from the one that is there, exactly under any number of
    /// parallel requests.
    ///
    /// `function` runs now, and again at commit if another request changed the session first, so it
    /// should depend on its argument only, and must not change `key` itself. The value returned is
    /// provisional until then: whoever needs the exact number commits and reads it. It runs outside the
    /// session's lock; one that panics changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get) and [`insert`](Self::insert).
    pub fn update<T, F>(&self, key: impl AsKey<T>, mut function: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> T + Send + 'static,
    {
        let path = key.to_path()?;
        loop {
            let old = self.writable()?.document().lookup(&path)?;
            let value = function(old.as_ref().map(|text| decode(text, &path)).transpose()?);
            let text = encode(&value, &path)?;
            let mut state = self.writable()?;
            if state.document().lookup(&path)? != old {
                continue;
            }
            let replayed_path = path.clone();
            let replay = move |old: Option<bytes::Bytes>| {
                let old = old.map(|text| decode(&text, &replayed_path)).transpose()?;
                encode(&function(old), &replayed_path)
            };
            state.update(path, text, Box::new(replay))?;
            return Ok(value);
        }
    }

    /// Appends to the list at `path`, and makes one where there is nothing. Appends of parallel
    /// requests all survive.
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert); [`PathConflict`](crate::ErrorKind::PathConflict) also if there is something
    /// other than a list.
    pub fn push<T: Serialize>(&self, path: impl AsPath, value: T) -> Result<()> {
        let path = path.to_path()?;
        let text = encode(&value, &path)?;
        let mut state = self.writable()?;
        state.push(path, text)
    }

    /// Removes the value at `path`; whether there was one.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    pub fn remove(&self, path: impl AsPath) -> Result<bool> {
        let path = path.to_path()?;
        let mut state = self.writable()?;
        Ok(state.remove(path)?.is_some())
    }

    /// Removes the value at `key` and returns it. Two parallel requests may both take the same one.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get), and then nothing has been removed.
    pub fn take<T: DeserializeOwned>(&self, key: impl AsKey<T>) -> Result<Option<T>> {
        let path = key.to_path()?;
        drop(self.writable()?);
        loop {
            let Some(text) = self.read(&path).document().lookup(&path)? else { return Ok(None) };
            let value = decode(&text, &path)?;
            let mut state = self.writable()?;
            if state.document().lookup(&path)?.as_ref() == Some(&text) {
                state.remove(path)?;
                return Ok(Some(value));
            }
        }
    }

    /// Removes every value, those that parallel requests insert before this one's commit included; where
    /// there was none to remove when the session was opened, nothing is written.
    ///
    /// # Errors
    ///
    /// See [`Session`].
    #[doc(alias = "flush")]
    pub fn clear(&self) -> Result<()> {
        self.writable()?.clear();
        Ok(())
    }

    /// Leaves a message for the page that the user sees next.
    ///
    /// It stays until it is read by [`take_flash`](Self::take_flash).
    ///
    /// # Errors
    ///
    /// As for [`insert`](Self::insert).
    pub fn flash<T: Serialize>(&self, message: T) -> Result<()> {
        let path = Path::flash();
        let text = encode(&message, &path)?;
        self.writable()?.push(path, text)
    }

    /// Takes the messages that were left, oldest first.
    ///
    /// They are gone with this request's commit. Two parallel requests may both show them; whoever must
    /// show them at most once commits before answering.
    ///
    /// # Errors
    ///
    /// As for [`take`](Self::take). A session without messages has none to take, also where changes
    /// would be refused.
    pub fn take_flash<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let path = Path::flash();
        loop {
            let messages = self.state().document().elements(&path)?;
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let values = messages.iter().map(|text| decode(text, &path)).collect::<Result<_>>()?;
            let mut state = self.writable()?;
            if state.document().elements(&path)? == messages {
                state.take_flash(messages)?;
                return Ok(values);
            }
        }
    }

    /// The state, for looking at `path`.
    fn read(&self, path: &Path) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if self.shared.manager.settings().detect_overwrites {
            state.note_read(path);
        }
        state
    }
}
