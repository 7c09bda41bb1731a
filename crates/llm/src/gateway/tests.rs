//! The transport against real sockets: a gateway that is away, that goes away, that breaks off.

use super::{GatewayAddressError, GatewayTransport, fetch_models};
use crate::{
    ask::{HttpRequest, Transport as _, TransportError},
    catalogue,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn post() -> HttpRequest {
    HttpRequest {
        method: Method::POST,
        path: "/llm/openai/v1/chat/completions".into(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

fn transport(at: SocketAddr) -> GatewayTransport {
    GatewayTransport::new(&format!("http://{at}/"), "token-1").unwrap()
}

/// Reads one request, headers and the two bytes of its body.
async fn request(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let mut buf = [0; 4_096];
    while !got.windows(4).any(|w| w == b"\r\n\r\n") || !got.ends_with(b"{}") {
        let n = stream.read(&mut buf).await.unwrap();
        if n == 0 || got.starts_with(b"GET") {
            break;
        }
        got.extend_from_slice(&buf[..n]);
        if got.starts_with(b"GET") && got.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8(got).unwrap()
}

const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
const LAST: &[u8] = b"0\r\n\r\n";

async fn text(transport: &GatewayTransport) -> Result<String, TransportError> {
    let mut answer = transport.send(post()).await?;
    let mut out = String::new();
    while let Some(chunk) = answer.body.next().await {
        out.push_str(std::str::from_utf8(&chunk?).unwrap());
    }
    Ok(out)
}

#[tokio::test]
async fn a_request_carries_the_token_and_connections_are_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport(listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut requests = Vec::new();
        for _ in 0..2 {
            requests.push(request(&mut stream).await);
            stream.write_all(CHUNK).await.unwrap();
            stream.write_all(LAST).await.unwrap();
        }
        requests
    };
    let ask = async {
        assert_eq!(text(&transport).await.unwrap(), "hello");
        assert_eq!(text(&transport).await.unwrap(), "hello");
    };
    let (requests, ()) = tokio::join!(serve, ask);
    for got in requests {
        assert!(got.starts_with("POST /llm/openai/v1/chat/completions HTTP/1.1\r\n"), "{got}");
        assert!(got.contains("authorization: Bearer token-1\r\n"), "{got}");
        assert!(got.contains("content-type: application/json\r\n"), "{got}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_away_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let transport = transport(at);
    let serve = async {
        tokio::time::sleep(Duration::from_millis(120)).await;
        let listener = TcpListener::bind(at).await.unwrap();
        // The first connection is closed before an answer: a gateway that died.
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(CHUNK).await.unwrap();
        stream.write_all(LAST).await.unwrap();
    };
    let (got, ()) = tokio::join!(text(&transport), serve);
    assert_eq!(got.unwrap(), "hello");
}

#[tokio::test]
async fn patience_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport =
        transport(listener.local_addr().unwrap()).with_patience(Duration::from_millis(30));
    drop(listener);
    assert!(matches!(text(&transport).await, Err(TransportError::Connect(_))));
}

#[tokio::test]
async fn a_request_that_kills_every_gateway_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport(listener.local_addr().unwrap());
    let serve = async {
        for n in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            assert!(n <= 4, "asked {n} times");
        }
    };
    tokio::select! {
        () = serve => unreachable!("it serves for ever"),
        got = text(&transport) => assert!(matches!(got, Err(TransportError::Broken(_))), "{got:?}"),
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_after_what_came() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport(listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        stream.write_all(CHUNK).await.unwrap();
    };
    let ask = async {
        let mut answer = transport.send(post()).await.unwrap();
        assert_eq!(answer.body.next().await, Some(Ok(Bytes::from_static(b"hello"))));
        assert!(matches!(answer.body.next().await, Some(Err(TransportError::Broken(_)))));
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn the_list_of_models_is_fetched_and_a_bad_one_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transport = transport(listener.local_addr().unwrap());
    let list = catalogue::model_list(|p| p == "groq", None, "off");
    let good = serde_json::to_string(&list).unwrap();
    let serve = async {
        for (status, body) in [
            ("200 OK", good.as_str()),
            ("200 OK", "{}"),
            ("500 Oh", r#"{"error":{"message":"no list"}}"#),
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let got = request(&mut stream).await;
            assert!(got.starts_with("GET /llm/models "), "{got}");
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
        }
    };
    let ask = async {
        assert_eq!(fetch_models(&transport).await.unwrap(), list);
        assert_eq!(fetch_models(&transport).await.unwrap_err().code, "bad_answer");
        let failed = fetch_models(&transport).await.unwrap_err();
        assert!(failed.message.contains("500: no list"), "{}", failed.message);
    };
    tokio::join!(serve, ask);
}

#[test]
fn an_address_that_is_none_is_refused() {
    for bad in [
        "127.0.0.1",
        "https://127.0.0.1",
        "",
        "http://",
        "http://gateway.internal",
        "http://localhost",
    ] {
        assert!(
            matches!(GatewayTransport::new(bad, "t"), Err(GatewayAddressError::Url(_))),
            "{bad}"
        );
    }
    for good in ["http://127.77.0.1", "http://[::1]:80/"] {
        assert!(GatewayTransport::new(good, "t").is_ok(), "{good}");
    }
    assert!(matches!(
        GatewayTransport::new("http://127.0.0.1", "a\nb"),
        Err(GatewayAddressError::Token)
    ));
}
