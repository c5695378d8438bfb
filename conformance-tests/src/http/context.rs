//! What cases of integrations work with: the ground of any case, on a store in memory, and the integration.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use session_core::{Result, SessionBackend};
use session_memory::MemoryBackend;

use super::HttpHarness;
use crate::context::{Context, Effort, Ground};
use crate::harness::Harness;
use crate::recorder::Steps;

/// Everything that a case of this suite may touch. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct HttpContext {
    pub(super) ctx: Context,
    pub(super) harness: Arc<dyn HttpHarness>,
    pub(super) steps: Steps,
    /// How long anything may take that is expected to happen: only a failing case waits for its end.
    pub(super) patience: Duration,
}

impl Ground for HttpContext {
    type Subject = dyn HttpHarness;

    async fn open(harness: Arc<dyn HttpHarness>, seed: u64, steps: Steps, effort: Effort) -> Result<Self> {
        let ctx = Context::open(Arc::new(Memory), seed, steps.clone(), effort).await?;
        Ok(Self { patience: ctx.patience(), ctx, harness, steps })
    }

    async fn discard(&self) {
        self.ctx.discard().await;
    }
}

#[derive(Debug)]
struct Memory;

#[async_trait]
impl Harness for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn open(&self, _namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(Arc::new(MemoryBackend::new()))
    }
}
