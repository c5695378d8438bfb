//! What a request does to the values, kept so that it can be done again on newer ones.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::values::{Document, Lists, Path};
use crate::{Error, ErrorKind, Result};

/// One change, with what it takes to replay it.
pub(crate) enum Change {
    Insert {
        path: Path,
        text: Bytes,
        lists: Lists,
    },
    Remove {
        path: Path,
        lists: Lists,
    },
    Push {
        path: Path,
        text: Bytes,
        lists: Lists,
    },
    Update {
        path: Path,
        function: UpdateFunction,
        lists: Lists,
    },
    Clear,
    /// Removes these flash messages, and none that came later.
    TakeFlash {
        messages: Vec<Bytes>,
    },
}

/// Computes a value's text from the text that is there.
pub(crate) type UpdateFunction = Box<dyn FnMut(Option<Bytes>) -> Result<Bytes> + Send>;

/// Does all of `changes` again on `newer`, which took the place of `older`.
///
/// # Errors
///
/// [`Conflict`](ErrorKind::Conflict) where a change cannot mean there what it meant on `older`.
pub(crate) fn replay(changes: &mut [Change], older: &Document, newer: &Document) -> Result<Document> {
    let mut document = newer.clone();
    for change in changes {
        change.replay(older, newer, &mut document)?;
    }
    Ok(document)
}

/// Checks that what this session has read and then writes over is what it was.
///
/// # Errors
///
/// [`Conflict`](ErrorKind::Conflict) if a path in `reads` has changed between `older` and `newer`, and a plain
/// insert or removal goes to it, above or below it.
pub(crate) fn refuse_overwrites(
    changes: &[Change],
    reads: &[Path],
    older: &Document,
    newer: &Document,
) -> Result<()> {
    for read in reads {
        if changes.iter().any(|change| change.writes_over(read)) && !older.same_at(newer, read)? {
            return Err(ErrorKind::Conflict.into());
        }
    }
    Ok(())
}

impl Change {
    /// Whether it replaces or removes what is at `path` without having looked.
    fn writes_over(&self, path: &Path) -> bool {
        match self {
            Self::Insert { path: written, .. } | Self::Remove { path: written, .. } => written.overlaps(path),
            Self::Clear => true,
            Self::Push { .. } | Self::Update { .. } | Self::TakeFlash { .. } => false,
        }
    }

    /// Whether what is at `path` after it has nothing to do with what was there before.
    pub(crate) fn determines(&self, path: &Path) -> bool {
        match self {
            Self::Insert { path: written, .. } | Self::Remove { path: written, .. } => written.leads_to(path),
            Self::Clear => true,
            Self::Push { .. } | Self::Update { .. } | Self::TakeFlash { .. } => false,
        }
    }

    fn replay(&mut self, older: &Document, newer: &Document, document: &mut Document) -> Result<()> {
        // A position in a list names an element only as long as the list is the same.
        let same_lists = |path: &Path, before: Lists, after: Lists| {
            let mut unchanged = before == after;
            for length in before.prefixes() {
                unchanged = unchanged && older.same_at(newer, &path.prefix(length))?;
            }
            if unchanged { Ok(()) } else { Err(Error::from(ErrorKind::Conflict)) }
        };
        match self {
            Self::Insert { path, text, lists } => {
                let now = document.insert(path, text.clone()).map_err(as_conflict)?;
                same_lists(path, *lists, now.lists)
            }
            Self::Remove { path, lists } => {
                let (_, now) = document.remove(path).map_err(as_conflict)?;
                same_lists(path, *lists, now)
            }
            Self::Push { path, text, lists } => {
                let now = document.push(path, text.clone()).map_err(as_conflict)?;
                same_lists(path, *lists, now)
            }
            Self::Update { path, function, lists } => {
                let old = document.lookup(path)?;
                let text = catch_unwind(AssertUnwindSafe(|| function(old))).unwrap_or_else(|_panic| {
                    let detail = "the function given to update panicked when it was run again";
                    Err(Error::describe(ErrorKind::Internal, detail))
                })?;
                let now = document.insert(path, text).map_err(as_conflict)?;
                same_lists(path, *lists, now.lists)
            }
            Self::Clear => {
                document.clear();
                Ok(())
            }
            Self::TakeFlash { messages } => take_flash(document, messages),
        }
    }
}

/// A path that worked when the change was made is in the way of another request's change now.
fn as_conflict(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PathConflict => Error::from(ErrorKind::Conflict),
        _ => error,
    }
}

/// Removes `taken` from the flash messages; those that came later stay.
pub(crate) fn take_flash(document: &mut Document, taken: &[Bytes]) -> Result<()> {
    // The same message may be there several times.
    let mut times = HashMap::<&[u8], usize>::new();
    for message in taken {
        *times.entry(message).or_default() += 1;
    }
    let messages = document.elements(&Path::flash())?;
    document.remove(&Path::flash())?;
    for message in messages {
        match times.get_mut(&*message) {
            Some(left) if *left > 0 => *left -= 1,
            _ => drop(document.push(&Path::flash(), message)?),
        }
    }
    Ok(())
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insert { .. } => "Insert",
            Self::Remove { .. } => "Remove",
            Self::Push { .. } => "Push",
            Self::Update { .. } => "Update",
            Self::Clear => "Clear",
            Self::TakeFlash { .. } => "TakeFlash",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::AsPath;

    fn document(text: &'static str) -> Document {
        Document::from_json(Bytes::from_static(text.as_bytes()))
    }

    fn path(path: impl AsPath) -> Path {
        path.to_path().unwrap()
    }

    #[test]
    fn a_list_that_was_only_written_anew_is_the_same_list() {
        let older = document(r#"{"list":[{"a":1,"b":2},3]}"#);
        let path = path("list.0.a");
        for (newer, expected) in [
            (r#"{"list": [{"b": 2, "a": 1}, 3], "more": 1}"#, Ok(r#"{"list":[{"a":9,"b":2},3],"more":1}"#)),
            (r#"{"list":[3,{"a":1,"b":2}]}"#, Err(ErrorKind::Conflict)),
            (r#"{"list":[{"a":1,"b":2},3,4]}"#, Err(ErrorKind::Conflict)),
        ] {
            let text = Bytes::from_static(b"9");
            let lists = older.clone().insert(&path, text.clone()).unwrap().lists;
            let mut changes = [Change::Insert { path: path.clone(), text, lists }];
            let replayed = replay(&mut changes, &older, &document(newer));
            let replayed = replayed.map(|document| document.to_json()).map_err(|error| error.kind());
            assert_eq!(replayed, expected.map(|text| Bytes::from_static(text.as_bytes())), "{newer}");
        }
    }

    #[test]
    fn messages_are_taken_as_often_as_they_were_there() {
        let mut document = document(r#"{"_flash":["a","b","a","c","a"],"n":1}"#);
        let taken =
            [r#""a""#, r#""b""#, r#""a""#, r#""gone""#].map(|text| Bytes::from_static(text.as_bytes()));
        take_flash(&mut document, &taken).unwrap();
        assert_eq!(document.to_json(), r#"{"_flash":["c","a"],"n":1}"#);
        let rest = document.elements(&Path::flash()).unwrap();
        take_flash(&mut document, &rest).unwrap();
        assert_eq!(document.to_json(), r#"{"n":1}"#);
    }

    #[test]
    fn what_was_only_written_anew_is_not_overwritten_unseen() {
        let older = document(r#"{"map":{"a":1,"b":"\u00e9"}}"#);
        let (path, lists) = (path("map"), Lists::default());
        let changes = [Change::Remove { path: path.clone(), lists }];
        let refused =
            |newer| refuse_overwrites(&changes, std::slice::from_ref(&path), &older, &document(newer));
        assert!(refused(r#"{"map": {"b": "é", "a": 1}}"#).is_ok());
        assert!(refused(r#"{"map": {"b": "e", "a": 1}}"#).is_err_and(|e| e.kind() == ErrorKind::Conflict));
    }
}
