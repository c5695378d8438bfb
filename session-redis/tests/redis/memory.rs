//! What a session costs on the server: measured and printed, because it depends on the server's build.

use crate::common::{Fixture, create, principal, record};
use crate::server::Server;

const SESSIONS: u32 = 20_000;

/// `cargo test -p session-redis --test redis -- memory --nocapture` shows it.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_per_session() {
    let Some(server) = Server::start(&[]) else { return };
    for payload in [0, 256, 1024] {
        let mut costs = Vec::new();
        for named in [false, true] {
            let fixture = Fixture::on(&server).await;
            fixture.ask::<()>("FLUSHALL", &[]).await;
            let before = used(&fixture).await;
            let backend = fixture.with_prefix(b"session:").await;
            let data = "x".repeat(payload);
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..50 {
                let (backend, data) = (backend.clone(), data.clone());
                tasks.spawn(async move {
                    for number in (task..SESSIONS).step_by(50) {
                        let mut record = record(&data).with_meta("");
                        if named {
                            record.principal = principal(&format!("user{number:08}"));
                        }
                        create(&backend, number, record).await;
                    }
                });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
            costs.push((used(&fixture).await - before) / u64::from(SESSIONS) - payload as u64);
        }
        println!("payload of {payload} bytes: {} more, {} with a principal", costs[0], costs[1]);
    }
}

async fn used(fixture: &Fixture) -> u64 {
    let info: String = fixture.ask("INFO", &[b"memory"]).await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}
