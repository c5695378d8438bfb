//! The session libraries that users would pick today, under the harness of session-kit.

mod actix;
mod shared;
mod site;
mod stores;

use bench_harness::{Failure, Program, serve};

use actix::ActixSession;
use shared::AsyncSession;
use site::Site;
use stores::TowerSessions;

fn main() -> Result<(), Failure> {
    let program = Program::from_arguments()?;
    match program.store.as_str() {
        "memory" => serve(program, TowerSessions::in_memory),
        "moka" => serve(program, TowerSessions::in_moka),
        "sqlite" => serve(program, TowerSessions::in_wal),
        "sqlite_default" => serve(program, TowerSessions::in_default_sqlite),
        "postgres" => serve(program, TowerSessions::in_postgres),
        "mariadb" => serve(program, TowerSessions::in_mariadb),
        "redis" => serve(program, TowerSessions::in_redis),
        "redis_actix" => serve(program, ActixSession::open),
        "async_session" => serve(program, AsyncSession::open),
        "http" => serve(program, Site::of_tower_sessions),
        "http_axum_session" => serve(program, Site::of_axum_session),
        other => Err(format!("no such store: {other}").into()),
    }
}
