//! The checker on histories written by hand, on random ones beside another checker, and what clients make.

use std::sync::Arc;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use session_core::{
    CreateOutcome, DeleteOutcome, Record, Result, Revision, SessionBackend, SessionId, Timestamp,
    UpdateOutcome,
};
use session_memory::MemoryBackend;
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};

use super::history::{Event, PENDING};
use super::{Answer, Call, Loads, Model, Tally, Verb, is_linearizable, record_history, shortest};
use crate::context::{Context, Effort, Ground as _, HOUR, START};
use crate::harness::Harness;
use crate::race::hesitate;
use crate::recorder::Steps;

#[test]
fn one_after_the_other_is_judged_by_the_table() {
    let (first, second) = (record(1, 60), record(2, 90));
    let right = [
        event(0, 0, 1, Verb::Create(first.clone()), Answer::Created),
        event(1, 2, 3, Verb::Create(second.clone()), Answer::Occupied(first.clone())),
        event(1, 4, 5, update(&first, &second), Answer::Updated),
        event(0, 6, 7, update(&first, &first), Answer::Conflict(second.clone())),
        event(0, 8, 9, Verb::Load, Answer::Loaded(Some(second.clone()))),
        event(0, 10, 11, Verb::Delete { expected: Some(first.revision) }, Answer::Conflict(second)),
        event(0, 12, 13, Verb::Delete { expected: None }, Answer::Deleted),
        event(0, 14, 15, Verb::Touch { expires_at: first.expires_at }, Answer::Touched(false)),
        event(0, 16, 17, update(&first, &first), Answer::Gone),
    ];
    assert!(is_linearizable(&right));
    // No two of them can change places.
    for (left, right_one) in (1..right.len()).map(|index| (index - 1, index)) {
        let mut wrong = right.clone();
        let times = |event: &Event| (event.invoked, event.returned);
        let (earlier, later) = (times(&right[left]), times(&right[right_one]));
        (wrong[left].invoked, wrong[left].returned) = later;
        (wrong[right_one].invoked, wrong[right_one].returned) = earlier;
        let reads = right[left].answer.as_ref().unwrap().changes_nothing()
            && right[right_one].answer.as_ref().unwrap().changes_nothing();
        assert_eq!(is_linearizable(&wrong), reads, "{left} and {right_one}");
    }
}

#[test]
fn a_load_may_miss_a_write_that_it_overlaps_and_no_other() {
    let first = record(1, 60);
    let create = event(0, 0, 5, Verb::Create(first.clone()), Answer::Created);
    let load = |invoked, answer| event(1, invoked, invoked + 1, Verb::Load, Answer::Loaded(answer));
    assert!(is_linearizable(&[create.clone(), load(1, None), load(3, Some(first.clone()))]));
    assert!(is_linearizable(&[create.clone(), load(1, Some(first.clone())), load(6, Some(first.clone()))]));
    assert!(!is_linearizable(&[create.clone(), load(6, None)]), "a stale load");
    assert!(!is_linearizable(&[create, load(1, Some(first)), load(3, None)]), "a load that goes back");
}

#[test]
fn of_two_overlapping_writes_one_wins() {
    let (first, left, right) = (record(1, 60), record(2, 60), record(3, 60));
    let create = |client, record: &Record| {
        event(client, client as u64, 9, Verb::Create(record.clone()), Answer::Created)
    };
    assert!(!is_linearizable(&[create(0, &left), create(1, &right)]), "two creates");
    let created = event(0, 0, 1, Verb::Create(first.clone()), Answer::Created);
    let won = event(0, 2, 8, update(&first, &left), Answer::Updated);
    let also_won = event(1, 3, 7, update(&first, &right), Answer::Updated);
    let lost = event(1, 3, 7, update(&first, &right), Answer::Conflict(left));
    let stale = event(1, 3, 7, update(&first, &right), Answer::Conflict(first));
    assert!(is_linearizable(&[created.clone(), won.clone(), lost]));
    assert!(!is_linearizable(&[created.clone(), won.clone(), also_won]), "a lost update");
    assert!(!is_linearizable(&[created, won, stale]), "a conflict with what was expected");
}

#[test]
fn the_dead_do_not_come_back() {
    let first = record(1, 60);
    let created = event(0, 0, 1, Verb::Create(first.clone()), Answer::Created);
    let deleted = event(0, 2, 3, Verb::Delete { expected: None }, Answer::Deleted);
    let touched = event(1, 2, 6, Verb::Touch { expires_at: first.expires_at }, Answer::Touched(true));
    let load = |answer| event(0, 7, 8, Verb::Load, Answer::Loaded(answer));
    assert!(is_linearizable(&[created.clone(), deleted.clone(), touched.clone(), load(None)]));
    assert!(!is_linearizable(&[created.clone(), deleted, touched, load(Some(first.clone()))]), "a revival");
    // Only to a clock that shows the hour of death.
    let mut late = load(None);
    late.call.now = first.expires_at;
    assert!(is_linearizable(&[created.clone(), late.clone()]));
    late.call.now = START;
    assert!(!is_linearizable(&[created, late]), "a death before its time");
}

/// An update and a touch at once: both orders fit the answers and leave different records, so a search that
/// remembers only which calls it has placed takes the second order for the first.
#[test]
fn the_search_remembers_what_its_order_led_to() {
    let (first, second) = (record(1, 60), record(2, 60));
    let later = START.saturating_add(2 * HOUR);
    let mut second_touched = second.clone();
    second_touched.expires_at = later;
    let created = event(0, 0, 1, Verb::Create(first.clone()), Answer::Created);
    let updated = event(0, 2, 5, update(&first, &second), Answer::Updated);
    let touched = event(1, 3, 4, Verb::Touch { expires_at: later }, Answer::Touched(true));
    for seen in [second, second_touched] {
        let seen = event(0, 6, 7, Verb::Load, Answer::Loaded(Some(seen)));
        let history = [created.clone(), updated.clone(), touched.clone(), seen];
        assert!(is_linearizable(&history));
    }
    let seen = event(0, 6, 7, Verb::Load, Answer::Loaded(Some(first)));
    assert!(!is_linearizable(&[created, updated, touched, seen]));
}

/// Loads leave the record as it is: a search that remembers only the record gives up at the second one.
#[test]
fn the_search_remembers_what_it_has_placed() {
    let first = record(1, 60);
    let loads = (0..6).map(|client| event(client, 2, 9, Verb::Load, Answer::Loaded(Some(first.clone()))));
    let created = event(0, 0, 1, Verb::Create(first.clone()), Answer::Created);
    assert!(is_linearizable(&[created].into_iter().chain(loads).collect::<Vec<_>>()));
}

#[test]
fn a_call_without_answer_happened_or_not() {
    let first = record(1, 60);
    let created = event(0, 0, 1, Verb::Create(first.clone()), Answer::Created);
    let deleting = event(1, 2, 0, Verb::Delete { expected: None }, Answer::Deleted).pending();
    for seen in [None, Some(first)] {
        let load = event(0, 4, 5, Verb::Load, Answer::Loaded(seen));
        assert!(is_linearizable(&[created.clone(), deleting.clone(), load]));
    }
    let early = event(0, 1, 2, Verb::Load, Answer::Loaded(None));
    let deleting_later = Event { invoked: 3, ..deleting };
    assert!(!is_linearizable(&[created, deleting_later, early]), "it cannot happen before it begins");
}

#[test]
fn the_shortest_history_keeps_what_explains_the_rest() {
    let (first, second) = (record(1, 60), record(2, 60));
    let load = |invoked, seen: Option<&Record>| {
        event(1, invoked, invoked + 1, Verb::Load, Answer::Loaded(seen.cloned()))
    };
    let history = vec![
        event(0, 0, 1, Verb::Create(first.clone()), Answer::Created),
        load(2, Some(&first)),
        event(0, 4, 5, update(&first, &second), Answer::Updated),
        event(2, 3, 20, Verb::Touch { expires_at: first.expires_at }, Answer::Touched(true)),
        event(3, 2, 21, Verb::Load, Answer::Loaded(Some(first.clone()))),
        load(6, Some(&first)),
        load(8, Some(&second)),
        event(0, 10, 11, Verb::Delete { expected: None }, Answer::Deleted),
        load(12, Some(&first)),
    ];
    let short: Vec<_> = shortest(history).iter().map(|event| (event.invoked, event.returned)).collect();
    assert_eq!(short, [(0, 1), (3, PENDING), (4, 5), (6, 7)]);
}

#[test]
fn the_shortest_history_forgets_earlier_lives() {
    let (first, second) = (record(1, 60), record(2, 60));
    let create = |invoked, record: &Record| {
        event(0, invoked, invoked + 1, Verb::Create(record.clone()), Answer::Created)
    };
    let delete = |invoked| event(0, invoked, invoked + 1, Verb::Delete { expected: None }, Answer::Deleted);
    let stale = event(1, 6, 7, Verb::Load, Answer::Loaded(Some(first.clone())));
    let short = |history: &[Event]| {
        let short = shortest(history.to_vec());
        short.iter().map(|event| event.invoked).collect::<Vec<_>>()
    };
    let history = [create(0, &first), delete(2), create(4, &second), stale.clone()];
    assert_eq!(short(&history), [4, 6]);
    // Not what may have left something: the touch may have come first, or the delete.
    let mut history = history.to_vec();
    history[1].returned = 8;
    assert_eq!(short(&history), [0, 2, 4, 6]);
    // Nor what is dead, which a clock that is behind still sees.
    let mut dead = first;
    dead.expires_at = START;
    assert_eq!(short(&[create(0, &dead), create(4, &second), stale]), [0, 4, 6]);
}

/// Ours and stateright's on small histories: some as they may happen, others spoilt afterwards.
#[test]
fn the_checker_agrees_with_another() {
    const HISTORIES: usize = 2000;
    let mut rng = StdRng::seed_from_u64(20);
    let (mut accepted, mut rejected) = (0, 0);
    for number in 0..HISTORIES {
        let mut history = possible_history(&mut rng);
        assert!(is_linearizable(&history), "{number}: a possible history: {history:?}");
        for _ in 0..number % 4 {
            spoil(&mut rng, &mut history);
        }
        let ours = is_linearizable(&history);
        assert_eq!(ours, stateright_accepts(&history), "{number}: {history:?}");
        *(if ours { &mut accepted } else { &mut rejected }) += 1;
        if !ours {
            let short = shortest(history.clone());
            assert!(!is_linearizable(&short) && !stateright_accepts(&short), "{number}: {history:?}");
        }
    }
    assert!(accepted * 4 > HISTORIES && rejected * 4 > HISTORIES, "{accepted} accepted, {rejected} rejected");
}

impl SequentialSpec for Model {
    type Op = Call;
    type Ret = Answer;

    fn invoke(&mut self, call: &Call) -> Answer {
        self.apply(call)
    }
}

fn stateright_accepts(history: &[Event]) -> bool {
    let mut moments: Vec<_> = history
        .iter()
        .flat_map(|event| [(event.invoked, event, true), (event.returned, event, false)])
        .filter(|(tick, ..)| *tick != PENDING)
        .collect();
    moments.sort_by_key(|(tick, ..)| *tick);
    let mut tester = LinearizabilityTester::new(Model::default());
    for (_, event, begins) in moments {
        let taken = match &event.answer {
            Some(answer) if !begins => tester.on_return(event.client, answer.clone()),
            _ => tester.on_invoke(event.client, event.call.clone()),
        };
        assert_eq!(taken.err(), None, "a client does one thing at a time");
    }
    tester.serialized_history().is_some()
}

/// Three clients that make up to nine calls, each of which takes effect somewhere on its way. Some never
/// return.
fn possible_history(rng: &mut StdRng) -> Vec<Event> {
    struct Running {
        event: Event,
        answer: Option<Answer>,
    }
    let mut model = Model::default();
    let mut running: [Option<Running>; 3] = [None, None, None];
    let mut history = Vec::new();
    let mut revisions = vec![Revision::first(0)];
    for tick in 0..24 {
        let client = rng.random_range(0..running.len());
        match running[client].take() {
            None => {
                let call = any_call(rng, &mut revisions);
                let event = Event { client, call, invoked: tick, returned: PENDING, answer: None };
                running[client] = Some(Running { event, answer: None });
            }
            Some(Running { event, answer: None }) => {
                let answer = Some(model.apply(&event.call));
                running[client] = Some(Running { event, answer });
            }
            Some(Running { event, answer }) => history.push(Event { returned: tick, answer, ..event }),
        }
    }
    history.extend(running.into_iter().flatten().map(|running| running.event));
    history
}

fn any_call(rng: &mut StdRng, revisions: &mut Vec<Revision>) -> Call {
    let expected = revisions[rng.random_range(0..revisions.len()).max(revisions.len().saturating_sub(2))];
    let minutes = rng.random_range(1..4) * 30;
    let verb = match rng.random_range(0..6) {
        0 => Verb::Create(record(revisions.len() as u32, minutes)),
        1 | 2 => Verb::Load,
        3 => Verb::Update { expected, record: record(revisions.len() as u32, minutes) },
        4 => Verb::Touch { expires_at: record(0, minutes).expires_at },
        _ => Verb::Delete { expected: Some(expected).filter(|_| rng.random()) },
    };
    if let Verb::Create(record) | Verb::Update { record, .. } = &verb {
        revisions.push(record.revision);
    }
    let now = if rng.random_ratio(1, 5) { START.saturating_add(HOUR) } else { START };
    Call { id: SessionId::from_bytes([rng.random_range(0..2); 16]), now, verb }
}

/// Gives a call the answer of another one, or puts two calls of one client in the other order.
fn spoil(rng: &mut StdRng, history: &mut [Event]) {
    let mut answered: Vec<_> = (0..history.len()).filter(|index| history[*index].answer.is_some()).collect();
    answered.shuffle(rng);
    let [left, right, ..] = answered[..] else { return };
    let same_verb =
        std::mem::discriminant(&history[left].call.verb) == std::mem::discriminant(&history[right].call.verb);
    if same_verb {
        let (a, b) = (history[left].answer.clone(), history[right].answer.clone());
        (history[left].answer, history[right].answer) = (b, a);
    } else {
        let (a, b) = (history[left].call.clone(), history[right].call.clone());
        let answers = (history[left].answer.clone(), history[right].answer.clone());
        (history[left].call, history[right].call) = (b, a);
        (history[right].answer, history[left].answer) = answers;
    }
}

/// They must meet, conflict and succeed. On one thread, where they take turns and the same happens each time:
/// whether several meet is up to how the machine shares its processors among them.
#[test]
fn clients_make_interesting_histories() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tally = runtime.block_on(async {
        let ctx = Context::open(Arc::new(Remote), 7, Steps::default(), Effort::Full).await.unwrap();
        let mut tally = Tally::default();
        for _ in 0..100 {
            let (handles, ids) = ([ctx.backend()], [ctx.id()]);
            tally.add(&record_history(&ctx, &handles, &ids, Loads::Both).await.unwrap());
        }
        tally
    });
    tally.expect_every_outcome().unwrap();
    assert!(tally.overlapping * 10 > tally.calls * 5, "half of the calls meet others: {tally:?}");
    let share = |outcome: &str| tally.count(outcome) * 100 / tally.calls;
    assert!(share("update: Updated") >= 5 && share("update: Conflict") >= 5, "{tally:?}");
    assert!(share("create: Occupied") >= 3 && share("update: Gone") >= 3, "{tally:?}");
}

#[derive(Debug)]
struct Remote;

#[async_trait]
impl Harness for Remote {
    fn name(&self) -> &str {
        "remote"
    }

    async fn open(&self, _namespace: &str) -> Result<Arc<dyn SessionBackend>> {
        Ok(Arc::new(RemoteBackend(MemoryBackend::new())))
    }
}

/// A store that lies a way off: others have their turn before it is asked and before it has answered.
#[derive(Debug)]
struct RemoteBackend(MemoryBackend);

async fn there_and_back<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    hesitate(2).await;
    let answer = work.await;
    hesitate(2).await;
    answer
}

#[async_trait]
impl SessionBackend for RemoteBackend {
    async fn create(&self, id: SessionId, record: Record, now: Timestamp) -> Result<CreateOutcome> {
        there_and_back(self.0.create(id, record, now)).await
    }

    async fn load(&self, id: SessionId, now: Timestamp) -> Result<Option<Record>> {
        there_and_back(self.0.load(id, now)).await
    }

    async fn update(
        &self,
        id: SessionId,
        expected: Revision,
        record: Record,
        now: Timestamp,
    ) -> Result<UpdateOutcome> {
        there_and_back(self.0.update(id, expected, record, now)).await
    }

    async fn touch(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<bool> {
        there_and_back(self.0.touch(id, expires_at, now)).await
    }

    async fn delete(
        &self,
        id: SessionId,
        expected: Option<Revision>,
        now: Timestamp,
    ) -> Result<DeleteOutcome> {
        there_and_back(self.0.delete(id, expected, now)).await
    }
}

fn event(client: usize, invoked: u64, returned: u64, verb: Verb, answer: Answer) -> Event {
    let call = Call { id: SessionId::from_bytes([0; 16]), now: START, verb };
    Event { client, call, invoked, returned, answer: Some(answer) }
}

/// A record that lives for so many minutes, with room for touches.
fn record(number: u32, minutes: u32) -> Record {
    let minutes_later = |minutes| START.saturating_add(crate::context::MINUTE * minutes);
    Record::new(Revision::first(number), START, minutes_later(minutes), minutes_later(24 * 60))
}

fn update(expected: &Record, record: &Record) -> Verb {
    Verb::Update { expected: expected.revision, record: record.clone() }
}
