//! An id is all of its bytes.

use session_core::SessionId;

use super::store::Store;

pub(super) const FAULTS: &[((), &str, &str)] =
    &[((), "id_loses_its_last_byte", "a verb on one id never shows on another, however similar")];

/// Which session a careless driver takes this one for.
pub(super) fn taken_for(store: &Store, id: SessionId) -> SessionId {
    store.first_with(id)
}
