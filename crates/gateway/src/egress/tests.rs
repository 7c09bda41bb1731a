//! The egress proxy on real sockets, with a name server that a test plays. Public hosts are played
//! by loopback sockets that are opened for the test one by one.

mod brokered;
mod hosts;
mod tunnels;

use crate::{
    config::GatewayConfig,
    records::egress_log::{EgressRecord, Outcome},
    testing::{Bench, Conn, Fake, Names, ask, header, refusing, status},
};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};
use toft_model::machine::EgressLevel;
use tokio::io::AsyncWriteExt as _;

async fn bench(open: &[SocketAddr]) -> (Bench, Arc<Names>) {
    let names = Arc::new(Names::default());
    let bench = Bench::with(Arc::clone(&names) as _).await;
    allow(&bench, open).await;
    (bench, names)
}

async fn allow(bench: &Bench, open: &[SocketAddr]) {
    let config = GatewayConfig { allow_private: open.to_vec(), ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
}

fn list(hosts: &[&str]) -> EgressLevel {
    EgressLevel::AllowList(hosts.iter().map(ToString::to_string).collect())
}

fn connect(target: &str) -> Vec<u8> {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes()
}

fn get(url: &str) -> Vec<u8> {
    format!("GET {url} HTTP/1.1\r\nHost: allowed.test\r\n\r\n").into_bytes()
}

fn summary(line: &EgressRecord) -> (&str, u16, Outcome, &str) {
    (&line.host, line.port, line.verdict, &line.rule)
}

async fn echo() -> Fake {
    Fake::start(|mut conn| async move {
        let (mut read, mut write) = conn.stream.split();
        // A client that goes away in the middle is part of some tests.
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    })
    .await
}

#[tokio::test]
async fn every_disguise_of_a_host_is_refused_before_anything_is_resolved_or_dialled() {
    let fake = echo().await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[]).await;
    for name in ["allowed.test", "evil.test", "evil", "localhost", "gateway.internal"] {
        names.set(name, &[&["127.0.0.1"]]);
    }
    let open = bench.machine(EgressLevel::Open).await;
    let listed = bench.machine(list(&["allowed.test", "*.allowed.test"])).await;
    let tricks = [
        "evil.test\0.allowed.test",
        "evil.test\r\n.allowed.test",
        "evil.test#.allowed.test",
        "allowed.test.",
        "allowed.test@evil.test",
        "user:pw@evil.test",
        "bücher.test",
        "аllowed.test",
        "evil.test%00.allowed.test",
        "allowed.test%2eevil.test",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
        "[fe80::1%25lo]",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "[::]",
        "255.255.255.255",
        "224.0.0.1",
        "[ff02::1]",
        "localhost",
        "LOCALHOST",
        "a.localhost",
        "gateway.internal",
        "metadata.google.internal",
        "evil",
        "evil_host.test",
        "-evil.test",
        "evil..test",
        "printer.local",
        "[127.0.0.1]",
        "[::1",
        "::1",
        "",
    ];
    let fragment = tricks[2];
    for trick in tricks {
        for door in [&open, &listed] {
            for request in
                [connect(&format!("{trick}:{port}")), get(&format!("http://{trick}:{port}/"))]
            {
                if trick == fragment && request.starts_with(b"GET") {
                    // A fragment is no part of the target: this one names evil.test, see below.
                    continue;
                }
                let (head, body) = ask(door.proxy, &request).await;
                let status = status(&head);
                assert!(status == 403 || status == 400, "{trick:?} got {head:?}");
                if status == 403 {
                    assert_eq!(header(&head, "x-toft-error"), Some("egress_denied"));
                    let json: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(json["error"]["code"], "egress_denied");
                    assert!(json["error"]["message"].as_str().unwrap().len() > 20);
                }
            }
        }
    }
    let (head, _) = ask(listed.proxy, get(&format!("http://{fragment}:{port}/"))).await;
    assert_eq!(status(&head), 403);
    for evil in ["evil.test", "allowed.test.evil.test", "notallowed.test"] {
        let (head, _) = ask(listed.proxy, connect(&format!("{evil}:{port}"))).await;
        assert_eq!(status(&head), 403, "{evil}");
    }
    assert_eq!(names.asked_at_all(), 0);
    let lines = bench.egress_log();
    assert!(lines.len() > 2 * tricks.len());
    assert!(lines.iter().all(|line| line.verdict == Outcome::Deny && line.bytes_out == 0));
    bench.end().await;
}

#[tokio::test]
async fn levels_decide_and_every_connection_is_logged() {
    let fake = Fake::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    names.set("other.test", &[&["127.0.0.1"]]);
    let wanted = [
        (EgressLevel::Open, 200, 200),
        (list(&["Allowed.test"]), 200, 403),
        (list(&[&format!("allowed.test:{port}")]), 200, 403),
        (list(&["allowed.test:1"]), 403, 403),
        (EgressLevel::None, 403, 403),
    ];
    for (level, allowed, other) in &wanted {
        let door = bench.machine(level.clone()).await;
        for (name, expected) in [("ALLOWED.test", allowed), ("other.test", other)] {
            let (head, _) = ask(door.proxy, get(&format!("http://{name}:{port}/x?y"))).await;
            assert_eq!(status(&head), *expected, "{name} at {level:?}");
            let mut conn = Conn::open(door.proxy).await;
            conn.write(&connect(&format!("{name}:{port}"))).await;
            assert_eq!(status(&conn.head().await), *expected, "CONNECT {name} at {level:?}");
        }
    }
    let lines = bench.egress_of(wanted.len() * 4).await;
    let mut rules: Vec<_> =
        lines.iter().map(|l| format!("{} {:?} {}", l.host, l.verdict, l.rule)).collect();
    rules.sort();
    rules.dedup();
    assert_eq!(
        rules,
        [
            "allowed.test Allow Allowed.test".to_owned(),
            format!("allowed.test Allow allowed.test:{port}"),
            "allowed.test Allow open".into(),
            "allowed.test Deny level-none".into(),
            "allowed.test Deny not-listed".into(),
            "other.test Allow open".into(),
            "other.test Deny level-none".into(),
            "other.test Deny not-listed".into(),
        ]
    );
    bench.end().await;
}

#[tokio::test]
async fn the_checked_address_is_the_dialled_one_whatever_the_name_server_says_next() {
    let fake = Fake::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let secret = Fake::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[fake.addr]).await;
    let door = bench.machine(EgressLevel::Open).await;
    // One question per connection: a second answer never counts.
    names.set("flip.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let (head, body) = ask(door.proxy, get(&format!("http://flip.test:{port}/"))).await;
    assert_eq!((status(&head), &body[..]), (200, &b"ok"[..]));
    assert_eq!(names.asked("flip.test"), 1);
    let (head, _) = ask(door.proxy, get(&format!("http://flip.test:{port}/"))).await;
    assert_eq!(status(&head), 403);
    // One private answer among public ones refuses all of them.
    for answers in [
        &["127.0.0.1", "10.0.0.1"][..],
        &["8.8.8.8", "::1"],
        &["1.1.1.1", "169.254.169.254"],
        &["::ffff:10.1.2.3"],
        &["64:ff9b::a00:1"],
        &["fd00::1"],
        &["0.0.0.0"],
        &["127.0.0.3"],
    ] {
        names.set("mixed.test", &[answers]);
        for request in
            [connect(&format!("mixed.test:{port}")), get(&format!("http://mixed.test:{port}/"))]
        {
            let (head, body) = ask(door.proxy, request).await;
            assert_eq!(status(&head), 403, "{answers:?}");
            assert!(String::from_utf8(body).unwrap().contains("mixed.test resolves to"));
        }
    }
    // The right address at a port that is not opened is as private as any.
    names.set("port.test", &[&["127.0.0.1"]]);
    let other_port = secret.addr.port();
    let (head, _) = ask(door.proxy, get(&format!("http://port.test:{other_port}/"))).await;
    assert_eq!(status(&head), 403);
    bench.end().await;
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_refused_when_it_is_followed() {
    let control_plane = Fake::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    let location = format!("http://{}/", control_plane.addr);
    let fake = Fake::answering(format!(
        "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
    ))
    .await;
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let door = bench.machine(EgressLevel::Open).await;
    let (head, _) =
        ask(door.proxy, get(&format!("http://allowed.test:{}/", fake.addr.port()))).await;
    assert_eq!((status(&head), header(&head, "location")), (302, Some(&*location)));
    let (head, _) = ask(door.proxy, get(&location)).await;
    assert_eq!(status(&head), 403);
    bench.end().await;
}

#[tokio::test]
async fn a_host_gets_a_request_that_names_it_and_no_header_meant_for_the_proxy() {
    let fake = Fake::start(|mut conn| async move {
        loop {
            let (head, body) = conn.request().await;
            if head.is_empty() {
                return;
            }
            let text = format!("{head}{}", String::from_utf8(body).unwrap());
            let answer = format!(
                "HTTP/1.1 200 OK\r\nkeep-alive: timeout=9\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            conn.write(answer.as_bytes()).await;
        }
    })
    .await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let door = bench.machine(EgressLevel::Open).await;
    let mut conn = Conn::open(door.proxy).await;
    for round in 0..3 {
        let request = format!(
            "POST http://Allowed.Test:{port}/a%20b?q=%2F HTTP/1.1\r\nHost: evil.test\r\n\
             Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nConnection: x-mine\r\n\
             X-Mine: 1\r\nX-Kept: 1\r\nContent-Length: 5\r\n\r\nhello"
        );
        conn.write(request.as_bytes()).await;
        let head = conn.head().await;
        assert_eq!(header(&head, "keep-alive"), None);
        let body = String::from_utf8(conn.body(&head).await.0).unwrap();
        assert!(body.starts_with("POST /a%20b?q=%2F HTTP/1.1\r\n"), "{round}: {body}");
        assert_eq!(header(&body, "host"), Some(&*format!("allowed.test:{port}")));
        assert_eq!(body.matches("ost:").count(), 1);
        assert_eq!(header(&body, "x-kept"), Some("1"));
        for gone in ["proxy-authorization", "proxy-connection", "x-mine", "connection"] {
            assert_eq!(header(&body, gone), None, "{gone}");
        }
        assert!(body.ends_with("\r\n\r\nhello"));
    }
    // One client connection, one name lookup, one connection to the host.
    assert_eq!(names.asked("allowed.test"), 1);
    let lines = bench.egress_of(3).await;
    assert_eq!(summary(&lines[0]), ("allowed.test", port, Outcome::Allow, "open"));
    for line in lines {
        assert!(
            (line.bytes_out, line.error.is_none()) == (5 * line.count, true) && line.bytes_in > 60,
            "{line:?}"
        );
    }
    bench.end().await;
}

#[tokio::test]
async fn a_kept_connection_that_the_host_closed_is_opened_again() {
    let fake = Fake::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let door = bench.machine(EgressLevel::Open).await;
    let mut conn = Conn::open(door.proxy).await;
    for _ in 0..5 {
        conn.write(&get(&format!("http://allowed.test:{port}/"))).await;
        let head = conn.head().await;
        assert_eq!((status(&head), conn.body(&head).await.0), (200, b"ok".to_vec()));
    }
    bench.end().await;
}

#[tokio::test]
async fn what_is_no_proxy_request_is_explained() {
    let (bench, _) = bench(&[]).await;
    let door = bench.machine(EgressLevel::Open).await;
    for (request, code) in [
        ("GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "invalid_request"),
        ("OPTIONS * HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "invalid_request"),
        ("GET https://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "use_connect"),
        ("GET ftp://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", "use_connect"),
    ] {
        let (head, _) = ask(door.proxy, request).await;
        assert_eq!((status(&head), header(&head, "x-toft-error")), (400, Some(code)), "{request}");
    }
    bench.end().await;
}

#[tokio::test]
async fn names_and_hosts_that_do_not_answer_are_told_apart() {
    let (_dead, dead) = refusing();
    let (bench, names) = bench(&[dead]).await;
    names.set("dead.test", &[&["127.0.0.1"]]);
    names.set("empty.test", &[&[]]);
    let door = bench.machine(EgressLevel::Open).await;
    for (host, code) in [
        ("nowhere.test", "name_not_found"),
        ("empty.test", "name_not_found"),
        ("dead.test", "upstream_unreachable"),
    ] {
        let target = format!("{host}:{}", dead.port());
        for request in [connect(&target), get(&format!("http://{target}/"))] {
            let (head, _) = ask(door.proxy, request).await;
            assert_eq!((status(&head), header(&head, "x-toft-error")), (502, Some(code)), "{host}");
        }
    }
    assert!(
        bench.egress_of(6).await.iter().all(|l| l.error.is_some() && l.verdict == Outcome::Allow)
    );
    bench.end().await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let (bench, _) = bench(&[]).await;
    let door = bench.machine(EgressLevel::Open).await;
    let mut conn = Conn::open(door.proxy).await;
    let begin = "GET http://allowed.test/ HTTP/1.1\r\n";
    conn.write(begin.as_bytes()).await;
    let line = format!("x: {}\r\n", "y".repeat(8_000));
    while conn.stream.write_all(line.as_bytes()).await.is_ok() {}
    bench.end().await;
}
