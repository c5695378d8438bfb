//! A purge in passes. Each takes the rows that were filed as due longest ago, by the index on `filed_at`: it removes those
//! that are dead, and files those that somebody has put off under their true expiry, where no later purge meets them
//! before that.

use session_core::{Purged, Result};

/// How many rows a pass looks at, at most.
pub(crate) const PASS_ROWS: usize = 500;

/// What a pass has met.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// Rows that were filed as due, without those that others hold.
    pub(crate) due: usize,
    /// Those of them that were dead.
    pub(crate) removed: usize,
}

/// Passes until nothing is due, or `limit` rows have been looked at. Each of those is gone or filed anew, so whoever calls
/// again while there is more comes to an end.
pub(crate) async fn purge<F>(limit: usize, pass: impl Fn(usize) -> F) -> Result<Purged>
where
    F: Future<Output = Result<Pass>>,
{
    let (mut due, mut removed) = (0, 0);
    while due < limit {
        let rows = (limit - due).min(PASS_ROWS);
        let pass = pass(rows).await?;
        due += pass.due;
        removed += pass.removed as u64;
        if pass.due < rows {
            return Ok(Purged::new(removed, false));
        }
    }
    Ok(Purged::new(removed, limit > 0))
}
