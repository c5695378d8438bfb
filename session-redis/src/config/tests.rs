//! URLs, limits, and what is never shown.

use super::*;

#[test]
fn urls_name_all_parts() {
    let config = RedisConfig::from_url("redis://127.0.0.1").unwrap();
    assert_eq!((config.host.as_str(), config.port, config.database), ("127.0.0.1", 6379, 0));
    assert_eq!((config.username, config.password, config.tls), (None, None, RedisTls::Off));

    let config = RedisConfig::from_url("REDISS://us%40er:p%3Fw%2Fd@[::1]:7000/15").unwrap();
    assert_eq!((config.host.as_str(), config.port, config.database), ("::1", 7000, 15));
    assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("us@er"), Some("p?w/d")));
    assert_eq!(config.tls, RedisTls::SystemRoots);

    let config = RedisConfig::from_url("redis://:pw@host/").unwrap();
    assert_eq!((config.username, config.password.as_deref()), (None, Some("pw")));
}

#[test]
fn urls_name_clusters_and_sentinels() {
    let config = RedisConfig::from_url("rediss-cluster://us:p%2C%40w@a:7000,[::1]:7001,c").unwrap();
    assert_eq!((config.host.as_str(), config.port), ("a", 7000));
    assert_eq!(config.more_hosts, [("::1".to_owned(), 7001), ("c".to_owned(), 6379)]);
    assert_eq!((config.topology, config.tls), (RedisTopology::Cluster, RedisTls::SystemRoots));
    assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("us"), Some("p,@w")));

    let config = RedisConfig::from_url("Redis-Sentinel://:pw@a,[::1],c:7/my-master.1/3").unwrap();
    assert_eq!((config.host.as_str(), config.port), ("a", 26379));
    assert_eq!(config.more_hosts, [("::1".to_owned(), 26379), ("c".to_owned(), 7)]);
    assert_eq!((config.username, config.password.as_deref(), config.database), (None, Some("pw"), 3));
    let topology =
        RedisTopology::Sentinel { master_name: "my-master.1".to_owned(), username: None, password: None };
    assert_eq!(config.topology, topology);
    assert_eq!(RedisConfig::from_url("redis-sentinel://a/m").unwrap().database, 0);
}

#[test]
fn other_urls_are_refused_and_not_shown() {
    for url in [
        "",
        "redis",
        "redis:hunter2",
        "redis://",
        "redis://:hunter2@",
        "redis://:hunter2@host/x",
        "redis://:hunter2@host/-1",
        "redis://:hunter2@host:99999",
        "redis://:hunter2@host/0?protocol=2",
        "rediss://:hunter2@host/#insecure",
        "redis://:hunter2@host,other",
        "redis-cluster://:hunter2@host/1",
        "redis-cluster://:hunter2@host,",
        "redis-cluster://:hunter2@",
        "redis-sentinel://:hunter2@host",
        "redis-sentinel://:hunter2@host/",
        "redis-sentinel://:hunter2@host//0",
        "redis-sentinel://:hunter2@host/na me",
        "redis-sentinel://:hunter2@host/name/x",
        "redis-sentinel://:hunter2@host/name/0/1",
        "redis-replicas://:hunter2@host",
        "redis+unix:///hunter2.sock",
        "valkey://:hunter2@host",
        "http://:hunter2@host",
        "redis://:hunt?er2@host",
    ] {
        let error = RedisConfig::from_url(url).expect_err(url);
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
    }
}

#[test]
fn defaults_are_those_documented() {
    let config = RedisConfig::new("host");
    assert_eq!(config.prefix, b"session:");
    assert_eq!(config.connect_timeout, Duration::from_secs(2));
    assert_eq!(config.response_timeout, Duration::from_secs(4));
    assert_eq!(config.expiry_slack, Duration::from_secs(600));
    assert_eq!(config.on_eviction, OnEviction::Refuse);
    assert_eq!((config.wait_replicas, config.wait_timeout), (0, Duration::from_secs(1)));
    assert_eq!((config.topology.clone(), config.more_hosts.len()), (RedisTopology::Standalone, 0));
    config.check().unwrap();
}

#[test]
fn limits_are_those_documented() {
    let config = || RedisConfig::new("host");
    for good in [
        config().with_prefix([0xff; 128]),
        config().with_prefix(""),
        config().with_connect_timeout(Duration::from_millis(1)),
        config().with_response_timeout(Duration::from_secs(3600)),
        config().with_expiry_slack(Duration::ZERO),
    ] {
        good.check().unwrap();
    }
    for bad in [
        config().with_prefix([b'x'; 129]),
        config().with_connect_timeout(Duration::ZERO),
        config().with_response_timeout(Duration::from_secs(3601)),
        config().with_expiry_slack(Duration::from_secs(401 * 24 * 3600)),
    ] {
        assert_eq!(bad.check().unwrap_err().kind(), ErrorKind::Config, "{bad:?}");
    }
}

#[test]
fn passwords_and_certificates_are_not_shown() {
    let config =
        RedisConfig::new("host").with_password("hunter2").with_tls(RedisTls::Roots(b"hunter2".to_vec()));
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}

#[cfg(feature = "tls")]
#[test]
fn certificates_must_be_pem() {
    let config =
        RedisConfig::new("host").with_tls(RedisTls::Roots(b"-----BEGIN CERTIFICATE-----\n".to_vec()));
    assert_eq!(
        crate::topology::Endpoints::of(&config).err().map(|error| error.kind()),
        Some(ErrorKind::Config)
    );
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_names_its_feature() {
    let error = crate::topology::Endpoints::of(&RedisConfig::new("host").with_tls(RedisTls::SystemRoots))
        .err()
        .unwrap();
    assert!(error.to_string().contains("`tls`"), "{error}");
}
