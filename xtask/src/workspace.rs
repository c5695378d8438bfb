//! What `cargo metadata` says about the workspace, and how its cargo is called.
//!
//! Packages, features and test targets are read, never listed by hand: a new crate is tested and
//! linted from its first commit.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sources;

pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target_directory: PathBuf,
    pub(crate) packages: Vec<Package>,
}

pub(crate) struct Package {
    pub(crate) name: String,
    /// Without `default`, and without those that only stand for an optional dependency.
    pub(crate) features: Vec<String>,
    pub(crate) has_default_features: bool,
    /// The names of its integration tests: `tests/NAME.rs`.
    pub(crate) test_targets: Vec<String>,
}

impl Workspace {
    /// Finds the workspace of the current directory.
    pub(crate) fn find() -> Result<Self, String> {
        let output = cargo_command()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo does not start: {error}"))?;
        if !output.status.success() {
            return Err("`cargo metadata` failed".to_owned());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("`cargo metadata` answered no JSON: {error}"))?;
        Self::from_metadata(&metadata)
            .ok_or_else(|| "`cargo metadata` answered in an unknown form".to_owned())
    }

    /// A command of cargo's own, run at the root of the workspace.
    pub(crate) fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = cargo_command();
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// The directories of workspaces of their own, those with a lock file: an example as a stranger would write
    /// it, or tests that need a build with other features. Relative to the root.
    pub(crate) fn standalone_workspaces(&self) -> Result<Vec<PathBuf>, String> {
        let locks = sources::tracked_files(&self.root, &["*/Cargo.lock"])?;
        Ok(locks.iter().filter_map(|lock| lock.parent()).map(Path::to_owned).collect())
    }

    /// A command of cargo's own on the workspace in `directory`, with this one's target directory.
    pub(crate) fn cargo_in<'a>(
        &self,
        directory: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Command {
        let mut command = self.cargo(arguments);
        command.arg("--manifest-path").arg(directory.join("Cargo.toml"));
        command.env("CARGO_TARGET_DIR", &self.target_directory);
        command
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let mut packages = metadata["packages"]
            .as_array()?
            .iter()
            .map(Package::from_metadata)
            .collect::<Option<Vec<_>>>()?;
        packages.sort_by(|left, right| left.name.cmp(&right.name));
        Some(Self {
            root: metadata["workspace_root"].as_str()?.into(),
            target_directory: metadata["target_directory"].as_str()?.into(),
            packages,
        })
    }
}

impl Package {
    fn from_metadata(package: &Value) -> Option<Self> {
        let features = package["features"].as_object()?;
        let mut test_targets = Vec::new();
        for target in package["targets"].as_array()? {
            let is_test = target["kind"].as_array()?.iter().any(|kind| kind == "test");
            if is_test && target["test"].as_bool()? {
                test_targets.push(target["name"].as_str()?.to_owned());
            }
        }
        let mut names: Vec<String> = features
            .iter()
            .filter(|(name, enables)| *name != "default" && !stands_for_a_dependency(name, enables))
            .map(|(name, _)| name.clone())
            .collect();
        // A feature of serde_json, which another package may turn on, decides the order of an object's entries.
        names.sort();
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            features: names,
            has_default_features: features.contains_key("default"),
            test_targets,
        })
    }
}

/// Cargo lists an optional dependency as a feature of the same name that enables only itself.
fn stands_for_a_dependency(name: &str, enables: &Value) -> bool {
    enables.as_array().is_some_and(|enables| {
        enables.len() == 1 && enables[0].as_str().and_then(|first| first.strip_prefix("dep:")) == Some(name)
    })
}

fn cargo_command() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `cargo run` describes xtask to its child by these. Build scripts that watch them would
    // rebuild their crates whenever a developer alternates between `cargo test` and xtask.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_packages_features_and_test_targets() {
        let metadata = json!({
            "workspace_root": "/repository",
            "target_directory": "/repository/target",
            "packages": [
                {
                    "name": "store",
                    "features": {
                        "default": ["sqlite"],
                        "sqlite": ["dep:rusqlite"],
                        "libc": ["dep:libc"],
                        "server": ["dep:server", "sqlite"],
                        "empty": [],
                    },
                    "targets": [
                        { "name": "store", "kind": ["lib"], "test": true },
                        { "name": "conformance", "kind": ["test"], "test": true },
                        { "name": "by_hand", "kind": ["test"], "test": false },
                        { "name": "sample", "kind": ["example"], "test": false },
                    ],
                },
                { "name": "core", "features": {}, "targets": [] },
            ],
        });
        let workspace = Workspace::from_metadata(&metadata).unwrap();
        assert_eq!(workspace.root, PathBuf::from("/repository"));
        assert_eq!(workspace.target_directory, PathBuf::from("/repository/target"));
        let [core, store] = workspace.packages.as_slice() else { panic!("two packages, by name") };
        assert_eq!((core.name.as_str(), core.has_default_features), ("core", false));
        assert!(core.features.is_empty() && core.test_targets.is_empty());
        assert_eq!((store.name.as_str(), store.has_default_features), ("store", true));
        assert_eq!(store.features, ["empty", "server", "sqlite"]);
        assert_eq!(store.test_targets, ["conformance"]);
    }

    #[test]
    fn another_form_is_no_workspace() {
        assert!(Workspace::from_metadata(&json!({ "packages": [] })).is_none());
        assert!(Workspace::from_metadata(&json!({ "packages": [{ "name": 1 }] })).is_none());
    }
}
