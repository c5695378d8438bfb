//! Encrypted connections: which servers the options let the driver trust.

use std::time::{Duration, Instant};

use crate::certificates::{Authority, Signed};
use crate::common::{create, id, now, record, shown};
use crate::private_server::{PASSWORD, PrivateServer};
use session_core::{Error, ErrorKind, SessionBackend};
use session_sql::mysql::{MysqlBackend, MysqlConfig};
use sqlx::{Connection, MySqlConnection, Row};

const LONG: Duration = Duration::from_secs(60);

async fn run_with(server: &mut PrivateServer, Signed { certificate, key }: &Signed) {
    server.crash();
    let certificate = server.file("server.pem", certificate);
    let key = server.file("server.key", key);
    let files = [format!("--ssl-cert={}", certificate.display()), format!("--ssl-key={}", key.display())];
    server.run(&files.each_ref().map(String::as_str)).await;
}

/// The server of these tests is `127.0.0.1`, and so says its certificate.
fn url(server: &PrivateServer, host: &str, options: &str) -> String {
    server.url(options).replace("@127.0.0.1:", &format!("@{host}:"))
}

fn config(url: &str) -> MysqlConfig {
    let config = MysqlConfig::from_url(url).unwrap().with_auto_migrate(true);
    config.with_connect_timeout(LONG).with_acquire_timeout(LONG).with_statement_timeout(LONG)
}

async fn refused(url: &str) -> Error {
    let error = MysqlBackend::connect(config(url)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Config, false), "{url}: {error:?}");
    assert!(!shown(&error).contains(PASSWORD), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_as_the_options_say() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    run_with(&mut server, &known.sign("127.0.0.1")).await;
    let known = format!("ssl-ca={}", server.file("known.pem", &known.pem()).display());
    let unknown = format!("ssl-ca={}", server.file("unknown.pem", &unknown.pem()).display());

    for (host, options) in [
        ("127.0.0.1", format!("ssl-mode=VERIFY_IDENTITY&{known}")),
        ("localhost", format!("ssl-mode=VERIFY_CA&{known}")),
        ("localhost", known.clone()),
        // Encrypted, by whomever: MySQL's clients ask no authority either.
        ("127.0.0.1", format!("ssl-mode=REQUIRED&{unknown}")),
        ("127.0.0.1", "ssl-mode=REQUIRED".to_owned()),
        ("127.0.0.1", "".to_owned()),
    ] {
        let config = config(&url(&server, host, &options));
        let backend = MysqlBackend::connect(config.clone()).await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), None);
        let mut connection = MySqlConnection::connect_with(&config.connection).await.unwrap();
        let row = sqlx::query("SHOW SESSION STATUS LIKE 'Ssl_cipher'").fetch_one(&mut connection).await;
        assert_ne!(row.unwrap().get::<String, _>(1), "", "{options}");
    }

    for options in [
        format!("ssl-mode=VERIFY_IDENTITY&{unknown}"),
        format!("ssl-mode=VERIFY_CA&{unknown}"),
        unknown,
        // The system does not know it.
        "ssl-mode=VERIFY_IDENTITY".to_owned(),
        "ssl-mode=VERIFY_CA".to_owned(),
    ] {
        let error = refused(&url(&server, "127.0.0.1", &options)).await;
        assert!(shown(&error).contains("UnknownIssuer"), "{options}: {error:?}");
    }
    let error = refused(&url(&server, "localhost", &format!("ssl-mode=VERIFY_IDENTITY&{known}"))).await;
    assert!(shown(&error).contains("not valid for name"), "{error:?}");
    let error = refused(&url(&server, "127.0.0.1", "ssl-ca=/no/such/file")).await;
    assert!(shown(&error).contains("`ssl-ca`"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_it_is_asked_for() {
    let Some(server) = PrivateServer::start(&["--skip-ssl"]).await else { return };
    let authority = server.file("authority.pem", &Authority::new("unknown").pem());
    for options in [
        "ssl-mode=REQUIRED".to_owned(),
        "ssl-mode=VERIFY_CA".to_owned(),
        "ssl-mode=VERIFY_IDENTITY".to_owned(),
        format!("ssl-ca={}", authority.display()),
    ] {
        let error = refused(&server.url(&options)).await;
        assert!(shown(&error).contains("does not support TLS"), "{options}: {error:?}");
    }
    MysqlBackend::connect(config(&server.url("ssl-mode=PREFERRED"))).await.unwrap();
}

/// The pool asks as the first connection did.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_somebody_else_takes_the_place_of_gets_no_session() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let authority = Authority::new("known");
    run_with(&mut server, &authority.sign("127.0.0.1")).await;
    let authority = server.file("authority.pem", &authority.pem());
    let options = format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={}", authority.display());
    let backend = MysqlBackend::connect(config(&server.url(&options))).await.unwrap();
    create(&backend, 1, record("x")).await;
    run_with(&mut server, &Authority::new("unknown").sign("127.0.0.1")).await;
    let started = Instant::now();
    // Until the last of the old connections was met.
    let error = loop {
        let error = backend.load(id(1), now()).await.unwrap_err();
        if error.kind() != ErrorKind::Unavailable {
            break error;
        }
        assert!(started.elapsed() < LONG, "{error:?}");
    };
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(shown(&error).contains("UnknownIssuer"), "{error:?}");
}
