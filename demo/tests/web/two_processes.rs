//! Two processes behind a load balancer: requests of one browser alternate between them, and some run at once.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use crate::support::{Browser, Server, SharedStore};

macro_rules! on_each_shared_store {
    ($($name:ident),* $(,)?) => {
        on_each_shared_store!(on_sqlite: $($name),*);
        on_each_shared_store!(on_postgres: $($name),*);
        on_each_shared_store!(on_mariadb: $($name),*);
        on_each_shared_store!(on_redis: $($name),*);
        on_each_shared_store!(on_redis_cluster: $($name),*);
        on_each_shared_store!(on_redis_sentinel: $($name),*);
        on_each_shared_store!(on_redis_tls: $($name),*);
    };
    ($store:ident: $($name:ident),*) => {
        mod $store {
            $(
                #[tokio::test]
                async fn $name() {
                    let Some(store) = crate::support::SharedStore::$store() else { return };
                    super::$name(&store).await;
                    store.discard().await;
                }
            )*
        }
    };
}

on_each_shared_store![
    parallel_requests_that_alternate_count_exactly,
    a_rotation_in_one_loses_no_commit_of_the_other,
    a_sign_out_in_one_ends_the_session_in_the_other,
];

/// `count` requests at once, to one server after the other; the numbers that they were answered.
async fn count_in_parallel(browser: &Browser, servers: &[Server; 2], count: usize) -> Vec<u64> {
    let mut requests = JoinSet::new();
    for number in 0..count {
        let browser = browser.at(&servers[number % 2]);
        requests.spawn(async move { browser.count_view().await });
    }
    requests.join_all().await
}

async fn parallel_requests_that_alternate_count_exactly(store: &SharedStore) {
    let servers = [store.serve(&[]).await, store.serve(&[]).await];
    let browser = Browser::of(&servers[0], "alice").await;
    // So few that all have their turn within a commit's two seconds, on a busy machine too.
    let mut numbers = count_in_parallel(&browser, &servers, 30).await;
    // Those that wait for their answer before the next one see the same counter.
    for number in 0..20 {
        numbers.push(browser.at(&servers[number % 2]).count_view().await);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    for server in &servers {
        assert_eq!(browser.at(server).views().await, 50);
    }
    browser.post("/sign-out").await;
}

async fn a_rotation_in_one_loses_no_commit_of_the_other(store: &SharedStore) {
    const ROTATIONS: usize = 3;
    let servers = [store.serve(&["--rotate-every", "1"]).await, store.serve(&["--rotate-every", "1"]).await];
    let browser = Browser::of(&servers[0], "bob").await;
    let first = browser.token().unwrap();
    let (mut tokens, mut numbers) = (BTreeSet::from([first.clone()]), Vec::new());
    // Until each of several rounds has met a rotation that was due: whichever request comes first makes it,
    // the others of its round come with the token that it replaces.
    for round in 0.. {
        assert!(round < 10_000, "{} rotations in {} requests", tokens.len() - 1, numbers.len());
        numbers.extend(count_in_parallel(&browser, &servers, 8).await);
        tokens.insert(browser.token().unwrap());
        if tokens.len() > ROTATIONS {
            break;
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let id = |token: &str| token.split_once('.').unwrap().0.to_owned();
    assert!(tokens.iter().all(|token| id(token) == id(&first)), "another session");
    for server in &servers {
        let home = browser.at(server).home().await;
        assert_eq!(home.user.as_deref(), Some("bob"));
    }
    browser.post("/sign-out").await;
}

async fn a_sign_out_in_one_ends_the_session_in_the_other(store: &SharedStore) {
    let servers = [store.serve(&[]).await, store.serve(&[]).await];
    let browser = Browser::of(&servers[0], "alice").await;
    let thief = Browser::with_token(&servers[1], &browser.token().unwrap());
    assert_eq!(thief.home().await.user.as_deref(), Some("alice"));
    browser.post("/sign-out").await;
    assert_eq!(thief.home().await.user, None);
}
