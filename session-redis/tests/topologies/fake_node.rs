//! A node, or a sentinel, of our own, which says what no real one can be made to say on time.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use session_redis::{RedisConfig, RedisTopology};

use crate::load::{fresh_prefix, patient};

/// What it does with scripts and reads of records.
#[derive(Clone)]
pub(crate) enum Act {
    Answer(&'static str),
    /// The connection ends without an answer.
    Close,
}

/// Lives as long as the test's process.
pub(crate) struct FakeNode {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    mode: &'static str,
    act: Mutex<Act>,
    scripts: AtomicUsize,
    /// Whom it takes for the master of all slots, or as a sentinel for the master.
    master: AtomicU16,
    /// Whom it takes for the master's replica; 0 is nobody.
    replica: AtomicU16,
    /// How long it takes to name them.
    pause: Mutex<Duration>,
    is_dead: AtomicBool,
}

impl FakeNode {
    /// A node that serves every slot.
    pub(crate) fn start() -> Self {
        Self::start_as("cluster")
    }

    /// One that says that it is of this mode.
    pub(crate) fn start_as(mode: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            mode,
            act: Mutex::new(Act::Answer(":0")),
            scripts: AtomicUsize::new(0),
            master: AtomicU16::new(port),
            replica: AtomicU16::new(0),
            pause: Mutex::default(),
            is_dead: AtomicBool::new(false),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = shared.clone();
                thread::spawn(move || serve(&stream.unwrap(), &state));
            }
        });
        Self { port, state }
    }

    pub(crate) fn config(&self) -> RedisConfig {
        let config = RedisConfig::new("127.0.0.1").with_port(self.port).with_topology(RedisTopology::Cluster);
        patient(config.with_prefix(fresh_prefix()))
    }

    pub(crate) fn act(&self, act: Act) {
        *self.state.act.lock().unwrap() = act;
    }

    /// How many scripts it was sent.
    pub(crate) fn scripts(&self) -> usize {
        self.state.scripts.load(Ordering::SeqCst)
    }

    /// From now on it names this master.
    pub(crate) fn name(&self, master: &Self) {
        self.state.master.store(master.port, Ordering::SeqCst);
    }

    /// From now on it names this replica of the master.
    pub(crate) fn name_replica(&self, replica: &Self) {
        self.state.replica.store(replica.port, Ordering::SeqCst);
    }

    /// From now on it names them only after this time.
    pub(crate) fn pause(&self, pause: Duration) {
        *self.state.pause.lock().unwrap() = pause;
    }

    /// From now on it answers nobody.
    pub(crate) fn die(&self) {
        self.state.is_dead.store(true, Ordering::SeqCst);
    }
}

fn serve(stream: &TcpStream, state: &State) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let words = read(&mut reader)?;
        if state.is_dead.load(Ordering::SeqCst) {
            return Ok(());
        }
        let answer = match &*words[0].to_uppercase() {
            "HELLO" => {
                format!("%3\r\n+version\r\n+7.0.0\r\n+mode\r\n+{}\r\n+role\r\n+master", state.mode)
            }
            "INFO" => "+maxmemory:0".to_owned(),
            "CLUSTER" => {
                thread::sleep(*state.pause.lock().unwrap());
                let node = |port: u16| format!("\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$5\r\n{port:05}");
                let nodes = [&state.master, &state.replica].map(|port| port.load(Ordering::SeqCst));
                let nodes: Vec<_> = nodes.into_iter().filter(|port| *port != 0).map(node).collect();
                format!("*1\r\n*{}\r\n:0\r\n:16383{}", 2 + nodes.len(), nodes.concat())
            }
            "SENTINEL" => {
                thread::sleep(*state.pause.lock().unwrap());
                format!("*2\r\n$9\r\n127.0.0.1\r\n$5\r\n{:05}", state.master.load(Ordering::SeqCst))
            }
            // One session, which ends far in the future.
            "ZRANGE" => "*1\r\n*2\r\n$16\r\n0123456789abcdef\r\n,9e13".to_owned(),
            command @ ("EVALSHA" | "EVAL" | "GET") => {
                if command != "GET" {
                    state.scripts.fetch_add(1, Ordering::SeqCst);
                }
                match state.act.lock().unwrap().clone() {
                    Act::Answer(answer) => answer.to_owned(),
                    Act::Close => return Ok(()),
                }
            }
            _ => "+OK".to_owned(),
        };
        writer.write_all(format!("{answer}\r\n").as_bytes())?;
    }
}

/// One command.
fn read(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut line = String::new();
    let mut number = |reader: &mut dyn BufRead| -> io::Result<usize> {
        line.clear();
        reader.read_line(&mut line)?;
        line.get(1..).unwrap_or_default().trim().parse().map_err(io::Error::other)
    };
    let mut words = Vec::new();
    for _ in 0..number(reader)? {
        let mut word = vec![0; number(reader)? + 2];
        reader.read_exact(&mut word)?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    if words.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(words) }
}
