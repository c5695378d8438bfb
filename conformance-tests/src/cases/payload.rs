//! Group I: bytes are bytes.

use bytes::Bytes;
use session_core::{ErrorKind, Record};

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::Context;
use crate::race::{race, racer};

pub(super) const CASES: &[Case] = &[
    case!("payload", empty, "empty data and meta are stored as such"),
    case!("payload", all_256_bytes, "data and meta hold any bytes"),
    case!("payload", unicode_and_nul, "text with any character, NUL included, comes back unchanged"),
    case!(
        "payload",
        "1_mib_where_allowed" => one_mib_where_allowed,
        "data up to 1 MiB comes back whole",
        Mebibyte,
    ),
    case!("payload", shrink_leaves_no_tail, "a shorter record leaves nothing of the longer one before it"),
    case!("payload", meta_up_to_64_kib, "meta up to 64 KiB comes back whole"),
    case!(
        "payload",
        limit_ok_limit_plus_one_old_intact,
        "data of the limit is stored; one byte more is `TooLarge`, and what is there stays",
        Limit,
    ),
    case!(
        "payload",
        batch_over_packet_limit_splits,
        "64 writes of 256 KiB at once all succeed, and come back whole",
        Mebibyte,
    ),
];

/// Stores the record by create, and by update over another one; fails unless it comes back both times.
async fn comes_back(ctx: &Context, record: &Record, what: &str) -> CaseResult {
    let id = ctx.create(record).await?;
    ctx.expect(id, record, &format!("{what}, created")).await?;
    let first = ctx.record();
    let id = ctx.create(&first).await?;
    let outcome = ctx.backend().update(id, first.revision, record.clone(), ctx.now()).await?;
    check::updated(outcome)?;
    ctx.expect(id, record, &format!("{what}, updated")).await
}

async fn empty(ctx: Context) -> CaseResult {
    let record = ctx.record();
    comes_back(&ctx, &record.clone().with_data(Bytes::new()), "empty data").await?;
    comes_back(&ctx, &record.clone().with_meta(Bytes::new()), "empty meta").await?;
    comes_back(&ctx, &record.with_data(Bytes::new()).with_meta(Bytes::new()), "an empty record").await
}

async fn all_256_bytes(ctx: Context) -> CaseResult {
    let upwards: Vec<u8> = (0..=255).collect();
    let downwards: Vec<u8> = (0..=255).rev().collect();
    let record = ctx.record().with_data(upwards.clone()).with_meta(downwards);
    comes_back(&ctx, &record, "all bytes").await?;
    // Each at either end: where stores trim, and where text encodings fail.
    for byte in upwards {
        let record = ctx.record().with_data(vec![byte]).with_meta(vec![byte, b'.', byte]);
        let id = ctx.create(&record).await?;
        ctx.expect(id, &record, "a single byte").await?;
    }
    Ok(())
}

async fn unicode_and_nul(ctx: Context) -> CaseResult {
    let texts =
        ["\0", "a\0b", "\u{feff}bom", "\u{10ffff}", "é e\u{301}", "🦀", "\r\n", "\\x00", "'\";--", " pad "];
    for text in texts {
        let record = ctx.record_of(text)?.with_data(text).with_meta(text);
        comes_back(&ctx, &record, &format!("the text {text:?}")).await?;
    }
    Ok(())
}

async fn one_mib_where_allowed(ctx: Context) -> CaseResult {
    for size in [(64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20] {
        let record = ctx.record().with_data(pattern(size, 0));
        comes_back(&ctx, &record, &format!("{size} bytes")).await?;
    }
    Ok(())
}

/// Bytes that repeat at no power of two.
fn pattern(size: usize, start: u8) -> Vec<u8> {
    let block: Vec<u8> = (0..251).map(|byte: u8| byte.wrapping_add(start)).collect();
    let mut bytes = block.repeat(size.div_ceil(block.len()));
    bytes.truncate(size);
    bytes
}

async fn shrink_leaves_no_tail(ctx: Context) -> CaseResult {
    let mut record = ctx.record_of("a principal with a long name")?;
    record = record.with_data(vec![b'x'; 5000]).with_meta(vec![b'y'; 500]);
    let id = ctx.create(&record).await?;
    for size in [4999, 100, 1, 0, 1] {
        let mut next = ctx.successor(&record).with_data(vec![b'z'; size]).with_meta(vec![b'w'; size / 10]);
        next.principal = ctx.record_of(&"a".repeat(size % 10))?.principal;
        let outcome = ctx.backend().update(id, record.revision, next.clone(), ctx.now()).await?;
        check::updated(outcome)?;
        ctx.expect(id, &next, &format!("a record shrunk to {size}")).await?;
        record = next;
    }
    Ok(())
}

async fn meta_up_to_64_kib(ctx: Context) -> CaseResult {
    for size in [255, 256, 1 << 10, (1 << 10) + 1, 4 << 10, (16 << 10) + 1, (64 << 10) - 1, 64 << 10] {
        let record = ctx.record().with_meta(pattern(size, 0));
        comes_back(&ctx, &record, &format!("{size} bytes of meta")).await?;
    }
    Ok(())
}

async fn limit_ok_limit_plus_one_old_intact(ctx: Context) -> CaseResult {
    let (backend, now) = (ctx.backend(), ctx.now());
    let limit = ctx.harness().promises().max_payload;
    let limit = limit.ok_or_else(|| Failure::new("the driver sets no limit to data"))?;
    let largest = ctx.record().with_data(vec![b'x'; limit]);
    comes_back(&ctx, &largest, "data of the limit").await?;
    for old in [ctx.record(), largest] {
        let id = ctx.create(&old).await?;
        let larger = ctx.successor(&old).with_data(vec![b'y'; limit + 1]);
        let kind = backend.update(id, old.revision, larger.clone(), now).await.map_err(|error| error.kind());
        check::equal(kind.err(), Some(ErrorKind::TooLarge), "update with a byte over the limit")?;
        ctx.expect(id, &old, "the record after an update over the limit").await?;

        let id = ctx.id();
        let kind = backend.create(id, larger, now).await.map_err(|error| error.kind());
        check::equal(kind.err(), Some(ErrorKind::TooLarge), "create with a byte over the limit")?;
        ctx.expect_none(id, "load after a create over the limit").await?;
        check::created(backend.create(id, old.clone(), now).await?)?;
        ctx.expect(id, &old, "the record that fits").await?;
    }
    Ok(())
}

async fn batch_over_packet_limit_splits(ctx: Context) -> CaseResult {
    const SIZE: usize = 256 << 10;
    let large = |number: usize| ctx.record().with_data(pattern(SIZE, number as u8));
    let mut sessions: Vec<_> = (0..ctx.sessions(64)).map(|number| (ctx.id(), large(number))).collect();
    let create = |(id, record): &(_, Record)| {
        let (ctx, id, record) = (ctx.clone(), *id, record.clone());
        racer(async move { check::created(ctx.backend().create(id, record, ctx.now()).await?) })
    };
    race(sessions.iter().map(create).collect()).await?;
    let mut updates = Vec::new();
    for (number, (id, record)) in sessions.iter_mut().enumerate() {
        ctx.expect(*id, record, "one of many large records, created at once").await?;
        let mut next = large(number + 100);
        next.revision = record.revision.next(1);
        let (ctx, id, expected, stored) = (ctx.clone(), *id, record.revision, next.clone());
        updates.push(racer(async move {
            check::updated(ctx.backend().update(id, expected, stored, ctx.now()).await?)
        }));
        *record = next;
    }
    race(updates).await?;
    for (id, record) in &sessions {
        ctx.expect(*id, record, "one of many large records, updated at once").await?;
    }
    Ok(())
}
