//! What the drivers of database servers have in common: connections and the tasks that work on them, calls that go
//! together, rows as records. A dialect adds its statements, its errors and its settings.

mod calls;
mod connections;
mod failure;
pub(crate) mod host_list;
mod hosts;
mod lanes;
mod lease;
mod parking;
mod purge;
mod row;
mod site;
mod verbs;

#[cfg(feature = "mysql")]
pub(crate) use calls::Write;
pub(crate) use calls::{Create, Delete, Load, Touch, Update};
pub(crate) use connections::{Bounds, Connections, Work};
pub(crate) use failure::{CHANGED, Failure, from_first_connecting};
pub(crate) use hosts::{Hosts, Server};
pub(crate) use lanes::Lanes;
#[cfg(feature = "mysql")]
pub(crate) use purge::PASS_ROWS;
pub(crate) use purge::{Pass, purge};
#[cfg(feature = "mysql")]
pub(crate) use row::Columns;
pub(crate) use row::{COLUMNS, live_record, session_id};
pub(crate) use site::pool_options;
pub(crate) use verbs::{Carries, Changes, Dialect};
