//! A checked path: the segments that lead from the root of the values to one of them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use crate::{Error, ErrorKind, Result};

/// The first segment under which the core keeps flash messages.
pub(super) const FLASH: &str = "_flash";

/// Levels of a path and the value at its end together.
pub(super) const MAX_DEPTH: usize = 32;

const MAX_BYTES: usize = 255;

/// The way to one value. No segment at all is the root.
///
/// `Display` and `Debug` are for errors and logs: a literal shows its text, segments taken verbatim
/// are their user's data and show only how many they are.
#[derive(Clone)]
pub struct Path {
    segments: Segments,
    literal: Option<&'static str>,
}

/// Most paths have one segment, which takes no allocation.
#[derive(Clone)]
enum Segments {
    One([Cow<'static, str>; 1]),
    Several(Vec<Cow<'static, str>>),
}

impl Deref for Segments {
    type Target = [Cow<'static, str>];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::One(segment) => segment,
            Self::Several(segments) => segments,
        }
    }
}

/// How a path is made. It stands apart from [`AsPath`](super::AsPath) to seal it: public for the
/// compiler, without a name that other crates could use, and so is [`Path`].
pub trait ToPath {
    /// The path, checked.
    fn to_path(&self) -> Result<Path>;
}

impl Path {
    pub(super) fn literal(text: &'static str) -> Result<Self> {
        let segments = match text.contains('.') {
            false => Segments::One([text.into()]),
            true => Segments::Several(text.split('.').map(Cow::Borrowed).collect()),
        };
        Self { segments, literal: Some(text) }.checked()
    }

    pub(super) fn verbatim(segments: &[impl AsRef<str>]) -> Result<Self> {
        // Before anything is copied: the segments are the user's, and so is their number.
        if segments.len() > MAX_DEPTH
            || segments.iter().map(|segment| segment.as_ref().len()).sum::<usize>() > MAX_BYTES
        {
            return Err(too_long(segments.len()));
        }
        let owned = |segment: &str| Cow::Owned(segment.to_owned());
        let segments = match segments {
            [segment] => Segments::One([owned(segment.as_ref())]),
            segments => Segments::Several(segments.iter().map(|segment| owned(segment.as_ref())).collect()),
        };
        Self { segments, literal: None }.checked()
    }

    /// Where the flash messages are: the one path that callers cannot make.
    pub(crate) fn flash() -> Self {
        Self { segments: Segments::One([FLASH.into()]), literal: Some(FLASH) }
    }

    fn checked(self) -> Result<Self> {
        let separators = self.segments.len().saturating_sub(1);
        let bytes = separators + self.segments.iter().map(|segment| segment.len()).sum::<usize>();
        if self.segments.len() > MAX_DEPTH || bytes > MAX_BYTES {
            return Err(too_long(self.segments.len()));
        }
        if self.segments.iter().any(|segment| segment.is_empty()) {
            return Err(self.conflict("a segment is empty"));
        }
        if self.segments.first().is_some_and(|first| first == FLASH) {
            return Err(self.conflict("`_flash` is reserved"));
        }
        Ok(self)
    }

    pub(crate) fn segments(&self) -> &[Cow<'static, str>] {
        &self.segments
    }

    /// The path of the first `len` segments; all of them if there are fewer.
    pub(crate) fn prefix(&self, len: usize) -> Self {
        if len >= self.segments.len() {
            return self.clone();
        }
        let segments = self.segments[..len].to_vec();
        let bytes = len.saturating_sub(1) + segments.iter().map(|segment| segment.len()).sum::<usize>();
        let literal = self.literal.and_then(|text| text.get(..bytes));
        Self { segments: Segments::Several(segments), literal }
    }

    /// Whether `other` is this path, or goes on from it.
    pub(crate) fn leads_to(&self, other: &Self) -> bool {
        self.segments.len() <= other.segments.len() && self.overlaps(other)
    }

    /// Whether one of the two leads to the other's value or to something inside it.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.segments.iter().zip(&*other.segments).all(|(one, other)| one == other)
    }

    /// An error about this path.
    pub(super) fn conflict(&self, reason: impl fmt::Display) -> Error {
        Error::describe(ErrorKind::PathConflict, format!("{self}: {reason}"))
    }
}

fn too_long(segments: usize) -> Error {
    let detail =
        format!("a path of {segments} segments is over {MAX_DEPTH} segments or {MAX_BYTES} bytes long");
    Error::describe(ErrorKind::TooLarge, detail)
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        *self.segments == *other.segments
    }
}

impl Eq for Path {}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.literal, self.segments.len()) {
            (Some(text), _) => write!(f, "`{text}`"),
            (None, 0) => f.write_str("the root"),
            (None, 1) => f.write_str("a path of 1 segment"),
            (None, len) => write!(f, "a path of {len} segments"),
        }
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_path() {
        for text in ["", ".", ".a", "a.", "a..b", "_flash", "_flash.info"] {
            let error = Path::literal(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PathConflict, "{text:?}");
        }
        for segments in [[""].as_slice(), &["a", ""], &["_flash"], &["_flash", "info"]] {
            let error = Path::verbatim(segments).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PathConflict, "{segments:?}");
        }
        for segments in [["."].as_slice(), &["a..b"], &["a", "_flash"], &["_flashes"], &["alice@example.org"]]
        {
            assert_eq!(Path::verbatim(segments).unwrap().segments(), segments);
        }
        assert_eq!(Path::flash().segments(), ["_flash"]);
    }

    #[test]
    fn a_path_has_at_most_255_bytes_and_32_segments() {
        let half = "x".repeat(127);
        assert!(Path::verbatim(&[half.as_str(), half.as_str()]).is_ok());
        let longer = format!("{half}x");
        let huge = "x".repeat(1 << 20);
        for segments in [[half.as_str(), longer.as_str()].as_slice(), &[huge.as_str()], &["x"; 33]] {
            assert_eq!(Path::verbatim(segments).unwrap_err().kind(), ErrorKind::TooLarge);
        }
        assert!(Path::verbatim(&["x"; 32]).is_ok());
        let literal: &'static str = Box::leak("x".repeat(256).into_boxed_str());
        assert_eq!(Path::literal(literal).unwrap_err().kind(), ErrorKind::TooLarge);
        assert!(Path::literal(&literal[1..]).is_ok());
    }

    #[test]
    fn errors_show_literals_and_hide_segments() {
        let literal = Path::literal("account.id").unwrap();
        assert_eq!(literal.to_string(), "`account.id`");
        assert_eq!(literal.prefix(1).to_string(), "`account`");
        let verbatim = Path::verbatim(&["prefs", "alice@example.org"]).unwrap();
        assert_eq!(
            format!("{verbatim:?} {}", verbatim.prefix(1)),
            "Path(a path of 2 segments) a path of 1 segment"
        );
        let error = Path::verbatim(&["alice@example.org", ""]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("alice"));
    }

    #[test]
    fn equality_is_by_segments_and_prefixes_are_paths() {
        let path = |text| Path::literal(text).unwrap();
        assert!(path("a.b").overlaps(&path("a")) && path("a").overlaps(&path("a.b")));
        assert!(!path("a.b").overlaps(&path("a.c")) && !path("ab").overlaps(&path("a")));
        assert_eq!(path("a.b"), Path::verbatim(&["a", "b"]).unwrap());
        assert_eq!(path("a.b.c").prefix(2), path("a.b"));
        assert_eq!(path("a.b").prefix(7), path("a.b"));
    }
}
