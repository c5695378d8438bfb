//! The published suite on the driver: `cargo test`.

use std::{process::ExitCode, sync::Arc};

use conformance_tests::{Harness, async_trait};
use custom_driver::MapBackend;
use session_core::{Result, SessionBackend};

#[derive(Debug)]
struct Map;

#[async_trait]
impl Harness for Map {
    fn name(&self) -> &str {
        "custom"
    }

    async fn open(&self, _namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(Arc::new(MapBackend::default()))
    }
}

fn main() -> ExitCode {
    conformance_tests::run(Map, "tests/conformance.expected")
}
