//! What the driver makes of a node's answers, and that it sends nothing twice that may have been done: a node of
//! our own, which says what no real one can be made to say on time.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use session_core::{CreateOutcome, ErrorKind, SessionBackend};
use session_redis::{RedisBackend, RedisConfig, RedisTopology};

use crate::load::{fresh_prefix, id, now, patient, record};

/// What it does with a script.
#[derive(Clone)]
enum Act {
    Answer(&'static str),
    /// The connection ends without an answer.
    Close,
}

/// Serves every slot, as long as the test's process lives.
struct FakeNode {
    port: u16,
    act: Arc<Mutex<Act>>,
    scripts: Arc<AtomicUsize>,
}

impl FakeNode {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let node = Self {
            port: listener.local_addr().unwrap().port(),
            act: Arc::new(Mutex::new(Act::Answer(":0"))),
            scripts: Arc::default(),
        };
        let (port, act, scripts) = (node.port, node.act.clone(), node.scripts.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (act, scripts) = (act.clone(), scripts.clone());
                thread::spawn(move || serve(&stream.unwrap(), port, &act, &scripts));
            }
        });
        node
    }

    fn config(&self) -> RedisConfig {
        let config = RedisConfig::new("127.0.0.1").with_port(self.port).with_topology(RedisTopology::Cluster);
        patient(config.with_prefix(fresh_prefix()))
    }
}

fn serve(stream: &TcpStream, port: u16, act: &Mutex<Act>, scripts: &AtomicUsize) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let words = read(&mut reader)?;
        let answer = match &*words[0].to_uppercase() {
            "HELLO" => "%3\r\n+version\r\n+7.0.0\r\n+mode\r\n+cluster\r\n+role\r\n+master".to_owned(),
            "INFO" => "+maxmemory:0".to_owned(),
            "CLUSTER" => {
                format!("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$4\r\nname")
            }
            "EVALSHA" | "EVAL" => {
                scripts.fetch_add(1, Ordering::SeqCst);
                match act.lock().unwrap().clone() {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_not_sent_again() {
    let node = FakeNode::start();
    let backend = RedisBackend::connect(node.config()).await.unwrap();
    for session in 0..10 {
        *node.act.lock().unwrap() = Act::Close;
        let before = node.scripts.load(Ordering::SeqCst);
        let error = backend.create(id(session), record("0"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        // It would have to be sent before this one.
        *node.act.lock().unwrap() = Act::Answer(":1");
        let outcome = backend.create(id(1_000 + session), record("0"), now()).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
        assert_eq!(node.scripts.load(Ordering::SeqCst), before + 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_a_node_is_typed_and_may_be_tried_again() {
    let node = FakeNode::start();
    let backend = RedisBackend::connect(node.config()).await.unwrap();
    for answer in [
        "-READONLY You can't write against a read only replica.",
        "-CLUSTERDOWN The cluster is down",
        "-CLUSTERDOWN Hash slot not served",
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        "-LOADING Redis is loading the dataset in memory",
        "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ] {
        *node.act.lock().unwrap() = Act::Answer(answer);
        let error = backend.create(id(1), record("0"), now()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::Unavailable, true),
            "{answer}: {error:?}"
        );
        *node.act.lock().unwrap() = Act::Answer(":1");
        assert_eq!(
            backend.create(id(1), record("0"), now()).await.unwrap(),
            CreateOutcome::Created,
            "{answer}"
        );
    }
}

/// Two nodes that name each other, as for a moment when a slot changes hands.
#[tokio::test(flavor = "multi_thread")]
async fn redirections_without_end_have_one() {
    let node = FakeNode::start();
    let config = node.config().with_connect_timeout(std::time::Duration::from_millis(300));
    let backend = RedisBackend::connect(config).await.unwrap();
    let moved: &'static str = format!("-MOVED 1 127.0.0.1:{}", node.port).leak();
    *node.act.lock().unwrap() = Act::Answer(moved);
    let error = backend.create(id(1), record("0"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    *node.act.lock().unwrap() = Act::Answer(":1");
    assert_eq!(backend.create(id(1), record("0"), now()).await.unwrap(), CreateOutcome::Created);
}
