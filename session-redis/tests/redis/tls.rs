//! Encrypted connections: whom they trust, and that nobody but the driver need choose a provider.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::{create, fresh_prefix, id, now, record};
use crate::server::Server;
use session_core::{ErrorKind, SessionBackend};
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
    RedisConfig::new("localhost")
        .with_port(server.port())
        .with_tls(tls)
        .with_prefix(fresh_prefix())
        .with_connect_timeout(Duration::from_secs(10))
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
