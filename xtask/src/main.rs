//! The commands of this repository, run as `cargo xtask <command>`.
//!
//! This file reads the command line; each command has a file of its own. Continuous integration
//! calls the same commands, so what is green here is green there.

mod bench;
mod browser;
mod conformance;
mod dependencies;
mod instructions;
mod links;
mod lint;
mod programs;
mod services;
mod sources;
mod steps;
mod test;
mod test_counts;
mod user;
mod workspace;

use std::process::ExitCode;

use bench::BenchOptions;
use instructions::InstructionsOptions;
use lint::LintOptions;
use services::Request;
use test::TestOptions;
use workspace::Workspace;

const USAGE: &str = "\
The commands of this repository.

Usage: cargo xtask <command> [flags]

  test [--quick] [--allow-missing]
      Runs every test of the workspace with all features, and those of the directories that are
      workspaces of their own; then prints the minutes of each step, the conformance table and the
      number of tests passed, failed and skipped. A step that fails does not stop the others.
      --quick          leaves out the doc tests, those directories, the counts of instructions, and
                       the slow cases of the conformance suite (sets CONFORMANCE_QUICK=1); an
                       incomplete conformance table is no failure
      --allow-missing  a store's server or a browser that is not there skips its tests instead of
                       failing them (sets SESSION_TEST_ALLOW_MISSING=1); embedded stores always run.
                       The same for valgrind and the counts of instructions
      Servers that stores need are started as by `services up`, and stopped at the end unless they
      ran before. The demo is tested in Chromium, through chromedriver: SESSION_TEST_CHROMIUM and
      SESSION_TEST_CHROMEDRIVER, or those on the path, or else installed by apt-get if root asks.
      Pictures of its pages are left in target/screenshots.

  lint [--no-install]
      Checks the sources by the rules of this repository, formatting, clippy, the documentation,
      each cargo feature by itself, and the dependencies by cargo-deny.
      --no-install     does not install cargo-deny where it is missing; its checks are left out

  instructions [--record] [--allow-missing]
      Counts the instructions of the core's hot paths under callgrind, prints them beside the recorded
      ones, and fails unless opening a session of 4 KiB and reading one of its 100 values takes less
      than a tenth of decoding them all. `test` does it too, without --quick.
      --record         writes the counts down as those to compare with
      --allow-missing  does nothing where there is no valgrind

  bench [--quick] [--only GROUP,..] [--json FILE]
      Builds our stores and their peers (those in a workspace of its own), measures them in turns, in nine pairs
      of each row, and prints for each row and concurrency ours, the peer's, the limit of the raw client or
      structure, the ceiling, the ratio, its target and a verdict: met, limit, missed or reported. Fails
      if a target is missed. Wants an idle machine; takes well over an hour.
      --quick          three pairs, and without the rows that take minutes to fill
      --only           of these groups only: memory, sqlite, file, postgres, mariadb, redis, redis-cluster,
                       redis-sentinel, http, size
      --json           where the same goes as JSON; target/bench.json otherwise

  services up [NAME..]
      Starts private servers for tests and prints where they are, one line for each:
      SESSION_TEST_POSTGRES=<url>. They run until `services down`; those that run already stay as
      they are. Names: postgres, mariadb, redis, redis-cluster, redis-sentinel, redis-tls; none means all. Where
      such a variable is set, its server is used and none is started. What is missing is installed by apt-get if root asks.

  services down [NAME..]
      Stops the servers that `services up` has started, and removes their data.

  help
      Prints this text.

Exit code: 0 all is well, 1 something failed, 2 the command line is wrong.
";

enum Command {
    Help,
    Bench(BenchOptions),
    Test(TestOptions),
    Lint(LintOptions),
    Instructions(InstructionsOptions),
    Services(Request),
}

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let command = match parse(arguments) {
        Ok(command) => command,
        Err(problem) => {
            eprintln!("{problem}; `cargo xtask help` lists the commands");
            return ExitCode::from(2);
        }
    };
    let all_is_well = match command {
        Command::Help => {
            print!("{USAGE}");
            Ok(true)
        }
        Command::Bench(options) => Workspace::find().and_then(|workspace| bench::run(&workspace, &options)),
        Command::Test(options) => Workspace::find().and_then(|workspace| test::run(&workspace, options)),
        Command::Lint(options) => Workspace::find().map(|workspace| lint::run(&workspace, options)),
        Command::Instructions(options) => {
            Workspace::find().and_then(|workspace| instructions::run(&workspace, options)).map(|()| true)
        }
        Command::Services(request) => {
            Workspace::find().and_then(|workspace| services::run(&workspace, request))
        }
    };
    match all_is_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let Some(name) = arguments.next() else { return Ok(Command::Help) };
    if name == "services" || name == "bench" {
        let words: Vec<_> = arguments.collect();
        return match name.as_str() {
            _ if words.iter().any(|word| word == "--help" || word == "-h") => Ok(Command::Help),
            "services" => Request::parse(&words).map(Command::Services),
            _ => BenchOptions::parse(&words).map(Command::Bench),
        };
    }
    let mut command = match name.as_str() {
        "help" | "--help" | "-h" => Command::Help,
        "test" => Command::Test(TestOptions::default()),
        "lint" => Command::Lint(LintOptions::default()),
        "instructions" => Command::Instructions(InstructionsOptions::default()),
        _ => return Err(format!("unknown command `{name}`")),
    };
    for flag in arguments {
        match (&mut command, flag.as_str()) {
            (_, "--help" | "-h") => return Ok(Command::Help),
            (Command::Test(options), "--quick") => options.quick = true,
            (Command::Test(options), "--allow-missing") => options.allow_missing = true,
            (Command::Lint(options), "--no-install") => options.no_install = true,
            (Command::Instructions(options), "--record") => options.record = true,
            (Command::Instructions(options), "--allow-missing") => options.allow_missing = true,
            _ => return Err(format!("`{name}` does not know `{flag}`")),
        }
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Command, String> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn nothing_and_help_print_the_usage() {
        for words in ["", "help", "--help", "-h", "test --help", "lint -h", "services up --help"] {
            assert!(matches!(parse_words(words), Ok(Command::Help)), "{words:?}");
        }
    }

    #[test]
    fn flags_belong_to_their_command() {
        let Ok(Command::Test(options)) = parse_words("test --quick") else { panic!() };
        assert!(options.quick && !options.allow_missing);
        let Ok(Command::Test(options)) = parse_words("test --allow-missing") else { panic!() };
        assert!(!options.quick && options.allow_missing);
        let Ok(Command::Lint(options)) = parse_words("lint --no-install") else { panic!() };
        assert!(options.no_install);
        let Ok(Command::Instructions(options)) = parse_words("instructions --record") else { panic!() };
        assert!(options.record && !options.allow_missing);
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (words, named) in [
            ("tset", "tset"),
            ("test --quik", "--quik"),
            ("test extra", "extra"),
            ("lint --quick", "--quick"),
            ("help me", "me"),
            ("services up mysql", "mysql"),
        ] {
            let problem = parse_words(words).err().unwrap();
            assert!(problem.contains(&format!("`{named}`")), "{words:?}: {problem}");
        }
    }
}
