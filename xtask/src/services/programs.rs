//! Finds the programs of a service, and installs them where this system lets us.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::service::Service;
use super::{progress, user};

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
if command -v systemctl > /dev/null; then systemctl --quiet disable "$0" || true; fi
"#;

/// Installs what is missing. The lists of packages are brought up to date once, when first needed.
#[derive(Default)]
pub(crate) struct Programs {
    lists_are_fresh: bool,
}

impl Programs {
    /// The path of each program of the service.
    pub(crate) fn of(&mut self, service: &dyn Service) -> Result<BTreeMap<&'static str, PathBuf>, String> {
        let places = || service.directories().into_iter().chain(search_path()).collect();
        self.find(service.programs(), places, service.package())
            .map_err(|reason| format!("{reason}, or name a server in {}", service.variable()))
    }

    /// The path of a program that lives where commands do.
    pub(crate) fn command(&mut self, program: &'static str, package: &str) -> Result<PathBuf, String> {
        let mut found = self.find(&[program], search_path, package)?;
        found.remove(program).ok_or_else(|| format!("there is no program `{program}`"))
    }

    fn find(
        &mut self,
        programs: &[&'static str],
        places: impl Fn() -> Vec<PathBuf>,
        package: &str,
    ) -> Result<BTreeMap<&'static str, PathBuf>, String> {
        if let Ok(found) = locate(programs, &places()) {
            return Ok(found);
        }
        self.install(package)
            .and_then(|()| locate(programs, &places()))
            .map_err(|reason| format!("not installed: {reason}; install the package {package}"))
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

    #[test]
    fn the_first_place_that_has_a_program_counts() {
        let bin: Vec<_> = ["/nonexistent", "/bin", "/usr/bin"].map(PathBuf::from).into();
        assert_eq!(locate(&["sh"], &bin).unwrap()["sh"], Path::new("/bin/sh"));
        assert_eq!(locate(&["sh", "no-such"], &bin).unwrap_err(), "there is no program `no-such`");
        assert!(locate(&["passwd"], &["/etc".into()]).is_err(), "no program, only a file");
    }
}
