//! What tells one Postgres server of several from the others.

use session_core::Error;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor as _, PgConnection, Postgres, Row as _};

use super::config::address;
use crate::server::{Server, from_first_connecting};

impl Server for Postgres {
    fn place(options: &PgConnectOptions) -> String {
        address(options)
    }

    /// As libpq asks: `on` in recovery, and where `default_transaction_read_only` is.
    async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let row = connection.fetch_one(sqlx::raw_sql("SHOW transaction_read_only")).await?;
        Ok(row.try_get::<&str, _>(0)? == "off")
    }

    fn explain(error: sqlx::Error, options: &PgConnectOptions) -> Error {
        let files = "`sslrootcert`, `sslcert` or `sslkey`";
        from_first_connecting(error, options.get_socket().is_none(), files).error()
    }
}
