//! The hot paths of the core, each done as often as the caller says.
//!
//! `cargo xtask instructions` runs this under callgrind, for a number of times and for twice as many: what the
//! second run takes more is what the operation takes. Everything else is the same in both, inputs included.

mod sessions;

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::hint::black_box;

use serde_json::Value;
use sessions::Sessions;

/// Each operation, by the name that the caller knows it by.
const OPERATIONS: [(&str, Operation); 12] = [
    ("token", Operation::Token),
    ("open", Operation::Open),
    ("get", Operation::Get),
    ("commit", Operation::Commit),
    ("strings read", Operation::Read(sessions::strings)),
    ("strings decoded into Value", Operation::DecodeValue(sessions::strings)),
    ("strings decoded into BTreeMap", Operation::DecodeBTreeMap(sessions::strings)),
    ("strings decoded into HashMap", Operation::DecodeHashMap(sessions::strings)),
    ("mixed read", Operation::Read(sessions::mixed)),
    ("mixed decoded into Value", Operation::DecodeValue(sessions::mixed)),
    ("mixed decoded into BTreeMap", Operation::DecodeBTreeMap(sessions::mixed)),
    ("mixed decoded into HashMap", Operation::DecodeHashMap(sessions::mixed)),
];

/// How many commits are prepared. Nothing is ever counted more often.
const MOST: usize = 200;

/// Makes the values of a session.
type Values = fn() -> Value;

#[derive(Clone, Copy)]
enum Operation {
    /// Parses a token, digests it, and finds no session in the store.
    Token,
    /// Opens a session by its token.
    Open,
    /// Reads one value of an open session.
    Get,
    /// Changes one value of an open session, and commits.
    Commit,
    /// Opens a session by its token and reads one value: all that most requests do.
    Read(Values),
    DecodeValue(Values),
    DecodeBTreeMap(Values),
    DecodeHashMap(Values),
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, times] = arguments.as_slice() else {
        OPERATIONS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let (_, operation) = OPERATIONS.iter().find(|(known, _)| known == name).ok_or("no such operation")?;
    let times = times.parse().ok().filter(|times| *times <= MOST).ok_or("not so often")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(run(*operation, times))?;
    // Without taking down what was prepared: after more operations there may be less of it.
    std::process::exit(0);
}

async fn run(operation: Operation, times: usize) -> Result<(), Box<dyn Error>> {
    match operation {
        Operation::Token => {
            let sessions = Sessions::new()?;
            let token = sessions::stranger();
            for _ in 0..times {
                black_box(sessions.manager.open(Some(&token)).await?);
            }
        }
        Operation::Open => {
            let sessions = Sessions::new()?;
            let token = sessions.create(&sessions::mixed()).await?;
            for _ in 0..times {
                black_box(sessions.manager.open(Some(&token)).await?);
            }
        }
        Operation::Get => {
            let sessions = Sessions::new()?;
            let token = sessions.create(&sessions::mixed()).await?;
            let session = sessions.manager.open(Some(&token)).await?;
            for _ in 0..times {
                black_box(session.get::<String>(sessions::KEY)?);
            }
        }
        Operation::Commit => {
            let sessions = Sessions::new()?;
            let mut opened = Vec::new();
            for _ in 0..MOST {
                let token = sessions.create(&sessions::mixed()).await?;
                opened.push(sessions.manager.open(Some(&token)).await?);
            }
            for session in opened.iter().take(times) {
                session.insert(sessions::KEY, "another text")?;
                let _ = black_box(session.commit().await?);
            }
        }
        Operation::Read(values) => {
            let sessions = Sessions::new()?;
            let token = sessions.create(&values()).await?;
            for _ in 0..times {
                let session = sessions.manager.open(Some(&token)).await?;
                black_box(session.get::<String>(sessions::KEY)?);
            }
        }
        Operation::DecodeValue(values) => {
            let text = serde_json::to_vec(&values())?;
            for _ in 0..times {
                black_box(serde_json::from_slice::<Value>(black_box(&text))?);
            }
        }
        Operation::DecodeBTreeMap(values) => {
            let text = serde_json::to_vec(&values())?;
            for _ in 0..times {
                black_box(serde_json::from_slice::<BTreeMap<String, Value>>(black_box(&text))?);
            }
        }
        Operation::DecodeHashMap(values) => {
            let text = serde_json::to_vec(&values())?;
            for _ in 0..times {
                black_box(serde_json::from_slice::<HashMap<String, Value>>(black_box(&text))?);
            }
        }
    }
    Ok(())
}
