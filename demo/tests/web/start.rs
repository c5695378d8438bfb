//! Starting: the options, and one clear line with exit code 2 where the demo cannot serve.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tokio::process::Command;

use crate::support::{Browser, Server, Workplace};

const NOBODY: u32 = 65534;

/// Runs the demo and returns the one line that it leaves.
async fn refusal(workplace: &Workplace, options: &[&str]) -> String {
    refusal_of(workplace, workplace.demo(options)).await
}

async fn refusal_of(workplace: &Workplace, command: Command) -> String {
    let output = workplace.run(command).await;
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(output.stdout.is_empty());
    assert!(line.starts_with("demo: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    line
}

#[tokio::test]
async fn a_wrong_option_is_named() {
    let workplace = Workplace::new();
    for (options, named) in [
        (&["--sotre", "memory:"][..], "--sotre"),
        (&["--store"], "--store"),
        (&["extra"], "extra"),
        (&["--listen", "here"], "--listen here"),
        (&["--listen", "127.0.0.1"], "127.0.0.1"),
        (&["--listen", "127.0.0.1:99999"], "127.0.0.1:99999"),
        (&["--listen", "a\nb"], "--listen"),
    ] {
        let line = refusal(&workplace, options).await;
        assert!(line.contains(named), "{line}");
    }
}

#[tokio::test]
async fn output_that_cannot_be_written_changes_no_exit_code() {
    let workplace = Workplace::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut help = workplace.demo(&["--help"]);
    let mut refused = workplace.demo(&["--store", "floppy:a"]);
    assert!(help.stdout(full()).status().await.unwrap().success());
    assert_eq!(refused.stderr(full()).status().await.unwrap().code(), Some(2));
}

#[tokio::test]
async fn an_unknown_store_is_named() {
    let workplace = Workplace::new();
    for (url, named) in [
        ("floppy:a", "`floppy:`"),
        ("postgress://localhost/x", "`postgress:`"),
        ("", "scheme"),
        ("sessions.db", "scheme"),
        ("sqlite:", "needs a path"),
        ("sqlite:x.db?auto_migrat=true", "`auto_migrat`"),
        ("sqlite:x.db?auto_migrate=perhaps", "`auto_migrate`"),
        ("sqlite:x.db?table=a%0Ab", "table"),
        ("memory:?capacity=many", "`capacity`"),
        ("memory:x", "no path"),
    ] {
        let line = refusal(&workplace, &["--store", url, "--listen", "127.0.0.1:0"]).await;
        assert!(line.contains(named), "{url}: {line}");
    }
    assert!(!workplace.file("x.db").exists());
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let server = Server::on_memory().await;
    let line = refusal(&Workplace::new(), &["--store", "memory:", "--listen", server.address()]).await;
    assert!(line.contains(server.address()), "{line}");
}

#[tokio::test]
async fn a_database_that_cannot_be_is_named() {
    let workplace = Workplace::new();
    let garbage = vec![b'x'; 5000];
    fs::write(workplace.file("garbage.db"), &garbage).unwrap();
    fs::write(workplace.file("short.db"), "x = 1").unwrap();
    fs::create_dir(workplace.file("directory.db")).unwrap();
    for name in ["garbage.db", "short.db", "directory.db", "missing/x.db", "garbage.db/x.db", "a%0Ab/x.db"] {
        let store = format!("sqlite:{name}");
        let line = refusal(&workplace, &["--store", &store, "--listen", "127.0.0.1:0"]).await;
        assert!(line.contains(&name.replace("%0A", " ")), "{line}");
    }
    assert_eq!(fs::read(workplace.file("garbage.db")).unwrap(), garbage);
    assert_eq!(fs::read(workplace.file("short.db")).unwrap(), b"x = 1");
}

#[tokio::test]
async fn a_table_of_somebody_else_is_left_alone() {
    let workplace = Workplace::new();
    let database = rusqlite::Connection::open(workplace.file("theirs.db")).unwrap();
    database
        .execute_batch("CREATE TABLE sessions (id TEXT); INSERT INTO sessions VALUES ('theirs')")
        .unwrap();
    let line = refusal(&workplace, &["--store", "sqlite:theirs.db", "--listen", "127.0.0.1:0"]).await;
    assert!(line.contains("`sessions`"), "{line}");
    let row: String = database.query_row("SELECT id FROM sessions", [], |row| row.get(0)).unwrap();
    assert_eq!(row, "theirs");
}

#[tokio::test]
async fn a_database_that_may_not_be_written_is_named() {
    let workplace = Workplace::new();
    for directory in ["open", "closed"] {
        fs::create_dir(workplace.file(directory)).unwrap();
    }
    for file in ["open/read-only.db", "closed/writable.db"] {
        drop(rusqlite::Connection::open(workplace.file(file)).unwrap().execute_batch("CREATE TABLE a (b)"));
    }
    let set_mode = |file: &str, mode| {
        fs::set_permissions(workplace.file(file), Permissions::from_mode(mode)).unwrap();
    };
    set_mode("open/read-only.db", 0o444);
    set_mode("closed/writable.db", 0o666);
    set_mode("open", 0o777);
    set_mode("closed", 0o555);
    let program = program_for_nobody(&workplace);
    for name in ["closed/new.db", "closed/writable.db", "open/read-only.db"] {
        let store = format!("sqlite:{name}");
        let mut command = workplace.program(&program, &["--store", &store, "--listen", "127.0.0.1:0"]);
        if permissions_do_not_bind_us(&workplace) {
            command.uid(NOBODY).gid(NOBODY);
        }
        let line = refusal_of(&workplace, command).await;
        assert!(line.contains(name), "{line}");
    }
    // For the removal of the directory.
    set_mode("closed", 0o755);
}

/// As root they do not: then the demo runs as somebody else.
fn permissions_do_not_bind_us(workplace: &Workplace) -> bool {
    fs::write(workplace.file("closed/probe"), "").is_ok()
}

/// A copy of the demo that everybody may run, in a directory that everybody may enter.
fn program_for_nobody(workplace: &Workplace) -> PathBuf {
    let copy = workplace.file("demo");
    fs::copy(env!("CARGO_BIN_EXE_demo"), &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(workplace.file("."), Permissions::from_mode(0o755)).unwrap();
    copy
}

#[tokio::test]
async fn help_tells_the_options_and_accounts() {
    let workplace = Workplace::new();
    let output = workplace.run(workplace.demo(&["--help"])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for part in ["--store URL", "sqlite:demo-sessions.db", "--listen", "127.0.0.1:3000", "alice/wonderland"] {
        assert!(text.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_database_in_memory_serves() {
    let workplace = Workplace::new();
    let command = workplace.demo(&["--store", "sqlite::memory:", "--listen", "127.0.0.1:0"]);
    let server = workplace.serve(command).await;
    let browser = Browser::of(&server, "alice").await;
    assert_eq!((browser.count_view().await, browser.sessions().await.len()), (1, 1));
}

#[tokio::test]
async fn beyond_loopback_the_cookie_needs_https() {
    let workplace = Workplace::new();
    let command = workplace.demo(&["--store", "memory:", "--listen", "0.0.0.0:0"]);
    let server = workplace.serve(command).await;
    let answer = Browser::new(&server).get("/").await;
    let cookie = answer.set_cookie().unwrap();
    assert!(cookie.starts_with("__Host-session=") && cookie.contains("; Secure;"), "{cookie}");
}
