//! Group I: bytes are bytes.

use bytes::Bytes;
use session_core::Record;

use crate::case::{Case, case};
use crate::check::{self, CaseResult};
use crate::context::Context;

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
        let data: Vec<u8> = (0..size).map(|index: usize| (index % 251) as u8).collect();
        comes_back(&ctx, &ctx.record().with_data(data), &format!("{size} bytes")).await?;
    }
    Ok(())
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
