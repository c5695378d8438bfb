//! URLs whose parts hold what URLs have a meaning of their own for.

use session_core::SessionBackend;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::common::{create, id, now, patient, record, shown};
use crate::dialect::{self, Backend, Config, Connection, SCHEME};
use crate::private_server::PrivateServer;

/// All but the comma, which sqlx does not escape when it tells Postgres a role's name.
const ODD: &str = "a:/?#[]@!$&()*+;=%25 \u{e9}";

#[tokio::test(flavor = "multi_thread")]
async fn names_and_passwords_may_hold_any_character() {
    let Some(server) = PrivateServer::start(&[]).await else { return };
    let mut administrator = Connection::connect_with(&server.config().connection).await.unwrap();
    for sql in dialect::account(ODD) {
        administrator.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }
    let odd: String = ODD.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let url = |password: &str| format!("{SCHEME}://{odd}:{password}@127.0.0.1:{}/{odd}", server.port);
    let config = patient(Config::from_url(&url(&odd)).unwrap().with_auto_migrate(true));
    let backend = Backend::connect(config.clone()).await.unwrap();
    create(&backend, 1, record("x")).await;
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("x")));
    let mut connection = Connection::connect_with(&config.connection).await.unwrap();
    let database = connection.fetch_one(dialect::DATABASE).await.unwrap();
    assert_eq!(dialect::text(&database), ODD);

    let wrong = patient(Config::from_url(&url(&format!("{odd}%3Ahunter2"))).unwrap());
    let error = Backend::connect(wrong.clone()).await.unwrap_err();
    let shown = format!("{} {wrong:?}", shown(&error));
    assert!(!shown.contains("hunter2"), "{shown}");
}
