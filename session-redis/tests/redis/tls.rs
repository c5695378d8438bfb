//! Encrypted connections: whom they trust, and that nobody but the driver need choose a provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{create, fresh_prefix, id, now, patient, record};
use crate::server::Server;
use session_core::{ErrorKind, SessionBackend, UpdateOutcome};
use session_redis::{RedisBackend, RedisConfig, RedisTls};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server whose certificate says `localhost`, and who has signed it.
fn server() -> Option<(Server, Authority)> {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let (certificate, key, root) = (certificate.pem(), key.serialize_pem(), authority.pem());
    let files = [("server.pem", &*certificate), ("server.key", &*key), ("root.pem", &*root)];
    let options = [
        "--tls-cert-file",
        "server.pem",
        "--tls-key-file",
        "server.key",
        "--tls-ca-cert-file",
        "root.pem",
        "--tls-auth-clients",
        "no",
    ];
    Some((Server::start_tls(&files, &options)?, authority))
}

fn config(server: &Server, tls: RedisTls) -> RedisConfig {
    patient(RedisConfig::new("localhost").with_port(server.port()).with_tls(tls).with_prefix(fresh_prefix()))
}

#[tokio::test]
async fn a_server_signed_by_the_given_authority_is_trusted() {
    let Some((server, authority)) = server() else { return };
    let roots = RedisTls::Roots(authority.pem().into_bytes());
    let backend = RedisBackend::connect(config(&server, roots)).await.unwrap();
    create(&backend, 1, record("{}")).await;
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(record("{}")));
}

#[tokio::test]
async fn a_server_signed_by_somebody_else_is_not() {
    let Some((server, _)) = server() else { return };
    let roots = RedisTls::Roots(authority().pem().into_bytes());
    let error = RedisBackend::connect(config(&server, roots)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Config, false), "{error:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let Some((server, authority)) = server() else { return };
    let mut config = config(&server, RedisTls::Roots(authority.pem().into_bytes()));
    config.host = "127.0.0.1".to_owned();
    assert_eq!(RedisBackend::connect(config).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn who_does_not_encrypt_gets_nowhere() {
    let Some((server, _)) = server() else { return };
    let error = RedisBackend::connect(config(&server, RedisTls::Off)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

/// Goes between a driver and the server; where `spoil` is set, a bit of the next answer arrives wrong.
async fn between(server: &Server, spoil: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, server) = (listener.local_addr().unwrap().port(), server.port());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) =
                TcpStream::connect(("127.0.0.1", server)).await.unwrap().into_split();
            tokio::spawn(pass_on(from_client, to_server, Arc::default()));
            tokio::spawn(pass_on(from_server, to_client, spoil.clone()));
        }
    });
    port
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, spoil: Arc<AtomicBool>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if spoil.swap(false, Ordering::SeqCst) {
            buffer[length - 1] ^= 1;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// The kinds of a configuration say that nothing was begun, and the session would be changed twice.
#[tokio::test]
async fn an_answer_damaged_on_the_way_leaves_open_what_happened() {
    let Some((server, authority)) = server() else { return };
    let spoil = Arc::new(AtomicBool::new(false));
    let mut config = config(&server, RedisTls::Roots(authority.pem().into_bytes()));
    config.port = between(&server, spoil.clone()).await;
    let backend = RedisBackend::connect(config).await.unwrap();
    create(&backend, 1, record("old")).await;
    // Once undisturbed, so that the server knows the script.
    let (mut known, mut new) = (record("known"), record("new"));
    known.revision = record("").revision.next(1);
    let answer = backend.update(id(1), record("").revision, known.clone(), now()).await.unwrap();
    assert_eq!(answer, UpdateOutcome::Updated);
    new.revision = known.revision.next(2);
    spoil.store(true, Ordering::SeqCst);
    let error = backend.update(id(1), known.revision, new.clone(), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(backend.load(id(1), now()).await.unwrap(), Some(new), "it has taken effect");
}
