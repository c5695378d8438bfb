//! Who runs this program, and who runs a server that refuses root.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// Those who may run a server for root, the most fitting first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct User {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

pub(crate) fn unprivileged() -> Result<User, String> {
    let cannot = |error: io::Error| format!("cannot read /etc/passwd: {error}");
    let users = fs::read_to_string("/etc/passwd").map_err(cannot)?;
    let found = UNPRIVILEGED.iter().find_map(|name| find(&users, name));
    found.ok_or_else(|| format!("there is none of the users {}", UNPRIVILEGED.join(", ")))
}

/// Reads `name:x:101:104:...`.
fn find(users: &str, name: &str) -> Option<User> {
    let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = line.split(':').skip(1);
    Some(User { id: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nnobody2:x:9:9::/:\nnobody:x:65534:65533::/:\nbad:x:one:1::/:\n";
        assert_eq!(find(users, "root"), Some(User { id: 0, group: 0 }));
        assert_eq!(find(users, "nobody"), Some(User { id: 65534, group: 65533 }));
        for name in ["postgres", "nobod", "bad"] {
            assert_eq!(find(users, name), None, "{name}");
        }
    }
}
