//! What a power cut does to changes that were not flushed.

use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::image::{Disk, Effect, Naming, write};

/// Disks write this much at once, or not at all.
const SECTOR: usize = 512;

/// Stands for what nobody can know.
pub(super) const UNKNOWN: u8 = 0xa5;

/// What becomes of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// The file got as long as the write made it, but has zeros there, or what was on the disk before.
    OnlyLength {
        noise: bool,
    },
    /// Of a write, the first sectors only.
    Until(usize),
    /// Of a write, all but the first sectors.
    From(usize),
    /// Of a write, some sectors.
    Some(u64),
}

impl Fate {
    /// Does to `bytes` what it leaves of a write.
    pub(super) fn write(self, bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        match self {
            Self::Kept => write(bytes, offset, data),
            Self::Lost => {}
            Self::OnlyLength { noise } if bytes.len() < end => {
                bytes.resize(end, if noise { UNKNOWN } else { 0 });
            }
            Self::OnlyLength { .. } => {}
            Self::Until(_) | Self::From(_) | Self::Some(_) => {
                let mut random = StdRng::seed_from_u64(if let Self::Some(seed) = self { seed } else { 0 });
                for (place, (from, until)) in sectors(offset, data.len()).enumerate() {
                    let is_kept = match self {
                        Self::Until(count) => place < count,
                        Self::From(count) => place >= count,
                        _ => random.random(),
                    };
                    if is_kept {
                        write(bytes, from, &data[from - offset..until - offset]);
                    }
                }
            }
        }
    }

    /// What may happen to `effect`, beside being kept.
    pub(super) fn random(effect: &Effect, random: &mut StdRng) -> Self {
        match effect {
            Effect::Write { offset, data, .. } => match random.random_range(0..8) {
                0 => Self::OnlyLength { noise: random.random() },
                1 | 2 if sector_count(*offset, data.len()) > 1 => Self::Some(random.random()),
                _ => Self::Lost,
            },
            _ => Self::Lost,
        }
    }
}

/// How many sectors a write goes to.
pub(super) fn sector_count(offset: usize, length: usize) -> usize {
    sectors(offset, length).count()
}

/// The parts of a write that go to one sector each.
fn sectors(offset: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = offset + length;
    let mut from = offset;
    std::iter::from_fn(move || {
        let until = (from / SECTOR * SECTOR + SECTOR).min(end);
        let part = (from < end).then_some((from, until));
        from = until;
        part
    })
}

/// A change and its fate, for people.
pub(super) struct Fated<'a>(pub(super) &'a Disk, pub(super) &'a Effect, pub(super) Fate);

impl fmt::Display for Fated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(disk, effect, fate) = self;
        match fate {
            Fate::Kept => f.write_str("kept: ")?,
            Fate::Lost => f.write_str("lost: ")?,
            Fate::OnlyLength { noise: false } => f.write_str("lost but for zeros in its place: ")?,
            Fate::OnlyLength { noise: true } => f.write_str("lost but for old bytes in its place: ")?,
            Fate::Until(count) => write!(f, "torn after {count} sectors: ")?,
            Fate::From(count) => write!(f, "torn, without its first {count} sectors: ")?,
            Fate::Some(seed) => write!(f, "torn by seed {seed}: ")?,
        }
        match effect {
            Effect::Write { file, offset, data } => {
                write!(f, "a write of {} bytes at {offset} of {}", data.len(), disk.file_name(*file))
            }
            Effect::Resize { file, length } => {
                write!(f, "the length {length} of {}", disk.file_name(*file))
            }
            Effect::Name(Naming::Made { name, .. }) => write!(f, "the new name {name:?}"),
            Effect::Name(Naming::Removed { name }) => write!(f, "the removal of {name:?}"),
            Effect::Name(Naming::Renamed { from, to }) => write!(f, "the move of {from:?} to {to:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_torn_at_the_sectors_of_the_file() {
        let data = [1; 1000];
        assert_eq!(sectors(500, 1000).collect::<Vec<_>>(), [(500, 512), (512, 1024), (1024, 1500)]);
        let mut bytes = vec![0; 2000];
        Fate::Until(2).write(&mut bytes, 500, &data);
        assert_eq!(bytes.iter().position(|byte| *byte == 1), Some(500));
        assert_eq!(bytes.iter().rposition(|byte| *byte == 1), Some(1023));
        let mut bytes = Vec::new();
        Fate::From(1).write(&mut bytes, 500, &data);
        assert_eq!((bytes.len(), bytes[511], bytes[512]), (1500, 0, 1));
        let mut bytes = vec![7; 501];
        Fate::OnlyLength { noise: false }.write(&mut bytes, 500, &data);
        assert_eq!((bytes.len(), bytes[500], bytes[501]), (1500, 7, 0));
    }
}
