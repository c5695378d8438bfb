//! The conformance suite on this driver.

use std::process::ExitCode;
use std::sync::Arc;

use conformance_tests::{Harness, Promises, async_trait};
use session_core::{Result, SessionBackend};
use session_memory::MemoryBackend;

#[derive(Debug)]
struct Memory;

#[async_trait]
impl Harness for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn promises(&self) -> Promises {
        Promises::default().with_list().with_purge()
    }

    async fn open(&self, _namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(Arc::new(MemoryBackend::new()))
    }
}

fn main() -> ExitCode {
    conformance_tests::run(Memory, "tests/conformance.expected")
}
