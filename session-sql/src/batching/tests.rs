//! The rules of what goes together and who hears of what, on a server of the tests' own whose statements end when a
//! test lets them. Time is tokio's and stands still unless everybody waits.

use std::collections::{HashSet, VecDeque};
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{Error, ErrorKind, Result, SessionId};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::*;

const PATIENCE: Duration = Duration::from_secs(2);
const WORK: Duration = Duration::from_secs(3);

/// A call about session `number` that weighs as much as it says.
struct Call<const READS: bool> {
    number: u8,
    weight: usize,
}

impl<const READS: bool> Request for Call<READS> {
    /// How many went together.
    type Outcome = usize;

    const ONLY_READS: bool = READS;

    fn id(&self) -> SessionId {
        SessionId::from_bytes([self.number; 16])
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

#[derive(Clone, Debug)]
struct Fail {
    kind: ErrorKind,
    remedy: Remedy,
    spoils: bool,
}

impl Fault for Fail {
    fn error(&self) -> Error {
        self.kind.into()
    }

    fn remedy(&self) -> Remedy {
        self.remedy
    }

    fn spoils_connection(&self) -> bool {
        self.spoils
    }
}

/// What the server does with statements: the numbers they were about, in their order.
struct Server {
    statements: Mutex<Vec<Vec<u8>>>,
    /// How statements fail, one after the other; then they succeed.
    failures: Mutex<VecDeque<Fail>>,
    /// Statements about this session fail.
    bad: Mutex<Option<u8>>,
    /// These sessions are somebody else's now.
    held: Mutex<Vec<u8>>,
    panics: Mutex<bool>,
    /// A permit for each statement that may end.
    gate: Semaphore,
    connections: Arc<Semaphore>,
    refusal: Mutex<Option<Fail>>,
    discarded: AtomicUsize,
}

impl Server {
    async fn statement(&self, numbers: Vec<u8>) -> Result<(), Fail> {
        let is_bad = self.bad.lock().unwrap().is_some_and(|bad| numbers.contains(&bad));
        self.statements.lock().unwrap().push(numbers);
        self.gate.acquire().await.unwrap().forget();
        assert!(!*self.panics.lock().unwrap(), "on purpose");
        if let Some(failure) = self.failures.lock().unwrap().pop_front() {
            return Err(failure);
        }
        if is_bad { Err(data_error()) } else { Ok(()) }
    }

    fn statements(&self) -> Vec<Vec<u8>> {
        self.statements.lock().unwrap().clone()
    }
}

fn data_error() -> Fail {
    Fail { kind: ErrorKind::Internal, remedy: Remedy::Singly, spoils: false }
}

fn deadlock() -> Fail {
    Fail { kind: ErrorKind::Contended, remedy: Remedy::Again, spoils: false }
}

fn lock_timeout() -> Fail {
    Fail { kind: ErrorKind::Timeout, remedy: Remedy::HeldLast, spoils: false }
}

fn lost() -> Fail {
    Fail { kind: ErrorKind::Unavailable, remedy: Remedy::None, spoils: true }
}

struct Statements<const READS: bool>(Arc<Server>);

impl<const READS: bool> Verb for Statements<READS> {
    type Request = Call<READS>;
    type Connection = ();
    type Fault = Fail;

    async fn together(&self, (): &mut (), batch: &mut Batch<Call<READS>>) -> Result<(), Fail> {
        let numbers: Vec<u8> = batch.requests().map(|call| call.number).collect();
        let count = numbers.len();
        self.0.statement(numbers).await?;
        batch.settle(|_, _| Some(Ok(count)));
        Ok(())
    }

    async fn alone(&self, (): &mut (), call: &Call<READS>) -> Result<usize, Fail> {
        self.0.statement(vec![call.number]).await.map(|()| 1)
    }

    async fn held(&self, (): &mut (), batch: &Batch<Call<READS>>) -> Result<HashSet<SessionId>, Fail> {
        let held = self.0.held.lock().unwrap();
        Ok(batch.requests().filter(|call| held.contains(&call.number)).map(Request::id).collect())
    }
}

struct Lease((), Option<tokio::sync::OwnedSemaphorePermit>);

impl Deref for Lease {
    type Target = ();

    fn deref(&self) -> &() {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut () {
        &mut self.0
    }
}

struct Pool(Arc<Server>);

impl Connector for Pool {
    type Connection = ();
    type Lease = Lease;
    type Fault = Fail;

    async fn lease(&self) -> Result<Lease, Fail> {
        if let Some(refusal) = self.0.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        let permit = Arc::clone(&self.0.connections).acquire_owned().await.unwrap();
        Ok(Lease((), Some(permit)))
    }

    fn release(&self, lease: Lease) {
        drop(lease);
    }

    fn discard(&self, mut lease: Lease) {
        lease.1 = None;
        self.0.discarded.fetch_add(1, Ordering::Relaxed);
    }

    fn time_is_up(&self) -> Error {
        ErrorKind::Overloaded.into()
    }

    fn work_timeout(&self) -> Duration {
        WORK
    }
}

/// A lane, and what serves it.
struct Scene<const READS: bool = false> {
    server: Arc<Server>,
    lane: Lane<Call<READS>>,
    verb: Arc<Statements<READS>>,
}

impl Scene {
    fn new() -> Self {
        Self::with(Limits { calls: 100, bytes: 1000, patience: PATIENCE }, 100)
    }
}

impl<const READS: bool> Scene<READS> {
    fn with(limits: Limits, places: usize) -> Self {
        let server = Arc::new(Server {
            statements: Mutex::default(),
            failures: Mutex::default(),
            bad: Mutex::default(),
            held: Mutex::default(),
            panics: Mutex::default(),
            gate: Semaphore::new(0),
            connections: Arc::new(Semaphore::new(10)),
            refusal: Mutex::default(),
            discarded: AtomicUsize::new(0),
        });
        let lane = Lane::new(limits, Arc::new(Semaphore::new(places)));
        Self { verb: Arc::new(Statements(Arc::clone(&server))), server, lane }
    }

    fn call(&self, number: u8) -> JoinHandle<Result<usize>> {
        self.weighing(number, 1)
    }

    /// Queues a call at once; what it comes to is the task's.
    fn weighing(&self, number: u8, weight: usize) -> JoinHandle<Result<usize>> {
        let added = self.lane.add(Call { number, weight });
        let (verb, server) = (Arc::clone(&self.verb), Arc::clone(&self.server));
        let answer = added.map(|(answer, turn)| {
            if let Some(turn) = turn {
                tokio::spawn(serve(turn, verb, Pool(server)));
            }
            answer
        });
        tokio::spawn(async move { answer?.outcome().await })
    }

    /// Two statements that do not end, of sessions 100 and 101: what comes next has to wait.
    async fn occupied(&self) -> [JoinHandle<Result<usize>>; 2] {
        let first = self.call(100);
        settled().await;
        let second = self.call(101);
        settled().await;
        assert_eq!(self.server.statements(), [[100], [101]]);
        [first, second]
    }

    /// Lets everything end.
    fn open(&self) {
        self.server.gate.add_permits(1000);
    }
}

/// Until nothing goes on by itself.
async fn settled() {
    for _ in 0..50 {
        yield_now().await;
    }
}

async fn outcome(call: JoinHandle<Result<usize>>) -> Result<usize, ErrorKind> {
    call.await.unwrap().map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn calls_that_queue_go_as_one_by_id() {
    let scene = Scene::new();
    let occupied = scene.occupied().await;
    let calls = [5, 3, 9, 1].map(|number| scene.call(number));
    settled().await;
    assert_eq!(scene.server.statements().len(), 2, "two statements of a verb at most");
    scene.open();
    for call in occupied {
        assert_eq!(outcome(call).await, Ok(1));
    }
    for call in calls {
        assert_eq!(outcome(call).await, Ok(4));
    }
    assert_eq!(scene.server.statements()[2..], [[1, 3, 5, 9]]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_others_to_come() {
    let scene = Scene::new();
    let started = Instant::now();
    scene.open();
    for number in 0..10 {
        assert_eq!(outcome(scene.call(number)).await, Ok(1));
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_there_is_no_connection_goes_as_one() {
    let scene = Scene::new();
    let connections = Arc::clone(&scene.server.connections).acquire_many_owned(10).await.unwrap();
    let calls = [2, 1, 3].map(|number| scene.call(number));
    settled().await;
    drop(connections);
    scene.open();
    for call in calls {
        assert_eq!(outcome(call).await, Ok(3));
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_all() {
    let scene = Scene::new();
    scene.server.connections.forget_permits(9);
    let calls: Vec<_> = (0..50).map(|number| scene.call(number)).collect();
    scene.open();
    for call in calls {
        assert!(outcome(call).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_in_one_batch_at_a_time() {
    let scene = Scene::new();
    let occupied = scene.occupied().await;
    // 100 is under way; of 1 there are three.
    let calls = [1, 100, 1, 2, 1].map(|number| scene.call(number));
    scene.server.gate.add_permits(1);
    settled().await;
    // Whichever ended takes one of 1, and of 100 only if that has ended.
    let statements = scene.server.statements();
    assert_eq!(statements.len(), 3);
    let mut first = statements[2].clone();
    first.dedup();
    assert_eq!(first, statements[2]);
    scene.open();
    for call in occupied.into_iter().chain(calls) {
        assert!(outcome(call).await.is_ok());
    }
    let statements = scene.server.statements();
    assert_eq!(statements.iter().filter(|numbers| numbers.contains(&1)).count(), 3, "{statements:?}");
    assert_eq!(statements.iter().filter(|numbers| numbers.contains(&100)).count(), 2, "{statements:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_under_way_holds_up_its_own_calls_only() {
    let scene = Scene::new();
    let first = scene.call(1);
    settled().await;
    let second = scene.call(1);
    settled().await;
    assert_eq!(scene.server.statements(), [[1]], "it waits though a statement more may be under way");
    let other = scene.call(2);
    settled().await;
    assert_eq!(scene.server.statements(), [[1], [2]]);
    scene.open();
    for call in [first, second, other] {
        assert_eq!(outcome(call).await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn reads_of_one_session_share() {
    let scene: Scene<true> = Scene::with(Limits { calls: 100, bytes: 1000, patience: PATIENCE }, 100);
    let occupied = scene.occupied().await;
    let calls = [100, 7, 100, 7].map(|number| scene.call(number));
    scene.open();
    for call in occupied {
        assert_eq!(outcome(call).await, Ok(1));
    }
    for call in calls {
        assert_eq!(outcome(call).await, Ok(4));
    }
    assert_eq!(scene.server.statements()[2..], [[7, 7, 100, 100]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded() {
    let scene: Scene = Scene::with(Limits { calls: 3, bytes: 10, patience: PATIENCE }, 100);
    let occupied = scene.occupied().await;
    let weights = [(1, 4), (2, 6), (3, 1), (4, 50), (5, 1), (6, 1), (7, 1), (8, 1)];
    let calls = weights.map(|(number, weight)| scene.weighing(number, weight));
    scene.open();
    for call in occupied.into_iter().chain(calls) {
        assert!(outcome(call).await.is_ok());
    }
    let mut statements = scene.server.statements().split_off(2);
    statements.sort();
    let expected: [&[u8]; 5] = [&[1, 2], &[3], &[4], &[5, 6, 7], &[8]];
    assert_eq!(statements, expected, "at most three calls and ten bytes, unless it is one");
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_is_left_out_unless_begun() {
    let scene = Scene::new();
    let occupied = scene.occupied().await;
    let (gone, stays) = (scene.call(1), scene.call(2));
    gone.abort();
    for call in &occupied {
        call.abort();
    }
    settled().await;
    scene.open();
    assert_eq!(outcome(stays).await, Ok(1));
    assert_eq!(scene.server.statements(), [[100], [101], [2]]);
    settled().await;
    assert_eq!(scene.server.connections.available_permits(), 10, "all connections are back");
}

#[tokio::test(start_paused = true)]
async fn places_are_bounded_and_come_back() {
    let scene: Scene = Scene::with(Limits { calls: 100, bytes: 1000, patience: PATIENCE }, 4);
    let occupied = scene.occupied().await;
    let calls = [1, 2].map(|number| scene.call(number));
    assert_eq!(outcome(scene.call(3)).await, Err(ErrorKind::Overloaded));
    let [gone, stays] = calls;
    gone.abort();
    settled().await;
    let instead = scene.call(4);
    assert_eq!(outcome(scene.call(5)).await, Err(ErrorKind::Overloaded));
    scene.open();
    for call in occupied.into_iter().chain([stays, instead]) {
        assert!(outcome(call).await.is_ok());
    }
    assert_eq!(outcome(scene.call(3)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn time_in_the_queue_counts() {
    let scene = Scene::new();
    let started = Instant::now();
    let occupied = scene.occupied().await;
    let early = scene.call(1);
    sleep(PATIENCE / 2).await;
    let late = scene.call(2);
    assert_eq!(outcome(early).await, Err(ErrorKind::Overloaded));
    assert_eq!(started.elapsed(), PATIENCE);
    scene.open();
    assert_eq!(outcome(late).await, Ok(1));
    for call in occupied {
        assert_eq!(outcome(call).await, Ok(1), "what was begun has time of its own");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_connection_gives_up_in_time() {
    let scene = Scene::new();
    let _connections = Arc::clone(&scene.server.connections).acquire_many_owned(10).await.unwrap();
    let started = Instant::now();
    let early = scene.call(1);
    sleep(PATIENCE / 2).await;
    let late = scene.call(2);
    assert_eq!(outcome(early).await, Err(ErrorKind::Overloaded));
    assert_eq!(started.elapsed(), PATIENCE);
    assert_eq!(outcome(late).await, Err(ErrorKind::Overloaded));
    assert_eq!(started.elapsed(), PATIENCE * 3 / 2);
    assert!(scene.server.statements().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_those_who_waited() {
    let scene = Scene::new();
    *scene.server.refusal.lock().unwrap() =
        Some(Fail { kind: ErrorKind::Config, remedy: Remedy::None, spoils: false });
    let calls = [1, 2, 3].map(|number| scene.call(number));
    for call in calls {
        assert_eq!(outcome(call).await, Err(ErrorKind::Config));
    }
    *scene.server.refusal.lock().unwrap() = None;
    scene.open();
    assert_eq!(outcome(scene.call(1)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_data_error_is_its_own_calls_alone() {
    let scene = Scene::new();
    let occupied = scene.occupied().await;
    *scene.server.bad.lock().unwrap() = Some(2);
    let calls = [1, 2, 3].map(|number| scene.call(number));
    scene.open();
    let [one, two, three] = calls;
    assert_eq!(outcome(one).await, Ok(1));
    assert_eq!(outcome(two).await, Err(ErrorKind::Internal));
    assert_eq!(outcome(three).await, Ok(1));
    let expected: [&[u8]; 4] = [&[1, 2, 3], &[1], &[2], &[3]];
    assert_eq!(scene.server.statements()[2..], expected);
    for call in occupied {
        assert_eq!(outcome(call).await, Ok(1));
    }
}

/// What the statements about sessions 1 to 4 are, of which 1 and 3 are held, and what the calls come to.
async fn held(failures: &[Fail]) -> (Vec<Vec<u8>>, [Result<usize, ErrorKind>; 4]) {
    let scene = Scene::new();
    let occupied = scene.occupied().await;
    *scene.server.held.lock().unwrap() = vec![1, 3];
    let calls = [1, 2, 3, 4].map(|number| scene.call(number));
    scene.server.gate.add_permits(2);
    for call in occupied {
        assert_eq!(outcome(call).await, Ok(1));
    }
    settled().await;
    *scene.server.failures.lock().unwrap() = failures.to_vec().into();
    scene.open();
    let [one, two, three, four] = calls;
    let outcomes = [outcome(one).await, outcome(two).await, outcome(three).await, outcome(four).await];
    (scene.server.statements().split_off(2), outcomes)
}

#[tokio::test(start_paused = true)]
async fn sessions_that_somebody_holds_keep_nobody_waiting() {
    let (statements, outcomes) = held(&[lock_timeout()]).await;
    let expected: [&[u8]; 4] = [&[1, 2, 3, 4], &[2, 4], &[1], &[3]];
    assert_eq!(statements, expected);
    assert_eq!(outcomes, [Ok(1), Ok(2), Ok(1), Ok(2)]);
    // Another is held by then.
    let (statements, outcomes) = held(&[lock_timeout(), lock_timeout()]).await;
    let expected: [&[u8]; 6] = [&[1, 2, 3, 4], &[2, 4], &[2], &[4], &[1], &[3]];
    assert_eq!(statements, expected);
    assert_eq!(outcomes, [Ok(1); 4]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_fails_those_that_were_to_go_last_too() {
    let (statements, outcomes) = held(&[lock_timeout(), lost()]).await;
    let expected: [&[u8]; 2] = [&[1, 2, 3, 4], &[2, 4]];
    assert_eq!(statements, expected);
    assert_eq!(outcomes, [Err(ErrorKind::Unavailable); 4]);
}

#[tokio::test(start_paused = true)]
async fn a_deadlock_is_tried_again_so_often() {
    for (deadlocks, tried_together) in [(1, 2), (3, 4), (4, 4)] {
        let scene = Scene::new();
        let occupied = scene.occupied().await;
        let calls = [1, 2].map(|number| scene.call(number));
        scene.server.gate.add_permits(2);
        for call in occupied {
            assert_eq!(outcome(call).await, Ok(1));
        }
        settled().await;
        scene.server.failures.lock().unwrap().extend(vec![deadlock(); deadlocks]);
        scene.open();
        let expected = if deadlocks > 3 { 1 } else { 2 };
        for call in calls {
            assert_eq!(outcome(call).await, Ok(expected), "after {deadlocks}");
        }
        let together = scene.server.statements().iter().filter(|numbers| numbers.len() == 2).count();
        assert_eq!(together, tried_together, "after {deadlocks}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadlock_without_end_is_an_error() {
    let scene = Scene::new();
    scene.server.failures.lock().unwrap().extend(vec![deadlock(); 16]);
    scene.open();
    assert_eq!(outcome(scene.call(1)).await, Err(ErrorKind::Contended));
    assert_eq!(scene.server.statements().len(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_fails_all_of_its_batch_and_none_other() {
    let scene = Scene::new();
    let occupied = scene.occupied().await;
    let calls = [1, 2, 3].map(|number| scene.call(number));
    scene.server.gate.add_permits(2);
    for call in occupied {
        assert_eq!(outcome(call).await, Ok(1));
    }
    settled().await;
    scene.server.failures.lock().unwrap().push_back(lost());
    let next = scene.call(4);
    settled().await;
    // The batch came first.
    scene.open();
    let mut failed = 0;
    for call in calls {
        failed += usize::from(outcome(call).await == Err(ErrorKind::Unavailable));
    }
    assert_eq!(failed, 3);
    assert_eq!(outcome(next).await, Ok(1));
    assert_eq!(scene.server.discarded.load(Ordering::Relaxed), 1);
    assert_eq!(scene.server.statements()[2..].iter().filter(|numbers| numbers.contains(&2)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_among_singles_fails_the_rest() {
    let scene = Scene::new();
    let occupied = scene.occupied().await;
    let calls = [1, 2, 3].map(|number| scene.call(number));
    scene.server.gate.add_permits(2);
    for call in occupied {
        assert_eq!(outcome(call).await, Ok(1));
    }
    settled().await;
    scene.server.failures.lock().unwrap().extend([data_error(), data_error(), lost()]);
    scene.open();
    let [one, two, three] = calls;
    assert_eq!(outcome(one).await, Err(ErrorKind::Internal));
    assert_eq!(outcome(two).await, Err(ErrorKind::Unavailable));
    assert_eq!(outcome(three).await, Err(ErrorKind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_a_timeout_for_all_of_the_batch() {
    let scene = Scene::new();
    let started = Instant::now();
    let connections = Arc::clone(&scene.server.connections).acquire_many_owned(10).await.unwrap();
    let calls = [1, 2].map(|number| scene.call(number));
    settled().await;
    drop(connections);
    for call in calls {
        assert_eq!(outcome(call).await, Err(ErrorKind::Timeout));
    }
    assert_eq!(started.elapsed(), WORK);
    assert_eq!(scene.server.discarded.load(Ordering::Relaxed), 1);
    scene.open();
    assert_eq!(outcome(scene.call(1)).await, Ok(1), "the session is free again");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_and_the_lane_goes_on() {
    let scene = Scene::new();
    *scene.server.panics.lock().unwrap() = true;
    scene.open();
    assert_eq!(outcome(scene.call(1)).await, Err(ErrorKind::Internal));
    *scene.server.panics.lock().unwrap() = false;
    assert_eq!(outcome(scene.call(1)).await, Ok(1));
    assert_eq!(scene.server.connections.available_permits(), 10);
}

#[test]
fn the_end_of_a_runtime_fails_who_waits_there_and_nobody_after() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scene = Scene::new();
    let first = runtime();
    let answers: Vec<_> = first.block_on(async {
        let answers = [1, 1, 2].map(|number| {
            let (answer, turn) = scene.lane.add(Call { number, weight: 1 }).unwrap();
            if let Some(turn) = turn {
                tokio::spawn(serve(turn, Arc::clone(&scene.verb), Pool(Arc::clone(&scene.server))));
            }
            answer
        });
        settled().await;
        answers.into()
    });
    drop(first);
    let second = runtime();
    for answer in answers {
        let mut answer = pin!(answer.outcome());
        assert_eq!(second.block_on(answer.as_mut()).unwrap_err().kind(), ErrorKind::Unavailable);
    }
    scene.open();
    assert_eq!(second.block_on(async { outcome(scene.call(1)).await }), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_not_kept_waiting_by_what_does() {
    let scene = Scene::<false>::with(Limits { calls: 100, bytes: 10, patience: PATIENCE }, 100);
    let connections = Arc::clone(&scene.server.connections).acquire_many_owned(10).await.unwrap();
    let first = scene.weighing(1, 10);
    settled().await;
    let second = scene.weighing(2, 10);
    settled().await;
    drop(connections);
    settled().await;
    assert_eq!(scene.server.statements(), [[1], [2]]);
    scene.open();
    assert_eq!(outcome(first).await, Ok(1));
    assert_eq!(outcome(second).await, Ok(1));
}
