//! Bytes both ways between two connections, counted, with an end when nothing moves any more. What
//! comes in bulk is moved within the kernel.

use super::bulk;
use crate::{
    judge::{FIRST_BYTES_MAX, First},
    machine::Bytes,
};
use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_policy::{Host, Verdict};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout_at},
};

/// A connection through which nothing goes for so long is closed. Longer than the keep-alives of ssh,
/// databases and WebSockets (minutes at most).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_mins(15);

/// From the first byte to what shows whom a connection is for.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes moved at once. Only held while bytes move: an idle connection holds none.
const COPY_BYTES: usize = 64 * 1024;

/// Reads in a row that fill the buffer: then more than an answer is coming.
const FULL_READS: u32 = 4;

/// Why a connection ended early.
#[derive(Debug)]
pub(super) enum End {
    /// One side broke it.
    Broken,
    /// Nothing moved.
    Idle,
    /// It may not go on.
    Denied(Verdict),
    /// What comes cannot be looked through.
    Unreadable,
    /// It is plain HTTP where names decide: its requests are to be looked at. What was sent so far.
    Http(Vec<u8>),
    /// It is TLS to a host whose requests are read. What was sent so far.
    Tls(Vec<u8>),
}

impl End {
    /// What the line says of it.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Broken | Self::Http(_) | Self::Tls(_) => "cut",
            Self::Idle => "idle_timeout",
            Self::Denied(_) => "egress_denied",
            Self::Unreadable => "answer_encoded",
        }
    }
}

/// What the first bytes are looked at for.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    /// The host that they must be for.
    pub(super) host: Host,
    /// Whether what is said within TLS is to be read.
    pub(super) reads: bool,
}

/// Carries bytes. `expected`: what the first bytes must be, asked when they have come.
pub(super) async fn relay(
    client: &TcpStream,
    host: &TcpStream,
    early: bytes::Bytes,
    bytes: &Bytes,
    pipes: &bulk::Pipes,
    first: &Mutex<First>,
    expected: impl Fn() -> Option<Expected>,
) -> Result<(), End> {
    let active = Activity::new();
    let outward = async {
        let way = Way { from: client, to: host, count: &bytes.out_of_machine, active: &active };
        if !way.begin(early, first, &expected).await? {
            return Ok(());
        }
        way.pump(pipes).await
    };
    let inward = Way { from: host, to: client, count: &bytes.into_machine, active: &active };
    tokio::select! {
        done = async { tokio::try_join!(outward, inward.pump(pipes)) } => done.map(|_| ()),
        () = active.idle_for(IDLE_TIMEOUT) => Err(End::Idle),
    }
}

/// One direction.
struct Way<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    count: &'a AtomicU64,
    active: &'a Activity,
}

impl Way<'_> {
    /// Passes the first bytes on, up to those that show whom the connection is for. Where that matters
    /// nothing is passed on before it is known. False at the end of what comes.
    async fn begin(
        &self,
        early: bytes::Bytes,
        first: &Mutex<First>,
        expected: &impl Fn() -> Option<Expected>,
    ) -> Result<bool, End> {
        let mut seen = early.to_vec();
        let (mut passed, mut deadline) = (0, None);
        loop {
            let told = First::of(&seen);
            first.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&told);
            let expected = expected();
            let host = expected.as_ref().map(|expected| &expected.host);
            if let Some(host) = host {
                if let Some(verdict) = told.not_for(host) {
                    return Err(End::Denied(verdict));
                }
                let reads = expected.as_ref().is_some_and(|expected| expected.reads);
                if matches!(told, First::Tls(Ok(_))) && reads && passed == 0 {
                    return Err(End::Tls(seen));
                }
                if told == First::Http1 && passed == 0 {
                    return Err(End::Http(seen));
                }
                if told == First::Http1 {
                    let verdict = told.passed_for_another(host);
                    return Err(verdict.map_or(End::Broken, End::Denied));
                }
            }
            let open = told != First::Unknown;
            if (open || host.is_none()) && passed < seen.len() {
                self.write(&seen[passed..]).await?;
                passed = seen.len();
            }
            if open {
                return Ok(true);
            }
            // Before its first byte a client may take its time (the other side may speak first).
            if host.is_some() && !seen.is_empty() && deadline.is_none() {
                deadline = Some(Instant::now() + FIRST_TIMEOUT);
            }
            match self.more(&mut seen, deadline).await? {
                0 => return self.ended(&seen[passed..], host).await,
                _ => self.active.now(),
            }
        }
    }

    /// More of the first bytes; how many.
    async fn more(&self, seen: &mut Vec<u8>, deadline: Option<Instant>) -> Result<usize, End> {
        let read = async {
            loop {
                self.from.readable().await?;
                let room = FIRST_BYTES_MAX.saturating_sub(seen.len()).max(1);
                let mut piece = Vec::with_capacity(room);
                match self.from.try_read_buf(&mut piece) {
                    Ok(n) => {
                        seen.extend_from_slice(&piece);
                        return Ok(n);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    Err(e) => return Err(e),
                }
            }
        };
        let late = || Verdict::deny("unnamed", "its first bytes do not show whom it is for");
        match deadline {
            None => read.await.map_err(broken),
            Some(deadline) => match timeout_at(deadline, read).await {
                Ok(read) => read.map_err(broken),
                Err(_) => Err(End::Denied(late())),
            },
        }
    }

    /// The client has no more to say, and it never became clear what it is.
    async fn ended(&self, held: &[u8], host: Option<&Host>) -> Result<bool, End> {
        if !held.is_empty() {
            if host.is_some() {
                return Err(End::Broken);
            }
            self.write(held).await?;
        }
        shut(self.to);
        Ok(false)
    }

    /// Moves bytes until the sender is done, then says so to the receiver.
    async fn pump(&self, pipes: &bulk::Pipes) -> Result<(), End> {
        let mut full = 0;
        loop {
            self.from.readable().await.map_err(broken)?;
            let mut buffer = Vec::with_capacity(COPY_BYTES);
            loop {
                buffer.clear();
                match self.from.try_read_buf(&mut buffer) {
                    Ok(0) => {
                        shut(self.to);
                        return Ok(());
                    }
                    Ok(n) => {
                        self.write(&buffer).await?;
                        full = if n == COPY_BYTES { full + 1 } else { 0 };
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Err(End::Broken),
                }
                if full >= FULL_READS {
                    full = 0;
                    drop(std::mem::take(&mut buffer));
                    // Without a pipe it goes on as before.
                    if let Some(pipe) = pipes.open()
                        && self.bulk(pipe).await?
                    {
                        shut(self.to);
                        return Ok(());
                    }
                    buffer = Vec::with_capacity(COPY_BYTES);
                }
            }
        }
    }

    /// Within the kernel, for as long as it keeps coming. True at the end of what comes.
    async fn bulk(&self, mut pipe: bulk::Pipe) -> Result<bool, End> {
        loop {
            match pipe.fill(self.from).await.map_err(broken)? {
                bulk::Filled::End => return Ok(true),
                bulk::Filled::Pause => return Ok(false),
                bulk::Filled::Some => {}
            }
            while pipe.held() > 0 {
                let Some(moved) = pipe.drain(self.to).await.map_err(broken)? else {
                    // It may stall for long: it waits as others do, without a pipe.
                    let left = pipe.close().map_err(broken)?;
                    self.write(&left).await?;
                    return Ok(false);
                };
                self.count.fetch_add(moved as u64, Ordering::Relaxed);
                self.active.now();
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            match self.to.try_write(bytes) {
                Ok(0) => return Err(End::Broken),
                Ok(n) => {
                    bytes = &bytes[n..];
                    self.count.fetch_add(n as u64, Ordering::Relaxed);
                    self.active.now();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.to.writable().await.map_err(broken)?;
                }
                Err(_) => return Err(End::Broken),
            }
        }
        Ok(())
    }
}

/// Says that no more comes. It may have closed already.
fn shut(to: &TcpStream) {
    let _ = rustix::net::shutdown(to, rustix::net::Shutdown::Write);
}

fn broken(_: io::Error) -> End {
    End::Broken
}

/// When something last moved, in milliseconds since the begin.
pub(super) struct Activity {
    began: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    /// Resolves when nothing has moved for so long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let last = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            if Instant::now() >= last + limit {
                return;
            }
            sleep_until(last + limit).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        sync::Semaphore,
    };

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_receiver_that_stalls_holds_no_pipe_and_gets_every_byte() {
        const BYTES: usize = 32 << 20;
        let ((client, mut machine), (upstream, mut host)) = (pair().await, pair().await);
        let (all, own) = (Arc::new(Semaphore::new(3)), Arc::new(Semaphore::new(2)));
        let pipes = bulk::Pipes { all: Arc::clone(&all), own: Arc::clone(&own) };
        let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
        let (bytes, first) = (Bytes::default(), Mutex::default());
        let sending = async {
            for _ in 0..BYTES / block.len() {
                host.write_all(&block).await.unwrap();
            }
            host.shutdown().await.unwrap();
        };
        let receiving = async {
            while own.available_permits() == 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(all.available_permits(), 2);
            tokio::time::pause();
            tokio::time::sleep(Duration::from_mins(1)).await;
            tokio::time::resume();
            assert_eq!((own.available_permits(), all.available_permits()), (2, 3));
            let mut got = Vec::new();
            machine.shutdown().await.unwrap();
            machine.read_to_end(&mut got).await.unwrap();
            assert_eq!(got.len(), BYTES);
            assert!(got.chunks(block.len()).all(|chunk| chunk == block));
        };
        let relayed =
            relay(&client, &upstream, bytes::Bytes::new(), &bytes, &pipes, &first, || None);
        let relayed = async {
            let relayed = relayed.await;
            shut(&client);
            relayed
        };
        let (relayed, (), ()) = tokio::join!(relayed, sending, receiving);
        relayed.unwrap();
        assert_eq!(bytes.into_machine.load(Ordering::Relaxed), BYTES as u64);
        // Without a place it goes, too, but not through one.
        assert!(bulk::Pipes { all: Arc::new(Semaphore::new(0)), own }.open().is_none());
    }
}
