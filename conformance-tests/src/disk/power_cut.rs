//! Power cuts at every point of a recording, with what each may leave behind.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use session_core::Durability;

use super::history::{History, Progress, State};
use super::image::{Disk, Effect, Image};
use super::losses::{Fate, Fated, sector_count};
use super::recording::{Operation, Recording};

/// Cuts the power again and again, and has the driver open what is left.
///
/// After each change of the files: nothing of what was not flushed is left, all of it, all but a part of the
/// last write, and some of it by chance. Where a flush comes next and where a verb was acknowledged there is most to
/// lose: there also all but one change, one change alone, and the last write torn at each sector.
#[derive(Debug)]
pub struct PowerCuts<'a> {
    /// What the process did.
    pub recording: &'a Recording,
    /// What it did it for.
    pub history: &'a History,
    /// What the store promises.
    pub durability: Durability,
    /// For what is left to chance.
    pub seed: u64,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Moments at which the power was cut.
    pub points: usize,
    /// Disks that were left behind, each time one is.
    pub cuts: usize,
    /// Different ones among them, which the driver has opened.
    pub images: usize,
    /// How many of these were left while a verb of that name was under way, or at the moment it was acknowledged. One
    /// may count for several verbs.
    pub images_by_verb: BTreeMap<&'static str, usize>,
}

/// A disk that a power cut may leave, and on which the store breaks its promise.
#[derive(Debug)]
pub struct Violation {
    seed: u64,
    place: usize,
    operation: Operation,
    acknowledged: usize,
    changes: Vec<String>,
    problem: String,
}

/// What was found on images before, by their hashes.
type Found = HashMap<u64, Result<State, String>>;

/// How many disks with one change lost, and with one alone, are looked at.
const SINGLES: usize = 10;

impl PowerCuts<'_> {
    /// Cuts the power. `examine` opens a copy of the disk in a directory as the driver would after the cut, and returns
    /// what is stored there, or why that cannot be said; it need not leave the directory as it was.
    ///
    /// # Errors
    ///
    /// Those of the files in `workshop`, where the copies are made.
    pub fn run(
        &self,
        workshop: &Path,
        examine: impl FnMut(&Path) -> Result<State, String>,
    ) -> io::Result<Result<Report, Violation>> {
        self.run_judged(workshop, examine, History::judge)
    }

    /// As [`run`](Self::run), for a store that keeps each session in a file of its own:
    /// [`History::judge_each`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_for_each(
        &self,
        workshop: &Path,
        examine: impl FnMut(&Path) -> Result<State, String>,
    ) -> io::Result<Result<Report, Violation>> {
        self.run_judged(workshop, examine, History::judge_each)
    }

    fn run_judged(
        &self,
        workshop: &Path,
        mut examine: impl FnMut(&Path) -> Result<State, String>,
        judge_state: impl Fn(&History, &Progress, Durability, &State) -> Result<(), String>,
    ) -> io::Result<Result<Report, Violation>> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut disk = self.recording.start().clone();
        let (mut progress, mut report, mut found) = (Progress::default(), Report::default(), Found::new());
        let mut images_by_verb: BTreeMap<&'static str, HashSet<u64>> = BTreeMap::new();
        let operations = self.recording.operations();
        for (place, operation) in operations.iter().enumerate() {
            disk.apply(operation)?;
            let mut verbs: BTreeSet<_> = self.history.under_way(&progress).collect();
            let is_end = match operation {
                Operation::Mark(text) => {
                    progress.note(text);
                    true
                }
                Operation::Close { .. } | Operation::Map { .. } => continue,
                _ => matches!(operations.get(place + 1), None | Some(Operation::Sync { .. })),
            };
            verbs.extend(self.history.under_way(&progress));
            report.points += 1;
            for fates in losses(disk.pending(), is_end, &mut random) {
                report.cuts += 1;
                let mut judge = |fates: &[Fate]| {
                    let image = disk.image(fates);
                    let (hash, state) = look(&image, workshop, &mut found, &mut examine)?;
                    for verb in &verbs {
                        images_by_verb.entry(verb).or_default().insert(hash);
                    }
                    io::Result::Ok(match state {
                        Ok(state) => judge_state(self.history, &progress, self.durability, state),
                        Err(problem) => Err(problem.clone()),
                    })
                };
                if judge(&fates)?.is_err() {
                    let (fates, problem) = shrink(fates, judge)?;
                    return Ok(Err(Violation {
                        seed: self.seed,
                        place,
                        operation: operation.clone(),
                        acknowledged: progress.acknowledged(),
                        changes: describe(&disk, &fates),
                        problem,
                    }));
                }
            }
        }
        report.images = found.len();
        report.images_by_verb = images_by_verb.iter().map(|(verb, images)| (*verb, images.len())).collect();
        Ok(Ok(report))
    }
}

fn look<'a>(
    image: &Image,
    workshop: &Path,
    found: &'a mut Found,
    examine: &mut impl FnMut(&Path) -> Result<State, String>,
) -> io::Result<(u64, &'a Result<State, String>)> {
    let mut hasher = DefaultHasher::new();
    image.hash(&mut hasher);
    let hash = hasher.finish();
    let directory = workshop.join(format!("image-{}", found.len()));
    let state = match found.entry(hash) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => {
            fs::create_dir(&directory)?;
            image.write(&directory)?;
            let state = place.insert(examine(&directory));
            fs::remove_dir_all(&directory)?;
            state
        }
    };
    Ok((hash, state))
}

/// Fates of `pending`, several times over.
fn losses(pending: &[Effect], is_end: bool, random: &mut StdRng) -> Vec<Vec<Fate>> {
    let count = pending.len();
    let kept = vec![Fate::Kept; count];
    let Some(last) = pending.last() else { return vec![kept] };
    let but = |fates: &[Fate], place: usize, fate: Fate| {
        let mut fates = fates.to_vec();
        fates[place] = fate;
        fates
    };
    let lost = vec![Fate::Lost; count];
    let mut all = Vec::from([kept.clone(), lost.clone()]);
    if let Effect::Write { offset, data, .. } = last {
        let sectors = sector_count(*offset, data.len());
        let places = 1..sectors;
        let chosen = if is_end { places.collect() } else { places.sample(random, 1) };
        for place in chosen {
            all.push(but(&kept, count - 1, Fate::Until(place)));
            all.push(but(&kept, count - 1, Fate::From(place)));
        }
        all.push(but(&kept, count - 1, Fate::OnlyLength { noise: random.random() }));
    }
    for _ in 0..if is_end { 5 } else { 1 } {
        let share = [0.1, 0.5, 0.9].into_iter().choose(random).unwrap_or(0.5);
        let fate = |effect| if random.random_bool(share) { Fate::random(effect, random) } else { Fate::Kept };
        all.push(pending.iter().map(fate).collect());
    }
    if is_end && count > 1 {
        all.extend((0..count).sample(random, SINGLES).into_iter().map(|place| but(&kept, place, Fate::Lost)));
        all.extend((0..count).sample(random, SINGLES).into_iter().map(|place| but(&lost, place, Fate::Kept)));
    }
    all
}

/// Gives back what is not needed for the problem.
fn shrink(
    mut fates: Vec<Fate>,
    mut judge: impl FnMut(&[Fate]) -> io::Result<Result<(), String>>,
) -> io::Result<(Vec<Fate>, String)> {
    let mut problem = String::new();
    let mut is_smaller = true;
    while is_smaller {
        is_smaller = false;
        for place in 0..fates.len() {
            let simpler: &[Fate] = match fates[place] {
                Fate::Kept => &[],
                Fate::Lost => &[Fate::Kept],
                _ => &[Fate::Kept, Fate::Lost],
            };
            for fate in simpler {
                let before = std::mem::replace(&mut fates[place], *fate);
                if judge(&fates)?.is_err() {
                    is_smaller = true;
                    break;
                }
                fates[place] = before;
            }
        }
    }
    if let Err(last) = judge(&fates)? {
        problem = last;
    }
    Ok((fates, problem))
}

fn describe(disk: &Disk, fates: &[Fate]) -> Vec<String> {
    let changes = disk.pending().iter().zip(fates).filter(|(_, fate)| **fate != Fate::Kept);
    changes.map(|(effect, fate)| Fated(disk, effect, *fate).to_string()).collect()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, place, operation, acknowledged, changes, problem } = self;
        writeln!(f, "{problem}")?;
        writeln!(f, "after {acknowledged} acknowledged verbs and operation {place} ({operation:?})")?;
        writeln!(f, "all was kept of what was not flushed, but for this:")?;
        changes.iter().try_for_each(|change| writeln!(f, "  {change}"))?;
        write!(f, "seed {seed}")
    }
}
