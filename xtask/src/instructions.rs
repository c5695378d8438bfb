//! `cargo xtask instructions`: counts the instructions of the core's hot paths, and fails if reading one
//! value of a session has become dear.
//!
//! The same program of the same toolchain takes the same instructions, whatever else the machine does: so
//! this can be a test, where times cannot.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::programs::{Package, Programs};
use crate::steps;
use crate::workspace::Workspace;

/// The program that counts, and its package.
const VALGRIND: &str = "valgrind";

/// An operation is done this often, and twice as often: the difference is what it takes.
const TIMES: u64 = 50;

/// The compression function of SHA-256. Callgrind knows no processor with instructions for it, so the
/// portable one runs. It counts like everything else, and is printed apart because most processors take less.
const HASH: &str = "sha2::sha256::compress256*";

/// The values whose reading is judged: a hundred texts in 4 KiB.
const JUDGED: &str = "strings";

/// The values whose reading is shown beside: texts, numbers and flags.
const SHOWN: &str = "mixed";

/// What decodes all values of a session; the cheapest counts.
const DECODERS: [&str; 3] = ["Value", "BTreeMap", "HashMap"];

/// By how many percent an operation may grow without a word.
const NOISE: i64 = 5;

#[derive(Clone, Copy, Default)]
pub(crate) struct InstructionsOptions {
    pub(crate) record: bool,
    pub(crate) allow_missing: bool,
}

/// What one operation takes.
#[derive(Clone, Copy)]
struct Count {
    all: u64,
    /// Those of them that a processor with instructions for SHA-256 does not take.
    hash: u64,
}

/// Counts, prints, and fails if the rule is broken.
pub(crate) fn run(workspace: &Workspace, options: InstructionsOptions) -> Result<(), String> {
    let package = Package {
        name: VALGRIND,
        programs: vec![VALGRIND],
        directories: Vec::new(),
        instead: "go on without it by --allow-missing".to_owned(),
    };
    let valgrind = match Programs::default().of(&package) {
        Err(reason) if options.allow_missing => {
            println!("not counted: {reason}");
            return Ok(());
        }
        found => found?[VALGRIND].clone(),
    };
    let mut build = workspace.cargo(["build", "--release", "--locked", "--package", "instructions"]);
    steps::run_command(&mut build)?;
    let callgrind = Callgrind { valgrind, workspace };
    let mut counts = BTreeMap::new();
    for name in callgrind.operations()?.lines() {
        let count = Count { all: callgrind.count(name, None)?, hash: callgrind.count(name, Some(HASH))? };
        counts.insert(name.to_owned(), count);
    }
    let baseline = workspace.root.join("xtask/instructions/baseline.txt");
    if options.record {
        let written = fs::write(&baseline, record(&counts));
        written.map_err(|error| format!("cannot write {}: {error}", baseline.display()))?;
    }
    print!("{}", table(&counts, &recorded(&baseline)));
    judge(&counts)
}

struct Callgrind<'a> {
    valgrind: PathBuf,
    workspace: &'a Workspace,
}

impl Callgrind<'_> {
    fn program(&self) -> PathBuf {
        self.workspace.target_directory.join("release/instructions")
    }

    /// The names of all operations, one in each line.
    fn operations(&self) -> Result<String, String> {
        let output = Command::new(self.program()).output();
        let output = output.map_err(|error| format!("the operations do not start: {error}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The instructions of one operation, or those in a function and what it calls.
    fn count(&self, operation: &str, function: Option<&str>) -> Result<u64, String> {
        let once = self.total(operation, function, TIMES)?;
        let twice = self.total(operation, function, 2 * TIMES)?;
        Ok(twice.saturating_sub(once) / TIMES)
    }

    fn total(&self, operation: &str, function: Option<&str>, times: u64) -> Result<u64, String> {
        let profile = self.workspace.target_directory.join("instructions.callgrind");
        let mut command = Command::new(&self.valgrind);
        command.args(["--quiet", "--tool=callgrind"]);
        command.arg(format!("--callgrind-out-file={}", profile.display()));
        if let Some(function) = function {
            command.arg(format!("--toggle-collect={function}"));
        }
        command.arg(self.program()).args([operation, &times.to_string()]).stdin(Stdio::null());
        let status = command.status().map_err(|error| format!("valgrind does not start: {error}"))?;
        if !status.success() {
            return Err(format!("`{operation}` failed under valgrind ({status})"));
        }
        let profile =
            fs::read_to_string(profile).map_err(|error| format!("callgrind wrote nothing: {error}"))?;
        let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
        total.and_then(|total| total.parse().ok()).ok_or_else(|| "callgrind counted nothing".to_owned())
    }
}

/// What opening a session and reading one of its values takes beside decoding them all.
struct Reading {
    read: u64,
    /// What is left of that without the hash.
    without_hash: u64,
    decode: u64,
}

impl Reading {
    fn of(values: &str, counts: &BTreeMap<String, Count>) -> Result<Self, String> {
        let of = |name: String| counts.get(&name).copied().ok_or_else(|| format!("`{name}` was not counted"));
        let read = of(format!("{values} read"))?;
        let mut decode = u64::MAX;
        for decoder in DECODERS {
            decode = decode.min(of(format!("{values} decoded into {decoder}"))?.all);
        }
        Ok(Self { read: read.all, without_hash: read.all - read.hash, decode })
    }

    fn is_cheap(&self) -> bool {
        self.read * 10 < self.decode
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64| self.decode as f64 / part as f64;
        let (read, without_hash) = (share(self.read), share(self.without_hash));
        write!(f, "1/{read:.1} of the cheapest decoding (1/{without_hash:.1} without SHA-256)")
    }
}

/// The rule: reading takes less than a tenth of decoding, the hash by portable code included.
fn judge(counts: &BTreeMap<String, Count>) -> Result<(), String> {
    println!("{SHOWN} read: {}", Reading::of(SHOWN, counts)?);
    let judged = Reading::of(JUDGED, counts)?;
    println!("{JUDGED} read: {judged}");
    if judged.is_cheap() { Ok(()) } else { Err(format!("{JUDGED} read: not less than 1/10")) }
}

fn table(counts: &BTreeMap<String, Count>, recorded: &BTreeMap<String, u64>) -> String {
    let mut text = "instructions  of them SHA-256  change\n".to_owned();
    for (name, count) in counts {
        let change = recorded.get(name).map_or_else(|| "new".to_owned(), |old| change(*old, count.all));
        let _ = writeln!(text, "{:12}  {:15}  {change:6}  {name}", count.all, count.hash);
    }
    text
}

fn change(old: u64, new: u64) -> String {
    let percent = (new as i64 - old as i64) * 100 / (old.max(1) as i64);
    let remark = if percent > NOISE { ": say why" } else { "" };
    format!("{percent:+}%{remark}")
}

fn record(counts: &BTreeMap<String, Count>) -> String {
    counts.iter().map(|(name, count)| format!("{} {name}\n", count.all)).collect()
}

/// What was written down; nothing where there is no such file yet.
fn recorded(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let (count, name) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(read: u64, decode: [u64; 3]) -> BTreeMap<String, Count> {
        let mut counts = BTreeMap::new();
        for values in [JUDGED, SHOWN] {
            counts.insert(format!("{values} read"), Count { all: read, hash: 7 });
            for (decoder, all) in DECODERS.iter().zip(decode) {
                counts.insert(format!("{values} decoded into {decoder}"), Count { all, hash: 0 });
            }
        }
        counts
    }

    #[test]
    fn reading_must_be_cheaper_than_a_tenth_of_the_cheapest_decoding() {
        assert!(judge(&counts(99, [1000, 1001, 1002])).is_ok());
        assert!(judge(&counts(100, [1000, 1001, 1002])).is_err());
        assert!(judge(&counts(100, [1002, 1001, 1000])).is_err());
        assert!(judge(&BTreeMap::new()).is_err(), "what was not counted is not cheap");
        let reading = Reading::of(JUDGED, &counts(100, [1000, 1001, 1002])).unwrap();
        let shown = "1/10.0 of the cheapest decoding (1/10.8 without SHA-256)";
        assert_eq!(reading.to_string(), shown);
    }

    #[test]
    fn growth_asks_for_a_reason() {
        assert_eq!(change(1000, 1050), "+5%");
        assert_eq!(change(1000, 1060), "+6%: say why");
        assert_eq!(change(1000, 500), "-50%");
    }

    #[test]
    fn what_is_recorded_is_read() {
        let path = std::env::temp_dir().join(format!("xtask-instructions-{}", std::process::id()));
        fs::write(&path, record(&counts(5, [6, 7, 8]))).unwrap();
        let read = recorded(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!((read["strings read"], read["mixed decoded into HashMap"]), (5, 8));
        assert!(recorded(&path).is_empty());
    }
}
