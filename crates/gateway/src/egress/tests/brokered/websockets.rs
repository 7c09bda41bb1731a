//! WebSockets to a bound host, frame by frame.

use super::*;

const ASKS: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Extensions: permessage-deflate\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

/// A host that answers so, says some bytes, then says back what it hears.
async fn host(answer: String, says: Vec<u8>) -> House {
    House::with(EgressLevel::Open, &[], move |mut tls, asked| {
        let (answer, says) = (answer.clone(), says.clone());
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = tls.read_u8().await else { return };
                head.push(byte);
            }
            asked.lock().unwrap().push(String::from_utf8(head).unwrap());
            tls.write_all(answer.as_bytes()).await.unwrap();
            tls.write_all(&says).await.unwrap();
            let mut buffer = [0; 1000];
            while let Ok(read @ 1..) = tls.read(&mut buffer).await {
                // Without the mask: two bytes of head, four of it.
                let mut back = vec![buffer[0], buffer[1] & 0x7f];
                back.extend_from_slice(&buffer[6..read]);
                if tls.write_all(&back).await.is_err() {
                    return;
                }
            }
            asked.lock().unwrap().push("ended".into());
        }
    })
    .await
}

async fn open(house: &House, more: &str) -> (TlsStream<TcpStream>, String) {
    let mut tls = house.tls(NAME, NAME).await.unwrap();
    let asks = house.get(&format!("{AUTHORIZED}{ASKS}Upgrade: websocket\r\n{more}"));
    tls.write_all(asks.replace("close", "keep-alive, Upgrade").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.unwrap());
    }
    (tls, String::from_utf8(head).unwrap().to_ascii_lowercase())
}

fn text(payload: &str) -> Vec<u8> {
    [&[0x81, u8::try_from(payload.len()).unwrap()], payload.as_bytes()].concat()
}

#[tokio::test]
async fn what_a_host_says_in_a_websocket_has_no_value_in_it_and_its_frames_keep_their_length() {
    let (one, two) = VALUE.split_at(5);
    let cut = [&[0x01, 5], one.as_bytes(), &[0x80, 9], two.as_bytes()].concat();
    let says = [text(&format!("<{VALUE}>")), cut].concat();
    let answer = format!("{SWITCHED}Sec-WebSocket-Accept: x\r\nX-Said: {VALUE}\r\n\r\n");
    let house = host(answer, says).await;
    let (mut tls, head) = open(&house, "").await;
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    assert!(head.contains("sec-websocket-accept: x") && !head.contains(VALUE), "{head}");
    let asked = house.asked().join("").to_ascii_lowercase();
    assert!(asked.contains(&format!("bearer {VALUE}")) && asked.contains("upgrade: websocket"));
    assert!(asked.contains("connection: upgrade") && !asked.contains("extensions"), "{asked}");
    let mut said = vec![0; 18];
    tls.read_exact(&mut said).await.unwrap();
    assert_eq!(said, text("<toft-placehold>"));
    // In pieces: as a message it is whole.
    let mut said = String::new();
    while said.len() < VALUE.len() {
        let (_, length) = (tls.read_u8().await.unwrap(), tls.read_u8().await.unwrap());
        let mut payload = vec![0; length.into()];
        tls.read_exact(&mut payload).await.unwrap();
        said.push_str(std::str::from_utf8(&payload).unwrap());
    }
    assert_eq!(said, PLACEHOLDER[..VALUE.len()]);
    // What the machine says is not read: there and back it is what it was.
    let payload = &PLACEHOLDER[..49];
    let frame = [&[0x81, 0xb1, 0, 0, 0, 0], payload.as_bytes()].concat();
    tls.write_all(&frame).await.unwrap();
    let mut back = vec![0; 51];
    tls.read_exact(&mut back).await.unwrap();
    assert_eq!(back, text(payload));

    // It is an open connection like any other, and ends like any other.
    let open = house.bench.state.machines().get(&house.door.project).unwrap().open_connections();
    assert!(open[0].bytes_out > 40 && open[0].bytes_in > 80, "{open:?}");
    assert_eq!(
        house.bench.gateway.set_egress(&house.door.project, EgressLevel::None).await.unwrap(),
        1
    );
    let mut rest = Vec::new();
    let _ = tls.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    let lines = house.bench.egress_of(2).await;
    let line = lines.iter().find(|line| line.rule == "level-none").unwrap();
    assert_eq!(
        (line.error.as_deref(), &*line.secrets),
        (Some("egress_denied"), &["KEY".into()][..])
    );
    assert!(lines.iter().any(|line| line.rule == "secret-echoed"), "{lines:?}");
    eventually(|| (house.asked() == ["ended"]).then_some(())).await;
    house.bench.end().await;
}

#[tokio::test]
async fn a_websocket_that_cannot_be_looked_through_is_none() {
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let house = host(format!("{SWITCHED}{deflate}"), text("hello")).await;
    let (_, head) = open(&house, "").await;
    assert!(head.starts_with("http/1.1 502") && head.contains("answer_encoded"), "{head}");
    house.bench.end().await;

    // One that compresses without a word.
    let house = host(format!("{SWITCHED}\r\n"), vec![0xc1, 1, b'x']).await;
    let (mut tls, head) = open(&house, "").await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    let mut said = Vec::new();
    tls.read_to_end(&mut said).await.unwrap();
    assert_eq!(said[0], 0x88);
    assert!(String::from_utf8_lossy(&said).contains("extension"), "{said:?}");
    let line = house.bench.egress_of(1).await.remove(0);
    assert_eq!(line.error.as_deref(), Some("answer_encoded"));
    house.bench.end().await;
}

#[tokio::test]
async fn nothing_is_switched_to_that_was_not_asked_for() {
    let other = SWITCHED.replace("websocket", "h2c");
    let house = host(format!("{other}\r\n"), Vec::new()).await;
    let (_, head) = open(&house, "").await;
    assert!(head.starts_with("http/1.1 502"), "{head}");
    let said = house.ask(&house.get(AUTHORIZED)).await;
    assert!(said.starts_with("HTTP/1.1 502") && said.contains("not asked for"), "{said}");
    // Something else than a WebSocket is not asked for.
    house.asked();
    let more = format!("{AUTHORIZED}Upgrade: h2c\r\n");
    let mut tls = house.tls(NAME, NAME).await.unwrap();
    tls.write_all(house.get(&more).replace("close", "upgrade").as_bytes()).await.unwrap();
    tls.read_u8().await.unwrap();
    let asked = house.asked().join("").to_ascii_lowercase();
    assert!(asked.contains(VALUE) && !asked.contains("upgrade"), "{asked}");
    house.bench.end().await;

    // A placeholder where it may not stand opens nothing.
    let house = host(format!("{SWITCHED}\r\n"), Vec::new()).await;
    let (_, head) = open(&house, &format!("X-Key: {PLACEHOLDER}\r\n")).await;
    assert!(head.starts_with("http/1.1 403") && house.asked().is_empty(), "{head}");
    // A refusal of the host is an answer like any other.
    house.bench.end().await;
    let house = host(String::from_utf8(with_length(VALUE)).unwrap(), Vec::new()).await;
    let (mut tls, head) = open(&house, "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let mut said = vec![0; PLACEHOLDER.len()];
    tls.read_exact(&mut said).await.unwrap();
    assert_eq!(said, PLACEHOLDER.as_bytes());
    house.bench.end().await;
}
