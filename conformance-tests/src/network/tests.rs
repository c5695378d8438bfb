//! The proxy before a server that echoes: what each fault does, and from when on.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Fault, FaultProxy, Way};

/// A server that sends back what it is sent.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn connect(proxy: &FaultProxy) -> io::Result<TcpStream> {
    TcpStream::connect(proxy.address()).await
}

async fn ask(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn without_a_fault_everything_gets_through() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut stream = connect(&proxy).await.unwrap();
    let long = "x".repeat(1 << 18);
    let (mut from, mut to) = stream.split();
    let mut answer = String::new();
    let (sent, read) = tokio::join!(
        async {
            to.write_all(long.as_bytes()).await?;
            to.shutdown().await
        },
        from.read_to_string(&mut answer),
    );
    sent.and(read).unwrap();
    assert!(answer == long, "all of it, and then its end");
    let traffic = proxy.traffic();
    assert_eq!((traffic.connections, traffic.requests, traffic.replies), (1, 1 << 18, 1 << 18));
    assert!(!proxy.has_struck());
}

#[tokio::test]
async fn refused_connections_find_nobody_until_it_listens_again() {
    let mut proxy = FaultProxy::start(echo().await).await.unwrap();
    for _ in 0..20 {
        let mut stream = connect(&proxy).await.unwrap();
        ask(&mut stream, "a").await.unwrap();
        proxy.set(Fault::Refuse).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        for _ in 0..3 {
            assert_eq!(connect(&proxy).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        proxy.set(Fault::None).await.unwrap();
        assert_eq!(ask(&mut connect(&proxy).await.unwrap(), "b").await.unwrap(), "b");
    }
}

#[tokio::test]
async fn a_planned_refusal_is_one() {
    let mut proxy = FaultProxy::start(echo().await).await.unwrap();
    for _ in 0..20 {
        let mut stream = connect(&proxy).await.unwrap();
        proxy.set_at(Way::Replies, 2, Fault::Refuse).await.unwrap();
        ask(&mut stream, "abc").await.unwrap_err();
        proxy.struck().await;
        connect(&proxy).await.map(drop).unwrap_or_default();
        proxy.set(Fault::None).await.unwrap();
        assert_eq!(ask(&mut connect(&proxy).await.unwrap(), "b").await.unwrap(), "b");
    }
}

#[tokio::test]
async fn a_cut_lets_so_many_bytes_through() {
    let mut proxy = FaultProxy::start(echo().await).await.unwrap();
    for byte in 0..4 {
        for way in [Way::Requests, Way::Replies] {
            let mut stream = connect(&proxy).await.unwrap();
            ask(&mut stream, "warm").await.unwrap();
            let before = proxy.traffic();
            proxy.reset_at(way, byte, Fault::None).await.unwrap();
            let error = ask(&mut stream, "abcd").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            proxy.struck().await;
            let after = proxy.traffic();
            match way {
                Way::Requests => assert_eq!(after.requests - before.requests, byte),
                Way::Replies => {
                    assert_eq!((after.requests - before.requests, after.replies - before.replies), (4, byte));
                }
            }
            assert_eq!(ask(&mut connect(&proxy).await.unwrap(), "b").await.unwrap(), "b");
        }
    }
}

#[tokio::test]
async fn held_bytes_come_later_and_swallowed_ones_never() {
    let mut proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut stream = connect(&proxy).await.unwrap();
    proxy.set_at(Way::Replies, 1, Fault::Hold).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    proxy.struck().await;
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    proxy.set(Fault::None).await.unwrap();
    assert_eq!(stream.read_u16().await.unwrap().to_be_bytes(), *b"bc");

    for fault in [Fault::Blackhole, Fault::LoseReplies] {
        let before = proxy.traffic();
        proxy.set(fault).await.unwrap();
        stream.write_all(b"lost").await.unwrap();
        proxy.struck().await;
        proxy.set(Fault::None).await.unwrap();
        assert_eq!(proxy.traffic().requests - before.requests, if fault == Fault::Blackhole { 0 } else { 4 });
        assert_eq!(ask(&mut stream, "d").await.unwrap(), "d");
    }
}

#[tokio::test]
async fn bytes_come_late_or_one_by_one() {
    let mut proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut stream = connect(&proxy).await.unwrap();
    let delay = Duration::from_millis(20);
    proxy.set(Fault::Delay(delay)).await.unwrap();
    let start = Instant::now();
    assert_eq!(ask(&mut stream, "abc").await.unwrap(), "abc");
    assert!(start.elapsed() >= 2 * delay, "both ways");
    proxy.set(Fault::OneByte).await.unwrap();
    assert_eq!(ask(&mut stream, "abc").await.unwrap(), "abc");
}

#[tokio::test]
async fn nothing_is_left_of_a_proxy() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let address = proxy.address();
    let mut stream = connect(&proxy).await.unwrap();
    ask(&mut stream, "a").await.unwrap();
    drop(proxy);
    assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(TcpStream::connect(address).await.is_err());
}
