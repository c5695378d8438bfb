//! Finds the programs that tests need, and installs them where this system lets us.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::progress;
use crate::user;

/// A package of Debian, and what is needed of it.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) programs: Vec<&'static str>,
    /// Where the programs may be, besides the search path.
    pub(crate) directories: Vec<PathBuf>,
    /// What helps where it cannot be installed.
    pub(crate) instead: String,
}

/// Installs the package `$0` so that no server of the system starts and no cluster is made, now or
/// at the next boot, and takes back what it changed for that. A policy that an earlier run had to
/// leave (`kill -9`) is known by its comment. The lock is on a directory, so it leaves no file.
const INSTALL: &str = r#"
set -eu
exec 9< /usr/sbin
flock 9
policy=/usr/sbin/policy-rc.d
kept=/usr/sbin/policy-rc.d.kept-by-session-kit
clusters=/etc/postgresql-common/createcluster.d
made=
clean_up() {
    rm -f "$policy" "$clusters/session-kit.conf"
    if [ -e "$kept" ]; then mv "$kept" "$policy"; fi
    for directory in $made; do rmdir --ignore-fail-on-non-empty "$directory"; done
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
if [ -e "$policy" ] && [ ! -e "$kept" ] && ! grep -q 'of session-kit' "$policy"; then
    mv "$policy" "$kept"
fi
printf '#!/bin/sh\n# For one installation of session-kit.\nexit 101\n' > "$policy"
chmod 755 "$policy"
for directory in "$clusters" "${clusters%/*}"; do
    if [ ! -e "$directory" ]; then made="$made $directory"; fi
done
mkdir -p "$clusters"
echo 'create_main_cluster = false' > "$clusters/session-kit.conf"
if [ "$1" = update ]; then apt-get -q update || echo 'the lists of packages may be old'; fi
apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$0"
if command -v systemctl > /dev/null; then
    for unit in "$0" $(dpkg -L "$0" | sed -n 's|.*/systemd/system/\([^/@]*\)\.service$|\1|p'); do
        systemctl --quiet disable "$unit" || true
    done
fi
"#;

/// Installs what is missing. The lists of packages are brought up to date once, when first needed.
#[derive(Default)]
pub(crate) struct Programs {
    lists_are_fresh: bool,
}

impl Programs {
    /// The path of each program of the package.
    pub(crate) fn of(&mut self, package: &Package) -> Result<BTreeMap<&'static str, PathBuf>, String> {
        find_or_install(package, || self.install(package.name))
    }

    fn install(&mut self, package: &str) -> Result<(), String> {
        if locate(&["apt-get"], &search_path()).is_err() {
            return Err("this system has no apt-get".to_owned());
        }
        if !user::is_root() {
            return Err("only root may install it".to_owned());
        }
        progress(&format!("installing the package {package}"));
        let update = if self.lists_are_fresh { "" } else { "update" };
        let status = Command::new("sh")
            .args(["-c", INSTALL, package, update])
            .env("DEBIAN_FRONTEND", "noninteractive")
            // A group of its own: who interrupts this program does not leave half a package.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(io::stderr())
            .status()
            .map_err(|error| format!("sh does not start: {error}"))?;
        self.lists_are_fresh = true;
        if status.success() { Ok(()) } else { Err(format!("apt-get failed ({status})")) }
    }
}

fn find_or_install(
    package: &Package,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<BTreeMap<&'static str, PathBuf>, String> {
    let Package { name, programs, directories, instead } = package;
    let find = || locate(programs, &directories.iter().cloned().chain(search_path()).collect::<Vec<_>>());
    if let Ok(found) = find() {
        return Ok(found);
    }
    let installed = install().and_then(|()| find());
    installed.map_err(|reason| format!("not installed: {reason}; install the package {name}, or {instead}"))
}

fn locate(programs: &[&'static str], places: &[PathBuf]) -> Result<BTreeMap<&'static str, PathBuf>, String> {
    let find = |program: &&'static str| {
        let path = places.iter().map(|place| place.join(program)).find(|path| is_program(path));
        path.map(|path| (*program, path)).ok_or_else(|| format!("there is no program `{program}`"))
    };
    programs.iter().map(find).collect()
}

/// What root installs is often out of the search path of others.
fn search_path() -> Vec<PathBuf> {
    let mut places: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    places.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    places
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(programs: &[&'static str], directories: &[&Path]) -> Package {
        let directories = directories.iter().map(|path| path.to_path_buf()).collect();
        Package {
            name: "kit",
            programs: programs.to_vec(),
            directories,
            instead: "name it in KIT".to_owned(),
        }
    }

    #[test]
    fn what_is_there_is_not_installed() {
        let found = find_or_install(&package(&["sh"], &[]), || panic!("installed"));
        assert!(found.unwrap()["sh"].ends_with("sh"));
    }

    #[test]
    fn what_is_missing_is_installed_and_then_found() {
        let directory = std::env::temp_dir().join(format!("xtask-programs-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let package = package(&["sh", "xtask-no-such"], &[&directory]);
        let install = || fs::copy("/bin/sh", directory.join("xtask-no-such")).map(drop);
        let found = find_or_install(&package, || install().map_err(|error| error.to_string()));
        assert_eq!(found.unwrap()["xtask-no-such"], directory.join("xtask-no-such"));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_stays_missing_says_why_and_what_helps() {
        let package = package(&["xtask-no-such"], &[]);
        let refused = find_or_install(&package, || Err("only root may install it".to_owned()));
        assert_eq!(
            refused.unwrap_err(),
            "not installed: only root may install it; install the package kit, or name it in KIT"
        );
        let incomplete = find_or_install(&package, || Ok(()));
        assert!(incomplete.unwrap_err().contains("there is no program `xtask-no-such`"));
    }

    #[test]
    fn the_first_place_that_has_a_program_counts() {
        let bin: Vec<_> = ["/nonexistent", "/bin", "/usr/bin"].map(PathBuf::from).into();
        assert_eq!(locate(&["sh"], &bin).unwrap()["sh"], Path::new("/bin/sh"));
        assert_eq!(locate(&["sh", "no-such"], &bin).unwrap_err(), "there is no program `no-such`");
        assert!(locate(&["passwd"], &["/etc".into()]).is_err(), "no program, only a file");
    }
}
