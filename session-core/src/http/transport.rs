//! How a token travels: in a cookie, or, for clients that are no browsers, in headers of its own.

use crate::http::{Finished, Head, SessionCookie};
use crate::{Committed, SessionToken};

/// Headers, with a [`SEPARATOR`] behind each.
pub(super) struct Presented(Vec<u8>);

/// No header has one inside (RFC 9110, 5.5).
pub(super) const SEPARATOR: u8 = b'\n';

#[derive(Clone, Debug)]
pub(super) enum Transport {
    Cookie(SessionCookie),
    /// `Authorization: Bearer` in (RFC 6750), `Session-Token` out.
    Bearer,
}

/// More tokens than this come from somebody who tries something.
const MAX_TOKENS: usize = 4;

/// How much of a request's headers is copied and searched. Browsers keep some hundred cookies of 4 KiB for a site,
/// but hardly any server takes 64 KiB of headers.
const MAX_BYTES: usize = 64 * 1024;

impl Transport {
    /// What of a request may hold tokens: copied, because to look for them is several times as much work, and many
    /// requests never ask for their session.
    pub(super) fn presented(&self, head: &Head<'_>) -> Presented {
        let headers = match self {
            Self::Cookie(_) => &head.cookies,
            Self::Bearer => &head.authorizations,
        };
        Presented::copy(searched(headers.iter()))
    }

    /// The tokens in it, each once. No I/O, and work that is bounded whatever the server lets in.
    pub(super) fn tokens(&self, Presented(headers): &Presented) -> Vec<SessionToken> {
        match self {
            Self::Cookie(cookie) => distinct(cookie.values(headers)),
            Self::Bearer => distinct(headers.split(|byte| *byte == SEPARATOR).filter_map(bearer)),
        }
    }

    /// The token in it, if there is one and no other: so it is nearly always, and takes no allocation.
    pub(super) fn only_token(&self, Presented(headers): &Presented) -> Option<SessionToken> {
        match self {
            Self::Cookie(cookie) => only(cookie.values(headers)),
            Self::Bearer => only(headers.split(|byte| *byte == SEPARATOR).filter_map(bearer)),
        }
    }

    /// Puts into the answer what the client must know of its token.
    pub(super) fn tell(&self, committed: &Committed, finished: &mut Finished) {
        match (self, committed) {
            (_, Committed::Unchanged) => return,
            (Self::Cookie(cookie), Committed::SetToken { token, max_age }) => {
                finished.set_cookie = Some(cookie.set(token, *max_age));
            }
            (Self::Cookie(cookie), Committed::ClearToken) => finished.set_cookie = Some(cookie.remove()),
            (Self::Bearer, Committed::SetToken { token, .. }) => {
                finished.session_token = Some(token.expose())
            }
            (Self::Bearer, Committed::ClearToken) => finished.session_token = Some(String::new()),
        }
        finished.cache_control = Some("no-store");
    }

    /// The request's header that carries the token.
    pub(super) fn vary(&self) -> &'static str {
        match self {
            Self::Cookie(_) => "Cookie",
            Self::Bearer => "Authorization",
        }
    }

    /// Whether browsers may drop what is sent to a host that is reached over plain http.
    pub(super) fn needs_https(&self) -> bool {
        matches!(self, Self::Cookie(cookie) if cookie.secure)
    }
}

impl Presented {
    fn copy<'a>(headers: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut copy = Vec::new();
        for header in headers {
            copy.reserve(header.len() + 1);
            copy.extend_from_slice(header);
            copy.push(SEPARATOR);
        }
        Self(copy)
    }
}

/// The headers that lie within the limit as a whole: half a cookie could pass for another.
fn searched<'a>(headers: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let mut left = MAX_BYTES;
    headers.map_while(move |header| {
        let fits = left.checked_sub(header.len());
        if fits.is_none() {
            tracing::warn!("over 64 KiB in headers of one name: the rest is not searched for the session");
        }
        left = fits?;
        Some(header)
    })
}

/// RFC 9110, 11.4: the scheme in any case, spaces, the token.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.trim_ascii().split_at_checked("Bearer".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer") && token.starts_with(b" ")).then(|| token.trim_ascii())
}

fn distinct<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<SessionToken> {
    let mut tokens: Vec<SessionToken> = Vec::new();
    for token in parsed(values) {
        if !tokens.iter().any(|known| known.id() == token.id() && known.digest() == token.digest()) {
            tokens.push(token);
        }
    }
    tokens
}

/// `None` also where one comes twice.
fn only<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<SessionToken> {
    let mut tokens = parsed(values);
    let first = tokens.next();
    if tokens.next().is_none() { first } else { None }
}

fn parsed<'a>(values: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = SessionToken> {
    values.take(MAX_TOKENS).filter_map(SessionToken::parse_bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::SessionId;

    fn token(number: u8) -> SessionToken {
        SessionToken::from_parts(SessionId::from_bytes([number; 16]), [number; 32])
    }

    fn ids(transport: &Transport, head: &Head<'_>) -> Vec<SessionId> {
        transport.tokens(&transport.presented(head)).iter().map(SessionToken::id).collect()
    }

    #[test]
    fn bearer_takes_the_scheme_in_any_case_and_nothing_else() {
        let secret = token(1).expose();
        for (header, found) in [
            (format!("Bearer {secret}"), true),
            (format!("bearer {secret}"), true),
            (format!("BEARER   {secret} "), true),
            (format!("Bearer{secret}"), false),
            (format!("Bearer\t{secret}"), false),
            (format!("Basic {secret}"), false),
            (format!("Bearer \"{secret}\""), false),
            (format!("Bearer {secret}, Bearer {secret}"), false),
            (secret.clone(), false),
            ("Bearer ".to_owned(), false),
            ("Bearer".to_owned(), false),
            (String::new(), false),
        ] {
            let head = Head::new().with_authorization(header.as_bytes());
            assert_eq!(ids(&Transport::Bearer, &head).len(), usize::from(found), "{header}");
        }
    }

    #[test]
    fn a_token_is_the_only_one_where_no_other_is() {
        let [one, other] = [1, 2].map(|number| token(number).expose());
        for (values, only) in [(vec![&one], true), (vec![], false), (vec![&one, &other], false)] {
            let cookie = values.iter().map(|value| format!("session={value}")).collect::<Vec<_>>().join("; ");
            let bearers: Vec<_> = values.iter().map(|value| format!("Bearer {value}")).collect();
            let head = Head::new().with_cookie(cookie.as_bytes());
            let head = bearers.iter().fold(head, |head, header| head.with_authorization(header.as_bytes()));
            for transport in [Transport::Cookie(SessionCookie::insecure_local()), Transport::Bearer] {
                let found = transport.only_token(&transport.presented(&head)).map(|token| token.id());
                assert_eq!(found, only.then(|| token(1).id()), "{values:?}");
            }
        }
    }

    #[test]
    fn each_transport_is_blind_for_the_other() {
        let (cookie, header) =
            (format!("session={}", token(1).expose()), format!("Bearer {}", token(2).expose()));
        let head = Head::new().with_cookie(cookie.as_bytes()).with_authorization(header.as_bytes());
        let cookies = Transport::Cookie(SessionCookie::insecure_local());
        assert_eq!(ids(&cookies, &head), [token(1).id()]);
        assert_eq!(ids(&Transport::Bearer, &head), [token(2).id()]);
    }

    #[test]
    fn several_bearers_count_as_several_cookies_do() {
        let headers: Vec<String> =
            [1, 1, 2, 3, 4].map(|number| format!("Bearer {}", token(number).expose())).into();
        let head =
            headers.iter().fold(Head::new(), |head, header| head.with_authorization(header.as_bytes()));
        assert_eq!(ids(&Transport::Bearer, &head), [token(1).id(), token(2).id(), token(3).id()]);
    }

    #[test]
    fn cookies_are_searched_up_to_64_kib() {
        let cookies = Transport::Cookie(SessionCookie::insecure_local());
        let ours = format!("session={}", token(1).expose());
        let padded = |len: usize| format!("{ours}; {}", "a".repeat(len - ours.len() - 2));
        let found = |headers: &[&str]| {
            let head = headers.iter().fold(Head::new(), |head, header| head.with_cookie(header.as_bytes()));
            ids(&cookies, &head).len()
        };
        assert_eq!(found(&[&padded(MAX_BYTES)]), 1);
        assert_eq!(found(&[&padded(MAX_BYTES + 1)]), 0);
        let junk = "a".repeat(MAX_BYTES - ours.len());
        assert_eq!(found(&[&junk, &ours]), 1);
        assert_eq!(found(&[&junk, "b", &ours]), 0);
        assert_eq!(found(&[&ours, &junk, "b"]), 1);
        // Cut off there it would be another token.
        let longer = format!("{};session={}A", "a".repeat(MAX_BYTES - ours.len() - 1), token(1).expose());
        assert_eq!(found(&[&longer]), 0);
    }

    #[test]
    fn authorizations_are_searched_up_to_64_kib() {
        let ours = format!("Bearer {}", token(1).expose());
        let junk = format!("Basic {}", "a".repeat(MAX_BYTES));
        let basic = Head::new().with_authorization(junk.as_bytes());
        assert_eq!(Transport::Bearer.presented(&basic).0.len(), 0);
        let found = |head: Head<'_>| ids(&Transport::Bearer, &head).len();
        assert_eq!(found(basic.clone().with_authorization(ours.as_bytes())), 0);
        assert_eq!(
            found(Head::new().with_authorization(ours.as_bytes()).with_authorization(junk.as_bytes())),
            1
        );
    }

    /// What is found in headers that are looked at one by one.
    fn plainly(headers: &[Vec<u8>]) -> Vec<SessionId> {
        let pairs = headers.iter().flat_map(|header| header.split(|byte| *byte == b';'));
        let values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(b"session="));
        let mut found = Vec::new();
        for value in values.take(MAX_TOKENS) {
            let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
            let token = std::str::from_utf8(bare).ok().and_then(SessionToken::parse);
            found.extend(token.map(|token| token.id()).filter(|id| !found.contains(id)));
        }
        found
    }

    fn cookies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let piece = prop_oneof![
            6 => (1_u8..6).prop_map(|number| format!("session={}", token(number).expose()).into_bytes()),
            2 => (1_u8..6).prop_map(|number| format!("session=\"{}\"", token(number).expose()).into_bytes()),
            10 => Just(b";".to_vec()),
            4 => Just(b"; ".to_vec()),
            1 => prop::sample::select(vec![&b"session="[..], b"session", b"a=b", b"=", b"\"", b" ", b"\xff"])
                .prop_map(<[u8]>::to_vec),
        ];
        let header = prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat());
        prop::collection::vec(header, 0..4)
    }

    proptest! {
        #[test]
        fn headers_together_hold_what_they_hold_one_by_one(headers in cookies()) {
            let head = headers.iter().fold(Head::new(), |head, header| head.with_cookie(header));
            let cookies = Transport::Cookie(SessionCookie::insecure_local());
            prop_assert_eq!(ids(&cookies, &head), plainly(&headers));
            if let Some(only) = cookies.only_token(&cookies.presented(&head)) {
                prop_assert_eq!(vec![only.id()], plainly(&headers));
            }
        }
    }

    #[test]
    fn each_transport_answers_in_its_own_header() {
        let told = |transport: &Transport, committed: &Committed| {
            let mut finished = Finished::default();
            transport.tell(committed, &mut finished);
            (finished.set_cookie, finished.session_token, finished.cache_control)
        };
        let set = Committed::SetToken { token: token(1), max_age: Some(Duration::from_secs(60)) };
        let (secret, no_store) = (token(1).expose(), Some("no-store"));
        let cookie = Transport::Cookie(SessionCookie::insecure_local());
        let pair = format!("session={secret}; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_eq!(told(&cookie, &set), (Some(pair), None, no_store));
        assert_eq!(told(&Transport::Bearer, &set), (None, Some(secret), no_store));
        assert_eq!(told(&Transport::Bearer, &Committed::ClearToken), (None, Some(String::new()), no_store));
        for transport in [cookie, Transport::Bearer] {
            assert_eq!(told(&transport, &Committed::Unchanged), (None, None, None));
        }
    }
}
