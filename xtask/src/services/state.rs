//! What one instance of a service must remember from one command to the next.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

/// Written before the first process of the instance starts, so that a command which is killed half
/// way leaves nothing running that the next one cannot name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// One for each server process.
    pub(crate) ports: Vec<u16>,
    pub(crate) password: String,
    /// Stands in the names of processes that a server starts for itself.
    pub(crate) tag: String,
    /// The test run that stops the instance when it ends; nobody but `services down` if none.
    pub(crate) owner: Option<String>,
    /// When it is another one, the machine has gone down since, perhaps in the middle of a write.
    pub(crate) boot: String,
    /// The directory is complete: the servers can start in it.
    pub(crate) prepared: bool,
}

impl State {
    pub(crate) fn new(owner: Option<&str>) -> io::Result<Self> {
        Ok(Self {
            ports: Vec::new(),
            password: random_hex()?,
            tag: format!("session-kit-{}", random_hex()?),
            owner: owner.map(str::to_owned),
            boot: boot()?,
            prepared: false,
        })
    }

    /// Reads the file; one that is absent or damaged is no state.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(path).ok()?)
    }

    /// Replaces the file at once, readable by its owner alone.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let unfinished = path.with_extension("new");
        let mut file =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        io::Write::write_all(&mut file, self.to_text().as_bytes())?;
        fs::rename(unfinished, path)
    }

    pub(crate) fn is_of_this_boot(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
    }

    fn to_text(&self) -> String {
        let Self { ports, password, tag, owner, boot, prepared } = self;
        let state = json!({
            "ports": ports, "password": password, "tag": tag, "owner": owner, "boot": boot, "prepared": prepared,
        });
        format!("{state:#}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let state: Value = serde_json::from_str(text).ok()?;
        let text = |name: &str| state[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let port = |port: &Value| u16::try_from(port.as_u64()?).ok();
        Some(Self {
            ports: state["ports"].as_array()?.iter().map(port).collect::<Option<_>>()?,
            password: text("password")?,
            tag: text("tag")?,
            owner: if state["owner"].is_null() { None } else { Some(text("owner")?) },
            boot: text("boot")?,
            prepared: state["prepared"].as_bool()?,
        })
    }
}

/// A name or password that nobody guesses, in characters that need no quoting anywhere.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn state(owner: Option<&str>) -> State {
        State { ports: vec![5432, 65535], prepared: true, ..State::new(owner).unwrap() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = std::env::temp_dir().join(format!("xtask-state-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("state.json");
        assert_eq!(State::read(&path), None);
        for owner in [None, Some("run")] {
            let state = state(owner);
            state.write(&path).unwrap();
            assert_eq!(State::read(&path), Some(state));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_is_damaged_is_no_state() {
        let text = state(Some("run")).to_text();
        assert!(State::parse(&text).is_some());
        for end in 0..text.trim_end().len() {
            assert_eq!(State::parse(&text[..end]), None, "cut at {end}");
        }
        for (from, to) in [
            ("65535", "65536"),
            ("5432", "-1"),
            ("\"owner\": \"run\"", "\"owner\": 1"),
            ("\"prepared\": true", "\"prepared\": 1"),
            ("\"tag\"", "\"other\""),
        ] {
            assert_ne!(text, text.replace(from, to));
            assert_eq!(State::parse(&text.replace(from, to)), None, "{from} as {to}");
        }
    }

    #[test]
    fn no_two_instances_share_a_secret_or_a_tag() {
        let (one, other) = (state(None), state(None));
        assert_ne!(one.password, other.password);
        assert_ne!(one.tag, other.tag);
        assert!(one.is_of_this_boot());
        assert!(!State { boot: "another".to_owned(), ..one }.is_of_this_boot());
    }
}
