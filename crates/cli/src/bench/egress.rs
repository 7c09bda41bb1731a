//! Rows about the way out: a gateway of the bench's own, a host on the loopback device, and a program
//! that goes through the proxy as those of a machine do. What TLS would add is the program's and the
//! host's: the gateway passes its bytes on as they come.

use super::{
    Row,
    lab::ms,
    outlet::{Outlet, blocking, loopback},
    peers::{Peers, left_out},
    rows::WARM_UP,
};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fmt::Display,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use toft_gateway::GatewayConfig;

/// One download: long enough for the speed to be its own, and not the start's.
pub(super) const DOWNLOAD_BYTES: u64 = 512 << 20;
/// Bytes that program and host move at once.
pub(super) const PIECE_BYTES: usize = 256 << 10;
/// What socat moves at once; with its own default it is slower.
const SOCAT_BYTES: &str = "131072";
/// Downloads take seconds together.
pub(super) const DOWNLOADS_MAX: usize = 10;
/// A program that listens does it by then.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for a long answer.
const LONG: u8 = b'l';
/// Asks for one byte.
const SHORT: u8 = b's';

/// A gateway with one machine's proxy, and a host that it may reach.
struct Bench {
    outlet: Outlet,
    proxy: SocketAddr,
    host: SocketAddr,
}

impl Bench {
    async fn open() -> Result<Self> {
        let host = host()?;
        let config = GatewayConfig { allow_private: vec![host], ..GatewayConfig::default() };
        let outlet = Outlet::open(config).await?;
        let proxy = outlet.machine().await?.proxy;
        Ok(Self { outlet, proxy, host })
    }

    async fn close(self) -> Result<()> {
        self.outlet.close().await
    }
}

/// A download through the proxy, in millions of bytes per second; through socat beside it.
pub(super) async fn rate(rounds: usize, peers: &Peers) -> Result<Vec<Row>> {
    let bench = Bench::open().await?;
    let socat = match &peers.socat {
        Some(program) => match Socat::open(program, bench.host) {
            Ok(socat) => Some(socat),
            Err(error) => {
                left_out("socat", &error);
                None
            }
        },
        None => None,
    };
    let (mut ours, mut theirs, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds.min(DOWNLOADS_MAX) {
        let (proxy, host) = (bench.proxy, bench.host);
        let through = blocking(move || download(tunnel(proxy, host)?)).await?;
        let straight = blocking(move || download(TcpStream::connect(host)?)).await?;
        let peer = match &socat {
            Some(socat) => {
                let address = socat.address;
                Some(blocking(move || download(TcpStream::connect(address)?)).await?)
            }
            None => None,
        };
        if round > 0 {
            ours.push(through);
            direct.push(straight);
            theirs.extend(peer);
        }
    }
    drop(socat);
    bench.close().await?;
    let mut rows = vec![
        Row::new("egress_mb_s", "MB/s", ours),
        Row::new("egress_mb_s (direct)", "MB/s", direct),
    ];
    if !theirs.is_empty() {
        rows.push(Row::new("egress_mb_s (peer: socat)", "MB/s", theirs));
    }
    Ok(rows)
}

/// From nothing to the host's first byte: what the proxy adds to a direct connection.
pub(super) async fn connect(rounds: usize) -> Result<Vec<Row>> {
    let bench = Bench::open().await?;
    let (mut added, mut direct) = (Vec::new(), Vec::new());
    for round in 0..rounds + WARM_UP {
        let (proxy, host) = (bench.proxy, bench.host);
        let straight = blocking(move || first_byte(|| Ok(TcpStream::connect(host)?))).await?;
        let through = blocking(move || first_byte(|| tunnel(proxy, host))).await?;
        if round >= WARM_UP {
            added.push(through - straight);
            direct.push(straight);
        }
    }
    bench.close().await?;
    Ok(vec![
        Row::new("egress_connect", "ms", added),
        Row::new("egress_connect (direct)", "ms", direct),
    ])
}

/// A host that answers [`LONG`] and [`SHORT`], for as long as the bench lives.
fn host() -> Result<SocketAddr> {
    let listener = loopback()?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut asked = [0];
                let piece = vec![b'x'; PIECE_BYTES];
                // Who goes away early is answered no further.
                let _ = stream.set_nodelay(true);
                while stream.read_exact(&mut asked).is_ok() {
                    let whole = if asked[0] == LONG { DOWNLOAD_BYTES } else { 1 };
                    let mut left = usize::try_from(whole).unwrap_or(usize::MAX);
                    while left > 0 {
                        match stream.write(&piece[..left.min(PIECE_BYTES)]) {
                            Ok(n) if n > 0 => left -= n,
                            _ => return,
                        }
                    }
                }
            });
        }
    });
    Ok(address)
}

/// A connection to the host through the proxy.
pub(super) fn tunnel(proxy: SocketAddr, host: impl Display) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_nodelay(true)?;
    write!(stream, "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read(&mut byte)? > 0, "the proxy closed the connection");
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("the proxy answered {}", String::from_utf8_lossy(&head));
    }
    Ok(stream)
}

fn first_byte(open: impl FnOnce() -> Result<TcpStream>) -> Result<f64> {
    let began = Instant::now();
    let mut stream = open()?;
    stream.set_nodelay(true)?;
    stream.write_all(&[SHORT])?;
    stream.read_exact(&mut [0])?;
    Ok(ms(began))
}

/// Millions of bytes per second.
fn download(mut stream: TcpStream) -> Result<f64> {
    let began = Instant::now();
    stream.write_all(&[LONG])?;
    let mut buffer = vec![0; PIECE_BYTES];
    let mut got = 0;
    while got < DOWNLOAD_BYTES {
        let n = stream.read(&mut buffer)?;
        ensure!(n > 0, "the download ended after {got} bytes");
        got += n as u64;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let bytes = got as f64;
    Ok(bytes / 1e6 / began.elapsed().as_secs_f64())
}

/// socat between a port and the host; ended when it is dropped.
pub(super) struct Socat {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Socat {
    pub(super) fn open(program: &std::path::Path, host: SocketAddr) -> Result<Self> {
        let address = loopback()?.local_addr()?;
        let listen = format!("TCP-LISTEN:{},bind=127.0.0.1,reuseaddr,fork", address.port());
        let child = Command::new(program)
            .args(["-b", SOCAT_BYTES, &listen, &format!("TCP:{host}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting socat")?;
        let socat = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < LISTEN_TIMEOUT, "socat does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(socat)
    }
}

impl Drop for Socat {
    fn drop(&mut self) {
        // Its children end with their connections.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
