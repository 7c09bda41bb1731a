//! Requests within TLS that are read: a host with TLS that a test plays byte by byte, and a client that
//! trusts the project's authority.

mod streams;
mod websockets;

use super::*;
use crate::{
    brokered::{
        Brokered, BrokeredSecret,
        authority::{self, Mint},
    },
    records::egress_log::Via,
    testing::{Door, eventually},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use toft_model::binding::Binding;
use toft_vault::Secret;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};
use tokio_util::task::AbortOnDropHandle;

const NAME: &str = "api.test";
const PLACEHOLDER: &str = "toft-placeholder-00112233445566778899aabbccddeeff";
const VALUE: &str = "sk-canary-4711";

/// A gateway, the host, and a machine whose secret is bound to it.
struct House {
    bench: Bench,
    door: Door,
    authority: String,
    key: Secret,
    port: u16,
    /// Heads of requests that came.
    asked: Asked,
    _host: AbortOnDropHandle<()>,
}

impl House {
    /// `answer`: the whole of what the host says to every request.
    async fn open(answer: Vec<u8>, level: EgressLevel) -> Self {
        Self::with(level, &[], move |tls, asked| serve(tls, answer.clone(), asked)).await
    }

    /// `alpn`: what the host offers; `host`: how it serves a connection.
    async fn with<F>(
        level: EgressLevel,
        alpn: &[&[u8]],
        host: impl Fn(HostTls, Asked) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let key = KeyPair::generate().unwrap();
        let names = vec![NAME.to_owned(), "other.test".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Asked::default();
        let heads = Arc::clone(&asked);
        let host = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(tls) = acceptor.accept(stream).await else { continue };
                connections.spawn(host(tls, Arc::clone(&heads)));
            }
        });
        let (bench, names) = bench(&[address]).await;
        for name in [NAME, "other.test"] {
            names.set(name, &[&["127.0.0.1"]]);
        }
        bench.state.roots.trust(certificate.der().clone());
        let door = bench.machine(level).await;
        let (authority, key) = authority::make(&door.project).unwrap();
        let house = Self {
            bench,
            door,
            authority,
            key,
            port: address.port(),
            asked,
            _host: AbortOnDropHandle::new(host),
        };
        house.bind(NAME).await;
        house
    }

    async fn bind(&self, host: &str) {
        let binding =
            Binding { hosts: vec![format!("{host}:{}", self.port)], ..Binding::default() };
        let secret = BrokeredSecret {
            name: "KEY".into(),
            placeholder: PLACEHOLDER.into(),
            value: Secret::new(VALUE),
            binding,
        };
        let authority = Some(Mint::new(self.key.clone()));
        let brokered = Brokered { secrets: vec![secret], authority };
        self.bench.gateway.set_brokered(&self.door.project, brokered).await.unwrap();
    }

    /// TLS through the proxy: a tunnel to one name, the server name of another.
    async fn tls(&self, name: &str, sni: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.tls_offering(name, sni, &[]).await
    }

    /// The same, with what is offered by ALPN.
    async fn tls_offering(
        &self,
        name: &str,
        sni: &str,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(self.door.proxy).await?;
        stream.write_all(&connect(&format!("{name}:{}", self.port))).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(sni.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// The whole answer to a request that ends its connection.
    async fn ask(&self, request: &str) -> String {
        let mut tls = self.tls(NAME, NAME).await.unwrap();
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        tls.read_to_end(&mut said).await.unwrap();
        String::from_utf8(said).unwrap()
    }

    fn get(&self, more: &str) -> String {
        let port = self.port;
        format!("GET /x HTTP/1.1\r\nHost: {NAME}:{port}\r\nConnection: close\r\n{more}\r\n")
    }

    /// The lines of a rule, once they stand for so many.
    async fn counted(&self, rule: &str, count: usize) -> Vec<EgressRecord> {
        eventually(|| {
            let mut lines = self.bench.egress_log();
            lines.retain(|line| line.rule == rule);
            assert!(lines.len() <= count, "{lines:?}");
            (lines.len() == count).then_some(lines)
        })
        .await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// The host's end of a connection.
type HostTls = tokio_rustls::server::TlsStream<TcpStream>;
/// Heads of requests that came.
type Asked = Arc<std::sync::Mutex<Vec<String>>>;

async fn serve(mut tls: HostTls, answer: Vec<u8>, asked: Asked) {
    let mut head = Vec::new();
    while let Ok(byte) = tls.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            asked.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            head.clear();
            if tls.write_all(&answer).await.is_err() || tls.shutdown().await.is_err() {
                break;
            }
        }
    }
}

fn with_length(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn parts(answer: &str) -> (&str, &str) {
    answer.split_once("\r\n\r\n").unwrap()
}

const AUTHORIZED: &str =
    "Authorization: Bearer toft-placeholder-00112233445566778899aabbccddeeff\r\n";

#[tokio::test]
async fn a_value_goes_out_and_comes_back_as_its_placeholder() {
    let basic = STANDARD.encode(format!("me:{VALUE}"));
    let body = format!("{VALUE} and {basic}");
    let answer = format!(
        "HTTP/1.1 200 {VALUE}\r\nLocation: https://a.test/?k={VALUE}\r\nSet-Cookie: k={VALUE}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let house = House::open(answer.into_bytes(), EgressLevel::Open).await;
    let said = house.ask(&house.get(AUTHORIZED)).await;
    let (head, body) = parts(&said);
    assert!(!said.contains(VALUE) && !said.contains(&basic), "{said}");
    assert_eq!(head.matches(PLACEHOLDER).count(), 2, "{head}");
    assert!(body.starts_with(PLACEHOLDER), "{body}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let asked = house.asked().join("");
    assert!(asked.contains(&format!("Bearer {VALUE}")) && !asked.contains("toft-placeholder"));
    // Another one soon after tells nobody the same again.
    house.ask(&house.get(AUTHORIZED)).await;
    house.counted("open", 2).await;
    for line in house.counted("secret-echoed", 1).await {
        assert_eq!((line.via, &*line.secrets), (Via::Https, &["KEY".into()][..]));
        assert!(line.reason.is_some_and(|why| why.contains("KEY")));
    }
    // The tunnel has no line of its own.
    assert!(house.bench.egress_log().iter().all(|line| line.via == Via::Https));
    house.bench.end().await;
}

#[tokio::test]
async fn no_header_of_a_program_brings_an_answer_that_cannot_be_looked_through() {
    let house = House::open(with_length("fine"), EgressLevel::Open).await;
    for odd in ["accept-encoding", "Accept-Encoding, range"] {
        let more = format!("{AUTHORIZED}Accept-Encoding: br\r\nRange: bytes=0-3\r\n");
        let asks = house.get(&more).replace("close", &format!("close, {odd}"));
        house.ask(&asks).await;
        let asked = house.asked().join("").to_ascii_lowercase();
        assert!(asked.contains("accept-encoding: identity\r\n"), "{asked}");
        assert!(!asked.contains("br\r\n") && !asked.contains("range"), "{asked}");
    }
    house.bench.end().await;
}

#[tokio::test]
async fn a_long_answer_keeps_its_length_and_one_in_chunks_gets_the_placeholder() {
    let filler = "x".repeat(100_000);
    let body = format!("{filler}{VALUE}{filler}");
    let house = House::open(with_length(&body), EgressLevel::Open).await;
    let said = house.ask(&house.get(AUTHORIZED)).await;
    let (head, got) = parts(&said);
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert_eq!(got.len(), body.len());
    assert!(got.contains("toft-place") && !got.contains(VALUE));
    house.bench.end().await;

    // Cut in the middle of the value; and after the body.
    let (one, two) = VALUE.split_at(5);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-said\r\n\r\n\
         {:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\nx-said: {VALUE}\r\n\r\n",
        one.len(),
        two.len()
    );
    let house = House::open(chunked.into_bytes(), EgressLevel::Open).await;
    let said = house.ask(&house.get(&format!("{AUTHORIZED}TE: trailers\r\n"))).await;
    assert!(said.contains(PLACEHOLDER) && !said.contains(VALUE) && !said.contains(two), "{said}");
    house.bench.end().await;
}

#[tokio::test]
async fn what_cannot_be_looked_through_is_not_passed_on() {
    for odd in [
        "Content-Encoding: gzip, br",
        "Content-Encoding: identity, br",
        "Transfer-Encoding: gzip, chunked",
    ] {
        let body = if odd.starts_with("Transfer") { "5\r\nabcde\r\n0\r\n\r\n" } else { "abcde" };
        let length = if odd.starts_with("Transfer") { "X: y" } else { "Content-Length: 5" };
        let answer = format!("HTTP/1.1 200 OK\r\n{odd}\r\n{length}\r\n\r\n{body}");
        let house = House::open(answer.into_bytes(), EgressLevel::Open).await;
        let said = house.ask(&house.get(AUTHORIZED)).await;
        assert!(said.starts_with("HTTP/1.1 502") && !said.contains("abcde"), "{odd}: {said}");
        assert!(said.contains("answer_encoded"), "{said}");
        let line = house.bench.egress_of(1).await.remove(0);
        assert_eq!(line.error.as_deref(), Some("answer_encoded"));
        house.bench.end().await;
    }
}

#[tokio::test]
async fn what_is_packed_all_the_same_is_unpacked_and_looked_through() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, format!("<{VALUE}>").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes()
    };
    let house = House::open([head(packed.len()), packed].concat(), EgressLevel::Open).await;
    let said = house.ask(&house.get(AUTHORIZED)).await;
    let (answer, body) = parts(&said);
    assert!(body.contains(&format!("<{PLACEHOLDER}>")), "{said}");
    assert!(!answer.contains("encoding: gzip") && !answer.contains("content-length"), "{said}");
    house.counted("secret-echoed", 1).await;
    house.bench.end().await;

    let house = House::open([head(9), b"no gzip!!".to_vec()].concat(), EgressLevel::Open).await;
    let mut tls = house.tls(NAME, NAME).await.unwrap();
    tls.write_all(house.get(AUTHORIZED).as_bytes()).await.unwrap();
    let mut said = Vec::new();
    // It is cut: without an end that says it is one.
    let _ = tls.read_to_end(&mut said).await;
    assert!(!String::from_utf8_lossy(&said).ends_with("0\r\n\r\n"));
    let line = house.counted("open", 1).await.remove(0);
    assert_eq!(line.error.as_deref(), Some("answer_encoded"));
    house.bench.end().await;
}

#[tokio::test]
async fn each_request_of_a_connection_is_judged_by_what_holds_then() {
    let house = House::open(with_length("fine"), EgressLevel::Open).await;
    let port = house.port;
    // Another host within the same connection, a second Host header, an absolute URL elsewhere.
    for odd in [
        format!("GET / HTTP/1.1\r\nHost: evil.test\r\n{AUTHORIZED}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {NAME}:{port}\r\nHost: evil.test\r\n{AUTHORIZED}\r\n"),
        format!("GET https://evil.test/ HTTP/1.1\r\nHost: {NAME}:{port}\r\n{AUTHORIZED}\r\n"),
        format!("GET http://{NAME}:{port}/ HTTP/1.1\r\nHost: {NAME}:{port}\r\n{AUTHORIZED}\r\n"),
        format!("CONNECT {NAME}:{port} HTTP/1.1\r\nHost: {NAME}:{port}\r\n{AUTHORIZED}\r\n"),
        // A body of two lengths: a host may see another request in it.
        format!(
            "POST / HTTP/1.1\r\nHost: {NAME}:{port}\r\nContent-Length: 4\r\nContent-Length: 40\r\n{AUTHORIZED}\r\n"
        ),
    ] {
        let mut tls = house.tls(NAME, NAME).await.unwrap();
        tls.write_all(odd.as_bytes()).await.unwrap();
        let mut said = vec![0; 12];
        tls.read_exact(&mut said).await.unwrap();
        assert!(said.starts_with(b"HTTP/1.1 4"), "{odd}: {}", String::from_utf8_lossy(&said));
        assert!(house.asked().is_empty(), "{odd}");
    }
    // Unbound, the connection that is open sends no value any more.
    let mut tls = house.tls(NAME, NAME).await.unwrap();
    let kept = house.get(AUTHORIZED).replace("Connection: close\r\n", "");
    tls.write_all(kept.as_bytes()).await.unwrap();
    let mut said = vec![0; 12];
    tls.read_exact(&mut said).await.unwrap();
    assert_eq!(said, b"HTTP/1.1 200");
    assert_eq!(house.asked().len(), 1);
    house.bind("elsewhere.test").await;
    tls.write_all(kept.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let seen = async {
        while !String::from_utf8_lossy(&rest).contains("secret_not_bound") {
            rest.push(tls.read_u8().await.unwrap());
        }
    };
    seen.await;
    assert!(house.asked().is_empty());
    house.bench.end().await;
}

#[tokio::test]
async fn only_bound_hosts_are_read_and_each_by_its_own_name() {
    let house = House::open(with_length("fine"), EgressLevel::Open).await;
    // The certificate of another host is its own: the machine's authority is not asked.
    let unknown = house.tls("other.test", "other.test").await.unwrap_err();
    assert!(unknown.to_string().contains("UnknownIssuer"), "{unknown}");
    // A bound host by another server name is cut before anything is sent on, at every level.
    assert!(house.tls(NAME, "other.test").await.is_err());
    // The other way round the host itself sees it, with a placeholder at most.
    assert!(house.tls("other.test", NAME).await.is_err());
    let lines = house.bench.egress_of(3).await;
    assert!(lines.iter().any(|line| line.rule == "sni-mismatch"), "{lines:?}");
    assert!(house.asked().is_empty());

    // What the level no longer allows ends, also while it is read.
    let mut tls = house.tls(NAME, NAME).await.unwrap();
    let kept = house.get(AUTHORIZED).replace("Connection: close\r\n", "");
    tls.write_all(kept.as_bytes()).await.unwrap();
    tls.read_u8().await.unwrap();
    house.bench.gateway.set_egress(&house.door.project, EgressLevel::None).await.unwrap();
    let mut rest = Vec::new();
    // Closed or reset: both are an end.
    let _ = tls.read_to_end(&mut rest).await;
    let mut again = TcpStream::connect(house.door.proxy).await.unwrap();
    again.write_all(&connect(&format!("{NAME}:{}", house.port))).await.unwrap();
    let mut said = vec![0; 12];
    again.read_exact(&mut said).await.unwrap();
    assert_eq!(said, b"HTTP/1.1 403");
    house.bench.end().await;
}

#[tokio::test]
async fn a_host_whose_certificate_nobody_vouches_for_gets_no_value() {
    let house = House::open(with_length("fine"), EgressLevel::Open).await;
    let stranger = KeyPair::generate().unwrap();
    let stranger = CertificateParams::new(vec!["x.test".into()]).unwrap().self_signed(&stranger);
    house.bench.state.roots.trust(stranger.unwrap().der().clone());
    let said = house.ask(&house.get(AUTHORIZED)).await;
    assert!(
        said.starts_with("HTTP/1.1 502") && said.contains("invalid peer certificate"),
        "{said}"
    );
    assert!(house.asked().is_empty() && !said.contains(VALUE));
    house.bench.end().await;
}
