//! The counter's API: exact numbers, and no session for those who only read.

use tokio::task::JoinSet;

use crate::on_each_store;
use crate::support::{Browser, Home, Server};

on_each_store![
    reading_without_a_session_makes_none,
    counting_makes_a_session,
    fifty_parallel_requests_count_fifty_different_numbers,
    parallel_pages_and_counts_lose_nothing,
];

async fn reading_without_a_session_makes_none(server: Server) {
    let browser = Browser::new(&server);
    let answer = browser.get("/api/views").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"views\":0}"));
    assert_eq!(answer.set_cookie(), None);
    assert_eq!(browser.views().await, 0);
}

async fn counting_makes_a_session(server: Server) {
    let browser = Browser::new(&server);
    let answer = browser.post("/api/views").await;
    assert_eq!(answer.body, "{\"views\":1}");
    assert!(answer.set_cookie().is_some());
    assert_eq!((browser.count_view().await, browser.views().await), (2, 2));
    assert_eq!(browser.home().await, Home::of_nobody(3));
}

async fn fifty_parallel_requests_count_fifty_different_numbers(server: Server) {
    let browser = Browser::new(&server);
    let answer = browser.get("/api/views").await;
    assert_eq!(answer.views(), 0);
    // A session whose counter is at 0: signing in counts nothing.
    browser.sign_in("alice").await;
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let browser = browser.clone();
        requests.spawn(async move { browser.count_view().await });
    }
    let mut numbers = requests.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    assert_eq!(browser.views().await, 50);
}

async fn parallel_pages_and_counts_lose_nothing(server: Server) {
    let browser = Browser::of(&server, "bob").await;
    let mut requests = JoinSet::new();
    for number in 0..30 {
        let browser = browser.clone();
        requests.spawn(async move {
            match number % 2 {
                0 => browser.count_view().await,
                _ => browser.home().await.views,
            }
        });
    }
    let mut numbers = requests.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
}
