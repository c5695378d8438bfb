//! Two kinds of session in one application.

use crate::case::{Case, case};
use crate::check::{CaseResult, equal};
use crate::http::context::HttpContext;
use crate::http::site::{HttpSite, INNER_NAME, NAME, pair};
use crate::spy::Calls;

pub(super) const CASES: &[Case<HttpContext>] = &[case!(
    "http",
    two_layers_in_one_app,
    "sessions in another cookie and another store, inside the first ones' layer, do not mix with them"
)];

async fn two_layers_in_one_app(http: HttpContext) -> CaseResult {
    let site = HttpSite::start(&http).await?;
    let outer = site.cookie(&site.visit("/session/count", "").await?)?;
    let created = site.visit("/inner/session/count", &outer).await?;
    equal(created.body.as_str(), "1", "a count of the inner scope")?;
    site.no_cookie(&created, "the outer scope, beside the inner one's new session")?;
    let inner = pair(created.head.set_cookie(INNER_NAME)?.unwrap_or_default())?;

    let both = format!("{outer}; {inner}");
    for (path, expected) in [
        ("/session/count", "2"),
        ("/session/count", "3"),
        ("/inner/session/count", "2"),
        ("/session/read", "3"),
        ("/inner/session/read", "2"),
    ] {
        let answer = site.visit(path, &both).await?;
        equal(answer.body.as_str(), expected, path)?;
        for name in [NAME, INNER_NAME] {
            equal(answer.head.set_cookie(name)?, None, "a cookie of a known visitor")?;
        }
        equal(answer.head.members("vary"), vec!["Cookie"], path)?;
    }
    site.outer.spy.calls();
    site.inner.spy.calls();
    let destroyed = site.visit("/inner/session/destroy", &both).await?;
    site.no_cookie(&destroyed, "the outer scope, beside the end of the inner one's session")?;
    let removed = destroyed.head.set_cookie(INNER_NAME)?.unwrap_or_default();
    equal(removed.split(';').next(), Some("__Host-inner="), "the inner cookie's removal")?;
    equal(site.outer.spy.calls(), Calls::default(), "the outer scope's verbs")?;
    let expected = Calls { load: 1, delete: 1, ..Calls::default() };
    equal(site.inner.spy.calls(), expected, "the inner scope's verbs")?;
    equal(site.visit("/session/read", &both).await?.body.as_str(), "3", "the outer scope's session")?;
    equal(site.visit("/inner/session/read", &both).await?.body.as_str(), "none", "the inner one's")
}
