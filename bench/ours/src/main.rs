//! The stores of session-kit under the harness, and, for their limits, the raw structures below them.

mod backend;
mod eviction;
mod floor;
mod map;
mod raw_file;
mod raw_mariadb;
mod raw_postgres;
mod raw_redis;
mod raw_sqlite;
mod site;

use bench_harness::{Failure, Program, serve};
use session_core::Durability;

use backend::Sessions;
use map::SharedMap;
use raw_file::RawFile;
use raw_mariadb::RawMariadb;
use raw_postgres::RawPostgres;
use raw_redis::RawRedis;
use raw_sqlite::{RawSqlite, Synchronous};
use site::Site;

fn main() -> Result<(), Failure> {
    let program = Program::from_arguments()?;
    match program.store.as_str() {
        "memory" => serve(program, Sessions::in_memory),
        "sqlite" => serve(program, |program| Sessions::in_sqlite(program, Durability::ProcessCrash)),
        "sqlite_power_loss" => serve(program, |program| Sessions::in_sqlite(program, Durability::PowerLoss)),
        "file" => serve(program, |program| Sessions::in_files(program, Durability::ProcessCrash)),
        "file_power_loss" => serve(program, |program| Sessions::in_files(program, Durability::PowerLoss)),
        "postgres" => serve(program, Sessions::in_postgres),
        "mariadb" => serve(program, Sessions::in_mariadb),
        "redis" => serve(program, Sessions::in_redis),
        "redis_signed_in" => serve(program, Sessions::in_redis_signed_in),
        "redis_cluster" => serve(program, |program| Sessions::in_named_redis(program, "REDIS_CLUSTER")),
        "redis_sentinel" => serve(program, |program| Sessions::in_named_redis(program, "REDIS_SENTINEL")),
        "http" => serve(program, Site::open),
        "http_floor" => serve(program, floor::open),
        "raw_file" => serve(program, |program| RawFile::open(program, Durability::ProcessCrash)),
        "raw_file_power_loss" => serve(program, |program| RawFile::open(program, Durability::PowerLoss)),
        "raw_map" => serve(program, SharedMap::open),
        "raw_mariadb" => serve(program, RawMariadb::open),
        "raw_postgres" => serve(program, RawPostgres::open),
        "raw_redis" => serve(program, RawRedis::open),
        "raw_sqlite" => serve(program, |program| RawSqlite::open(program, Synchronous::Normal)),
        "raw_sqlite_power_loss" => serve(program, |program| RawSqlite::open(program, Synchronous::Full)),
        other => Err(format!("no such store: {other}").into()),
    }
}
