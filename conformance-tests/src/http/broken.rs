//! Integrations that each break one rule: the proof that this suite sees what it is there to see.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::{HttpHarness, cases};
use crate::broken::{Proof, Suspect, prove};
use crate::execute::Schedule;

/// An integration that breaks one rule and keeps all others.
#[derive(Debug)]
pub struct BrokenIntegration {
    name: &'static str,
    breaks: &'static str,
    harness: Arc<dyn HttpHarness>,
}

impl BrokenIntegration {
    /// One with this name, and the sentence that it breaks.
    pub fn new(name: &'static str, breaks: &'static str, harness: impl HttpHarness) -> Self {
        Self { name, breaks, harness: Arc::new(harness) }
    }
}

/// Runs the suite on each of them, against the committed matrix at `matrix` (relative to the package).
///
/// As [`crate::broken::run`] does it for backends.
pub fn run_broken(integrations: Vec<BrokenIntegration>, matrix: impl AsRef<Path>) -> ExitCode {
    let suspect = |BrokenIntegration { name, breaks, harness }| Suspect {
        name,
        breaks,
        subject: Box::new(move || harness.clone()),
    };
    let suspects = integrations.into_iter().map(suspect).collect();
    let (what, report) = ("integrations", "broken-integrations");
    let (schedule, threads) = (Schedule::Parallel, None);
    let proof = Proof { what, report, schedule, threads, cases: cases::all(), suspects };
    prove(&Arc::new(proof), matrix.as_ref())
}
