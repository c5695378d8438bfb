//! The session cookie: its attributes, how it is written and how it is found in a request.

use std::fmt::Write as _;
use std::time::Duration;

use crate::http::transport::SEPARATOR;
use crate::{Error, ErrorKind, Result, SessionToken};

/// Name and attributes of the cookie. The same go into the cookie that is set and into the one that
/// removes it, so that a browser takes the two for one.
///
/// The default is `__Host-session` with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`: sent over
/// HTTPS only, to this very host only, invisible to scripts (OWASP ASVS 3.3.1 to 3.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCookie {
    /// The cookie's name. Default: `__Host-session`, a prefix by which browsers insist on
    /// `Secure`, `Path=/` and no `Domain` (RFC 6265bis).
    pub name: String,
    /// Sends the cookie to this domain and all below it. Default: `None`, to this host only. Needs a
    /// name without `__Host-`.
    pub domain: Option<String>,
    /// Sends the cookie to paths below this one only. Default: `/`.
    pub path: String,
    /// Sends the cookie over HTTPS only. Default: `true`.
    pub secure: bool,
    /// Hides the cookie from scripts. Default: `true`.
    pub http_only: bool,
    /// Whether requests that other sites start carry the cookie. Default: [`SameSite::Lax`].
    pub same_site: SameSite,
}

/// Which requests that other sites start carry a cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// None at all, not even a followed link.
    Strict,
    /// Followed links only: no foreign form can post with it. The default.
    #[default]
    Lax,
    /// All of them; needs `secure`, and protection against request forgery of your own.
    None,
}

const MAX_NAME_LEN: usize = 256;
const MAX_ATTRIBUTE_LEN: usize = 1024;
const HOST_PREFIX: &str = "__Host-";
const SECURE_PREFIX: &str = "__Secure-";

impl Default for SessionCookie {
    fn default() -> Self {
        Self {
            name: "__Host-session".into(),
            domain: None,
            path: "/".into(),
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }
}

impl SessionCookie {
    /// The default cookie.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A cookie that works over plain http, named `session` and not `Secure`: for trying things out on
    /// loopback, where some browsers drop `Secure` cookies.
    #[must_use]
    pub fn insecure_local() -> Self {
        Self { name: "session".into(), secure: false, ..Self::default() }
    }

    /// The same cookie with this name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The same cookie for this domain, or for this host only.
    #[must_use]
    pub fn with_domain(mut self, domain: impl Into<Option<String>>) -> Self {
        self.domain = domain.into();
        self
    }

    /// The same cookie for paths below this one.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same cookie, over HTTPS only or not.
    #[must_use]
    pub fn with_secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// The same cookie, hidden from scripts or not.
    #[must_use]
    pub fn with_http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// The same cookie with this policy for other sites.
    #[must_use]
    pub fn with_same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Checks what a browser would silently refuse.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config), naming the attribute.
    pub(crate) fn validate(&self) -> Result<()> {
        let Self { name, domain, path, secure, http_only: _, same_site } = self;
        let refuse = |why: &'static str| Err(Error::describe(ErrorKind::Config, why));
        // RFC 9110, token.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        // RFC 6265bis, av-octet.
        let is_attribute = |text: &str| {
            text.len() <= MAX_ATTRIBUTE_LEN
                && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b';')
        };
        if name.is_empty() || name.len() > MAX_NAME_LEN || !name.bytes().all(is_token) {
            return refuse("the cookie's name is 1 to 256 letters, digits and token characters");
        }
        if !path.starts_with('/') || !is_attribute(path) {
            return refuse("the cookie's path begins with / and has no semicolon and no control character");
        }
        if domain.as_ref().is_some_and(|domain| domain.is_empty() || !is_attribute(domain)) {
            return refuse("the cookie's domain is empty or has a semicolon or control character");
        }
        // Browsers compare the prefixes without regard to case.
        let has_prefix =
            |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if has_prefix(HOST_PREFIX) && (!secure || domain.is_some() || path != "/") {
            return refuse("a cookie named __Host-... is secure, without domain and with path /");
        }
        if has_prefix(SECURE_PREFIX) && !secure {
            return refuse("a cookie named __Secure-... is secure");
        }
        if *same_site == SameSite::None && !secure {
            return refuse("a cookie with SameSite=None is secure");
        }
        Ok(())
    }

    /// The header that hands out a token.
    pub(crate) fn set(&self, token: &SessionToken, max_age: Option<Duration>) -> String {
        self.header(&token.expose(), max_age.map(|age| age.as_secs()))
    }

    /// The header that makes the browser forget it.
    pub(crate) fn remove(&self) -> String {
        self.header("", Some(0))
    }

    fn header(&self, value: &str, max_age: Option<u64>) -> String {
        let mut header = format!("{}={value}; Path={}", self.name, self.path);
        if let Some(domain) = &self.domain {
            header.push_str("; Domain=");
            header.push_str(domain);
        }
        if let Some(seconds) = max_age {
            // Writing to a String cannot fail.
            let _ = write!(header, "; Max-Age={seconds}");
        }
        if self.secure {
            header.push_str("; Secure");
        }
        if self.http_only {
            header.push_str("; HttpOnly");
        }
        header.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        header
    }

    /// The values that `Cookie` headers have under this name, in order.
    pub(super) fn values<'a>(&'a self, headers: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let ends = memchr::memchr2_iter(b';', SEPARATOR, headers).chain([headers.len()]);
        let mut start = 0;
        ends.filter_map(move |end| {
            let pair = &headers[start..end];
            start = end + 1;
            let value = pair.trim_ascii().strip_prefix(self.name.as_bytes())?.strip_prefix(b"=")?;
            // RFC 6265 lets a value stand in double quotes.
            Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionId;

    #[test]
    fn default_cookie_is_the_strict_one() {
        let token = SessionToken::from_parts(SessionId::from_bytes([0; 16]), [0; 32]);
        let header = SessionCookie::default().set(&token, Some(Duration::from_secs(60)));
        let expected =
            format!("__Host-session={}; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax", token.expose());
        assert_eq!(header, expected);
    }

    #[test]
    fn removal_mirrors_the_attributes() {
        let cookie = SessionCookie::insecure_local()
            .with_name("sid")
            .with_domain("example.org".to_owned())
            .with_path("/app")
            .with_http_only(false)
            .with_same_site(SameSite::Strict);
        assert_eq!(cookie.remove(), "sid=; Path=/app; Domain=example.org; Max-Age=0; SameSite=Strict");
    }

    #[test]
    fn what_browsers_refuse_is_a_config_error() {
        let host = SessionCookie::default;
        for cookie in [
            host().with_domain("example.org".to_owned()),
            host().with_path("/app"),
            host().with_secure(false),
            host().with_name("__host-x").with_secure(false),
            host().with_name("__Secure-x").with_secure(false),
            host().with_name("x").with_secure(false).with_same_site(SameSite::None),
            host().with_name(""),
            host().with_name("a b"),
            host().with_name("a=b"),
            host().with_name("x").with_path("/; Domain=evil.example"),
            host().with_name("x").with_path("app"),
            host().with_name("x").with_domain("a\r\nb".to_owned()),
        ] {
            assert_eq!(cookie.validate().unwrap_err().kind(), ErrorKind::Config, "{cookie:?}");
        }
        assert!(SessionCookie::insecure_local().validate().is_ok());
    }

    #[test]
    fn values_are_found_by_the_exact_name() {
        let cookie = SessionCookie::insecure_local();
        let values =
            |header: &'static [u8]| -> Vec<_> { cookie.values(header).map(<[u8]>::to_vec).collect() };
        assert_eq!(
            values(b"a=b; session=1;session=\"2\" ; xsession=3; session2=4; SESSION=5; session"),
            [b"1", b"2"]
        );
        assert!(values(b"").is_empty());
        assert_eq!(values(b"session=\xff\x00=;;;"), [b"\xff\x00="]);
    }
}
