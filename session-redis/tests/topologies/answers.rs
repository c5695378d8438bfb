//! What the driver makes of a node's answers, and that it sends nothing twice that may have been done.

use session_core::{CreateOutcome, ErrorKind, SessionBackend};
use session_redis::RedisBackend;

use crate::fake_node::{Act, FakeNode};
use crate::load::{id, now, record};

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_not_sent_again() {
    let node = FakeNode::start();
    let backend = RedisBackend::connect(node.config()).await.unwrap();
    for session in 0..10 {
        node.act(Act::Close);
        let before = node.scripts();
        let error = backend.create(id(session), record("0"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        // It would have to be sent before this one.
        node.act(Act::Answer(":1"));
        let outcome = backend.create(id(1_000 + session), record("0"), now()).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
        assert_eq!(node.scripts(), before + 2);
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
        node.act(Act::Answer(answer));
        let error = backend.create(id(1), record("0"), now()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::Unavailable, true),
            "{answer}: {error:?}"
        );
        node.act(Act::Answer(":1"));
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
    node.act(Act::Answer(moved));
    let error = backend.create(id(1), record("0"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    node.act(Act::Answer(":1"));
    assert_eq!(backend.create(id(1), record("0"), now()).await.unwrap(), CreateOutcome::Created);
}
