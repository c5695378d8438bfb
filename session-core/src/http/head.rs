//! What sessions read of a request.

use std::fmt;

/// The parts of a request that sessions depend on.
#[derive(Clone, Default)]
pub struct Head<'a> {
    pub(super) cookies: Headers<'a>,
    pub(super) authorizations: Headers<'a>,
    pub(super) host: Option<&'a [u8]>,
}

/// The values of the headers of one name. Nearly always there is one, which takes no allocation.
#[derive(Clone, Default)]
pub(super) struct Headers<'a> {
    first: Option<&'a [u8]>,
    others: Vec<&'a [u8]>,
}

impl<'a> Headers<'a> {
    fn push(&mut self, header: &'a [u8]) {
        if self.first.is_none() {
            self.first = Some(header);
        } else {
            self.others.push(header);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

impl<'a> Head<'a> {
    /// A request without any.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the value of a `Cookie` header; a request may have several.
    #[must_use]
    pub fn with_cookie(mut self, header: &'a [u8]) -> Self {
        self.cookies.push(header);
        self
    }

    /// Adds the value of an `Authorization` header. A request should have one at most; of several all
    /// count, as cookies of one name do.
    #[must_use]
    pub fn with_authorization(mut self, header: &'a [u8]) -> Self {
        self.authorizations.push(header);
        self
    }

    /// Sets the value of the `Host` header.
    #[must_use]
    pub fn with_host(mut self, host: &'a [u8]) -> Self {
        self.host = Some(host);
        self
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of both hold secrets.
        let Self { cookies, authorizations, host } = self;
        f.debug_struct("Head")
            .field("cookies", &cookies.iter().count())
            .field("authorizations", &authorizations.iter().count())
            .field("host", &host.map(String::from_utf8_lossy))
            .finish()
    }
}
