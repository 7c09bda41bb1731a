//! Whom a connection is for, told by what is said in it; and what a stricter level does to those that
//! nobody looked into, or that are just being made.

use super::{allow, bench, connect, echo, get, list, tunnels::client_hello};
use crate::{
    records::egress_log::{EgressRecord, Outcome},
    resolve::Resolver,
    testing::{Bench, Conn, Fake, ask, eventually, header, status},
};
use futures_util::future::BoxFuture;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use toft_model::machine::EgressLevel;
use tokio::sync::Semaphore;

/// A host that answers each request with its head.
async fn mirror() -> Fake {
    Fake::start(|mut conn| async move {
        loop {
            let (head, _) = conn.request().await;
            if head.is_empty() {
                return;
            }
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
            conn.write(answer.as_bytes()).await;
        }
    })
    .await
}

async fn tunnel(proxy: SocketAddr, target: &str) -> Conn {
    let mut conn = Conn::open(proxy).await;
    conn.write(&connect(target)).await;
    assert_eq!(status(&conn.head().await), 200);
    conn
}

async fn said(conn: &mut Conn, request: &str) -> (u16, String) {
    conn.write(request.as_bytes()).await;
    let head = conn.head().await;
    let body = conn.body(&head).await.0;
    (status(&head), String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn every_request_inside_a_tunnel_is_for_its_host_or_refused() {
    let fake = mirror().await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let listed = bench.machine(list(&["allowed.test"])).await;
    let open = bench.machine(EgressLevel::Open).await;
    let target = format!("allowed.test:{port}");
    let right = format!("GET /a HTTP/1.1\r\nHost: Allowed.test:{port}\r\n\r\n");
    let mut conn = tunnel(listed.proxy, &target).await;
    for _ in 0..3 {
        let (status, seen) = said(&mut conn, &right).await;
        assert_eq!((status, header(&seen, "host")), (200, Some(&*target)));
    }
    // One connection to the host, however many requests.
    assert_eq!(names.asked("allowed.test"), 1);
    let wrong = [
        format!("GET /a HTTP/1.1\r\nHost: evil.test:{port}\r\n\r\n"),
        "GET /a HTTP/1.1\r\nHost: allowed.test\r\n\r\n".to_owned(),
        format!("GET /a HTTP/1.1\r\nHost: allowed.test.:{port}\r\n\r\n"),
        format!("GET http://evil.test:{port}/a HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: {target}\r\nHost: evil.test\r\n\r\n"),
        format!("get /a HTTP/1.1\r\nHost: evil.test:{port}\r\n\r\n"),
        format!("\r\nGET /a HTTP/1.1\r\nHost: evil.test:{port}\r\n\r\n"),
        format!("A-METHOD-OF-TWENTY-B /a HTTP/1.1\r\nHost: evil.test:{port}\r\n\r\n"),
    ];
    for request in &wrong {
        // As the second one of a connection, and as its first, also in pieces.
        assert_eq!(said(&mut conn, request).await.0, 403, "{request:?}");
        let mut fresh = tunnel(listed.proxy, &target).await;
        for piece in request.as_bytes().chunks(7) {
            fresh.write(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&fresh.head().await), 403, "{request:?}");
        // Where names decide nothing, they are passed on.
        let mut free = tunnel(open.proxy, &target).await;
        assert_eq!(said(&mut free, request).await.0, 200, "{request:?}");
    }
    // What only lenient servers take for a request is none here.
    let blank = "\r\n".repeat(8 * 1024);
    for line in [
        "GET\x0b/a\x0bHTTP/1.1",
        "GET\x0c/a\x0cHTTP/1.1",
        "GET\r/a\rHTTP/1.1",
        &*(blank + "GET /a HTTP/1.1"),
    ] {
        let mut fresh = tunnel(listed.proxy, &target).await;
        fresh.write(format!("{line}\r\nHost: evil.test:{port}\r\n\r\n").as_bytes()).await;
        let status = status(&fresh.head().await);
        assert!(matches!(status, 400 | 403), "{status} to {line:?}");
    }
    // No second way out of it.
    let again =
        said(&mut conn, "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n").await;
    assert_eq!(again.0, 403);
    let mut h2 = tunnel(listed.proxy, &target).await;
    h2.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    h2.gone().await;
    let mismatch = |l: &&EgressRecord| l.rule == "host-mismatch" && l.verdict == Outcome::Deny;
    let lines = eventually(|| {
        let lines = bench.egress_log();
        // One more for the CONNECT, one for what comes after empty lines.
        (lines.iter().any(|l| l.rule == "http2-plain")
            && lines.iter().filter(mismatch).count() == 2 * wrong.len() + 2
            && lines.iter().filter(|l| l.rule == "allowed.test").count() >= 3)
            .then_some(lines)
    })
    .await;
    // The tunnel itself has no line beside those of its requests.
    assert_eq!(lines.iter().filter(|l| l.rule == "allowed.test").count(), 3);
    bench.end().await;
}

#[tokio::test]
async fn a_list_cuts_what_passed_for_another_host_before_it_held() {
    let fake = echo().await;
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let door = bench.machine(EgressLevel::Open).await;
    let target = format!("allowed.test:{}", fake.addr.port());
    let mut conns = Vec::new();
    for first in [
        client_hello("allowed.test"),
        b"SSH-2.0-x\r\n".to_vec(),
        client_hello("evil.test"),
        client_hello(""),
        b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_vec(),
    ] {
        let mut conn = tunnel(door.proxy, &target).await;
        conn.write(&first).await;
        assert_eq!(conn.exactly(first.len()).await, first);
        conns.push(conn);
    }
    let cut = bench.gateway.set_egress(&door.project, list(&["allowed.test"])).await.unwrap();
    assert_eq!(cut, 3);
    for conn in &mut conns[2..] {
        conn.gone().await;
    }
    for conn in &mut conns[..2] {
        conn.write(b"more").await;
        assert_eq!(conn.exactly(4).await, b"more");
    }
    let mut rules: Vec<_> = bench.egress_of(3).await.into_iter().map(|l| l.rule).collect();
    rules.sort();
    assert_eq!(rules, ["host-unchecked", "sni-mismatch", "sni-mismatch"]);
    bench.end().await;
}

/// A name server that answers when it is let.
struct Slow {
    let_go: Semaphore,
    asked: Semaphore,
}

impl Resolver for Slow {
    fn resolve<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            self.asked.add_permits(1);
            let _ = self.let_go.acquire().await;
            Ok(vec!["127.0.0.1".parse().unwrap()])
        })
    }
}

#[tokio::test]
async fn what_is_just_being_connected_is_given_up_when_the_level_is_tightened() {
    let fake = mirror().await;
    let slow = Arc::new(Slow { let_go: Semaphore::new(0), asked: Semaphore::new(0) });
    let bench = Bench::with(Arc::clone(&slow) as _).await;
    allow(&bench, &[fake.addr]).await;
    let door = bench.machine(EgressLevel::Open).await;
    let target = format!("slow.test:{}", fake.addr.port());
    let mut tunnel = Conn::open(door.proxy).await;
    tunnel.write(&connect(&target)).await;
    let mut plain = Conn::open(door.proxy).await;
    plain.write(&get(&format!("http://{target}/"))).await;
    let _both = slow.asked.acquire_many(2).await.unwrap();
    let cut = bench.gateway.set_egress(&door.project, EgressLevel::None).await.unwrap();
    assert_eq!(cut, 2);
    // Neither waits for the name server.
    assert_eq!(status(&tunnel.head().await), 403);
    let head = plain.head().await;
    assert!(head.is_empty() || status(&head) == 403, "{head}");
    slow.let_go.add_permits(9);
    for line in bench.egress_of(2).await {
        assert_eq!((line.verdict, &*line.rule), (Outcome::Deny, "level-none"));
    }
    // The control: it works when nothing is tightened.
    bench.gateway.set_egress(&door.project, EgressLevel::Open).await.unwrap();
    assert_eq!(status(&ask(door.proxy, get(&format!("http://{target}/"))).await.0), 200);
    bench.end().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_keeps_no_machine_from_anything_and_begins_when_it_can() {
    let fake = mirror().await;
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    // Where its folder is to be lies a file.
    let place = bench.data_dir().join("usage/egress");
    std::fs::write(&place, "").unwrap();
    let door = bench.machine(EgressLevel::Open).await;
    let url = format!("http://allowed.test:{}/", fake.addr.port());
    assert_eq!(status(&ask(door.proxy, get(&url)).await.0), 200);
    // Without a credential, but answered.
    assert_eq!(
        status(&ask(door.models, "GET /llm/models HTTP/1.1\r\nhost: g\r\n\r\n").await.0),
        401
    );
    std::fs::remove_file(&place).unwrap();
    assert_eq!(status(&ask(door.proxy, get(&url)).await.0), 200);
    assert_eq!(bench.egress_of(1).await[0].host, "allowed.test");
    bench.end().await;
}
