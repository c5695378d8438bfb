//! The services command as a program, without any server.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The command with a target directory of its own: what a developer runs there stays untouched.
fn services(target: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("services").args(words).env("CARGO_TARGET_DIR", target);
    command
}

fn target(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("xtask-services-{name}-{}", std::process::id()))
}

#[test]
fn a_server_that_is_named_already_is_printed_as_it_is() {
    let target = target("named");
    let output = services(&target, &["up"])
        .env("SESSION_TEST_POSTGRES", "postgres://there:is@one/already?a=b c")
        .env("SESSION_TEST_POSTGRES_REPLICA", "postgres://one,two")
        .env("SESSION_TEST_MARIADB", "mysql://here")
        .env("SESSION_TEST_REDIS", "redis://too")
        .env("SESSION_TEST_REDIS_CLUSTER", "redis-cluster://too")
        .env("SESSION_TEST_REDIS_SENTINEL", "redis-sentinel://too")
        .env("SESSION_TEST_REDIS_TLS", "rediss://too")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "SESSION_TEST_POSTGRES=postgres://there:is@one/already?a=b c\n\
         SESSION_TEST_POSTGRES_REPLICA=postgres://one,two\nSESSION_TEST_MARIADB=mysql://here\n\
         SESSION_TEST_REDIS=redis://too\nSESSION_TEST_REDIS_CLUSTER=redis-cluster://too\n\
         SESSION_TEST_REDIS_SENTINEL=redis-sentinel://too\nSESSION_TEST_REDIS_TLS=rediss://too\n"
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(!target.exists());
}

#[test]
fn down_without_anything_to_stop_is_well() {
    let target = target("down");
    let output = services(&target, &["down"]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
    fs::remove_dir_all(target).unwrap();
}

/// A process of the run, which waits for input that never comes.
fn process_of(run: &str) -> io::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", "read line"]).env("SESSION_TEST_RUN", run).stdin(Stdio::piped()).spawn()
}

/// Whether the guard leaves a process of the run alone that said this before its end.
fn survives_a_run_that_said(said: &str) -> io::Result<bool> {
    let run = format!("run-{said}-{}", std::process::id());
    let target = target(&run);
    let (mut own, mut other) = (process_of(&run)?, process_of("another")?);
    let mut guard =
        services(&target, &["guard", &run]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    if let Some(mut input) = guard.stdin.take() {
        input.write_all(said.as_bytes())?;
    }
    assert!(guard.wait()?.success());
    let survives = own.try_wait()?.is_none();
    assert!(other.try_wait()?.is_none());
    for mut process in [own, other] {
        process.kill()?;
        process.wait()?;
    }
    fs::remove_dir_all(target)?;
    Ok(survives)
}

#[test]
fn an_interrupted_run_takes_its_processes_with_it() {
    assert!(!survives_a_run_that_said("").unwrap());
    assert!(!survives_a_run_that_said("compl").unwrap());
}

#[test]
fn a_complete_run_only_ends_its_services() {
    assert!(survives_a_run_that_said("complete").unwrap());
}
