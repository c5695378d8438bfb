//! Group D, what a token is when it is presented: current, superseded, or a stranger's.

use std::time::Duration;

use session_core::{ErrorKind, Session, SessionToken};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, HOUR};
use crate::site::{Site, Step, add_one, id, refused, token, unchanged};
use crate::spy::Calls;

pub(super) const CASES: &[Case] = &[
    case!(
        "tokens",
        token_parser_corpus,
        "a malformed token is no token: a new session, before any I/O, never an error",
    ),
    case!(
        "tokens",
        presented_unknown_id_never_adopted,
        "a presented id that is unknown, ended or forged is never adopted, whatever the order of calls",
    ),
    case!(
        "tokens",
        every_earlier_secret_dead_at_once_on_privilege,
        "after a change of privilege every earlier secret is dead at once",
    ),
    case!(
        "tokens",
        superseded_writes_nothing_sends_no_cookie,
        "a superseded session reads as empty, refuses changes, writes nothing and sends no cookie",
    ),
    case!(
        "tokens",
        superseded_within_grace_then_unknown,
        "a replaced secret is superseded for less than `grace`, and a stranger's from then on",
    ),
    case!(
        "tokens",
        superseded_may_sign_in_under_a_fresh_id,
        "sign_in alone works on a superseded session, and starts a new one under a fresh id",
    ),
    case!(
        "tokens",
        digest_off_the_list_is_stale,
        "a secret that was pushed off the list counts as replaced by a change of privilege",
    ),
    case!(
        "tokens",
        digest_of_another_row_refused,
        "a digest copied to another session's record opens nothing there",
    ),
    case!(
        "tokens",
        no_part_of_a_record_is_a_secret,
        "whoever has read the store cannot make a token from it",
    ),
];

async fn token_parser_corpus(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let good = site.member("alice").await?;
    let (head, tail) = good.split_at(22);
    let secret = &tail[1..];
    let swap = |text: &str, at: usize, with: char| -> String {
        text.chars().enumerate().map(|(position, old)| if position == at { with } else { old }).collect()
    };
    let mut corpus: Vec<String> =
        ["", ".", " ", "\0", "null", "undefined", "..", "a.b", "%00", "💥", "\u{feff}"]
            .map(String::from)
            .to_vec();
    corpus.extend([head.to_owned(), secret.to_owned(), tail.to_owned(), format!("{head}.")]);
    corpus.extend([format!("{head}{secret}"), format!("{secret}.{head}"), format!("{head}..{secret}")]);
    corpus.extend([
        format!("{good}="),
        format!("{head}==.{secret}="),
        format!("{good} "),
        format!(" {good}"),
    ]);
    corpus.extend([format!("\"{good}\""), format!("{good}\n"), format!("{good}\0"), format!("{good};")]);
    corpus.extend([format!("{good}{good}"), format!("{good}, {good}"), good.replace('.', "%2E")]);
    corpus.extend([good.replace('.', "-"), good.replace('.', ":"), good.replace('.', "\u{ff0e}")]);
    // Bits behind the last byte: another text for the same bytes.
    let other_last = |last: char| [(21, last), (65, last)].map(|(at, last)| swap(&good, at, last));
    corpus.extend(('B'..='P').filter(|last| !matches!(last, 'E' | 'I' | 'M')).flat_map(other_last));
    for at in [0, 10, 21, 23, 40, 65] {
        corpus.extend(['+', '/', '=', '.', ' ', '%', '\0', 'é'].map(|odd| swap(&good, at, odd)));
    }
    for cut in 0..good.len() {
        corpus.push(good[..cut].to_owned());
    }
    corpus.push("x".repeat(1 << 20));
    site.spy.calls();
    for text in corpus {
        let what = format!("{:?}", text.chars().take(80).collect::<String>());
        site.expect_stranger(&text, &what).await?;
    }
    check::equal(site.spy.calls(), Calls::default(), "calls of the store for malformed tokens")?;
    site.open(&good).await.map(drop)
}

/// What a token may look like that opens no session, and the id that it names.
async fn strange_tokens(site: &Site) -> CaseResult<Vec<(&'static str, String)>> {
    let unknown = SessionToken::from_parts(site.ctx.id(), [7; 32]).expose();
    let deleted = site.member("alice").await?;
    site.manager.revoke(id(&deleted)?).await?;
    let victim = site.member("alice").await?;
    let forged = SessionToken::from_parts(id(&victim)?, [7; 32]).expose();
    Ok(vec![("an unknown id", unknown), ("a deleted session", deleted), ("a wrong secret", forged)])
}

async fn presented_unknown_id_never_adopted(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let calls: [(&str, Step); 5] = [
        ("insert", |session| session.insert("mark", true)),
        ("rotate", Session::rotate),
        ("sign_in", |session| session.sign_in("mallory")),
        ("clear", Session::clear),
        ("sign_out", Session::sign_out),
    ];
    for order in permutations(calls.len()) {
        let expired = site.visit().await?;
        ctx.clock().advance(25 * HOUR);
        let mut strangers = strange_tokens(&site).await?;
        strangers.push(("an expired session", expired));
        for (what, presented) in strangers {
            let presented_id = id(&presented)?;
            let before = ctx.backend().load(presented_id, ctx.now()).await?;
            let session = site.manager.open(Some(&presented)).await?;
            let mut names = Vec::new();
            for index in &order {
                calls[*index].1(&session)?;
                names.push(calls[*index].0);
            }
            session.insert("end", 1)?;
            let what = format!("{what}, {names:?}");
            let made = token(session.commit().await?)?;
            check::ensure(id(&made)? != presented_id, format!("{what}: the presented id was adopted"))?;
            check::equal(session.id(), Some(id(&made)?), "the id of the session")?;
            let after = ctx.backend().load(presented_id, ctx.now()).await?;
            check::equal(after, before, &format!("{what}: what is stored under the presented id"))?;
        }
    }
    Ok(())
}

/// Every order of the numbers below `n`.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..n {
        all = all
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    all
}

async fn every_earlier_secret_dead_at_once_on_privilege(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let steps: [Step; 4] = [
        Session::rotate,
        |session| session.sign_in("alice"),
        Session::rotate,
        |session| session.sign_in("alice"),
    ];
    let mut earlier: Vec<String> = Vec::new();
    let mut current = site.visit().await?;
    for step in steps {
        let fresh = token(site.request(&current, step).await?)?;
        check::equal(id(&fresh)?, id(&current)?, "the id after a rotation")?;
        earlier.push(std::mem::replace(&mut current, fresh));
        check::equal(site.n(&current).await?, 0, "the value behind the fresh secret")?;
        for dead in &earlier {
            let session = site.expect_superseded(dead, "an earlier secret").await?;
            check::equal(session.get::<u64>("n")?, None, "a value behind an earlier secret")?;
        }
        ctx.clock().advance(Duration::from_secs(1));
    }
    ctx.clock().advance(HOUR);
    for dead in &earlier {
        site.expect_stranger(dead, "an earlier secret an hour later").await?;
    }
    site.open(&current).await.map(drop)
}

async fn superseded_writes_nothing_sends_no_cookie(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    site.request(&old, |session| session.flash("hello")).await.and_then(unchanged)?;
    let fresh = token(site.request(&old, Session::rotate).await?)?;
    let stored = site.record(&fresh).await?;
    let session = site.expect_superseded(&old, "the replaced secret").await?;
    site.spy.calls();
    check::ensure(session.id().is_none(), "a superseded session has an id")?;
    check::ensure(session.principal().is_none(), "somebody is signed in to a superseded session")?;
    check::equal(session.get::<u64>("n")?, None, "get")?;
    check::equal(session.contains("n")?, false, "contains")?;
    check::equal(session.keys([""; 0])?, Vec::<String>::new(), "keys")?;
    check::equal(session.take_flash::<String>()?, Vec::new(), "take_flash")?;
    check::equal(session.siblings().await?.len(), 0, "siblings")?;
    let stale = ErrorKind::Stale;
    refused(session.insert("n", 1), stale, "insert")?;
    refused(add_one(&session), stale, "update")?;
    refused(session.push("list", 1), stale, "push")?;
    refused(session.remove("n"), stale, "remove")?;
    refused(session.take::<u64>("n"), stale, "take")?;
    refused(session.clear(), stale, "clear")?;
    refused(session.flash("bye"), stale, "flash")?;
    refused(session.rotate(), stale, "rotate")?;
    refused(session.destroy(), stale, "destroy")?;
    refused(session.sign_out(), stale, "sign_out")?;
    refused(session.revoke(id(&fresh)?).await, stale, "revoke")?;
    refused(session.revoke_others().await, stale, "revoke_others")?;
    unchanged(session.commit().await?)?;
    check::equal(site.spy.calls(), Calls::default(), "calls of the store by a superseded session")?;
    check::same(&site.record(&fresh).await?, &stored, "the session after a superseded request")
}

async fn superseded_within_grace_then_unknown(ctx: Context) -> CaseResult {
    for seconds in [1, 30, 300] {
        let grace = Duration::from_secs(seconds);
        let site = Site::with(&ctx, |builder| builder.grace(grace))?;
        let old = site.member("alice").await?;
        let fresh = token(site.request(&old, Session::rotate).await?)?;
        let rotated_at = ctx.now();
        ctx.clock().set(rotated_at.saturating_add(grace - Duration::from_millis(1)));
        site.expect_superseded(&old, "a millisecond before `grace` is over").await?;
        ctx.clock().set(rotated_at.saturating_add(grace));
        site.expect_stranger(&old, "when `grace` is over").await?;
        site.open(&fresh).await?;
    }
    Ok(())
}

async fn superseded_may_sign_in_under_a_fresh_id(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let old = site.member("alice").await?;
    let fresh = token(site.request(&old, Session::rotate).await?)?;
    let stored = site.record(&fresh).await?;
    let session = site.expect_superseded(&old, "the replaced secret").await?;
    session.sign_in("bob")?;
    check::equal(session.get::<u64>("n")?, None, "a value of the session that the token was for")?;
    session.insert("n", 7)?;
    let own = token(session.commit().await?)?;
    check::ensure(id(&own)? != id(&old)?, "the sign-in kept the id")?;
    check::equal(site.n(&own).await?, 7, "the value of the new session")?;
    let principal = site.open(&own).await?.principal();
    check::equal(principal.as_ref().map(|name| name.as_str()), Some("bob"), "who is signed in")?;
    check::same(&site.record(&fresh).await?, &stored, "the session that the token was for")
}

async fn digest_off_the_list_is_stale(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let first = site.member("alice").await?;
    let slow = site.open(&first).await?;
    slow.insert("n", 99)?;
    let ending = site.open(&first).await?;
    ending.destroy()?;
    let mut current = first.clone();
    for _ in 0..6 {
        current = token(site.request(&current, Session::rotate).await?)?;
    }
    site.expect_stranger(&first, "a forgotten secret").await?;
    refused(slow.commit().await, ErrorKind::Stale, "a commit with a forgotten secret")?;
    refused(ending.commit().await, ErrorKind::Stale, "a destroy with a forgotten secret")?;
    check::equal(site.n(&current).await?, 0, "the value after stale commits")
}

async fn digest_of_another_row_refused(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let (mallory, victim) = (site.member("mallory").await?, site.member("alice").await?);
    let secret = mallory.get(22..).unwrap_or_default();
    let moved = format!("{}{secret}", id(&victim)?);
    site.expect_stranger(&moved, "another session's secret").await?;
    // Whoever can write to the store copies the digest along.
    let own = site.record(&mallory).await?;
    let record = site.record(&victim).await?;
    let mut planted = record.clone().with_meta(own.meta.clone());
    planted.revision = record.revision.next(1);
    check::updated(ctx.backend().update(id(&victim)?, record.revision, planted, ctx.now()).await?)?;
    site.expect_stranger(&moved, "another session's secret and digest").await?;
    let copy = ctx.create(&own).await?;
    site.expect_stranger(&format!("{copy}{secret}"), "a copy of a session under another id").await
}

async fn no_part_of_a_record_is_a_secret(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.member("alice").await?;
    let current = token(site.request(&current, Session::rotate).await?)?;
    let record = site.record(&current).await?;
    check::ensure(record.meta.len() > 32, "the bookkeeping holds no digest")?;
    for window in record.meta.windows(32).chain(record.data.windows(32)) {
        let secret = <[u8; 32]>::try_from(window).map_err(|_| Failure::new("32 bytes"))?;
        let made = SessionToken::from_parts(id(&current)?, secret).expose();
        site.expect_stranger(&made, "a part of the record as a secret").await?;
    }
    let secret = current.get(23..).unwrap_or_default();
    let contains = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    check::ensure(!contains(&record.meta) && !contains(&record.data), "the record holds the secret's text")
}
