//! Group Q, the stored form of sessions: what a release has written every later one reads, on every driver
//! alike, and what cannot be read is an error and stays.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::time::Duration;

use rand::RngExt as _;
use serde::de::DeserializeOwned;
use session_core::{
    Codec, Committed, ErrorKind, Janitor, Lifetime, OnLimit, OnReplay, Principal, Record, Result, Revision,
    Session, SessionId, SessionToken, Timestamp,
};

use super::damage::plant;
use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::{Context, DAY, HOUR, MINUTE};
use crate::site::{Site, Step, add_one, id, refused, token, unchanged};

pub(super) const CASES: &[Case] = &[
    case!(
        "format",
        golden_bytes_of_every_released_version,
        "what a release has stored opens by its token and holds its values, on every driver alike",
        List
    ),
    case!(
        "format",
        golden_bytes_in_bincode,
        "a session that is stored in bincode opens where the feature is on, whatever the manager writes"
    ),
    case!(
        "format",
        future_version_errors_and_is_kept,
        "bookkeeping of a newer version is `UnknownFormat` and stays byte for byte, until it is revoked",
        List
    ),
    case!(
        "format",
        rolling_upgrade_both_ways,
        "fields of a later release survive whatever an older one writes, until somebody else signs in"
    ),
    case!(
        "format",
        every_single_bit_flip_never_wrong_data,
        "a flipped bit in the bookkeeping is an error, one in the values changes none but the one that it hits"
    ),
    case!(
        "format",
        truncated_at_every_length,
        "bookkeeping and values that are cut off are errors, and never other values"
    ),
    case!(
        "format",
        codec_switched_on_a_live_store,
        "a manager with another codec keeps every session, each in the form that it has",
    ),
];

const CREATED: &[u8] = include_bytes!("../../../golden/format-1/created.meta");
const FULL: &[u8] = include_bytes!("../../../golden/format-1/full.meta");
const LATER_FIELDS: &[u8] = include_bytes!("../../../golden/format-1/later_fields.meta");
const BINCODE: &[u8] = include_bytes!("../../../golden/format-1/bincode.meta");
const VALUES_JSON: &[u8] = include_bytes!("../../../golden/format-1/values.json");
const VALUES_BINCODE: &[u8] = include_bytes!("../../../golden/format-1/values.bincode");

const SECOND: Duration = Duration::from_secs(1);
const GOLDEN: SessionId = SessionId::from_bytes(*b"golden session 1");

/// The text of the golden session's token with the secret of this number.
fn golden_token(secret: u8) -> String {
    SessionToken::from_parts(GOLDEN, [secret; 32]).expose()
}

/// Stores what a release has written of a session that was last used ten seconds ago.
async fn plant_golden(
    ctx: &Context,
    meta: &'static [u8],
    data: &'static [u8],
    principal: Option<&str>,
) -> CaseResult<Record> {
    let revision = Revision::from_i64(9 << 32 | 0x0909_0909).ok_or_else(|| Failure::new("no revision"))?;
    let touched_at = ctx.now().saturating_sub(10 * SECOND);
    let deadline = ctx.now().saturating_add(7 * DAY).saturating_sub(30 * MINUTE);
    let record = Record::new(revision, touched_at, touched_at.saturating_add(2 * HOUR), deadline)
        .with_principal(principal.map(Principal::new).transpose()?)
        .with_meta(meta)
        .with_data(data);
    check::created(ctx.backend().create(GOLDEN, record.clone(), ctx.now()).await?)?;
    ctx.expect(GOLDEN, &record, "a golden session").await?;
    Ok(record)
}

fn holds_golden_values(session: &Session) -> CaseResult {
    fn value<T: DeserializeOwned + PartialEq + Debug>(
        session: &Session,
        path: &'static str,
        expected: T,
    ) -> CaseResult {
        check::equal(session.get(path)?, Some(expected), path)
    }
    value(session, "account.current_user_id", 42)?;
    value(session, "account.name", "Alice".to_owned())?;
    value(session, "bools", (true, false, ()))?;
    value(session, "empty", String::new())?;
    value(session, "float", 0.1)?;
    value(session, "i64", i64::MIN)?;
    value(session, "list.2", BTreeMap::from([("three".to_owned(), [3])]))?;
    value(session, "n", 7)?;
    value(session, "text", "caf\u{e9} \u{1f980} \"quoted\" \0 \n".to_owned())?;
    value(session, "u64", u64::MAX)?;
    let zero = session.get::<f64>("zero")?.map(f64::to_bits);
    check::equal(zero, Some((-0.0_f64).to_bits()), "zero")?;
    let keys = ["account", "bools", "empty", "float", "i64", "list", "n", "text", "u64", "zero"];
    check::equal(session.keys([""; 0])?, keys.map(str::to_owned).to_vec(), "the keys")
}

async fn golden_bytes_of_every_released_version(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let planted = plant_golden(&ctx, FULL, VALUES_JSON, Some("alice")).await?;
    let [info] = &site.manager.list("alice").await?[..] else {
        return Err(Failure::new("the golden session is not in the list, or not alone"));
    };
    let ago = |duration| ctx.now().saturating_sub(duration);
    check::equal(info.created_at(), ago(HOUR), "created_at")?;
    check::equal((info.id(), info.last_seen()), (GOLDEN, ago(10 * SECOND)), "the id and last_seen")?;
    check::equal(info.get("n")?, Some(7), "a value in the list")?;
    // The secrets that it had, from the newest to one that it never had.
    let replaced = site.open(&golden_token(2)).await?;
    holds_golden_values(&replaced)?;
    drop(site.expect_superseded(&golden_token(3), "a secret that died a moment ago").await?);
    site.expect_stranger(&golden_token(4), "a secret that died long ago").await?;
    site.expect_stranger(&golden_token(5), "a secret replaced at a sign-in").await?;
    site.expect_stranger(&golden_token(6), "a secret that it never had").await?;
    let stats = site.manager.stats();
    let counted = (stats.superseded_total, stats.replayed_total, stats.forged_total);
    check::equal(counted, (1, 1, 2), "superseded, replayed and forged")?;
    check::same(&site.record(&golden_token(1)).await?, &planted, "the session after all of them")?;
    // The current one.
    let session = site.open(&golden_token(1)).await?;
    holds_golden_values(&session)?;
    check::equal(session.principal().as_ref().map(Principal::as_str), Some("alice"), "the principal")?;
    check::equal(session.take_flash::<String>()?, vec!["hello".to_owned()], "the flash message")?;
    add_one(&session)?;
    session.rotate()?;
    match session.commit().await? {
        Committed::SetToken { max_age, .. } => check::equal(max_age, None, "Max-Age of the cookie")?,
        other => return Err(Failure::new(format!("a rotation: {other:?}"))),
    }
    let record = ctx.backend().load(GOLDEN, ctx.now()).await?.ok_or_else(|| Failure::new("it is gone"))?;
    check::equal(record.expires_at, ctx.now().saturating_add(2 * HOUR), "the expiry by its own idle time")?;
    check::equal(record.deadline, planted.deadline, "the deadline")?;
    check::equal(site.manager.revoke_all("alice").await?, 1, "revoke_all")?;
    // As it was created, with the defaults.
    plant_golden(&ctx, CREATED, VALUES_JSON, None).await?;
    let session = site.open(&golden_token(1)).await?;
    holds_golden_values(&session)?;
    check::equal(session.principal(), None, "the principal of a visitor")?;
    site.count(&golden_token(1)).await?;
    check::equal(site.n(&golden_token(1)).await?, 8, "the value after a change")?;
    site.expect_stranger(&golden_token(2), "a secret that the visitor never had").await
}

async fn golden_bytes_in_bincode(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    plant_golden(&ctx, BINCODE, VALUES_BINCODE, None).await?;
    holds_golden_values(&site.open(&golden_token(1)).await?)?;
    site.count(&golden_token(1)).await?;
    check::equal(site.n(&golden_token(1)).await?, 8, "the value after a change")?;
    let data = site.record(&golden_token(1)).await?.data;
    check::ensure(!data.starts_with(b"{"), "the session changed its form")
}

async fn future_version_errors_and_is_kept(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let unknown = ErrorKind::UnknownFormat;
    let current = site.member("alice").await?;
    let changes: [Step; 10] = [
        add_one,
        |session| session.insert("n", 9),
        Session::clear,
        Session::rotate,
        |session| session.sign_in("alice"),
        |session| session.sign_in("bob"),
        |session| session.set_lifetime(Lifetime::default()),
        Session::destroy,
        Session::sign_out,
        |session| {
            session.sign_out()?;
            session.sign_in("alice")
        },
    ];
    let mut in_flight = Vec::new();
    for change in changes {
        let session = site.open(&current).await?;
        change(&session)?;
        in_flight.push(session);
    }
    let (rotating, reading) = (site.open(&current).await?, site.open(&current).await?);
    rotating.rotate_gracefully()?;
    // Another node has been upgraded, and its new version switched on.
    let meta = site.record(&current).await?.meta;
    let mut planted = plant(&site, &current, Some(&[&[2], &meta[1..]].concat()), None).await?;
    refused(site.manager.open(Some(&current)).await, unknown, "open")?;
    let stranger = SessionToken::from_parts(id(&current)?, [9; 32]).expose();
    let strict = Site::with(&ctx, |builder| builder.on_replay(OnReplay::Revoke))?;
    refused(strict.manager.open(Some(&stranger)).await, unknown, "open by a wrong token")?;
    for session in &in_flight {
        refused(session.commit().await, unknown, "a commit")?;
        refused(session.reload().await, unknown, "a reload")?;
    }
    unchanged(rotating.commit().await?)?;
    refused(reading.siblings().await, unknown, "siblings")?;
    refused(reading.revoke(id(&current)?).await, unknown, "revoke of the own principal's")?;
    refused(reading.revoke_others().await, unknown, "revoke_others")?;
    check::same(&site.record(&current).await?, &planted, "a session of a newer version")?;
    // Its expiry is the record's own: a request that only reads still keeps it alive.
    let reader = Site::new(&ctx)?;
    let (still, old_meta) = (reader.member("alice").await?, meta);
    let reading = reader.open(&still).await?;
    let other = plant(&reader, &still, Some(&[&[2], &old_meta[1..]].concat()), None).await?;
    ctx.clock().advance(2 * MINUTE);
    unchanged(reading.commit().await?)?;
    let touched = reader.record(&still).await?;
    check::equal(touched.touched_at, ctx.now(), "touched_at after a due touch")?;
    check::equal((&touched.meta, &touched.data), (&other.meta, &other.data), "what a touch leaves alone")?;
    site.manager.revoke(id(&still)?).await?;
    // Lists leave it out, and policies do not pick it before others.
    check::equal(site.manager.list("alice").await?.len(), 0, "sessions in a list")?;
    let sweep = Janitor::new().with_pause(Duration::ZERO).with_empty_after(SECOND);
    check::equal(sweep.run_once(&site.manager).await?.empty, 0, "sessions taken for empty")?;
    let two = NonZeroUsize::MIN.saturating_add(1);
    let capped = Site::with(&ctx, |builder| builder.max_sessions_per_principal(two, OnLimit::EvictOldest))?;
    let older = capped.member("alice").await?;
    let backend = ctx.backend();
    ctx.clock().advance(SECOND);
    check::equal(backend.touch(id(&current)?, Timestamp::MIN, ctx.now()).await?, true, "a touch")?;
    planted.touch(Timestamp::MIN, ctx.now());
    ctx.clock().advance(SECOND);
    let newer = capped.member("alice").await?;
    capped.expect_stranger(&older, "the session that signed in longest ago").await?;
    capped.open(&newer).await?;
    check::same(&site.record(&current).await?, &planted, "a session of a newer version, in the end")?;
    check::equal(site.manager.revoke(id(&current)?).await?, true, "revoke by an operator")?;
    site.expect_stranger(&current, "the session after it was revoked").await
}

async fn rolling_upgrade_both_ways(ctx: Context) -> CaseResult {
    const LATER: [&[u8]; 2] = [b"\xa5later\x82\xa6device\xa5phone\xa6scores\x91\x01", b"\xa1z\xc3"];
    let kept = |record: &Record| {
        LATER.iter().all(|field| record.meta.windows(field.len()).any(|window| window == *field))
    };
    let site = Site::new(&ctx)?;
    let steps: [(&str, Step); 8] = [
        ("an update", add_one),
        ("a message", |session| session.flash("hello")),
        ("a lifetime", |session| session.set_lifetime(Lifetime::default())),
        ("a graceful rotation", Session::rotate_gracefully),
        ("a rotation", Session::rotate),
        ("a sign-in", |session| session.sign_in("alice")),
        ("all at once", |session| {
            add_one(session)?;
            session.set_lifetime(Lifetime::default())?;
            session.sign_in("alice")
        }),
        ("nothing", |_| Ok(())),
    ];
    for overtaken in [false, true] {
        for (what, step) in steps {
            let planted = plant_golden(&ctx, LATER_FIELDS, VALUES_JSON, Some("alice")).await?;
            check::ensure(kept(&planted), "the golden session has no field of a later release")?;
            // Opening writes, too: the newest secret is presented for the first time.
            let session = site.open(&golden_token(1)).await?;
            if overtaken {
                site.count(&golden_token(1)).await?;
            }
            step(&session)?;
            drop(session.commit().await?);
            let stored = ctx.backend().load(GOLDEN, ctx.now()).await?;
            let stored = stored.ok_or_else(|| Failure::new(format!("{what}: it is gone")))?;
            check::ensure(stored.revision != planted.revision, format!("{what}: nothing was written"))?;
            check::ensure(kept(&stored), format!("{what}: a field of a later release is lost"))?;
            check::equal(site.manager.revoke(GOLDEN).await?, true, what)?;
        }
    }
    // And a touch.
    plant_golden(&ctx, LATER_FIELDS, VALUES_JSON, Some("alice")).await?;
    drop(site.open(&golden_token(1)).await?);
    let noted = site.record(&golden_token(1)).await?;
    ctx.clock().advance(2 * MINUTE);
    unchanged(site.request(&golden_token(1), |_| Ok(())).await?)?;
    let stored = site.record(&golden_token(1)).await?;
    check::equal((stored.touched_at, &stored.meta), (ctx.now(), &noted.meta), "a touch")?;
    // Whatever they say may be about whoever was here before.
    drop(token(site.request(&golden_token(1), |session| session.sign_in("bob")).await?)?);
    let stored = site.record(&golden_token(1)).await?;
    check::ensure(!kept(&stored), "a field of a later release is there for somebody else")
}

async fn every_single_bit_flip_never_wrong_data(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = golden_token(1);
    plant_golden(&ctx, CREATED, VALUES_JSON, None).await?;
    for bit in 0..CREATED.len() * 8 {
        let meta = flipped(CREATED, bit);
        let planted = plant(&site, &current, Some(&meta), None).await?;
        let expected = if meta[0] > 1 { ErrorKind::UnknownFormat } else { ErrorKind::Corrupt };
        let what = format!("bookkeeping, bit {bit}");
        refused(site.manager.open(Some(&current)).await, expected, &what)?;
        if bit % 64 == 0 {
            refused(site.manager.open(Some(&golden_token(2))).await, expected, &what)?;
            check::same(&site.record(&current).await?, &planted, &what)?;
        }
    }
    // One bit of each byte: the core's own tests flip all of them.
    let (text, whole) = undamaged(&site).await?;
    let mut rng = ctx.rng();
    for byte in 0..text.len() {
        let data = flipped(text.as_bytes(), byte * 8 + rng.random_range(0..8_usize));
        read_damaged(&site, &whole, &data, Some(byte)).await?;
    }
    Ok(())
}

async fn truncated_at_every_length(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = golden_token(1);
    plant_golden(&ctx, CREATED, VALUES_JSON, None).await?;
    for length in 0..CREATED.len() {
        plant(&site, &current, Some(&CREATED[..length]), None).await?;
        let opened = site.manager.open(Some(&current)).await;
        refused(opened, ErrorKind::Corrupt, &format!("bookkeeping of {length} bytes"))?;
    }
    let (text, whole) = undamaged(&site).await?;
    // Without any text at all it is a session without values.
    for length in 1..text.len() {
        read_damaged(&site, &whole, &text.as_bytes()[..length], None).await?;
        let session = site.open(&current).await?;
        refused(session.keys([""; 0]), ErrorKind::Corrupt, &format!("keys of {length} bytes"))?;
    }
    Ok(())
}

async fn codec_switched_on_a_live_store(ctx: Context) -> CaseResult {
    let with = |codec| Site::with(&ctx, |builder| builder.codec(codec));
    let (json, bincode) = (with(Codec::Json)?, with(Codec::Bincode)?);
    let fill = |session: &Session| -> Result<()> {
        session.insert("n", 0)?;
        session.insert("map.a", "x")?;
        session.flash("hello")
    };
    let (old, newer) = (json.create(fill).await?, bincode.create(fill).await?);
    // Switched over, and back again, with both at work for a while.
    for (round, site) in [&json, &bincode, &json, &bincode, &json].into_iter().enumerate() {
        for current in [&old, &newer] {
            check::equal(site.n(current).await?, round as u64, "the value before a change")?;
            site.count(current).await?;
            site.request(current, |session| session.push("list", 1)).await.and_then(unchanged)?;
            let session = site.open(current).await?;
            check::equal(session.get("map.a")?, Some("x".to_owned()), "a value that nobody changed")?;
            check::equal(session.get("list")?, Some(vec![1; round + 1]), "a list that grows")?;
            let is_json = site.record(current).await?.data.starts_with(b"{");
            check::equal(is_json, current == &old, "whether the session is one JSON document")?;
        }
    }
    // Two nodes with different codecs, at once.
    let (one, other) = (json.open(&newer).await?, bincode.open(&newer).await?);
    add_one(&one)?;
    add_one(&other)?;
    unchanged(one.commit().await?)?;
    unchanged(other.commit().await?)?;
    check::equal(json.n(&newer).await?, 7, "the value after two nodes")?;
    for (site, current) in [(&bincode, &old), (&json, &newer)] {
        let fresh = token(site.request(current, |session| session.sign_in("alice")).await?)?;
        let messages = site.open(&fresh).await?.take_flash::<String>()?;
        check::equal(messages, vec!["hello".to_owned()], "the message after a sign-in")?;
    }
    Ok(())
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// A value as Rust shows it.
fn shown<T: DeserializeOwned + Debug>(session: &Session, key: &'static str) -> Result<String> {
    session.get::<T>(key).map(|value| format!("{value:?}"))
}

/// A value of a session that is damaged: its text, and how it is read.
type Entry = (&'static str, fn(&Session) -> Result<String>);

const ENTRIES: [Entry; 7] = [
    (r#""flag":true"#, |session| shown::<bool>(session, "flag")),
    (r#""float":-0.5e-3"#, |session| shown::<f64>(session, "float")),
    (r#""list":[1,[2,3],4]"#, |session| shown::<(u64, [u64; 2], u64)>(session, "list")),
    (r#""map":{"a":"x","b":"y"}"#, |session| shown::<BTreeMap<String, String>>(session, "map")),
    (r#""n":7"#, |session| shown::<u64>(session, "n")),
    (r#""nothing":null"#, |session| shown::<()>(session, "nothing")),
    (r#""text":"a \"quoted\" text, {}""#, |session| shown::<String>(session, "text")),
];

/// Their text, and what is read where it is whole.
async fn undamaged(site: &Site) -> CaseResult<(String, Vec<String>)> {
    let text = format!("{{{}}}", ENTRIES.map(|(text, _)| text).join(","));
    plant(site, &golden_token(1), Some(CREATED), Some(text.as_bytes())).await?;
    let session = site.open(&golden_token(1)).await?;
    Ok((text, ENTRIES.iter().map(|(_, read)| read(&session)).collect::<Result<_>>()?))
}

/// Reads all of `data`, and fails where damage, at `hit`, shows in a value that it did not hit.
async fn read_damaged(site: &Site, undamaged: &[String], data: &[u8], hit: Option<usize>) -> CaseResult {
    plant(site, &golden_token(1), Some(CREATED), Some(data)).await?;
    let session = site.open(&golden_token(1)).await?;
    drop((session.keys([""; 0]), session.take_flash::<String>(), session.contains("map.a")));
    let mut start = 1;
    for ((text, read), before) in ENTRIES.into_iter().zip(undamaged) {
        let is_hit = hit.is_some_and(|hit| (start..start + text.len()).contains(&hit));
        match read(&session) {
            Ok(found) if found == *before || is_hit => {}
            Ok(found) => {
                let message = format!("{text} is {found} in {}", data.escape_ascii());
                return Err(Failure::new(message));
            }
            Err(error) => {
                let kinds = [ErrorKind::Corrupt, ErrorKind::Decode];
                let is_typed =
                    kinds.contains(&error.kind()) && (is_hit || error.kind() == ErrorKind::Corrupt);
                check::ensure(is_typed, format!("{text} in {}: {error:?}", data.escape_ascii()))?;
            }
        }
        start += text.len() + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn golden_bytes_are_those_of_the_core() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/format-1");
        let core = own.join("../../../session-core/tests/golden/format-1");
        let files = |directory: &Path| {
            let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
            let mut files: Vec<_> =
                entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
            files.sort();
            files
        };
        assert_eq!(files(&own), files(&core));
    }
}
