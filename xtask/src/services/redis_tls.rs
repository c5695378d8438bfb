//! A private Redis that speaks TLS alone, with a certificate by an authority of its own.

use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::service::{Service, Setup};

#[derive(Debug)]
pub(crate) struct RedisTls;

const AUTHORITY: &str = "authority.pem";

impl Service for RedisTls {
    fn name(&self) -> &'static str {
        "redis-tls"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["redis-server", "redis-cli"]
    }

    fn package_name(&self) -> &'static str {
        "redis-server"
    }

    fn prepare(&self, setup: &Setup) -> Result<(), String> {
        let certificates = Certificates::make().map_err(|error| format!("no certificate: {error}"))?;
        setup.write_private(AUTHORITY, &certificates.authority)?;
        setup.write_private("server.pem", &certificates.server)?;
        setup.write_private("server.key", &certificates.key)?;
        let configuration = format!(
            "bind 127.0.0.1\nrequirepass {}\ndaemonize no\nset-proc-title no\nsave \"\"\nappendonly no\n\
             maxmemory-policy noeviction\ntls-cert-file server.pem\ntls-key-file server.key\n\
             tls-ca-cert-file {AUTHORITY}\ntls-auth-clients no\n",
            setup.state.password
        );
        setup.write_private("redis.conf", &configuration).map(drop)
    }

    fn servers(&self, setup: &Setup) -> Vec<Command> {
        let mut server = setup.command("redis-server");
        server.arg(setup.directory.join("redis.conf")).args(["--port", "0", "--tls-port"]);
        server.arg(setup.port().to_string());
        vec![server]
    }

    /// By the server's own client, which has TLS.
    fn check(&self, setup: &Setup) -> Result<(), String> {
        let mut client = setup.command("redis-cli");
        client.env("REDISCLI_AUTH", &setup.state.password).args(["--tls", "--cacert", AUTHORITY]);
        client.args(["-h", "localhost", "-p", &setup.port().to_string(), "PING"]);
        client.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let output = client.output().map_err(|error| format!("redis-cli does not start: {error}"))?;
        if output.stdout == b"PONG\n" {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn url(&self, setup: &Setup) -> String {
        let authority = setup.directory.join(AUTHORITY);
        format!(
            "rediss://default:{}@localhost:{}/0?ca_file={}",
            setup.state.password,
            setup.port(),
            authority.display()
        )
    }
}

/// In PEM.
struct Certificates {
    authority: String,
    server: String,
    key: String,
}

impl Certificates {
    fn make() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // One of another name than the server's, which would pass for its own issuer.
        params.distinguished_name.push(DnType::CommonName, "session-kit tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        Ok(Self { authority: authority.pem(), server: server.pem(), key: key.serialize_pem() })
    }
}
