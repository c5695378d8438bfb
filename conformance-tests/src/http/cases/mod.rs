//! Group W: what integrations must do. The order is that of lists and summaries.

mod bearer;
mod commit;
mod cookies;
mod headers;
mod interrupted;
mod lookup;
mod scopes;
mod store;
mod streams;

use super::context::HttpContext;
use crate::case::Case;

pub(super) fn all() -> Vec<Case<HttpContext>> {
    [
        cookies::CASES,
        lookup::CASES,
        headers::CASES,
        commit::CASES,
        interrupted::CASES,
        streams::CASES,
        store::CASES,
        scopes::CASES,
        bearer::CASES,
    ]
    .concat()
}
