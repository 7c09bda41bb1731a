//! Connections that stay: what goes through them and what ends them.

use super::{bench, connect, echo, list, summary};
use crate::{
    records::egress_log::{EgressRecord, Outcome},
    testing::{Conn, eventually, status},
};
use toft_model::machine::EgressLevel;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_until_each_side_is_done() {
    const BYTES: usize = 64 << 20;
    let fake = echo().await;
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let door = bench.machine(EgressLevel::Open).await;
    let mut conn = Conn::open(door.proxy).await;
    // The first bytes come together with the request.
    let mut request = connect(&format!("allowed.test:{}", fake.addr.port()));
    request.extend(b"early");
    conn.write(&request).await;
    assert_eq!(status(&conn.head().await), 200);
    assert_eq!(conn.exactly(5).await, b"early");
    let (mut read, mut write) = conn.stream.split();
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
    let sending = async {
        for _ in 0..BYTES / block.len() {
            write.write_all(&block).await.unwrap();
        }
        write.shutdown().await.unwrap();
    };
    let receiving = async {
        let (mut got, mut buf) = (0, vec![0; 1 << 18]);
        loop {
            let n = read.read(&mut buf).await.unwrap();
            if n == 0 {
                return got;
            }
            let at = got % block.len();
            let same = n.min(block.len() - at);
            assert!(buf[..same] == block[at..at + same]);
            got += n;
        }
    };
    let ((), got) = tokio::join!(sending, receiving);
    assert_eq!(got, BYTES);
    let line = bench.egress_of(1).await.remove(0);
    let bytes = BYTES as u64 + 5;
    assert_eq!((line.bytes_in, line.bytes_out, line.error), (bytes, bytes, None));
    bench.end().await;
}

#[tokio::test]
async fn tightening_the_level_cuts_what_it_no_longer_allows_and_nothing_else() {
    let fake = echo().await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("kept.test", &[&["127.0.0.1"]]);
    names.set("cut.test", &[&["127.0.0.1"]]);
    let door = bench.machine(EgressLevel::Open).await;
    let mut conns = Vec::new();
    for name in ["kept.test", "cut.test"] {
        let mut conn = Conn::open(door.proxy).await;
        conn.write(&connect(&format!("{name}:{port}"))).await;
        assert_eq!(status(&conn.head().await), 200);
        conn.write(b"a\n").await;
        assert_eq!(conn.exactly(2).await, b"a\n");
        conns.push(conn);
    }
    let open = bench.gateway.open_connections(&door.project).await.unwrap();
    let seen: Vec<_> = open.iter().map(|o| (&*o.host, o.bytes_in, o.bytes_out)).collect();
    assert_eq!(seen, [("kept.test", 2, 2), ("cut.test", 2, 2)]);
    let cut = bench.gateway.set_egress(&door.project, list(&["kept.test"])).await.unwrap();
    assert_eq!(cut, 1);
    conns[1].gone().await;
    conns[0].write(b"b").await;
    assert_eq!(conns[0].exactly(1).await, b"b");
    let line = bench.egress_of(1).await.remove(0);
    assert_eq!(summary(&line), ("cut.test", port, Outcome::Deny, "not-listed"));
    assert_eq!(bench.gateway.machines().await.unwrap()[0].egress, list(&["kept.test"]));
    let bad = bench.gateway.set_egress(&door.project, list(&["http://x"])).await;
    assert!(bad.is_err());
    assert_eq!(bench.gateway.machines().await.unwrap()[0].egress, list(&["kept.test"]));
    bench.gateway.remove_machine(&door.project).await.unwrap();
    conns[0].gone().await;
    bench.end().await;
}

/// A ClientHello of TLS 1.2 with this server name (none when empty).
pub(super) fn client_hello(name: &str) -> Vec<u8> {
    let mut extensions = Vec::new();
    if !name.is_empty() {
        let n = u16::try_from(name.len()).unwrap();
        for part in [0, n + 5, n + 3] {
            extensions.extend(part.to_be_bytes());
        }
        extensions.push(0);
        extensions.extend(n.to_be_bytes());
        extensions.extend(name.as_bytes());
    }
    let mut body = vec![3, 3];
    body.extend([9; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let len = u8::try_from(body.len()).unwrap();
    let mut out = vec![22, 3, 1, 0, len + 4, 1, 0, 0, len];
    out.extend(body);
    out
}

#[tokio::test]
async fn on_an_allow_list_a_tls_client_must_name_the_host_it_asked_for() {
    let fake = echo().await;
    let port = fake.addr.port();
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let listed = bench.machine(list(&["allowed.test"])).await;
    let open = bench.machine(EgressLevel::Open).await;
    let tunnel = async |proxy| {
        let mut conn = Conn::open(proxy).await;
        conn.write(&connect(&format!("allowed.test:{port}"))).await;
        assert_eq!(status(&conn.head().await), 200);
        conn
    };
    for (bytes, passes) in [
        (client_hello("allowed.test"), true),
        (client_hello("ALLOWED.test"), true),
        (b"SSH-2.0-test\r\n".to_vec(), true),
        (client_hello("evil.test"), false),
        (client_hello("allowed.test.evil.test"), false),
        (client_hello("evil.test\0allowed.test"), false),
        (client_hello(""), false),
        ([&[22, 3, 1, 0, 2, 9, 9][..], &[0; 50]].concat(), false),
        ([&[21, 3, 1, 0, 2, 1, 0][..], &client_hello("evil.test")].concat(), false),
        ([&[0x80, 46, 1, 3, 1, 0, 21, 0, 0, 0, 16][..], &[7; 37]].concat(), false),
    ] {
        for cut in [1, 6, bytes.len()] {
            let mut conn = tunnel(listed.proxy).await;
            for piece in bytes.chunks(cut) {
                // A refused one is cut in the middle.
                if conn.stream.write_all(piece).await.is_err() {
                    break;
                }
            }
            if passes {
                assert_eq!(conn.exactly(bytes.len()).await, bytes);
            } else {
                assert_eq!(conn.rest().await, b"", "{bytes:?} in pieces of {cut}");
            }
        }
        let mut conn = tunnel(open.proxy).await;
        conn.write(&bytes).await;
        assert_eq!(conn.exactly(bytes.len()).await, bytes);
    }
    let denied = |l: &&EgressRecord| {
        l.rule == "sni-mismatch" && l.verdict == Outcome::Deny && l.bytes_out == 0
    };
    eventually(|| (bench.egress_log().iter().filter(denied).count() == 21).then_some(())).await;
    bench.end().await;
}

#[tokio::test]
async fn who_sends_nothing_is_not_waited_for_for_ever() {
    let fake = echo().await;
    let (bench, names) = bench(&[fake.addr]).await;
    names.set("allowed.test", &[&["127.0.0.1"]]);
    let door = bench.machine(list(&["allowed.test"])).await;
    let mut half_a_head = Conn::open(door.proxy).await;
    half_a_head.write(b"GET http://allowed.test/ HTTP/1.1\r\nHos").await;
    let mut half_a_hello = Conn::open(door.proxy).await;
    half_a_hello.write(&connect(&format!("allowed.test:{}", fake.addr.port()))).await;
    half_a_hello.head().await;
    half_a_hello.write(&client_hello("allowed.test")[..20]).await;
    let mut idle = Conn::open(door.proxy).await;
    idle.write(&connect(&format!("allowed.test:{}", fake.addr.port()))).await;
    idle.head().await;
    idle.write(b"x\n").await;
    assert_eq!(idle.exactly(2).await, b"x\n");
    eventually(|| (bench.state.entries()[0].egress_connections == 3).then_some(())).await;
    // From here on time jumps whenever everybody waits.
    tokio::time::pause();
    half_a_head.gone().await;
    half_a_hello.gone().await;
    idle.gone().await;
    tokio::time::resume();
    let mut ends: Vec<_> =
        bench.egress_of(2).await.iter().map(|l| (l.rule.clone(), l.error.clone())).collect();
    ends.sort();
    assert_eq!(
        ends,
        [
            ("allowed.test".to_owned(), Some("idle_timeout".to_owned())),
            ("unnamed".to_owned(), Some("egress_denied".to_owned())),
        ]
    );
    eventually(|| (bench.state.entries()[0].egress_connections == 0).then_some(())).await;
    bench.end().await;
}
