//! A search through the histories of one session, one browser and a thief for one that breaks a rule
//! of DESIGN 2. Opening, committing and all rules about secrets are the real code; the search only
//! decides who does what when, and which answers are late or lost.
//!
//! It looks at 10,000 states of each scenario, shortest histories first; `TOKEN_MODEL_STATES=1000000` goes to
//! the end of each, and `TOKEN_MODEL_REQUESTS=1` adds a request to each.

#![expect(clippy::unwrap_used, reason = "in a test it is the assertion")]

mod history;
mod rules;
mod search;
mod state;
mod step;
mod world;

use session_core::OnReplay;

use search::{Explored, Scenario, search};
use state::Op::{Destroy, Read, RevokeOthers, Rotate, RotateGracefully, SignIn, Write};

fn explore(scenario: Scenario) {
    let started = std::time::Instant::now();
    let explored = search(&scenario);
    let Explored { states, steps, is_whole } = explored;
    let far = if is_whole { "all" } else { "the first" };
    println!("{}: {far} {states} states, {steps} steps in {:?}", scenario.name, started.elapsed());
    // A search that stops early would find nothing.
    assert!(states > 1_000, "{states} states");
}

#[test]
fn periodic_rotation_never_signs_the_browser_out() {
    explore(Scenario {
        name: "periodic",
        ops: &[Read, RotateGracefully],
        rotate_every: Some(4),
        slow_requests: true,
        ..Scenario::BASE
    });
}

#[test]
fn a_change_of_privilege_leaves_the_browser_a_cookie_that_works() {
    explore(Scenario { name: "privilege", ops: &[Write, SignIn, RotateGracefully], ..Scenario::BASE });
}

#[test]
fn lost_answers_without_end_keep_the_browser_signed_in() {
    explore(Scenario {
        name: "lost",
        ops: &[Read, SignIn, RotateGracefully],
        rotations: Some((4, false)),
        ..Scenario::BASE
    });
}

#[test]
fn rotations_one_after_the_other_forget_nothing_that_counts() {
    explore(Scenario {
        name: "many",
        ops: &[Write, RotateGracefully],
        rotate_every: Some(4),
        rotations: Some((4, true)),
        ..Scenario::BASE
    });
}

#[test]
fn what_has_ended_stays_ended() {
    explore(Scenario {
        name: "ending",
        ops: &[Write, SignIn, Destroy, RevokeOthers],
        sibling: true,
        ..Scenario::BASE
    });
}

#[test]
fn a_stolen_copy_dies_with_the_secret() {
    for on_replay in [OnReplay::Reject, OnReplay::Revoke] {
        explore(Scenario {
            name: "stolen",
            ops: &[SignIn, RotateGracefully],
            thiefs_ops: &[Write, Rotate, RevokeOthers],
            thefts: 1,
            on_replay,
            sibling: true,
            ..Scenario::BASE
        });
    }
}

#[test]
fn a_copy_of_a_replaced_secret_lives_no_longer_for_being_used() {
    explore(Scenario {
        name: "copied",
        ops: &[Read],
        thiefs_ops: &[Write, SignIn],
        copied: true,
        rotations: Some((1, true)),
        waits: 3,
        ..Scenario::BASE
    });
}

#[test]
fn a_planted_session_is_out_of_reach_once_its_owner_signs_in() {
    explore(Scenario {
        name: "planted",
        ops: &[SignIn, Write],
        thiefs_ops: &[Write, SignIn, RotateGracefully, Destroy],
        planted: true,
        rotate_every: Some(4),
        ..Scenario::BASE
    });
}

#[test]
fn late_answers_break_no_rule_about_secrets() {
    explore(Scenario {
        name: "late",
        ops: &[Write, Rotate, RotateGracefully],
        rotate_every: Some(4),
        late_answers: true,
        ..Scenario::BASE
    });
}
