//! The row about requests that are read: a download by HTTPS from a host that a brokered secret is bound
//! to, through the gateway; the same through socat, which reads nothing, beside it. Program and host
//! encrypt in this process, in both.

use super::{
    Row,
    egress::{DOWNLOAD_BYTES, DOWNLOADS_MAX, PIECE_BYTES, Socat, tunnel},
    outlet::{Outlet, blocking, loopback},
    peers::{Peers, left_out},
    scratch::Scratch,
};
use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, Stream,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Instant,
};
use toft_gateway::{
    Brokered, BrokeredSecret, GatewayConfig, Reach, Secret,
    brokered::authority::{self, Mint},
};
use toft_model::{binding::Binding, id::ProjectId, machine::EgressLevel};

const NAME: &str = "host.bench.example";
const PLACEHOLDER: &str = "toft-placeholder-00112233445566778899aabbccddeeff";
const VALUE: &str = "the-value-of-the-bench";
/// A head is far shorter.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A download through the gateway that reads it, in millions of bytes per second.
pub(super) async fn rate(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let (host, root) = host()?;
    let scratch = Scratch::make()?;
    let authorities = scratch.path().join("authorities.pem");
    std::fs::write(&authorities, &root).context("writing the host's authority")?;
    let (outlet, proxy, trusted) = open(host, &authorities).await?;
    let socat = peers.socat.as_ref().and_then(|program| {
        Socat::open(program, host).inspect_err(|error| left_out("socat", error)).ok()
    });
    let ours = Arc::new(client(&trusted)?);
    let direct = Arc::new(client(&root)?);
    let (mut read, mut passed) = (Vec::new(), Vec::new());
    for round in 0..=rounds.min(DOWNLOADS_MAX) {
        let (config, port) = (Arc::clone(&ours), host.port());
        let through =
            blocking(move || download(tunnel(proxy, format_args!("{NAME}:{port}"))?, port, config));
        let through = through.await?;
        let peer = match &socat {
            Some(socat) => {
                let (address, config) = (socat.address, Arc::clone(&direct));
                Some(blocking(move || download(TcpStream::connect(address)?, port, config)).await?)
            }
            None => None,
        };
        if round > 0 {
            read.push(through);
            passed.extend(peer);
        }
    }
    drop(socat);
    outlet.close().await?;
    let mut rows = vec![Row::new("egress_brokered_mb_s", "MB/s", read)];
    if !passed.is_empty() {
        rows.push(Row::new("egress_brokered_mb_s (peer: socat)", "MB/s", passed));
    }
    Ok(rows)
}

/// A gateway with one machine whose secret is bound to the host; what that machine trusts.
async fn open(host: SocketAddr, root: &std::path::Path) -> Result<(Outlet, SocketAddr, String)> {
    let config = GatewayConfig {
        names: [(NAME.to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST))].into(),
        allow_private: vec![host],
        ..GatewayConfig::default()
    };
    let outlet = Outlet::trusting(config, Some(root)).await?;
    let project = ProjectId::random();
    let (certificate, key) = authority::make(&project)?;
    let secret = BrokeredSecret {
        name: "KEY".to_owned(),
        placeholder: PLACEHOLDER.to_owned(),
        value: Secret::new(VALUE),
        binding: Binding { hosts: vec![format!("{NAME}:{}", host.port())], ..Binding::default() },
    };
    let brokered = Brokered { secrets: vec![secret], authority: Some(Mint::new(key)) };
    let reach = Reach { egress: EgressLevel::Open, brokered };
    let proxy = outlet.reaching(&project, reach).await?.proxy;
    Ok((outlet, proxy, certificate))
}

/// A host with TLS that answers each request with the same long answer, if it comes with the value; the
/// authority of its certificate.
fn host() -> Result<(SocketAddr, String)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    let (config, listener) = (Arc::new(config), loopback()?);
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let config = Arc::clone(&config);
            // Who goes away early is answered no further.
            std::thread::spawn(move || drop(answer(stream, config)));
        }
    });
    let text = STANDARD.encode(issuer.der());
    let root = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    Ok((address, root))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn answer(mut stream: TcpStream, config: Arc<ServerConfig>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut tls = ServerConnection::new(config)?;
    let mut tls = Stream::new(&mut tls, &mut stream);
    let asked = head(&mut tls)?;
    // Beside it the same host is asked with the placeholder.
    ensure!(asked.contains(VALUE) || asked.contains(PLACEHOLDER), "a request without a key");
    write!(tls, "HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD_BYTES}\r\n\r\n")?;
    let piece = vec![b'x'; PIECE_BYTES];
    let mut left = usize::try_from(DOWNLOAD_BYTES)?;
    while left > 0 {
        left -= tls.write(&piece[..left.min(PIECE_BYTES)])?;
    }
    tls.flush()?;
    Ok(())
}

fn client(authority: &str) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Millions of bytes per second.
fn download(mut stream: TcpStream, port: u16, config: Arc<ClientConfig>) -> Result<f64> {
    stream.set_nodelay(true)?;
    let mut tls = ClientConnection::new(config, ServerName::try_from(NAME)?)?;
    let mut tls = Stream::new(&mut tls, &mut stream);
    let began = Instant::now();
    write!(tls, "GET / HTTP/1.1\r\nHost: {NAME}:{port}\r\nAuthorization: {PLACEHOLDER}\r\n\r\n")?;
    let said = head(&mut tls)?;
    if !said.starts_with("HTTP/1.1 200") {
        bail!("the host answered {said}");
    }
    let mut buffer = vec![0; PIECE_BYTES];
    let mut got = 0;
    while got < DOWNLOAD_BYTES {
        let n = tls.read(&mut buffer)?;
        ensure!(n > 0, "the download ended after {got} bytes");
        got += n as u64;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let bytes = got as f64;
    Ok(bytes / 1e6 / began.elapsed().as_secs_f64())
}

fn head(stream: &mut impl Read) -> Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD_BYTES_MAX && stream.read(&mut byte)? > 0, "a head was cut");
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
