//! Which lists a change went through by an index.

use super::path::MAX_DEPTH;

/// The prefixes of a path, by their number of segments, that a change found to be lists and indexed.
///
/// An index means another element once its list has changed, so such a change may be replayed only
/// over the same list. A change that found nothing to do at an index counts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lists(u32);

impl Lists {
    pub(super) fn mark(&mut self, prefix: usize) {
        const { assert!(MAX_DEPTH <= u32::BITS as usize) }
        self.0 |= 1 << prefix;
    }

    /// The lengths of the prefixes, the shortest first.
    pub(crate) fn prefixes(self) -> impl Iterator<Item = usize> {
        (0..MAX_DEPTH).filter(move |prefix| self.0 & 1 << prefix != 0)
    }
}
