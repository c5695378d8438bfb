//! `cargo xtask lint`: everything that can be checked without running a test.

use std::path::Path;
use std::process::Stdio;

use crate::dependencies;
use crate::sources;
use crate::steps::{self, Steps};
use crate::workspace::{Package, Workspace};

#[derive(Clone, Copy, Default)]
pub(crate) struct LintOptions {
    pub(crate) no_install: bool,
}

/// Runs all checks; `false` if one of them failed.
pub(crate) fn run(workspace: &Workspace, options: LintOptions) -> bool {
    let mut steps = Steps::default();
    steps.run("sources", || sources::check(&workspace.root));
    steps.run("lock file", || lock_file(workspace));
    steps.run("format", || steps::run_command(&mut workspace.cargo(["fmt", "--all", "--check"])));
    steps.run("clippy", || clippy(workspace, &["--workspace", "--all-targets", "--all-features"]));
    steps.run("documentation", || documentation(workspace));
    for package in &workspace.packages {
        steps.run(&format!("features of {}", package.name), || features(workspace, package));
    }
    match workspace.standalone_workspaces() {
        Ok(directories) => {
            for directory in directories {
                steps.run(&directory.display().to_string(), || standalone(workspace, &directory));
            }
        }
        Err(problem) => steps.run("other workspaces", || Err(problem)),
    }
    let unchecked = dependencies::check(workspace, options.no_install, &mut steps);

    println!("\n{}", steps.minutes());
    for what in unchecked {
        println!("not checked: {what}");
    }
    let failures = steps.failures();
    println!("{}", failures.as_deref().unwrap_or("no failed step"));
    failures.is_none()
}

fn lock_file(workspace: &Workspace) -> Result<(), String> {
    let tracked = sources::tracked_files(&workspace.root, &["Cargo.lock"])?;
    if tracked != [Path::new("Cargo.lock")] {
        return Err("Cargo.lock is not committed".to_owned());
    }
    let mut metadata = workspace.cargo(["metadata", "--locked", "--format-version", "1"]);
    steps::run_command(metadata.stdout(Stdio::null())).map_err(|_| "Cargo.lock is not up to date".to_owned())
}

fn documentation(workspace: &Workspace) -> Result<(), String> {
    let mut command = workspace.cargo(["doc", "--workspace", "--no-deps", "--all-features", "--locked"]);
    steps::run_command(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The peers of the bench among them, whose cold check takes a minute or two: a bench that has ceased to
/// compile is found here and not by whoever needs it.
fn standalone(workspace: &Workspace, directory: &Path) -> Result<(), String> {
    steps::run_command(&mut workspace.cargo_in(directory, ["fmt", "--all", "--check"]))?;
    let mut clippy = workspace.cargo_in(directory, ["clippy", "--locked", "--all-targets"]);
    steps::run_command(clippy.args(["--", "-D", "warnings"]))
}

/// Each package by itself too: in the workspace's own build, what one package enables in a shared
/// dependency hides that another forgot to.
fn features(workspace: &Workspace, package: &Package) -> Result<(), String> {
    let failed: Vec<String> = feature_selections(package)
        .into_iter()
        .filter(|selection| {
            let mut arguments = vec!["--package", &package.name];
            arguments.extend(selection.iter().map(String::as_str));
            clippy(workspace, &arguments).is_err()
        })
        .map(|selection| if selection.is_empty() { "its defaults".to_owned() } else { selection.join(" ") })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed with {}", failed.join(", "))) }
}

/// No feature, each feature alone, and the defaults.
fn feature_selections(package: &Package) -> Vec<Vec<String>> {
    let none = vec!["--no-default-features".to_owned()];
    let mut selections = vec![none.clone()];
    for feature in &package.features {
        let mut alone = none.clone();
        alone.extend(["--features".to_owned(), feature.clone()]);
        selections.push(alone);
    }
    if package.has_default_features {
        selections.push(Vec::new());
    }
    selections
}

/// Clippy checks what `cargo check` checks, and denies warnings without a change of `RUSTFLAGS`,
/// which would compile every dependency again.
fn clippy(workspace: &Workspace, selection: &[&str]) -> Result<(), String> {
    let mut command = workspace.cargo(["clippy", "--locked"]);
    steps::run_command(command.args(selection).args(["--", "-D", "warnings"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selections(features: &[&str], has_default_features: bool) -> Vec<String> {
        let package = Package {
            name: "store".to_owned(),
            features: features.iter().map(ToString::to_string).collect(),
            has_default_features,
            test_targets: Vec::new(),
        };
        feature_selections(&package).iter().map(|selection| selection.join(" ")).collect()
    }

    #[test]
    fn each_feature_is_checked_by_itself() {
        assert_eq!(selections(&[], false), ["--no-default-features"]);
        assert_eq!(
            selections(&["redis", "sqlite"], true),
            [
                "--no-default-features",
                "--no-default-features --features redis",
                "--no-default-features --features sqlite",
                ""
            ]
        );
    }
}
