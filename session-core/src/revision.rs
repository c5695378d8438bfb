//! The version of a record that updates are compared against.

use std::fmt;

/// Which write of a session a record is: a sequence for order, random bits for uniqueness.
///
/// One positive `i64`, so that every store can hold and compare it: the upper 31 bits count the
/// writes of the session (1, 2, 3, ...), the lower 32 are random. Because of those, the revision of a
/// session that was deleted and created again never matches one from its earlier life.
///
/// The core chooses revisions; drivers store and compare them for equality.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(i64);

const SEQUENCE_SHIFT: u32 = 32;
const SEQUENCE_MAX: i64 = i32::MAX as i64;

impl Revision {
    /// The revision of a record that is being created.
    #[must_use]
    pub fn first(random: u32) -> Self {
        Self::from_parts(1, random)
    }

    /// The revision of the write after this one.
    #[must_use]
    pub fn next(self, random: u32) -> Self {
        Self::from_parts(self.sequence().saturating_add(1), random)
    }

    fn from_parts(sequence: u32, random: u32) -> Self {
        let sequence = i64::from(sequence).clamp(1, SEQUENCE_MAX);
        Self(sequence << SEQUENCE_SHIFT | i64::from(random))
    }

    /// The revision that a store kept as `value`; `None` if no revision has that value.
    #[must_use]
    pub fn from_i64(value: i64) -> Option<Self> {
        (value >> SEQUENCE_SHIFT >= 1).then_some(Self(value))
    }

    /// The value that a store keeps: always positive.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        self.0
    }

    pub(crate) fn random(self) -> u32 {
        // The lower half, on purpose.
        (self.0 & i64::from(u32::MAX)) as u32
    }

    /// How many times the session was written, this write included.
    #[must_use]
    pub fn sequence(self) -> u32 {
        u32::try_from(self.0 >> SEQUENCE_SHIFT).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({}:{:08x})", self.sequence(), self.0 & 0xffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_counts_and_stays_positive() {
        let first = Revision::first(u32::MAX);
        let second = first.next(0);
        assert_eq!((first.sequence(), second.sequence()), (1, 2));
        assert!(second > first);
        let last = Revision::from_parts(u32::MAX, u32::MAX);
        assert_eq!(last.as_i64(), i64::MAX);
        assert_eq!(last.next(7).sequence(), i32::MAX as u32);
    }

    #[test]
    fn only_what_was_a_revision_is_one() {
        for value in [0, 1, -1, i64::MIN, (1 << 32) - 1] {
            assert_eq!(Revision::from_i64(value), None, "{value}");
        }
        let revision = Revision::first(5);
        assert_eq!(Revision::from_i64(revision.as_i64()), Some(revision));
    }
}
