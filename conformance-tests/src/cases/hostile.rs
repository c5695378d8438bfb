//! Group J: names that mean something to a store, given as data.

use session_core::Principal;

use super::list::expect_list;
use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::Context;

pub(super) const CASES: &[Case] = &[case!(
    "hostile",
    principal_injection_corpus,
    "a principal is data: in no verb does any character of it mean something",
    List,
)];

/// What SQL, patterns, keys, protocols, paths, documents and terminals take for more than text.
const NAMES: &[&str] = &[
    // SQL and its escapes.
    "' OR '1'='1",
    "'; DROP TABLE sessions; --",
    "\\'; --",
    "\" OR \"\"=\"",
    "alice'--",
    "0x616c696365",
    "\\x616c696365",
    "NULL",
    "$1",
    "?1",
    ":1",
    "@p",
    // LIKE and glob.
    "%",
    "_",
    "alic_",
    "al%e",
    "al\\%e",
    "*",
    "?",
    "alic?",
    "[a-z]*",
    "[^b]lice",
    // Keys of Redis, and its protocol.
    ":",
    "alice:",
    "principal:alice",
    "{alice}",
    "}{",
    "\r\nFLUSHALL\r\n",
    "$5\r\nalice",
    "*1\r\n$8\r\nFLUSHALL\r\n",
    // Control characters and what looks like something else.
    "\0",
    "alice\0",
    "al\0ice",
    "\u{1}",
    "\u{7f}",
    "\u{202e}ecila",
    "alice\u{200b}",
    "\u{feff}alice",
    "\u{430}lice",
    "\u{fffd}",
    "\u{10ffff}",
    // Paths, documents, templates.
    "..",
    "../../etc/passwd",
    "..\\..\\alice",
    "/",
    "CON",
    "%00",
    "%2e%2e%2f",
    "[]",
    "{\"$ne\":null}",
    "\"",
    "null",
    "<script>alert(1)</script>",
    "${jndi:ldap://127.0.0.1/a}",
    "%s%n",
    "$(id)",
    "`id`",
];

async fn principal_injection_corpus(ctx: Context) -> CaseResult {
    let longest = ["'", "%", "\\", "\u{202e}"].map(|text| text.repeat(Principal::MAX_LEN / text.len()));
    let names = || NAMES.iter().copied().chain(longest.iter().map(String::as_str));
    let now = ctx.now();
    let record = ctx.record_of("alice")?;
    let alice = (ctx.create(&record).await?, record);
    let mut kept = Vec::new();
    for name in names() {
        let record = ctx.record_of(name)?;
        kept.push((name, (ctx.create(&record).await?, record)));
    }
    for (name, own) in &kept {
        let what = format!("the list of {:?}", name.get(..20).unwrap_or(name));
        let first = ctx.record_of(name)?;
        let id = ctx.create(&first).await?;
        expect_list(&ctx, Some(name), &[own.clone(), (id, first.clone())], &what).await?;
        // Off to somebody else, and back.
        let second = ctx.successor(&first).with_principal(alice.1.principal.clone());
        check::updated(ctx.backend().update(id, first.revision, second.clone(), now).await?)?;
        expect_list(&ctx, Some(name), std::slice::from_ref(own), &what).await?;
        expect_list(&ctx, Some("alice"), &[alice.clone(), (id, second.clone())], "alice's list").await?;
        let third = ctx.successor(&second).with_principal(first.principal);
        check::updated(ctx.backend().update(id, second.revision, third.clone(), now).await?)?;
        check::conflict(ctx.backend().update(id, second.revision, second, now).await?, &third)?;
        check::deleted(ctx.backend().delete(id, Some(third.revision), now).await?)?;
        expect_list(&ctx, Some(name), std::slice::from_ref(own), &what).await?;
    }
    for (name, (id, record)) in &kept {
        let what = format!("the session of {:?}", name.get(..20).unwrap_or(name));
        ctx.expect(*id, record, &what).await?;
    }
    expect_list(&ctx, Some("alice"), &[alice], "alice's list at the end").await
}
