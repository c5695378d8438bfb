//! Group S: the value itself: where it runs, and what it says of verbs that it lacks.

use std::sync::Arc;
use std::thread;

use session_core::{ErrorKind, Principal, SessionBackend};
use tokio::runtime::Builder;

use crate::case::{Case, case};
use crate::check::{self, CaseResult, Failure};
use crate::context::Context;

pub(super) const CASES: &[Case] = &[
    case!(
        "lifecycle",
        send_sync_object_safe,
        "one value serves any number of threads, behind any number of `Arc`s",
    ),
    case!(
        "lifecycle",
        current_thread_and_multi_thread_runtime,
        "a driver works on a current-thread runtime as on a multi-thread one",
    ),
    case!(
        "lifecycle",
        lacking_verb_is_unsupported,
        "a verb that the driver lacks is `Unsupported` and changes nothing; one that it has is `Ok`",
    ),
];

async fn send_sync_object_safe(ctx: Context) -> CaseResult {
    let shared: Arc<Arc<dyn SessionBackend>> = Arc::new(ctx.backend());
    check::ensure(!format!("{shared:?}").is_empty(), "`Debug` says nothing")?;
    let record = ctx.record();
    let id = ctx.create(&record).await?;
    let (now, runtime) = (ctx.now(), tokio::runtime::Handle::current());
    let readers = (0..4).map(|_| {
        let (shared, runtime) = (shared.clone(), runtime.clone());
        thread::spawn(move || runtime.block_on(shared.load(id, now)))
    });
    for reader in readers.collect::<Vec<_>>() {
        let loaded = reader.join().map_err(|_| Failure::new("a thread panicked"))?;
        check::found(loaded?, &record, "load from a thread of its own")?;
    }
    Ok(())
}

async fn current_thread_and_multi_thread_runtime(ctx: Context) -> CaseResult {
    for multi in [false, true] {
        let ctx = ctx.clone();
        let body = move || {
            let mut builder = if multi { Builder::new_multi_thread() } else { Builder::new_current_thread() };
            let runtime = builder.enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(format!("no runtime: {error}")))?;
            runtime.block_on(lives_a_life(&ctx, if multi { "m" } else { "c" }))
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        thread::spawn(move || sender.send(body()));
        receiver.await.map_err(|_| Failure::new("the runtime's thread panicked"))??;
    }
    Ok(())
}

/// Opens a namespace on the runtime at hand and takes a session through every verb.
async fn lives_a_life(ctx: &Context, suffix: &str) -> CaseResult {
    let backend = ctx.open_other(&format!("{}{suffix}", ctx.namespace())).await?;
    let (id, record, now) = (ctx.id(), ctx.record(), ctx.now());
    check::created(backend.create(id, record.clone(), now).await?)?;
    check::found(backend.load(id, now).await?, &record, "load")?;
    let next = ctx.successor(&record);
    check::updated(backend.update(id, record.revision, next.clone(), now).await?)?;
    check::equal(backend.touch(id, next.expires_at, now).await?, true, "touch")?;
    check::deleted(backend.delete(id, Some(next.revision), now).await?)?;
    check::missing(backend.load(id, now).await?, "load after delete")
}

async fn lacking_verb_is_unsupported(ctx: Context) -> CaseResult {
    let (backend, promises, now) = (ctx.backend(), ctx.harness().promises(), ctx.now());
    let record = ctx.record_of("alice")?;
    let id = ctx.create(&record).await?;
    let answer = |has: bool| if has { None } else { Some(ErrorKind::Unsupported) };

    let purged = backend.purge_expired(now, 10).await.map_err(|error| error.kind());
    check::equal(purged.err(), answer(promises.purge), "purge_expired's error")?;
    let alice = Principal::new("alice")?;
    for principal in [None, Some(&alice)] {
        let listed = backend.list(principal, None, 10, now).await.map_err(|error| error.kind());
        check::equal(listed.err(), answer(promises.list), "list's error")?;
    }
    ctx.expect(id, &record, "the record after purge_expired and list").await
}
