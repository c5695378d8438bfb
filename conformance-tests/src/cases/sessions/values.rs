//! Group T, values: what is put into a session comes out of it, through the store, unchanged.

use std::collections::BTreeMap;
use std::fmt::Debug;

use rand::RngExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use session_core::{ErrorKind, Key, Result, Session};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::Context;
use crate::site::{Site, Step, add_one, refused, unchanged};

pub(super) const CASES: &[Case] = &[
    case!("values", every_mutator_persists, "what any mutator changed is there for the next request"),
    case!(
        "values",
        path_table,
        "literals split at dots, segments are verbatim, and what is in the way stays"
    ),
    case!("values", float_roundtrip, "every finite double comes back as the same bits"),
    case!("values", u64_max_i64_min_negative_zero, "numbers at their limits come back exactly"),
    case!("values", magic_json_keys, "keys that mean something to a JSON library are keys"),
    case!("values", unicode_and_control_characters, "keys and texts are any Unicode"),
    case!(
        "values",
        flash_until_read,
        "a flash message stays until read, and goes with the request that read it"
    ),
    case!(
        "values",
        flash_of_parallel_requests,
        "a message left while another request reads is there for the next",
    ),
];

async fn every_mutator_persists(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let new = site.create(|session| session.insert("a.b", 1)).await?;
    check::equal(site.open(&new).await?.get("a.b")?, Some(1), "insert into a new session")?;
    let fill = |session: &Session| -> Result<()> {
        session.insert("keep", "kept")?;
        session.insert("list", [1, 2, 3])?;
        session.insert("map.one", 1)?;
        session.insert("map.two", 2)
    };
    type Row = (&'static str, Step, fn(&Session) -> CaseResult);
    let steps: [Row; 11] = [
        ("insert", |s| s.insert("x", 5), |s| check::equal(s.get("x")?, Some(5), "insert")),
        ("insert over", |s| s.insert("keep", 5), |s| check::equal(s.get("keep")?, Some(5), "insert over")),
        (
            "insert a member",
            |s| s.insert("map.one", 7),
            |s| {
                let both = (s.get("map.one")?, s.get("map.two")?);
                check::equal(both, (Some(7), Some(2)), "insert of a member")
            },
        ),
        (
            "insert an element",
            |s| s.insert("list.1", 7),
            |s| check::equal(s.get("list")?, Some(vec![1, 7, 3]), "insert of an element"),
        ),
        (
            "update",
            |s| s.update(VIEWS, |n| n.unwrap_or(40) + 2).map(drop),
            |s| check::equal(s.get(VIEWS)?, Some(42), "update"),
        ),
        ("push", |s| s.push("list", 4), |s| check::equal(s.get("list")?, Some(vec![1, 2, 3, 4]), "push")),
        ("push to nothing", |s| s.push("new", 4), |s| check::equal(s.get("new")?, Some(vec![4]), "push")),
        (
            "remove",
            |s| s.remove("map.one").map(drop),
            |s| check::equal(s.keys("map")?, vec!["two".to_owned()], "remove"),
        ),
        (
            "remove an element",
            |s| s.remove("list.0").map(drop),
            |s| check::equal(s.get("list")?, Some(vec![2, 3]), "remove of an element"),
        ),
        (
            "take",
            |s| {
                let taken = s.take::<String>("keep")?;
                assert_eq!(taken.as_deref(), Some("kept"));
                Ok(())
            },
            |s| check::equal(s.contains("keep")?, false, "take"),
        ),
        ("clear", Session::clear, |s| check::equal(s.keys([""; 0])?, Vec::<String>::new(), "clear")),
    ];
    for (name, change, holds) in steps {
        let current = site.create(fill).await?;
        let session = site.open(&current).await?;
        change(&session)?;
        let before = holds(&session);
        before.map_err(|failure| Failure::new(format!("{name}, before the commit: {failure}")))?;
        unchanged(session.commit().await?)?;
        holds(&session).map_err(|failure| Failure::new(format!("{name}, after it: {failure}")))?;
        holds(&site.open(&current).await?)
            .map_err(|failure| Failure::new(format!("{name}, in the next request: {failure}")))?;
    }
    Ok(())
}

async fn path_table(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let email = String::from("alice.smith@example.org");
    let fill = |s: &Session| -> Result<()> {
        s.insert("account.current_user_id", 42)?;
        s.insert(["prefs", &email], "dark")?;
        s.insert(["dotted.key"], 1)?;
        s.insert("scalar", 5)?;
        s.insert("nothing", None::<u8>)?;
        s.insert("list", vec![vec![1, 2], vec![3]])?;
        s.insert("map.007", "a key")?;
        s.insert("map.0", "another")
    };
    let current = site.create(fill).await?;
    let stored = site.record(&current).await?;
    let s = site.open(&current).await?;
    check::equal(s.get("account.current_user_id")?, Some(42), "a literal")?;
    check::equal(s.get(["account", "current_user_id"])?, Some(42), "its segments")?;
    check::equal(s.get::<u8>(["account.current_user_id"])?, None, "a segment with a dot")?;
    check::equal(s.get(["prefs", email.as_str()])?, Some("dark".to_owned()), "an e-mail address")?;
    check::equal(s.keys("prefs")?, vec![email.clone()], "the members that it is one of")?;
    check::equal(s.get(["dotted.key"])?, Some(1), "a dotted segment")?;
    check::equal(s.get::<u8>("dotted.key")?, None, "a literal of the same text")?;
    // Null is a value.
    check::equal(s.contains("nothing")?, true, "contains of null")?;
    check::equal(s.get::<Option<u8>>("nothing")?, Some(None), "get of null")?;
    check::equal(s.contains("nothing.deeper")?, false, "contains behind null")?;
    // A segment of digits is an index where a list is, and a key elsewhere.
    check::equal(s.get("list.0.1")?, Some(2), "an element")?;
    check::equal(s.get::<u8>("list.7")?, None, "past the end")?;
    check::equal(s.get::<u8>("list.00")?, None, "a leading zero is no index")?;
    check::equal(s.get("map.0")?, Some("another".to_owned()), "digits as a key")?;
    check::equal(s.get("map.007")?, Some("a key".to_owned()), "digits with leading zeros as a key")?;
    check::equal(s.get::<u8>("scalar.deeper")?, None, "get through a scalar")?;
    check::equal(s.remove("scalar.deeper")?, false, "remove through a scalar")?;
    refused(s.get::<String>("scalar"), ErrorKind::Decode, "get of another type")?;
    let conflict = ErrorKind::PathConflict;
    refused(s.insert("scalar.deeper", 1), conflict, "insert through a scalar")?;
    refused(s.insert("nothing.deeper", 1), conflict, "insert through null")?;
    refused(s.insert("list.2", 1), conflict, "insert at the end of a list")?;
    refused(s.insert("list.x", 1), conflict, "insert at no index")?;
    refused(s.push("scalar", 1), conflict, "push to a scalar")?;
    refused(s.push("account", 1), conflict, "push to a map")?;
    refused(s.push("nothing", 1), conflict, "push to null")?;
    refused(s.update("scalar.deeper", |_: Option<u8>| 1), conflict, "update through a scalar")?;
    for literal in ["", ".", "a.", ".a", "a..b", "_flash", "_flash.0"] {
        refused(s.insert(literal, 1), conflict, "insert at what is no path")?;
        refused(s.get::<u8>(literal), conflict, "get at what is no path")?;
        refused(s.remove(literal), conflict, "remove at what is no path")?;
        refused(s.contains(literal), conflict, "contains at what is no path")?;
    }
    refused(s.insert(["a", ""], 1), conflict, "insert at an empty segment")?;
    refused(s.insert([""; 0], 1), conflict, "insert at the root")?;
    refused(s.insert(["x".repeat(256)], 1), ErrorKind::TooLarge, "insert at 256 bytes")?;
    refused(s.insert(["x"; 33], 1), ErrorKind::TooLarge, "insert at 33 segments")?;
    // None of it has changed anything.
    unchanged(s.commit().await?)?;
    check::same(&site.record(&current).await?, &stored, "the session after refused changes")
}

async fn float_roundtrip(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let mut rng = ctx.rng();
    let mut values = vec![0.0, -0.0, 0.1, 1.0 / 3.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e23];
    while values.len() < 1000 {
        let value = f64::from_bits(rng.random());
        if value.is_finite() {
            values.push(value);
        }
    }
    round_trip(&site, values, |one, other| one.to_bits() == other.to_bits()).await
}

async fn u64_max_i64_min_negative_zero(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let near = |n: u64| [n - 1, n, n + 1];
    let unsigned = [near(1 << 53), near(1 << 63), near(1 << 32)].concat();
    round_trip(&site, [unsigned, vec![0, u64::MAX]].concat(), u64::eq).await?;
    round_trip(&site, vec![i64::MIN, i64::MIN + 1, -1, 0, i64::MAX, -(1 << 53) - 1], i64::eq).await?;
    round_trip(&site, vec![-0.0_f64, 0.0], |one, other| one.to_bits() == other.to_bits()).await?;
    round_trip(&site, vec![u128::MAX, 0], u128::eq).await?;
    round_trip(&site, vec![i128::MIN, -1], i128::eq).await
}

async fn magic_json_keys(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let magic = [
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        "__proto__",
        "constructor",
        "$type",
        "$ref",
        "_flash2",
        "\"",
        "\\",
        "\\u0000",
    ];
    for key in magic {
        for text in ["1", "{\"admin\":true}", "not JSON", ""] {
            let map = BTreeMap::from([(key.to_owned(), text.to_owned())]);
            let current = site
                .create(|session| {
                    session.insert([key], text)?;
                    session.insert("inner", &map)?;
                    session.insert(["path", key], &map)
                })
                .await?;
            let session = site.open(&current).await?;
            check::equal(session.get([key])?, Some(text.to_owned()), "a value under a magic key")?;
            check::equal(session.get("inner")?, Some(map.clone()), "a map with a magic key")?;
            check::equal(session.get(["path", key])?, Some(map.clone()), "a map under a magic key")?;
            check::equal(session.get(["path", key, key])?, Some(text.to_owned()), "the path through it")?;
            check::equal(session.keys("inner")?, vec![key.to_owned()], "the keys of it")?;
        }
    }
    Ok(())
}

async fn unicode_and_control_characters(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let texts: Vec<String> = (0..=0x2f).filter_map(char::from_u32).map(String::from).collect();
    let more = ["\u{7f}", "\u{80}", "é", "e\u{301}", "\u{2028}", "\u{feff}", "\u{ffff}", "💥", "\u{10ffff}"];
    let texts = [texts, more.map(String::from).to_vec()].concat();
    let current =
        site.create(|session| texts.iter().try_for_each(|text| session.insert(["map", text], text))).await?;
    let session = site.open(&current).await?;
    for text in &texts {
        check::equal(session.get(["map", text])?, Some(text.clone()), "a value under itself")?;
    }
    let mut sorted = texts.clone();
    sorted.sort();
    check::equal(session.keys("map")?, sorted, "the keys")
}

async fn flash_until_read(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.create(|session| session.flash("first")).await?;
    unchanged(site.request(&current, |session| session.flash("second")).await?)?;
    // Requests that do not read leave them.
    site.count(&current).await?;
    let session = site.open(&current).await?;
    check::equal(session.keys([""; 0])?, vec!["n".to_owned()], "the names of the values")?;
    let both = vec!["first".to_owned(), "second".to_owned()];
    check::equal(session.take_flash::<String>()?, both.clone(), "the messages")?;
    check::equal(session.take_flash::<String>()?, Vec::new(), "the messages, taken again")?;
    // Not committed, so they are there still.
    drop(session);
    let session = site.open(&current).await?;
    check::equal(session.take_flash::<String>()?, both, "the messages after a request that failed")?;
    unchanged(session.commit().await?)?;
    check::equal(site.open(&current).await?.take_flash::<String>()?, Vec::new(), "after the commit")?;
    // A message of another type than expected stays.
    unchanged(site.request(&current, |session| session.flash("text")).await?)?;
    let session = site.open(&current).await?;
    refused(session.take_flash::<u64>(), ErrorKind::Decode, "a message of another type")?;
    check::equal(session.take_flash::<String>()?, vec!["text".to_owned()], "the message after that")
}

async fn flash_of_parallel_requests(ctx: Context) -> CaseResult {
    let site = Site::new(&ctx)?;
    let current = site.create(|session| session.flash("first")).await?;
    let reader = site.open(&current).await?;
    let other_reader = site.open(&current).await?;
    check::equal(reader.take_flash::<String>()?.len(), 1, "messages")?;
    check::equal(other_reader.take_flash::<String>()?.len(), 1, "messages in a parallel request")?;
    unchanged(site.request(&current, |session| session.flash("second")).await?)?;
    unchanged(reader.commit().await?)?;
    unchanged(other_reader.commit().await?)?;
    let left = site.open(&current).await?.take_flash::<String>()?;
    check::equal(left, vec!["second".to_owned()], "the messages that nobody has read")
}

const VIEWS: Key<u64> = Key::new("views");

async fn round_trip<T>(site: &Site, values: Vec<T>, same: fn(&T, &T) -> bool) -> CaseResult
where
    T: Serialize + DeserializeOwned + Debug + Send + Sync,
{
    let current = site
        .create(|session| {
            values.iter().enumerate().try_for_each(|(at, value)| session.insert([at.to_string()], value))
        })
        .await?;
    let session = site.open(&current).await?;
    for (at, value) in values.iter().enumerate() {
        let read = session.get::<T>([at.to_string()])?;
        let equal = read.as_ref().is_some_and(|read| same(read, value));
        check::ensure(equal, format!("{value:?} came back as {read:?}"))?;
    }
    // A change beside them leaves them alone.
    unchanged(site.request(&current, add_one).await?)?;
    let session = site.open(&current).await?;
    for (at, value) in values.iter().enumerate() {
        let read = session.get::<T>([at.to_string()])?;
        let equal = read.as_ref().is_some_and(|read| same(read, value));
        check::ensure(equal, format!("{value:?} came back as {read:?} after a change beside it"))?;
    }
    Ok(())
}
