//! What a caller may name a value by: typed keys, literal paths, segments.

use std::fmt;
use std::marker::PhantomData;

use super::Path;
use super::path::ToPath;
use crate::Result;

/// Names one of a session's values and the type that it has.
///
/// Dots separate segments, as in every literal path. With a key the type of a value is written down
/// once, and a reader that expects another does not compile.
///
/// ```
/// use session_core::Key;
///
/// const VIEWS: Key<u64> = Key::new("views");
/// const CURRENT_USER: Key<i64> = Key::new("account.current_user_id");
/// ```
pub struct Key<T> {
    literal: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key of the value at `path`.
    ///
    /// The path is checked when the key is used: see [`AsPath`] for what it may be.
    #[must_use]
    pub const fn new(path: &'static str) -> Self {
        Self { literal: path, value: PhantomData }
    }
}

// By hand, because a derive would ask the same of `T`, of which a key holds nothing.
impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.literal).finish()
    }
}

/// Whatever leads to one of a session's values. Sealed: these are all.
///
/// | type | segments |
/// |---|---|
/// | [`Key<T>`](Key) and `&'static str` | its parts between the dots |
/// | `[S; N]`, `&[S; N]`, `&[S]`, `Vec<S>` with `S: AsRef<str>` | its elements, verbatim |
///
/// A path has at most 32 segments and 255 bytes, counting a separator between two segments; more is
/// [`TooLarge`](crate::ErrorKind::TooLarge). An empty segment, and `_flash` as the first one, are a
/// [`PathConflict`](crate::ErrorKind::PathConflict). No segment at all (`[]`) is the root, of which one
/// can ask the `keys` and nothing else.
///
/// A segment of digits without a leading zero is an index where a list is, and a key everywhere else.
///
/// Text that is known only at run time may hold dots that mean nothing, an e-mail address for one, so
/// it is not taken for a literal path:
///
/// ```compile_fail,E0597
/// # use session_core::AsPath;
/// # fn contains(path: impl AsPath) {}
/// let email = String::from("alice@example.org");
/// contains(email.as_str());
/// ```
///
/// It is a segment:
///
/// ```
/// # use session_core::AsPath;
/// # fn contains(path: impl AsPath) {}
/// let email = String::from("alice@example.org");
/// contains([email.as_str()]);
/// contains(["prefs", &email]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a path",
    note = "a path is a `Key`, a literal, or a list of segments: for text made at run time write `[text]`"
)]
pub trait AsPath: ToPath {}

/// An [`AsPath`] that leads to a value of type `T`.
///
/// A [`Key<T>`](Key) leads to its own type only, which is how the type of a value is inferred from the
/// key; every other path leads to whatever the caller asks for.
///
/// ```
/// # use session_core::{AsKey, Key};
/// # fn update<T>(key: impl AsKey<T>, mut change: impl FnMut(Option<T>) -> T) -> T { change(None) }
/// const VIEWS: Key<u64> = Key::new("views");
///
/// assert_eq!(update(VIEWS, |views| views.unwrap_or(0) + 1), 1);
/// ```
///
/// ```compile_fail,E0277
/// # use session_core::{AsKey, Key};
/// # fn get<T: Default>(key: impl AsKey<T>) -> T { T::default() }
/// const VIEWS: Key<u64> = Key::new("views");
///
/// get::<String>(VIEWS);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not lead to a `{T}`",
    note = "a path is a `Key` of that type, a literal, or a list of segments: for text made at run time write `[text]`"
)]
pub trait AsKey<T>: AsPath {}

impl<T> ToPath for Key<T> {
    fn to_path(&self) -> Result<Path> {
        Path::literal(self.literal)
    }
}

impl ToPath for &'static str {
    fn to_path(&self) -> Result<Path> {
        Path::literal(self)
    }
}

impl<S: AsRef<str>, const N: usize> ToPath for [S; N] {
    fn to_path(&self) -> Result<Path> {
        Path::verbatim(self)
    }
}

impl<S: AsRef<str>, const N: usize> ToPath for &[S; N] {
    fn to_path(&self) -> Result<Path> {
        Path::verbatim(*self)
    }
}

impl<S: AsRef<str>> ToPath for &[S] {
    fn to_path(&self) -> Result<Path> {
        Path::verbatim(self)
    }
}

impl<S: AsRef<str>> ToPath for Vec<S> {
    fn to_path(&self) -> Result<Path> {
        Path::verbatim(self)
    }
}

impl<T> AsPath for Key<T> {}
impl AsPath for &'static str {}
impl<S: AsRef<str>, const N: usize> AsPath for [S; N] {}
impl<S: AsRef<str>, const N: usize> AsPath for &[S; N] {}
impl<S: AsRef<str>> AsPath for &[S] {}
impl<S: AsRef<str>> AsPath for Vec<S> {}

// One by one: a blanket impl over `AsPath` would let a `Key<T>` lead to every type.
impl<T> AsKey<T> for Key<T> {}
impl<T> AsKey<T> for &'static str {}
impl<T, S: AsRef<str>, const N: usize> AsKey<T> for [S; N] {}
impl<T, S: AsRef<str>, const N: usize> AsKey<T> for &[S; N] {}
impl<T, S: AsRef<str>> AsKey<T> for &[S] {}
impl<T, S: AsRef<str>> AsKey<T> for Vec<S> {}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEWS: Key<u64> = Key::new("views");

    // The signatures of `Session`, as far as inference sees them.
    fn update<T, F: FnMut(Option<T>) -> T>(_: impl AsKey<T>, mut change: F) -> T {
        change(None)
    }

    fn get<T: Default>(_: impl AsKey<T>) -> T {
        T::default()
    }

    #[test]
    fn a_key_settles_the_type() {
        assert_eq!(update(VIEWS, |n| n.unwrap_or(0) + 1), 1_u64);
        let first = get(VIEWS);
        assert_eq!(std::mem::size_of_val(&first), 8);
        assert_eq!(get::<String>(["prefs", "alice@example.org"]), "");
        assert_eq!(get::<u8>("a.literal"), 0);
        assert_eq!(get::<u8>(&["a"]), 0);
        assert_eq!(get::<u8>(vec![String::from("a")]), 0);
        assert_eq!(get::<u8>(["a", "b"].as_slice()), 0);
    }

    #[test]
    fn a_key_is_copy_and_sendable_whatever_its_type() {
        fn requires<K: Copy + Send + Sync + 'static>(_: K) {}
        requires(Key::<std::rc::Rc<std::cell::Cell<u8>>>::new("views"));
        assert_eq!(format!("{VIEWS:?}"), r#"Key("views")"#);
    }

    #[test]
    fn literals_split_at_dots_and_segments_do_not() {
        for path in [Key::<u8>::new("a.b").to_path(), "a.b".to_path()] {
            assert_eq!(path.unwrap().segments(), ["a", "b"]);
        }
        for path in [["a.b"].to_path(), ToPath::to_path(&["a.b"]), vec!["a.b"].to_path()] {
            assert_eq!(path.unwrap().segments(), ["a.b"]);
        }
        assert_eq!(["a.b"].as_slice().to_path().unwrap().segments(), ["a.b"]);
    }
}
