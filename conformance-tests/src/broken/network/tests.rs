//! The correct client of the proof passes what the broken ones are caught by.

use std::time::Duration;

use super::driver;
use crate::cases;
use crate::context::Effort;
use crate::execute::{Options, Schedule, execute};

#[test]
fn a_client_that_breaks_no_rule_passes() {
    let timeout = Duration::from_secs(100);
    let options = Options { seed: 1, effort: Effort::Brief, schedule: Schedule::Cooperative, timeout };
    for case in cases::network() {
        execute(case, driver(None, "whole"), options).unwrap();
    }
}
