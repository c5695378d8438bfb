//! Runs cargo-deny over the dependencies: their licenses, sources and known vulnerabilities.
//!
//! Two things may be out of reach without anything being wrong here: cargo-deny itself, and the
//! advisory database, which lives on the internet. Either is said aloud and fails nothing; all
//! that cargo-deny finds fails.

use std::process::{Command, Stdio};

use crate::steps::{self, Steps};
use crate::workspace::Workspace;

/// The version that `deny.toml` was written for.
const CARGO_DENY: &str = "0.20.2";

/// Runs the checks and returns what could not be checked, with the reason.
pub(crate) fn check(workspace: &Workspace, no_install: bool, steps: &mut Steps) -> Vec<String> {
    if !is_installed(workspace) {
        if no_install {
            return vec!["dependencies, since cargo-deny is not installed".to_owned()];
        }
        let mut unavailable = None;
        steps.run("installation of cargo-deny", || {
            unavailable = install(workspace).err();
            Ok(())
        });
        if let Some(reason) = unavailable {
            return vec![format!("dependencies, since cargo-deny could not be installed: {reason}")];
        }
    }

    steps.run("dependencies", || {
        let checks = ["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
        steps::run_command(&mut deny(workspace, &checks))
    });
    let mut unchecked = Vec::new();
    steps.run("advisories", || {
        if let Err(reason) = fetch_advisories(workspace) {
            println!("the advisory database could not be fetched: {reason}");
            unchecked.push(format!("advisories, since their database could not be fetched: {reason}"));
            return Ok(());
        }
        // `--offline`: the database is here, so from now on a failure is a finding.
        steps::run_command(&mut deny(workspace, &["--locked", "--offline", "check", "advisories"]))
    });
    unchecked
}

fn is_installed(workspace: &Workspace) -> bool {
    deny(workspace, &["--version"]).output().is_ok_and(|output| output.status.success())
}

fn install(workspace: &Workspace) -> Result<(), String> {
    let mut command = workspace.cargo(["install", "--locked", "cargo-deny", "--version", CARGO_DENY]);
    steps::run_command(&mut command)?;
    if is_installed(workspace) { Ok(()) } else { Err("cargo does not find what it installed".to_owned()) }
}

/// Fetching only: a `deny.toml` that cannot be read has failed the step before.
fn fetch_advisories(workspace: &Workspace) -> Result<(), String> {
    let mut command = deny(workspace, &["fetch", "db"]);
    steps::announce(&command);
    // A host that accepts and then stalls must not hang the run, nor may git ask for a password.
    command.envs([
        ("GIT_HTTP_LOW_SPEED_LIMIT", "1000"),
        ("GIT_HTTP_LOW_SPEED_TIME", "30"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]);
    let output = command
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("cargo-deny does not start: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(last_line(&String::from_utf8_lossy(&output.stderr))) }
}

fn last_line(text: &str) -> String {
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("no reason given").to_owned()
}

fn deny(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.cargo(["deny"]);
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_thing_said() {
        let said = "[ERROR] failed to clone\nfatal: unable to access the host: Could not resolve it\n\n";
        assert_eq!(last_line(said), "fatal: unable to access the host: Could not resolve it");
        assert_eq!(last_line("\n"), "no reason given");
    }
}
