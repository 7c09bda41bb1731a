//! A host of the internet with TLS, as far as a story needs one: it tells what it was asked, says it
//! back, also in a WebSocket and over HTTP/2, leads elsewhere, serves files, and asks for a key. Its certificates are of an authority of its
//! own, which the gateway is told to trust (`SSL_CERT_FILE`).

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{
            Role,
            frame::{
                self as ws,
                coding::{Data, OpCode},
            },
        },
    },
};
use tokio_util::task::AbortOnDropHandle;

type Body = BoxBody<Bytes, Infallible>;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET /path?query`.
    pub line: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Asked {
    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The host. It is gone when dropped.
pub struct Https {
    /// Where it listens.
    pub address: SocketAddr,
    /// The authority of its certificates (PEM), and files that it serves below `/files/`.
    pub folder: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Https {
    /// One for these names. What is below `/files/` needs Basic credentials with this password.
    pub async fn start(names: &[&str], password: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("toft-https-").tempdir()?;
        std::fs::create_dir(folder.path().join("files"))?;
        let config = certified(names, &folder.path().join("root.pem"))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let site = Arc::new(Site {
            asked: Arc::clone(&asked),
            files: folder.path().join("files"),
            password: password.to_owned(),
        });
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, site) = (acceptor.clone(), Arc::clone(&site));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(move |request| {
                        let site = Arc::clone(&site);
                        async move { site.answer(request).await }
                    });
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let stream = TokioIo::new(stream);
                    // A client that goes away is part of the stories.
                    drop(builder.serve_connection_with_upgrades(stream, answer).await);
                });
            }
        });
        Ok(Self { address, folder, asked, _serving: AbortOnDropHandle::new(serving) })
    }

    /// TLS for these names in front of a program that answers without it.
    pub async fn in_front_of(names: &[&str], inner: SocketAddr) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("toft-https-").tempdir()?;
        let mut config = certified(names, &folder.path().join("root.pem"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut inner) = TcpStream::connect(inner).await else { return };
                    // A client that goes away is part of the stories.
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut inner).await);
                });
            }
        });
        let serving = AbortOnDropHandle::new(serving);
        Ok(Self { address, folder, asked: Arc::default(), _serving: serving })
    }

    /// The file with its authority, for `SSL_CERT_FILE`.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Requests that came since the last look.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn certified(names: &[&str], root: &Path) -> Result<ServerConfig> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(root, pem(issuer.der()))?;
    let key = KeyPair::generate()?;
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let leaf = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn pem(der: &CertificateDer<'_>) -> String {
    let text = base64(der);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// In the alphabet of RFC 4648 §4.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

struct Site {
    asked: Arc<Mutex<Vec<Asked>>>,
    files: PathBuf,
    password: String,
}

impl Site {
    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let body =
            body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        // In HTTP/2 a request names its host beside the path.
        let target = parts.uri.path_and_query().map_or("*", |target| target.as_str());
        let asked = Asked {
            line: format!("{} {target}", parts.method),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let path = parts.uri.path();
        Ok(match path.split('/').nth(1).unwrap_or_default() {
            "files" => self.file(path, &asked),
            "redirect" => Response::builder()
                .status(StatusCode::FOUND)
                .header(header::LOCATION, parts.uri.query().unwrap_or("/"))
                .body(whole(""))
                .expect("a plain head"),
            "zipped" => Response::builder()
                .header(header::CONTENT_ENCODING, "br")
                .body(whole("nobody asked for this"))
                .expect("a plain head"),
            "gzip" => Response::builder()
                .header(header::CONTENT_ENCODING, "gzip")
                .body(of(gzip(asked.header("authorization")).into()))
                .expect("a plain head"),
            "socket" => socket(&asked, upgrade),
            "trailers" => Response::new(with_trailers(&asked)),
            "pieces" => Response::new(pieces(asked.header("authorization"))),
            _ => {
                let said = format!("{}\n{:?}\n{}\n", asked.line, asked.headers, asked.body);
                let mut answer = Response::new(whole(&said));
                if let Some(key) = asked.headers.get(header::AUTHORIZATION) {
                    answer.headers_mut().insert("x-said", key.clone());
                }
                answer
            }
        })
    }

    fn file(&self, path: &str, asked: &Asked) -> Response<Body> {
        let expected = format!("Basic {}", base64(format!("me:{}", self.password).as_bytes()));
        if asked.header("authorization") != expected {
            return Response::builder()
                .status(StatusCode::UNAUTHORIZED)
                .header(header::WWW_AUTHENTICATE, "Basic realm=\"files\"")
                .body(whole("who are you?"))
                .expect("a plain head");
        }
        let below = path.trim_start_matches("/files/");
        match std::fs::read(self.files.join(below)) {
            Ok(bytes) if !below.contains("..") => Response::new(of(bytes.into())),
            _ => Response::builder()
                .status(StatusCode::NOT_FOUND)
                .body(whole(""))
                .expect("a plain head"),
        }
    }
}

/// A WebSocket that begins with the key in one message, and in three pieces in another, and then says
/// back what it hears.
fn socket(asked: &Asked, upgrade: OnUpgrade) -> Response<Body> {
    let key = asked.header("authorization").to_owned();
    let accept = derive_accept_key(asked.header("sec-websocket-key").as_bytes());
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let stream = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        let third = key.len().div_ceil(3);
        let mut said = vec![Message::text(key.clone())];
        for (nth, piece) in key.as_bytes().chunks(third).enumerate() {
            let kind = OpCode::Data(if nth == 0 { Data::Text } else { Data::Continue });
            let frame = ws::Frame::message(piece.to_vec(), kind, (nth + 1) * third >= key.len());
            said.push(Message::Frame(frame));
        }
        for message in said {
            if socket.send(message).await.is_err() {
                return;
            }
        }
        while let Some(Ok(message)) = socket.next().await {
            let is_said = message.is_text() || message.is_binary();
            if is_said && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, accept)
        .body(whole(""))
        .expect("a plain head")
}

/// What was sent, said back, and the key in a trailer.
fn with_trailers(asked: &Asked) -> Body {
    let mut after = HeaderMap::new();
    after.insert("grpc-status", HeaderValue::from_static("0"));
    if let Some(key) = asked.headers.get(header::AUTHORIZATION) {
        after.insert("x-said", key.clone());
    }
    let body = Frame::data(Bytes::copy_from_slice(asked.body.as_bytes()));
    let frames = [body, Frame::trailers(after)].map(Ok::<_, Infallible>);
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

/// Packed without being made smaller (RFC 1951 §3.2.4, RFC 1952).
fn gzip(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("it is short");
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let crc = text.bytes().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    let end = [(!crc).to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [&head[..], &lengths, text.as_bytes(), &end].concat()
}

/// The text byte by byte, each a chunk of its own.
fn pieces(text: &str) -> Body {
    let bytes: Vec<Bytes> = text.bytes().map(|b| Bytes::from(vec![b])).collect();
    let frames = bytes.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

fn whole(text: &str) -> Body {
    of(Bytes::copy_from_slice(text.as_bytes()))
}

fn of(bytes: Bytes) -> Body {
    BodyExt::boxed(Full::new(bytes))
}
