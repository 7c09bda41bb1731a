//! HTTP/2 to a bound host, with hyper on both sides.

use super::*;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

type HostBody = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, std::convert::Infallible>;

/// Says back what it was asked, cut, with the key in a trailer.
async fn said_back(
    request: Request<Incoming>,
    asked: Asked,
) -> Result<Response<HostBody>, std::convert::Infallible> {
    let key = request.headers().get("authorization").cloned();
    let line = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
    asked.lock().unwrap().push(line);
    if request.uri().path() == "/waits" {
        std::future::pending::<()>().await;
    }
    if request.uri().path() == "/bare" {
        return Ok(Response::new(Full::default().boxed_unsync()));
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut after = HeaderMap::new();
    after.insert("grpc-status", "0".parse().unwrap());
    if let Some(key) = &key {
        after.insert("x-said", key.clone());
    }
    let cut = body.chunks(3).map(|piece| Frame::data(bytes::Bytes::copy_from_slice(piece)));
    let frames: Vec<_> = cut.chain([Frame::trailers(after)]).map(Ok).collect();
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Ok(Response::new(body.boxed_unsync()))
}

async fn open(level: EgressLevel) -> House {
    House::with(level, H2, |tls, asked| async move {
        let service = service_fn(move |request| said_back(request, Arc::clone(&asked)));
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(tls), service).await;
    })
    .await
}

type Sender = SendRequest<Full<bytes::Bytes>>;

type Driver = tokio::task::JoinHandle<hyper::Result<()>>;

async fn client(house: &House) -> (Sender, Driver) {
    over(house.tls_offering(NAME, NAME, H2).await.unwrap()).await
}

async fn over(tls: TlsStream<TcpStream>) -> (Sender, Driver) {
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, driver) = builder.handshake(TokioIo::new(tls)).await.unwrap();
    (sender, tokio::spawn(driver))
}

fn post(authority: &str, path: &str, key: &str, body: &str) -> Request<Full<bytes::Bytes>> {
    Request::post(format!("https://{authority}{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("te", "trailers")
        .header("accept-encoding", "br")
        .body(Full::new(body.to_owned().into()))
        .unwrap()
}

#[tokio::test]
async fn each_stream_is_a_request_of_its_own_and_its_trailers_are_looked_through() {
    let house = open(EgressLevel::Open).await;
    let (sender, _driver) = client(&house).await;
    let authority = format!("{NAME}:{}", house.port);
    let asks = (0..20).map(|nth| {
        let (mut sender, authority) = (sender.clone(), authority.clone());
        async move {
            let body = format!("{nth} says {VALUE} and more");
            let request = post(&authority, &format!("/{nth}"), PLACEHOLDER, &body);
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let body = response.into_body().collect().await.unwrap();
            let after = body.trailers().unwrap().clone();
            assert_eq!(after["x-said"], format!("Bearer {PLACEHOLDER}"));
            assert_eq!(after["grpc-status"], "0");
            let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            assert_eq!(body, format!("{nth} says {PLACEHOLDER} and more"));
        }
    });
    futures_util::future::join_all(asks).await;
    let asked = house.asked();
    assert_eq!(asked.len(), 20);
    for one in asked {
        assert!(one.contains(&format!("https://{authority}/")), "{one}");
        assert!(one.contains(&format!("Bearer {VALUE}")) && one.contains("\"te\": \"trailers\""));
        assert!(one.contains("\"accept-encoding\": \"identity\""), "{one}");
    }
    house.counted("open", 20).await;
    house.counted("secret-echoed", 1).await;
    house.bench.end().await;
}

#[tokio::test]
async fn a_stream_for_another_host_or_with_a_placeholder_elsewhere_goes_nowhere() {
    let house = open(EgressLevel::Open).await;
    let (mut sender, _driver) = client(&house).await;
    let own = format!("{NAME}:{}", house.port);
    let mut two = post(&own, "/", PLACEHOLDER, "");
    two.headers_mut().insert("host", "evil.test".parse().unwrap());
    let mut override_path = post(&own, "/", PLACEHOLDER, "");
    override_path.headers_mut().insert("x-original-url", "/other".parse().unwrap());
    let mut elsewhere = post(&own, "/", "none", "");
    elsewhere.headers_mut().insert("x-key", PLACEHOLDER.parse().unwrap());
    for (request, status) in [
        (post("evil.test", "/", PLACEHOLDER, ""), StatusCode::MISDIRECTED_REQUEST),
        (post(NAME, "/", PLACEHOLDER, ""), StatusCode::MISDIRECTED_REQUEST),
        (two, StatusCode::MISDIRECTED_REQUEST),
        (override_path, StatusCode::FORBIDDEN),
        (elsewhere, StatusCode::FORBIDDEN),
        (post(&own, &format!("/{PLACEHOLDER}"), "none", ""), StatusCode::FORBIDDEN),
    ] {
        let asked = format!("{request:?}");
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{asked}");
        assert!(house.asked().is_empty(), "{asked}");
    }
    // An answer that is a head alone stays one.
    let answer = sender.send_request(post(&own, "/bare", PLACEHOLDER, "")).await.unwrap();
    assert!(hyper::body::Body::is_end_stream(answer.body()));
    // The connection is none the worse.
    let answer = sender.send_request(post(&own, "/", PLACEHOLDER, "")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    house.bench.end().await;
}

#[tokio::test]
async fn tightening_says_goodbye_and_cuts_what_is_on_its_way() {
    let house = open(EgressLevel::Open).await;
    let (mut sender, driver) = client(&house).await;
    let own = format!("{NAME}:{}", house.port);
    let waits = tokio::spawn(sender.send_request(post(&own, "/waits", PLACEHOLDER, "")));
    while house.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    house.bench.gateway.set_egress(&house.door.project, EgressLevel::None).await.unwrap();
    let refused = waits.await.unwrap();
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status().is_server_error()));
    let ended = driver.await.unwrap();
    assert!(ended.is_ok(), "it was told: {ended:?}");
    house.bench.end().await;
}

#[tokio::test]
async fn a_machine_speaks_what_its_host_does() {
    // A host of HTTP/1.1 alone: the client that prefers the other is offered that.
    let house = House::with(EgressLevel::Open, &[b"http/1.1"], |tls, asked| {
        serve(tls, with_length("fine"), asked)
    })
    .await;
    let tls = house.tls_offering(NAME, NAME, H2).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(house.tls_offering(NAME, NAME, &[b"spdy/3"]).await.is_err());
    // One that knows the other alone is told what the host told us.
    let tls = house.tls_offering(NAME, NAME, &[b"h2"]).await.unwrap();
    let (mut sender, _driver) = over(tls).await;
    let own = format!("{NAME}:{}", house.port);
    let answer = sender.send_request(post(&own, "/", PLACEHOLDER, "")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let said = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&said).contains("NoApplicationProtocol"), "{said:?}");
    house.bench.end().await;
    // And one of both is asked by HTTP/1.1 in that.
    let house = House::with(EgressLevel::Open, H2, |tls, asked| {
        assert_ne!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        serve(tls, with_length("fine"), asked)
    })
    .await;
    assert!(house.ask(&house.get(AUTHORIZED)).await.contains("fine"));
    house.bench.end().await;
}

#[tokio::test]
async fn connections_of_http2_are_counted_and_more_of_them_speak_http1() {
    let house = House::with(EgressLevel::Open, H2, |tls, _| async move {
        std::future::pending::<()>().await;
        drop(tls);
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..32 {
        let tls = house.tls_offering(NAME, NAME, H2).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        held.push(tls);
    }
    let one_more = house.tls_offering(NAME, NAME, H2).await.unwrap();
    assert_eq!(one_more.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    house.bench.end().await;
}
