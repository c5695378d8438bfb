//! Checks the tracked files by the rules of this repository that no tool knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::links;

const README_LINES: usize = 150;

/// How far a statement may reach from `on conflict` to its action.
const STATEMENT_WORDS: usize = 40;

/// Prints every violation; `Err` if there is one.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut violations = 0;
    for path in tracked_files(root, &["*.md", "*.rs", "*.sql"])? {
        let text = match fs::read_to_string(root.join(&path)) {
            Ok(text) => text,
            // Deleted, and the deletion is not committed yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let mut found = violations_of(&path, &text);
        if path.extension().is_some_and(|extension| extension == "md") {
            found.extend(links::violations_of(root, &path, &text));
        }
        for violation in found {
            println!("{}: {violation}", path.display());
            violations += 1;
        }
    }
    if violations == 0 { Ok(()) } else { Err(format!("{violations} rules broken")) }
}

/// The files that git tracks and that match one of the patterns, relative to the root.
pub(crate) fn tracked_files(root: &Path, patterns: &[&str]) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--"])
        .args(patterns)
        .output()
        .map_err(|error| format!("git does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("`git ls-files` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let listing = String::from_utf8_lossy(&output.stdout);
    Ok(listing.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect())
}

fn violations_of(path: &Path, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let extension = path.extension().unwrap_or_default();
    if extension == "rs" && !text.starts_with("//!") {
        violations.push("does not begin with `//!`: what lives here, and why".to_owned());
    }
    // This file spells the patterns out.
    if (extension == "rs" || extension == "sql") && !path.starts_with("xtask") {
        violations.extend(upserts(text).into_iter().map(|statement| {
            format!("`{statement}` overwrites unseen; compare revisions in a plain insert or update")
        }));
    }
    if path == Path::new("README.md") && text.lines().count() > README_LINES {
        violations.push(format!("has more than {README_LINES} lines"));
    }
    violations
}

/// The statements that create or overwrite, whichever comes: they hide a lost race, and revive
/// what was deleted.
fn upserts(text: &str) -> Vec<&'static str> {
    let words = statement_words(text);
    let mut found = Vec::new();
    for start in 0..words.len() {
        let rest = &words[start..];
        for pattern in ["insert or replace", "replace into", "on duplicate key"] {
            if begins_with(rest, pattern) {
                found.push(pattern);
            }
        }
        if begins_with(rest, "on conflict") {
            let reach = &rest[..rest.len().min(STATEMENT_WORDS)];
            let end = reach.iter().position(|word| word == ";").unwrap_or(reach.len());
            if (0..end).any(|action| begins_with(&reach[action..end], "do update")) {
                found.push("on conflict do update");
            }
        }
    }
    found
}

fn begins_with(words: &[String], pattern: &str) -> bool {
    let mut pattern = pattern.split(' ');
    let mut words = words.iter();
    pattern.all(|expected| words.next().is_some_and(|word| word == expected))
}

/// The words in lower case and the semicolons, without whole-line comments: those may say what
/// the code must not do. A statement may run over lines and string literals.
fn statement_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines().filter(|line| !is_comment(line)) {
        for piece in line.to_lowercase().split_inclusive(';') {
            let (statement, closed) = piece.strip_suffix(';').map_or((piece, false), |rest| (rest, true));
            let is_separator = |character: char| !character.is_alphanumeric() && character != '_';
            words.extend(statement.split(is_separator).filter(|word| !word.is_empty()).map(str::to_owned));
            if closed {
                words.push(";".to_owned());
            }
        }
    }
    words
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("//") || line.starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> usize {
        violations_of(Path::new(path), text).len()
    }

    #[test]
    fn a_source_file_says_what_lives_in_it() {
        assert_eq!(check("core/src/lib.rs", "//! The core.\n"), 0);
        for text in ["", "use std::fs;\n", "\n//! Late.\n", "// No doc.\n", "/// Of an item.\n"] {
            assert_eq!(check("core/src/lib.rs", text), 1, "{text:?}");
        }
        assert_eq!(check("sql/schema.sql", "CREATE TABLE sessions (id);"), 0);
    }

    #[test]
    fn upserts_are_found_in_any_layout() {
        for statement in [
            "INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1",
            "insert into t values (1) on conflict(id)\n  where a = 2\n  do update set a = 1",
            "INSERT OR REPLACE INTO t VALUES (1)",
            "Replace  Into t VALUES (1)",
            "INSERT INTO t VALUES (1) ON DUPLICATE\nKEY UPDATE a = 1",
        ] {
            assert_ne!(check("sql/schema.sql", statement), 0, "{statement}");
            let literal =
                format!("//! Statements.\nconst SQL: &str = \"{}\";", statement.replace('\n', " \\\n"));
            assert_ne!(check("sql/src/statements.rs", &literal), 0, "{literal}");
        }
    }

    #[test]
    fn what_is_no_upsert_is_left_alone() {
        for statement in [
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING; CREATE RULE r AS ON INSERT TO t DO UPDATE u SET a = 1",
            "UPDATE t SET a = replace(a, 'x', 'y') WHERE id = 1",
            "-- never ON CONFLICT DO UPDATE\nSELECT 1",
            "SELECT conflict_do_update FROM t",
        ] {
            assert_eq!(check("sql/schema.sql", statement), 0, "{statement}");
        }
        assert_eq!(check("sql/src/lib.rs", "//! No ON DUPLICATE KEY here.\n    /// Nor REPLACE INTO.\n"), 0);
    }

    #[test]
    fn a_long_readme_is_refused() {
        assert_eq!(check("README.md", &"line\n".repeat(README_LINES)), 0);
        assert_eq!(check("README.md", &"line\n".repeat(README_LINES + 1)), 1);
        assert_eq!(check("demo/README.md", &"line\n".repeat(README_LINES + 1)), 0);
    }
}
