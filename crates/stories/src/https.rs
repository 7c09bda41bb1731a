//! A host of the internet with TLS, as far as a story needs one: it tells what it was asked, says it
//! back, leads elsewhere, serves files, and asks for a key. Its certificates are of an authority of its
//! own, which the gateway is told to trust (`SSL_CERT_FILE`).

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
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
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
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
                    let answer = service_fn(|request| site.answer(request));
                    // A client that goes away is part of the stories.
                    let served =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                    drop(served.await);
                });
            }
        });
        Ok(Self { address, folder, asked, _serving: AbortOnDropHandle::new(serving) })
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
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )?)
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
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let body =
            body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let asked = Asked {
            line: format!("{} {}", parts.method, parts.uri),
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
                .header(header::CONTENT_ENCODING, "gzip")
                .body(whole("no gzip at all"))
                .expect("a plain head"),
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
