//! What calls cost before a server is asked. What they do there is tested on real servers.

use std::num::NonZeroU32;

use super::*;
use crate::server::pool_options;

/// A future is moved a few times on its way into a task, by each call.
const LIGHT: usize = 1024;

async fn is_light<DB: Server>(options: <DB::Connection as sqlx::Connection>::Options) {
    let bounds = Bounds {
        queue_capacity: NonZeroUsize::MIN,
        acquire_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
    };
    let hosts = Hosts::<DB>::new(vec![options], false, Duration::from_secs(1));
    let pool = pool_options(NonZeroU32::MIN, bounds, &hosts);
    let connections = Connections::open(bounds, pool, hosts, Home::choose().unwrap());
    let site = connections.lasting_site().unwrap();
    let bytes = size_of_val(&connections.acquire(&site));
    assert!(
        bytes <= LIGHT,
        "to ask for a connection takes {bytes} bytes, and sqlx's own part need not be there"
    );
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_call_on_postgres_carries_no_unasked_pool() {
    is_light::<sqlx::Postgres>(sqlx::postgres::PgConnectOptions::new_without_pgpass()).await;
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_call_on_mysql_carries_no_unasked_pool() {
    is_light::<sqlx::MySql>(sqlx::mysql::MySqlConnectOptions::new()).await;
}
