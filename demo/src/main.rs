//! The command line: which store, which address, and one clear line when either cannot be had.

mod accounts;
mod app;
mod failure;
mod handlers;
mod pages;

use std::error::Error as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::Duration;

use session_kit::SessionManager;
use tokio::net::TcpListener;

const USAGE: &str = "\
Usage: demo [--store URL] [--listen ADDRESS] [--rotate-every SECONDS]

  --store URL             where sessions are kept: sqlite:PATH, sqlite::memory:, file:PATH, memory:,
                          postgres://ROLE:PASSWORD@HOST/DATABASE, mysql://ACCOUNT:PASSWORD@HOST/DATABASE,
                          redis://HOST, rediss://HOST
                          (default sqlite:demo-sessions.db)
  --listen ADDRESS        where to serve (default 127.0.0.1:3000)
  --rotate-every SECONDS  how often to replace the token of a signed-in session (default: never)
  -h, --help              this text

Accounts: alice/wonderland, bob/builder";

#[tokio::main]
async fn main() -> ExitCode {
    // A log that cannot be written, on the same full disk as the database perhaps, is no reason to panic.
    tracing_subscriber::fmt().with_writer(std::io::stderr).log_internal_errors(false).init();
    let outcome = match Options::from_arguments() {
        Ok(Some(options)) => serve(options).await,
        Ok(None) => {
            say(io::stdout(), USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(format!("{error}; see --help")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // In one line, whatever the options held.
            say(io::stderr(), &format!("demo: {}", message.replace(char::is_control, " ")));
            ExitCode::from(2)
        }
    }
}

struct Options {
    store: String,
    listen: String,
    rotate_every: Option<Duration>,
}

impl Options {
    fn from_arguments() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;

        let mut options = Self {
            store: "sqlite:demo-sessions.db".to_owned(),
            listen: "127.0.0.1:3000".to_owned(),
            rotate_every: None,
        };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("store") => options.store = arguments.value()?.string()?,
                Long("listen") => options.listen = arguments.value()?.string()?,
                Long("rotate-every") => {
                    let seconds: NonZeroU32 = arguments.value()?.parse()?;
                    options.rotate_every = Some(Duration::from_secs(seconds.get().into()));
                }
                Short('h') | Long("help") => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

async fn serve(options: Options) -> Result<(), String> {
    let address: SocketAddr = options
        .listen
        .parse()
        .map_err(|_| format!("--listen {}: not an address such as 127.0.0.1:3000", options.listen))?;
    let sessions = open_store(&options)
        .await
        .map_err(|error| format!("cannot open the session store: {}", with_sources(&error)))?;
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let app = app::router(sessions, address.ip().to_canonical().is_loopback());
    say(io::stdout(), &format!("listening on http://{address}"));
    let serving = axum::serve(listener, app).with_graceful_shutdown(asked_to_stop());
    tokio::select! {
        ended = serving => ended.map_err(|error| format!("cannot serve: {error}")),
        () = out_of_patience() => Ok(()),
    }
}

/// Writes a line; whoever closed the pipe or filled the disk behind it does without.
fn say(mut out: impl Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

async fn open_store(options: &Options) -> session_kit::Result<SessionManager> {
    let url = with_migration(&options.store);
    session_kit::builder(&url).await?.rotate_every(options.rotate_every).build()
}

/// A demo makes its table by itself on a server, too; an application leaves that to whoever deploys it.
fn with_migration(url: &str) -> String {
    let makes_a_table = ["postgres", "mysql", "mariadb"].iter().any(|scheme| url.starts_with(scheme));
    if !makes_a_table || url.contains("auto_migrate=") {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}auto_migrate=true")
}

/// An error and what is behind it.
fn with_sources(error: &session_kit::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

/// Ends a while after the process was asked to stop, or when it is asked again: a client that never
/// finishes its request must not keep it alive.
async fn out_of_patience() {
    asked_to_stop().await;
    tokio::select! {
        () = asked_to_stop() => {}
        () = tokio::time::sleep(LONGEST_STOP) => {}
    }
}

/// As long as the slowest honest request takes: a commit that waits for a locked database.
const LONGEST_STOP: Duration = Duration::from_secs(10);

/// Ends with the first SIGINT or SIGTERM; requests under way are served to their end.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};

    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without signals the process ends by them, as ever.
        _ => std::future::pending().await,
    }
}
