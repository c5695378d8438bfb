//! What an acknowledged write survives, for drivers that own their files.

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process, `kill -9` included, but not a power cut, which may undo the latest
    /// writes (a sign-out among them). The default.
    #[default]
    ProcessCrash,
    /// A power cut as well, at the cost of one flush to the disk for each commit.
    PowerLoss,
}
