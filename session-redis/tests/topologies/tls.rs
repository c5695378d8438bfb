//! A cluster that is encrypted, and whether its certificates are for what its nodes announce.

use std::collections::BTreeSet;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use session_core::{CreateOutcome, ErrorKind, SessionBackend};
use session_redis::{RedisBackend, RedisConfig, RedisTls};

use crate::cluster::slot_of;
use crate::load::{id, now, record};
use crate::node::until;
use crate::private_cluster::{MASTERS, PrivateCluster};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate of the same name as its authority for one that has signed itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for this name or address, and the key.
fn certificate(authority: &Authority, of: &str, directory: &Path) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([of.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    std::fs::write(directory.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.join("server.key"), key.serialize_pem()).unwrap();
}

async fn set(cluster: &PrivateCluster, words: &[&str]) {
    for node in &cluster.nodes {
        node.ask::<()>(&[&["CONFIG", "SET"], words].concat()).await;
    }
}

async fn use_it(config: RedisConfig) {
    let backend = RedisBackend::connect(config).await.unwrap();
    for session in 0..30 {
        let outcome = backend.create(id(session), record("0"), now()).await.unwrap();
        assert_eq!(outcome, CreateOutcome::Created);
        assert_eq!(backend.load(id(session), now()).await.unwrap(), Some(record("0")));
    }
    let (mut seen, mut after) = (BTreeSet::new(), None);
    loop {
        let page = backend.list(None, after, 100, now()).await.unwrap();
        seen.extend(page.sessions.into_iter().map(|(session, _)| session));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..30).map(id).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_trusted_by_the_address_or_the_name_that_they_announce() {
    let (authority, directory) = (authority(), tempfile::tempdir().unwrap());
    let files = directory.path().to_owned();
    std::fs::write(files.join("root.pem"), authority.pem()).unwrap();
    certificate(&authority, "127.0.0.1", &files);
    let Some(cluster) = PrivateCluster::start_tls(directory).await else { return };
    let at = |host: &str| cluster.config_at(host).with_tls(RedisTls::Roots(authority.pem().into_bytes()));

    // By the address, and along redirections.
    let config = at("127.0.0.1");
    use_it(config.clone()).await;
    let backend = RedisBackend::connect(config.clone()).await.unwrap();
    let slot = slot_of(&config.prefix, id(7));
    let from = cluster.master_of(slot).await;
    cluster.move_slot(slot, from, (from + 1) % MASTERS).await;
    assert_eq!(backend.load(id(7), now()).await.unwrap(), Some(record("0")));

    // The seeds are called as the certificate says, what they announce is not.
    certificate(&authority, "localhost", &files);
    let (pem, key) = (files.join("server.pem"), files.join("server.key"));
    let (pem, key) = (pem.to_str().unwrap(), key.to_str().unwrap());
    set(&cluster, &["tls-cert-file", pem, "tls-key-file", key]).await;
    let error = RedisBackend::connect(at("localhost")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");

    set(&cluster, &["cluster-announce-hostname", "localhost"]).await;
    set(&cluster, &["cluster-preferred-endpoint-type", "hostname"]).await;
    for node in &cluster.nodes {
        until("all nodes are known by name", async || {
            let text: String = node.ask(&["CLUSTER", "NODES"]).await;
            text.lines().all(|line| line.contains(",localhost "))
        })
        .await;
    }
    use_it(at("localhost")).await;
}
