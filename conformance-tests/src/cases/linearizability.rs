//! Group K, first half: whatever runs at once, some order of the verbs, one after the other, explains it.

use std::sync::Arc;

use session_core::SessionBackend;

use crate::case::{Case, case};
use crate::check::{CaseResult, Failure};
use crate::context::Context;
use crate::linearizability::{History, Loads, Tally, is_linearizable, record_history, shortest};

pub(super) const CASES: &[Case] = &[
    case!(
        "linearizability",
        linearizable_one_handle,
        "verbs on one id are atomic and linearizable: some order of them, one after the other, explains every answer",
    ),
    case!(
        "linearizability",
        linearizable_two_handles,
        "verbs on one id are linearizable over all handles to the store, with loads by load_latest",
        SharedHandles,
    ),
];

async fn linearizable_one_handle(ctx: Context) -> CaseResult {
    check_histories(&ctx, &[ctx.backend()], Loads::Both).await
}

async fn linearizable_two_handles(ctx: Context) -> CaseResult {
    let handles = [ctx.backend(), ctx.second_handle().await?];
    check_histories(&ctx, &handles, Loads::Latest).await
}

async fn check_histories(ctx: &Context, handles: &[Arc<dyn SessionBackend>], loads: Loads) -> CaseResult {
    let mut tally = Tally::default();
    for number in 1..=ctx.steps(300) {
        // Mostly one session, where everybody meets; now and then two, which must not mix.
        let ids: Vec<_> = (0..if number % 8 == 0 { 2 } else { 1 }).map(|_| ctx.id()).collect();
        let events = record_history(ctx, handles, &ids, loads).await?;
        if !is_linearizable(&events) {
            let shortest = shortest(events);
            return Err(Failure::new(format!(
                "history {number}: no order of these calls explains their answers, each call between its ticks; \
                 times in ms since the start:\n{}",
                History(&shortest)
            )));
        }
        tally.add(&events);
    }
    tally.expect_every_outcome()
}
