//! The parts of a store's URL: a scheme, a path and options, each option asked for by name.

use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use session_core::{Error, ErrorKind, Result};

/// A URL taken apart; drivers take their options out of it, and what is left over is an error.
///
/// Its errors show the scheme and the names of options, never a value: it may be a password.
#[derive(Clone)]
pub(crate) struct StoreUrl {
    scheme: String,
    path: String,
    options: Vec<(String, String)>,
}

#[cfg_attr(
    not(any(test, all(feature = "memory", feature = "redis", any(feature = "file", feature = "sqlite")))),
    expect(dead_code, reason = "what drivers that are not compiled in ask for")
)]
impl StoreUrl {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once(':').ok_or_else(|| {
            config("a store's URL begins with its scheme, such as `memory:` or `sqlite:PATH`")
        })?;
        // RFC 3986, 3.1.
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(config("a store's URL begins with its scheme, such as `memory:` or `sqlite:PATH`"));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| config("options are written `?name=value&name=value`"))?;
            let name = decode(name)?;
            if options.iter().any(|(known, _)| *known == name) {
                return Err(config(format!("the option `{name}` is given twice")));
            }
            options.push((name, decode(value)?));
        }
        Ok(Self { scheme: scheme.to_ascii_lowercase(), path: path.to_owned(), options })
    }

    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The file that the URL names: `PATH`, `//` and an absolute `/PATH`.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let path = match self.path.strip_prefix("//") {
            Some(absolute) if absolute.starts_with('/') => absolute,
            Some(_host) => {
                let detail = format!(
                    "`{0}://` is followed by an absolute path, as in `{0}:///var/lib/x`",
                    self.scheme
                );
                return Err(config(detail));
            }
            None => &self.path,
        };
        match percent_decode_str(path).decode_utf8() {
            Ok(path) if !path.is_empty() && !path.contains('\0') => Ok(path.into_owned().into()),
            _ => Err(config(format!("`{0}:` needs a path in UTF-8, as in `{0}:sessions`", self.scheme))),
        }
    }

    /// The URL without its options, as the drivers of servers take it.
    pub(crate) fn server(&self) -> String {
        format!("{}:{}", self.scheme, self.path)
    }

    /// Takes out an option.
    pub(crate) fn option<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(index) = self.options.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let (_, value) = self.options.swap_remove(index);
        match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(config(format!("the option `{name}` cannot have this value"))),
        }
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(self) -> Result<()> {
        match self.options.first() {
            None => Ok(()),
            // Then it is no option, but the rest of a password with a `?` in it.
            Some((_, value)) if value.contains('@') => {
                Err(config("a `?` before the `@` of a URL is written `%3F`"))
            }
            Some((name, _)) => Err(config(format!("`{}:` has no option `{name}`", self.scheme))),
        }
    }

    pub(crate) fn finish_without_path(self) -> Result<()> {
        if !matches!(self.path.as_str(), "" | "//") {
            return Err(config(format!("`{}:` takes no path", self.scheme)));
        }
        self.finish()
    }
}

fn decode(text: &str) -> Result<String> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(config("an option is not UTF-8")),
    }
}

fn config(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::describe(ErrorKind::Config, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> Option<String> {
        Some(StoreUrl::parse(url).ok()?.path().ok()?.to_string_lossy().into_owned())
    }

    #[test]
    fn paths_are_relative_or_absolute_and_decoded() {
        for (url, expected) in [
            ("sqlite:a.db", Some("a.db")),
            ("sqlite:dir/a.db?table=x", Some("dir/a.db")),
            ("sqlite:/abs/a.db", Some("/abs/a.db")),
            ("sqlite:///abs/a.db", Some("/abs/a.db")),
            ("SQLite:a%20b%3F.db", Some("a b?.db")),
            ("sqlite::memory:", Some(":memory:")),
            ("sqlite://host/a.db", None),
            ("sqlite:", None),
            ("sqlite:a%00b", None),
            ("sqlite:a%ffb", None),
            ("a.db", None),
            ("/a/b:c", None),
        ] {
            assert_eq!(path(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn options_are_taken_by_name_and_none_is_left_over() {
        let mut url = StoreUrl::parse("x:?a=1&b=t%20u").unwrap();
        assert_eq!(url.option::<u32>("a").unwrap(), Some(1));
        assert_eq!(url.option::<u32>("c").unwrap(), None);
        let error = url.clone().finish().unwrap_err();
        assert!(error.to_string().contains("`b`"), "{error}");
        assert_eq!(url.option::<String>("b").unwrap().as_deref(), Some("t u"));
        assert!(url.finish().is_ok());
    }

    #[test]
    fn a_store_without_a_path_refuses_one() {
        let finish = |url| StoreUrl::parse(url).unwrap().finish_without_path();
        assert!(finish("x:").is_ok() && finish("x://").is_ok());
        assert!(finish("x:y").is_err() && finish("x:?a=1").is_err());
    }

    #[test]
    fn a_server_is_the_url_without_its_options() {
        let url = StoreUrl::parse("X://user:p%3F@host:1/2?a=1").unwrap();
        assert_eq!(url.server(), "x://user:p%3F@host:1/2");
    }

    #[test]
    fn the_rest_of_a_password_is_not_shown_as_an_option() {
        let error = StoreUrl::parse("x://user:1?hunter2=hunter2@host").unwrap().finish().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn values_are_not_shown() {
        let mut url = StoreUrl::parse("x:?n=hunter2").unwrap();
        let error = url.option::<u32>("n").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn malformed_options_are_errors() {
        for url in ["x:?a", "x:?a=1&a=2", "x:?%ff=1", "x:?a=%ff"] {
            assert_eq!(
                StoreUrl::parse(url).err().map(|error| error.kind()),
                Some(ErrorKind::Config),
                "{url}"
            );
        }
    }
}
