//! Stands between a driver and its server, and can fall silent: nothing gets through any more, and nothing ends.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Proxy {
    pub(crate) port: u16,
    is_silent: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let is_silent = Arc::new(watch::Sender::new(false));
        let mut silence = is_silent.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut silence = silence.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        biased;
                        _ = silence.wait_for(|silent| *silent) => {}
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                    }
                    // Both ends stay open.
                    std::future::pending::<()>().await;
                });
            }
            let _ = silence.changed().await;
        });
        Self { port: own_port, is_silent }
    }

    pub(crate) fn fall_silent(&self) {
        self.is_silent.send_replace(true);
    }
}
