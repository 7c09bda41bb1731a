//! What the tests of this crate share: a whole gateway in this process behind its real control
//! socket, a provider (or any host) that a test plays byte by byte, and a plain HTTP client. All
//! on real loopback sockets.

use crate::{
    config::{GatewayConfig, ProviderConfig},
    control::Gateway,
    folder,
    process::serve_state,
    records::egress_log::{self, EgressRecord},
    records::usage::UsageLine,
    resolve::Resolver,
    state::State,
};
use futures_util::future::BoxFuture;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use toft_model::{id::ProjectId, machine::EgressLevel};
use toft_vault::Secret;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

/// A key that must never be seen where it does not belong.
pub(crate) const KEY: &str = "sk-canary-4711-provider-key";

/// A gateway in this process.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) gateway: Gateway,
    pub(crate) state: Arc<State>,
    served: tokio::task::JoinHandle<()>,
}

/// A machine's door, as seen from inside.
pub(crate) struct Door {
    pub(crate) project: ProjectId,
    pub(crate) token: String,
    pub(crate) models: SocketAddr,
    pub(crate) proxy: SocketAddr,
    listeners: [StdListener; 2],
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(Arc::new(Names::default())).await
    }

    pub(crate) async fn with(resolver: Arc<dyn Resolver>) -> Self {
        Self::on(tempfile::tempdir().unwrap(), resolver).await
    }

    /// With this data folder.
    pub(crate) async fn on(dir: TempDir, resolver: Arc<dyn Resolver>) -> Self {
        folder::prepare(dir.path()).unwrap();
        // One runtime, so that a test's clock is everybody's.
        let models = tokio::runtime::Handle::current();
        let state = Arc::new(State::new(dir.path(), resolver, models).unwrap());
        let listener = folder::bind(dir.path()).unwrap();
        let served = tokio::spawn({
            let (state, data_dir) = (Arc::clone(&state), dir.path().to_owned());
            async move { serve_state(&state, &data_dir, listener).await }
        });
        let gateway = Gateway::connect(dir.path()).await.unwrap();
        Self { dir, gateway, state, served }
    }

    /// With one provider whose base URL is this.
    pub(crate) async fn provider(&self, id: &str, base_url: String) {
        let provider = ProviderConfig {
            id: id.into(),
            key: Some(Secret::new(KEY)),
            base_url: Some(base_url),
            ..ProviderConfig::default()
        };
        let config = GatewayConfig { providers: vec![provider], ..GatewayConfig::default() };
        self.gateway.set_config(config).await.unwrap();
    }

    pub(crate) async fn machine(&self, egress: EgressLevel) -> Door {
        let door = Door::new();
        self.gateway
            .add_machine(&door.project, &door.token, egress, door.descriptors())
            .await
            .unwrap();
        door
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    /// Calls that have ended.
    pub(crate) fn usage(&self) -> Vec<crate::records::usage::UsageRecord> {
        let ended = |line| match line {
            UsageLine::Ended(record) => Some(record),
            UsageLine::Started(_) | UsageLine::Granted(_) => None,
        };
        crate::records::usage::read(self.data_dir(), 0, 1_000)
            .unwrap()
            .0
            .into_iter()
            .filter_map(ended)
            .collect()
    }

    /// Lines of all machines, oldest first.
    pub(crate) fn egress_log(&self) -> Vec<EgressRecord> {
        let mut lines = Vec::new();
        for project in std::fs::read_dir(self.data_dir().join("usage/egress")).into_iter().flatten()
        {
            let name = project.unwrap().file_name().into_string().unwrap();
            let of_it = egress_log::after(self.data_dir(), &name.parse().unwrap(), 0, 10_000);
            // Several in one line are as many as they were.
            for egress_log::Placed { record, .. } in of_it.unwrap() {
                let count = usize::try_from(record.count).unwrap();
                lines.extend(std::iter::repeat_n(record, count));
            }
        }
        lines.sort_by_key(|line| line.ts);
        lines
    }

    /// Waits until the journal holds so many records.
    pub(crate) async fn usage_of(&self, count: usize) -> Vec<crate::records::usage::UsageRecord> {
        eventually(|| Some(self.usage()).filter(|records| records.len() >= count)).await
    }

    /// Waits until the egress log holds so many lines.
    pub(crate) async fn egress_of(&self, count: usize) -> Vec<EgressRecord> {
        eventually(|| Some(self.egress_log()).filter(|lines| lines.len() >= count)).await
    }

    /// Ends it; nothing of it is left afterwards but its folder.
    pub(crate) async fn end(self) -> TempDir {
        self.gateway.shutdown().await.unwrap();
        self.served.await.unwrap();
        self.dir
    }
}

impl Door {
    pub(crate) fn new() -> Self {
        Self::of(ProjectId::random())
    }

    /// Of a project that may have had one before.
    pub(crate) fn of(project: ProjectId) -> Self {
        let listeners = [0, 1].map(|_| StdListener::bind("127.0.0.1:0").unwrap());
        let [models, proxy] = [0, 1].map(|i: usize| listeners[i].local_addr().unwrap());
        let token = toft_model::id::random_hex(16);
        Self { project, token, models, proxy, listeners }
    }

    /// What a machine can do to its sockets: they wait now, also for whoever has copies.
    pub(crate) fn block(&self) {
        for listener in &self.listeners {
            listener.set_nonblocking(false).unwrap();
        }
    }

    pub(crate) fn descriptors(&self) -> Vec<OwnedFd> {
        self.listeners.iter().map(|l| l.try_clone().unwrap().into()).collect()
    }
}

/// Looks again and again, without a limit of its own: a test that waits for ever is ended by its
/// runner.
pub(crate) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(|| std::thread::sleep(std::time::Duration::from_millis(1)))
            .await
            .unwrap();
    }
}

/// A host that a test plays: what it does with each connection.
pub(crate) struct Fake {
    pub(crate) addr: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Fake {
    pub(crate) async fn start<F, Fut>(each: F) -> Self
    where
        F: Fn(Conn) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(each(Conn::new(stream)));
            }
        });
        Self { addr, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Answers every request with the same bytes, then closes.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut conn| {
            let answer = answer.clone();
            async move {
                conn.request().await;
                conn.write(&answer).await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// An address that refuses connections for as long as what comes with it lives: nobody else can
/// get its port meanwhile.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// One connection, read by hand.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    buf: Vec<u8>,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, buf: Vec::new() }
    }

    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// More bytes; false at the end (or when the connection broke).
    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buf).await, Ok(n) if n > 0)
    }

    /// A head up to and with its empty line, lower-cased names as they came; empty at the end.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buf, b"\r\n\r\n") {
                let head = self.buf.drain(..at + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            if !self.fill().await {
                return String::new();
            }
        }
    }

    /// So many bytes.
    pub(crate) async fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.buf.len() < n {
            assert!(self.fill().await, "ended after {} of {n} bytes", self.buf.len());
        }
        self.buf.drain(..n).collect()
    }

    /// Everything up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buf)
    }

    /// One chunk of a chunked body; empty for the last one, `None` when it was cut.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = loop {
            if let Some(at) = memchr::memmem::find(&self.buf, b"\r\n") {
                let line: Vec<u8> = self.buf.drain(..at + 2).collect();
                let hex = std::str::from_utf8(&line[..at]).unwrap();
                break usize::from_str_radix(hex, 16).unwrap();
            }
            if !self.fill().await {
                return None;
            }
        };
        while self.buf.len() < size + 2 {
            if !self.fill().await {
                return None;
            }
        }
        let chunk = self.buf.drain(..size).collect();
        self.buf.drain(..2);
        Some(chunk)
    }

    /// A body as the head says; and whether it came whole.
    pub(crate) async fn body(&mut self, head: &str) -> (Vec<u8>, bool) {
        if header(head, "transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                match self.chunk().await {
                    Some(chunk) if chunk.is_empty() => return (body, true),
                    Some(chunk) => body.extend(chunk),
                    None => return (body, false),
                }
            }
        }
        match header(head, "content-length") {
            Some(n) => (self.exactly(n.parse().unwrap()).await, true),
            None if status(head) == 204 => (Vec::new(), true),
            None => (self.rest().await, true),
        }
    }

    /// A whole request, as a host gets it.
    pub(crate) async fn request(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await;
        let has_body = header(&head, "content-length").is_some()
            || header(&head, "transfer-encoding").is_some();
        let body = if has_body { self.body(&head).await.0 } else { Vec::new() };
        (head, body)
    }

    /// The body of a request; `None` when it did not come whole.
    pub(crate) async fn whole_body(&mut self, head: &str) -> Option<Vec<u8>> {
        if header(head, "transfer-encoding").is_some() {
            return Some(self.body(head).await).filter(|(_, whole)| *whole).map(|(body, _)| body);
        }
        let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
        while self.buf.len() < length {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.buf.drain(..length).collect())
    }

    /// Resolves when the other side is gone.
    pub(crate) async fn gone(&mut self) {
        while self.fill().await {}
    }
}

/// A header's value.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Status code in a head.
pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0)
}

/// A whole exchange on a connection of its own.
pub(crate) async fn ask(addr: SocketAddr, request: impl AsRef<[u8]>) -> (String, Vec<u8>) {
    let mut conn = Conn::open(addr).await;
    conn.write(request.as_ref()).await;
    let head = conn.head().await;
    let body = conn.body(&head).await.0;
    (head, body)
}

/// A POST to the model API.
pub(crate) fn post(door: &Door, path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway.internal\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        door.token,
        body.len()
    )
}

/// A message of an event stream, as Amazon writes it.
pub(crate) fn framed(event: &str, payload: &str) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let table = bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
            })
        });
        (!table).to_be_bytes()
    };
    let mut head = b"\x0b:event-type\x07\0".to_vec();
    head.push(u8::try_from(event.len()).unwrap());
    head.extend_from_slice(event.as_bytes());
    let number = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
    let mut out = [number(16 + head.len() + payload.len()), number(head.len())].concat();
    out.extend_from_slice(&crc(&out));
    out.extend_from_slice(&head);
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(&crc(&out));
    out
}

/// Names and their answers, in turn; the last one stays. Counts questions.
#[derive(Default)]
pub(crate) struct Names(Mutex<HashMap<String, Name>>);

struct Name {
    answers: Vec<Vec<IpAddr>>,
    asked: usize,
}

impl Names {
    pub(crate) fn set(&self, name: &str, answers: &[&[&str]]) {
        let parse = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        self.answer(name, answers.iter().map(parse).collect());
    }

    pub(crate) fn answer(&self, name: &str, answers: Vec<Vec<IpAddr>>) {
        self.0.lock().unwrap().insert(name.into(), Name { answers, asked: 0 });
    }

    pub(crate) fn asked(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).map_or(0, |name| name.asked)
    }

    pub(crate) fn asked_at_all(&self) -> usize {
        self.0.lock().unwrap().values().map(|name| name.asked).sum()
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let mut names = self.0.lock().unwrap();
            let Some(Name { answers, asked }) = names.get_mut(name) else {
                return Err(io::Error::new(io::ErrorKind::NotFound, "no such name"));
            };
            let answer = answers[(*asked).min(answers.len() - 1)].clone();
            *asked += 1;
            Ok(answer)
        })
    }
}
