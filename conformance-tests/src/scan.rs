//! What the pieces of [`Harness::scan`](crate::Harness::scan) show.

use bytes::Bytes;
use session_core::SessionId;

/// Whether one of the pieces contains `part`.
pub(crate) fn holds(pieces: &[Bytes], part: &[u8]) -> bool {
    pieces.iter().any(|piece| piece.windows(part.len()).any(|window| window == part))
}

/// Whether the id is in one of the pieces: as bytes, as its text, or in hexadecimal digits.
pub(crate) fn is_named(pieces: &[Bytes], id: SessionId) -> bool {
    let hex: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = [id.as_bytes().to_vec(), id.to_string().into_bytes(), hex.to_uppercase().into(), hex.into()];
    forms.iter().any(|form| holds(pieces, form))
}
