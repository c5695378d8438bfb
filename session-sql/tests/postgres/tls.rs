//! Encrypted connections: which servers the options let the driver trust.

use crate::certificates::{Authority, Signed};
use crate::common::{LONG, create, id, now, patient, record, shown};
use crate::private_server::{PASSWORD, PrivateServer};
use session_core::{Error, ErrorKind, SessionBackend};
use session_sql::postgres::{PostgresBackend, PostgresConfig};
use sqlx::{Connection, PgConnection, Row};

/// The server of these tests is `127.0.0.1`, and so says its certificate.
const OTHER_NAME: &str = "host=localhost";

async fn run_with(server: &mut PrivateServer, Signed { certificate, key }: &Signed) {
    server.stop();
    let certificate = server.file("server.pem", certificate);
    let key = server.file("server.key", key);
    let files = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", certificate.display()),
        format!("ssl_key_file={}", key.display()),
    ];
    server.run(&files.each_ref().map(String::as_str)).await;
}

fn config(server: &PrivateServer, options: &str) -> PostgresConfig {
    patient(PostgresConfig::from_url(&server.url(options)).unwrap()).with_auto_migrate(true)
}

async fn refused(server: &PrivateServer, options: &str) -> Error {
    let error = PostgresBackend::connect(config(server, options)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Config, false), "{options}: {error:?}");
    assert!(!shown(&error).contains(PASSWORD), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_as_the_options_say() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
    run_with(&mut server, &known.sign("127.0.0.1")).await;
    let known = format!("sslrootcert={}", server.file("known.pem", &known.pem()).display());
    let unknown = format!("sslrootcert={}", server.file("unknown.pem", &unknown.pem()).display());

    for options in [
        format!("sslmode=verify-full&{known}"),
        format!("sslmode=verify-ca&{known}&{OTHER_NAME}"),
        // As libpq reads it: who names an authority wants it asked.
        format!("sslmode=require&{known}&{OTHER_NAME}"),
        format!("{known}&{OTHER_NAME}"),
        // Encrypted, by whomever.
        "sslmode=require".to_owned(),
        "".to_owned(),
    ] {
        let config = config(&server, &options);
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
        assert_eq!(backend.load(id(1), now()).await.unwrap(), None);
        let mut connection = PgConnection::connect_with(&config.connection).await.unwrap();
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let is_encrypted: bool = sqlx::query(sql).fetch_one(&mut connection).await.unwrap().get(0);
        assert!(is_encrypted, "{options}");
    }

    for options in [
        format!("sslmode=verify-full&{unknown}"),
        format!("sslmode=verify-ca&{unknown}"),
        format!("sslmode=require&{unknown}"),
        unknown,
        // The system does not know it.
        "sslmode=verify-full".to_owned(),
        "sslmode=verify-ca".to_owned(),
        "sslrootcert=system".to_owned(),
    ] {
        let error = refused(&server, &options).await;
        assert!(shown(&error).contains("UnknownIssuer"), "{options}: {error:?}");
    }
    let error = refused(&server, &format!("sslmode=verify-full&{known}&{OTHER_NAME}")).await;
    assert!(shown(&error).contains("not valid for name"), "{error:?}");
    let error = refused(&server, "sslrootcert=/no/such/file").await;
    assert!(shown(&error).contains("`sslrootcert`"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_it_is_asked_for() {
    let Some(server) = PrivateServer::start(&[]).await else { return };
    let authority = server.file("authority.pem", &Authority::new("unknown").pem());
    for options in [
        "sslmode=require".to_owned(),
        "sslmode=verify-ca".to_owned(),
        "sslmode=verify-full".to_owned(),
        format!("sslrootcert={}", authority.display()),
    ] {
        let error = refused(&server, &options).await;
        assert!(shown(&error).contains("does not support TLS"), "{options}: {error:?}");
    }
    PostgresBackend::connect(config(&server, "sslmode=prefer")).await.unwrap();
}

/// The pool asks as the first connection did.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_somebody_else_takes_the_place_of_gets_no_session() {
    let Some(mut server) = PrivateServer::start(&[]).await else { return };
    let authority = Authority::new("known");
    run_with(&mut server, &authority.sign("127.0.0.1")).await;
    let authority = server.file("authority.pem", &authority.pem());
    let options = format!("sslmode=verify-full&sslrootcert={}", authority.display());
    let backend = PostgresBackend::connect(config(&server, &options)).await.unwrap();
    create(&backend, 1, record("x")).await;
    run_with(&mut server, &Authority::new("unknown").sign("127.0.0.1")).await;
    let started = std::time::Instant::now();
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
