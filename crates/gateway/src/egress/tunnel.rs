//! A CONNECT tunnel: bytes both ways, counted. Where names decide (an allow-list), a TLS client
//! must name the host that it asked for. Nothing is decrypted.

use super::{
    judge,
    log::{Bytes, Log},
};
use crate::{machine::Machine, state::State};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_policy::{
    ClientHello, Host, HostPort, Verdict, client_hello, sni::CLIENT_HELLO_BYTES_MAX,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until, timeout},
};

/// A tunnel through which nothing goes for so long is closed. Longer than the keep-alives of ssh,
/// databases and WebSockets (minutes at most).
const IDLE_TIMEOUT: Duration = Duration::from_mins(15);

/// From the first byte of a ClientHello to its last.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes moved at once. Only held while bytes move: an idle tunnel holds none.
const COPY_BYTES: usize = 128 * 1024;

/// A tunnel whose far end is connected.
pub(super) struct Tunnel {
    pub(super) target: HostPort,
    pub(super) upstream: TcpStream,
    pub(super) log: Log,
    pub(super) machine: Arc<Machine>,
    pub(super) state: Arc<State>,
    pub(super) permit: Arc<OwnedSemaphorePermit>,
}

/// Why a tunnel ended early.
enum End {
    Broken,
    Idle,
    Denied(Verdict),
}

impl Tunnel {
    /// Runs until both ends are done, or something ends it; then writes the line.
    pub(super) async fn run(mut self, upgrade: OnUpgrade) {
        let Ok(upgraded) = upgrade.await else {
            // The client went away before it read our answer.
            return self.log.finish(Some("client_closed"));
        };
        let Ok((mut client, early)) = split(upgraded) else {
            return self.log.finish(Some("client_closed"));
        };
        let expected = self.expected();
        let end = tokio::select! {
            end = copy(&mut client, &mut self.upstream, early, &self.log.bytes, expected) => end,
            verdict = tightened(&self.machine, &self.state, &self.target) => {
                Err(End::Denied(verdict))
            }
        };
        match end {
            Ok(()) => self.log.finish(None),
            Err(End::Broken) => self.log.finish(Some("cut")),
            Err(End::Idle) => self.log.finish(Some("idle_timeout")),
            Err(End::Denied(verdict)) => {
                self.log.overrule(&verdict);
                self.log.finish(Some("egress_denied"));
            }
        }
        drop(self.permit);
    }

    /// The name that a TLS client must say.
    fn expected(&self) -> Option<Host> {
        let names_decide = self.machine.egress().borrow().names_decide();
        match &self.target.host {
            name @ Host::Name(_) if names_decide => Some(name.clone()),
            Host::Name(_) | Host::Address(_) => None,
        }
    }
}

fn split(upgraded: Upgraded) -> Result<(TcpStream, bytes::Bytes), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>()?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

/// Resolves when the level no longer allows the target.
async fn tightened(machine: &Machine, state: &State, target: &HostPort) -> Verdict {
    let mut level = machine.egress();
    loop {
        let egress = Arc::clone(&level.borrow_and_update());
        let verdict = judge(&state.config(), &egress, target);
        if !verdict.allowed() {
            return verdict;
        }
        if level.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn copy(
    client: &mut TcpStream,
    upstream: &mut TcpStream,
    early: bytes::Bytes,
    bytes: &Bytes,
    expected: Option<Host>,
) -> Result<(), End> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_host, mut to_host) = upstream.split();
    let active = Activity::new();
    let outward = async {
        let first = match expected {
            Some(host) => hello(&mut from_client, early, &host).await?,
            None => early.to_vec(),
        };
        to_host.write_all(&first).await.map_err(broken)?;
        bytes.out_of_machine.fetch_add(first.len() as u64, Ordering::Relaxed);
        pump(&mut from_client, &mut to_host, &bytes.out_of_machine, &active).await
    };
    let inward = pump(&mut from_host, &mut to_client, &bytes.into_machine, &active);
    tokio::select! {
        done = async { tokio::try_join!(outward, inward) } => done.map(|_| ()),
        () = active.idle_for(IDLE_TIMEOUT) => Err(End::Idle),
    }
}

/// The client's first bytes, once they show that it speaks no TLS or names the right host.
async fn hello(from: &mut ReadHalf<'_>, early: bytes::Bytes, host: &Host) -> Result<Vec<u8>, End> {
    let mut seen = early.to_vec();
    // Before its first byte a client may take its time (the other side may speak first).
    while seen.is_empty() {
        if from.read_buf(&mut seen).await.map_err(broken)? == 0 {
            return Ok(seen);
        }
    }
    let deadline = Instant::now() + HELLO_TIMEOUT;
    loop {
        let wrong = match client_hello(&seen) {
            ClientHello::NotTls => return Ok(seen),
            ClientHello::Named(name) if name == *host => return Ok(seen),
            ClientHello::Named(name) => format!("the TLS connection is for {name}, not {host}"),
            ClientHello::Nameless => format!("the TLS connection does not name {host}"),
            ClientHello::Malformed => "the TLS connection begins with nonsense".to_owned(),
            ClientHello::Incomplete => {
                let room = CLIENT_HELLO_BYTES_MAX.saturating_sub(seen.len());
                let mut limited = from.take(room as u64);
                let read = limited.read_buf(&mut seen);
                match timeout(deadline.saturating_duration_since(Instant::now()), read).await {
                    Ok(Ok(n)) if n > 0 => continue,
                    Ok(Ok(_) | Err(_)) => return Err(End::Broken),
                    Err(_) => "the TLS connection does not begin".to_owned(),
                }
            }
        };
        return Err(End::Denied(Verdict::deny("sni-mismatch", wrong)));
    }
}

/// Moves bytes until the sender is done, then says so to the receiver.
async fn pump(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    count: &AtomicU64,
    active: &Activity,
) -> Result<(), End> {
    loop {
        from.readable().await.map_err(broken)?;
        let mut buffer = Vec::with_capacity(COPY_BYTES);
        loop {
            buffer.clear();
            match from.try_read_buf(&mut buffer) {
                Ok(0) => {
                    // It may have closed already.
                    let _ = to.shutdown().await;
                    return Ok(());
                }
                Ok(n) => {
                    to.write_all(&buffer).await.map_err(broken)?;
                    count.fetch_add(n as u64, Ordering::Relaxed);
                    active.now();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(End::Broken),
            }
        }
    }
}

fn broken(_: io::Error) -> End {
    End::Broken
}

/// When something last moved, in milliseconds since the begin.
struct Activity {
    began: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { began: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn now(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    /// Resolves when nothing has moved for so long.
    async fn idle_for(&self, limit: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            if Instant::now() >= last + limit {
                return;
            }
            sleep_until(last + limit).await;
        }
    }
}
