//! Finds running processes by what they are, and stops them.
//!
//! No pid is ever stored: after a crash or a reboot it may belong to anyone. Whose a process is
//! says its command line, read anew from `/proc` each time that it matters.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a process that was killed may take to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Without this, nothing that is started can be found again.
pub(crate) fn can_be_found() -> Result<(), String> {
    let own = fs::read("/proc/self/cmdline");
    own.map(drop).map_err(|error| format!("processes cannot be told apart without /proc: {error}"))
}

/// The processes whose command line is wanted. One that has ended and whose parent has not noticed
/// has no command line, so it does not count.
pub(crate) fn find(is_wanted: impl Fn(&[String]) -> bool) -> Vec<u32> {
    let has_wanted_arguments = |id: &u32| {
        let arguments = words(&fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default());
        !arguments.is_empty() && is_wanted(&arguments)
    };
    running().filter(has_wanted_arguments).collect()
}

/// The caller's own processes that were started with this variable, or by one that was.
pub(crate) fn find_by_environment(name: &str, value: &str) -> Vec<u32> {
    let entry = format!("{name}={value}");
    let has_entry =
        |id: &u32| words(&fs::read(format!("/proc/{id}/environ")).unwrap_or_default()).contains(&entry);
    running().filter(has_entry).collect()
}

/// Asks some processes to end, and kills all that remain when the patience is over. They have ended
/// when this returns: their ports are free, and their files are closed.
pub(crate) fn stop(
    signal: &str,
    asked: &[u32],
    patience: Duration,
    remaining: impl Fn() -> Vec<u32>,
) -> Result<(), String> {
    let mut seen = BTreeSet::from_iter(asked.iter().copied());
    let mut have_ended = || {
        seen.extend(remaining());
        seen.retain(|id| !has_ended(*id));
        seen.is_empty()
    };
    send(signal, asked);
    if wait_until(patience, &mut have_ended) {
        return Ok(());
    }
    send("KILL", &remaining());
    if wait_until(KILL_PATIENCE, have_ended) {
        return Ok(());
    }
    Err(format!("the processes {:?} do not end", remaining()))
}

/// Asks again and again, at least once; `false` if the answer is still no when the time is over.
pub(crate) fn wait_until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// A process loses its command line first, then its ports, and ends with its last thread.
fn has_ended(id: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{id}/status")) else { return true };
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    field("State:").starts_with(['Z', 'X']) && ["", "1"].contains(&field("Threads:"))
}

fn running() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn words(bytes: &[u8]) -> Vec<String> {
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// By the shell's own `kill`: small systems have no program of that name. Whether it helped is
/// seen by who is left.
fn send(signal: &str, ids: &[u32]) {
    if ids.is_empty() {
        return;
    }
    let mut command = Command::new("sh");
    command.args(["-c", r#"kill -s "$0" "$@""#, signal]).args(ids.iter().map(u32::to_string));
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use std::process::Child;

    use super::*;

    /// A process that ignores requests to end, and that no other test looks for.
    fn stubborn(mark: &str) -> Child {
        let script = "trap '' TERM; echo ready; read line";
        let mut command = Command::new("sh");
        command.args(["-c", script, mark]).env("XTASK_TEST_MARK", mark);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 5];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        child
    }

    #[test]
    fn a_process_is_found_while_it_lives_and_killed_if_it_does_not_listen() {
        let mark = format!("xtask-process-test-{}", std::process::id());
        let mut child = stubborn(&mark);
        let find = || find(|arguments| arguments.last() == Some(&mark));
        assert_eq!(find(), [child.id()]);
        assert_eq!(find_by_environment("XTASK_TEST_MARK", &mark), [child.id()]);
        assert!(find_by_environment("XTASK_TEST_MARK", &mark[1..]).is_empty());

        stop("TERM", &find(), Duration::from_millis(1), find).unwrap();
        assert!(find().is_empty());
        assert!(has_ended(child.id()));
        assert!(!has_ended(std::process::id()));
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn nobody_is_signalled_for_nothing() {
        stop("KILL", &[], Duration::ZERO, Vec::new).unwrap();
    }

    #[test]
    fn waiting_ends_with_the_answer_or_the_patience() {
        let mut answers = [false, false, true].into_iter();
        assert!(wait_until(Duration::from_secs(60), || answers.next().unwrap()));
        assert!(!wait_until(Duration::ZERO, || false));
    }
}
