//! Where golden bytes are kept: `tests/golden/format-N`, one file for each sample, for every release to read.

use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "format-1", name].iter().collect()
}

pub(crate) fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Fails unless these are the bytes of the golden file. `GOLDEN_WRITE_NEW=1` writes one that is not there yet,
/// and never another.
pub(crate) fn assert_written(name: &str, bytes: &[u8]) {
    let is_wanted = std::env::var_os("GOLDEN_WRITE_NEW").is_some_and(|value| value == "1");
    if is_wanted && !path(name).exists() {
        std::fs::write(path(name), bytes).unwrap();
    }
    assert_eq!(bytes.escape_ascii().to_string(), read(name).escape_ascii().to_string(), "{name}");
}
