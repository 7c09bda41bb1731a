//! A backend whose machines are unix sockets, and a server on it. The bridge in it keeps an event
//! log and echoes what reaches the app; the init in it runs real programs.

use crate::client::{Answer, Call};
use async_trait::async_trait;
use axum::{
    Json, Router,
    body::Body,
    extract::{Query, Request, State, WebSocketUpgrade, ws::Message},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{any, get, post},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use toft_machine::backend::{Backend, MachineError, Running, StartSpec, Stats};
use toft_model::{
    event::wire_data,
    frame::{Decoder, FrameKind, encode},
    id::ProjectId,
    init::{ExecExit, ExecSpec, InitInput, InitReply, InitRequest},
    machine::Ability,
};
use toft_server::{Clock, Secret, ServerConfig, Stop};

pub(crate) const AGENT_KEY: &str = "agent-key-for-tests";

/// What survives a machine's stop.
#[derive(Default)]
pub(crate) struct Disk {
    /// (session, kind, data) by number.
    log: Mutex<Vec<(String, String, Value)>>,
    grown: watch::Sender<u64>,
    /// Counts up to cut every event stream.
    cut: watch::Sender<u64>,
    /// Written into open streams as it is.
    raw: watch::Sender<String>,
}

impl Disk {
    /// Appends an event as a bridge does: to the log file, then to streams.
    pub(crate) fn push(&self, log_dir: &Path, session: &str, kind: &str, data: &Value) -> u64 {
        let mut log = self.log.lock().unwrap();
        log.push((session.into(), kind.into(), data.clone()));
        let seq = log.len() as u64;
        let line = json!({"seq":seq,"ts":1_000+seq,"session":session,"kind":kind,"data":data});
        if log_dir.is_dir() {
            use std::io::Write as _;
            let path = log_dir.join("events.jsonl");
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            writeln!(file.unwrap(), "{line}").unwrap();
        }
        drop(log);
        self.grown.send_replace(seq);
        seq
    }

    /// Drops every open event stream.
    pub(crate) fn cut_streams(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    /// The end of the log is lost, as in a crash of the host.
    pub(crate) fn lose_after(&self, seq: usize) {
        self.log.lock().unwrap().truncate(seq);
    }

    /// Sends text into open streams that no log holds.
    pub(crate) fn forge(&self, text: &str) {
        self.raw.send_replace(text.to_owned());
    }

    fn frame(&self, seq: u64) -> Option<String> {
        let log = self.log.lock().unwrap();
        let (session, kind, data) = log.get(usize::try_from(seq).unwrap() - 1)?;
        let data = wire_data(kind, Some(session), data.clone());
        Some(format!("event: {kind}\nid: {seq}\ndata: {data}\n\n"))
    }
}

struct Box_ {
    started_at: u64,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// All machines of a test.
pub(crate) struct Machines {
    dir: TempDir,
    disks: Mutex<HashMap<ProjectId, Arc<Disk>>>,
    running: Mutex<HashMap<ProjectId, Box_>>,
    pub(crate) starts: AtomicUsize,
    /// The next starts fail with this text.
    pub(crate) broken: Mutex<Option<String>>,
    /// How long a start takes.
    pub(crate) start_takes: Mutex<Duration>,
}

impl Machines {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            dir: tempfile::tempdir().unwrap(),
            disks: Mutex::default(),
            running: Mutex::default(),
            starts: AtomicUsize::new(0),
            broken: Mutex::default(),
            start_takes: Mutex::default(),
        })
    }

    pub(crate) fn disk(&self, id: &ProjectId) -> Arc<Disk> {
        Arc::clone(&self.disks.lock().unwrap()[id])
    }

    pub(crate) fn push(&self, id: &ProjectId, session: &str, kind: &str, data: Value) -> u64 {
        self.disk(id).push(&self.log_dir(id), session, kind, &data)
    }

    /// The machine's processes vanish, as after a crash of the host's kernel or a kill -9 of init.
    pub(crate) fn kill(&self, id: &ProjectId) {
        self.running.lock().unwrap().remove(id);
        let dir = self.dir.path().join(id.as_str());
        let _ = std::fs::remove_file(dir.join("bridge.sock"));
        let _ = std::fs::remove_file(dir.join("init.sock"));
    }

    pub(crate) fn is_running(&self, id: &ProjectId) -> bool {
        self.running.lock().unwrap().contains_key(id)
    }

    fn running(&self, id: &ProjectId, adopted: bool) -> Option<Running> {
        let running = self.running.lock().unwrap();
        let found = running.get(id)?;
        Some(Running {
            project: id.clone(),
            token: "project-token".into(),
            gateway_listeners: (0..2)
                .map(|_| OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap()))
                .collect(),
            init_pid: std::process::id(),
            started_at: found.started_at,
            adopted,
        })
    }

    async fn connect(&self, id: &ProjectId, name: &str) -> Result<UnixStream, MachineError> {
        UnixStream::connect(self.dir.path().join(id.as_str()).join(name))
            .await
            .map_err(|_| MachineError::NotRunning(id.clone()))
    }
}

#[async_trait]
impl Backend for Machines {
    fn name(&self) -> &'static str {
        "native"
    }

    async fn abilities(&self) -> Vec<Ability> {
        vec![Ability {
            name: "user namespaces".into(),
            enforced: false,
            how: "machines of a test are sockets".into(),
            remedy: None,
        }]
    }

    fn storage(&self) -> String {
        "plain copy".into()
    }

    async fn create(&self, id: &ProjectId) -> Result<(), MachineError> {
        let dir = self.dir.path().join(id.as_str()).join("log");
        std::fs::create_dir_all(dir).unwrap();
        self.disks.lock().unwrap().entry(id.clone()).or_default();
        Ok(())
    }

    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError> {
        let id = spec.project;
        if let Some(running) = self.running(&id, true) {
            return Ok(running);
        }
        let takes = *self.start_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.starts.fetch_add(1, Ordering::SeqCst);
        if let Some(detail) = self.broken.lock().unwrap().clone() {
            return Err(MachineError::DidNotStart { project: id, detail });
        }
        let dir = self.dir.path().join(id.as_str());
        for name in ["bridge.sock", "init.sock"] {
            let _ = std::fs::remove_file(dir.join(name));
        }
        let bridge = UnixListener::bind(dir.join("bridge.sock")).unwrap();
        let init = UnixListener::bind(dir.join("init.sock")).unwrap();
        let state = Bridge { disk: self.disk(&id), log_dir: dir.join("log"), project: id.clone() };
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(serve_bridge(bridge, state))),
            AbortOnDropHandle::new(tokio::spawn(serve_init(init))),
        ];
        let started = Box_ { started_at: 5, _tasks: tasks };
        self.running.lock().unwrap().insert(id.clone(), started);
        Ok(self.running(&id, false).unwrap())
    }

    async fn adopt(&self, id: &ProjectId) -> Result<Option<Running>, MachineError> {
        Ok(self.running(id, true))
    }

    async fn stop(&self, id: &ProjectId, _: Duration) -> Result<(), MachineError> {
        self.kill(id);
        Ok(())
    }

    async fn destroy(&self, id: &ProjectId) -> Result<(), MachineError> {
        self.kill(id);
        self.disks.lock().unwrap().remove(id);
        std::fs::remove_dir_all(self.dir.path().join(id.as_str())).unwrap();
        Ok(())
    }

    async fn sweep(&self, _: &[ProjectId]) -> Result<(), MachineError> {
        Ok(())
    }

    async fn connect_init(&self, id: &ProjectId) -> Result<UnixStream, MachineError> {
        self.connect(id, "init.sock").await
    }

    async fn connect_bridge(&self, id: &ProjectId) -> Result<UnixStream, MachineError> {
        self.connect(id, "bridge.sock").await
    }

    async fn stats(&self, _: &ProjectId) -> Result<Stats, MachineError> {
        Ok(Stats { memory_bytes: Some(1), pids: Some(2) })
    }

    fn log_dir(&self, id: &ProjectId) -> PathBuf {
        self.dir.path().join(id.as_str()).join("log")
    }
}

#[derive(Clone)]
struct Bridge {
    disk: Arc<Disk>,
    log_dir: PathBuf,
    project: ProjectId,
}

async fn serve_bridge(listener: UnixListener, state: Bridge) {
    let router = Router::new()
        .route("/toft/events", get(bridge_events))
        .route("/toft/prompt", post(bridge_prompt))
        .route("/toft/state", get(async || {
            Json(json!({"type":"response","command":"get_state","success":true,"data":{
                "sessionId":"s1","status":"working","isStreaming":true,"appPort":5173,
                "appListening":true,"seq":0}}))
        }))
        .route("/toft/sessions", get(async || {
            Json(json!({"type":"response","command":"list_sessions","success":true,"data":{
                "current":"s1","sessions":[{"id":"s1","status":"working"}]}}))
        }))
        .route("/toft/inspect", get(async || {
            Json(json!({"integrations":[],"services":[],"assets":[]}))
        }))
        .route("/toft/ws", any(async |ws: WebSocketUpgrade| ws.on_upgrade(echo)))
        .route("/ws", any(async |ws: WebSocketUpgrade| ws.on_upgrade(echo)))
        .fallback(app)
        .with_state(state);
    // Not `axum::serve`: a machine that is gone takes its open connections with it.
    let mut conns: Vec<AbortOnDropHandle<()>> = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        conns.retain(|c| !c.is_finished());
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        conns.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        })));
    }
}

async fn echo(mut socket: axum::extract::ws::WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(_) | Message::Binary(_) = &message
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}

async fn bridge_events(
    State(bridge): State<Bridge>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let disk = bridge.disk;
    let newest = disk.log.lock().unwrap().len() as u64;
    let after = query.get("after").map_or(newest, |a| a.parse::<u64>().unwrap());
    if after > newest {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut next = after + 1;
    let (mut grown, mut cut, mut raw) =
        (disk.grown.subscribe(), disk.cut.subscribe(), disk.raw.subscribe());
    grown.mark_changed();
    let hello = json!({"seq": newest, "project": bridge.project});
    let body = async_stream::stream! {
        yield Ok::<_, Infallible>(format!("event: hello\ndata: {hello}\n\n"));
        loop {
            tokio::select! {
                _ = grown.changed() => {}
                _ = cut.changed() => return,
                _ = raw.changed() => {
                    let text = raw.borrow_and_update().clone();
                    yield Ok(text);
                }
            }
            while let Some(frame) = disk.frame(next) {
                next += 1;
                yield Ok(frame);
            }
        }
    };
    ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
}

async fn bridge_prompt(State(bridge): State<Bridge>, Json(body): Json<Value>) -> Response {
    let push = |kind: &str, data: Value| bridge.disk.push(&bridge.log_dir, "s1", kind, &data);
    push("agent_start", json!({}));
    push(
        "message_end",
        json!({"messageId":"m1","entryId":"e1","parentId":null,
               "message":{"role":"user","content":body["message"],"timestamp":1}}),
    );
    push("message_update", json!({"messageId":"m2","type":"text_delta","contentIndex":0,"delta":"Hi"}));
    push("agent_end", json!({"reason":"done"}));
    (StatusCode::ACCEPTED, Json(json!({"type":"response","command":"prompt","success":true,
        "data":{"sessionId":"s1"}})))
        .into_response()
}

/// The app: says what reached it.
async fn app(req: Request) -> Response {
    let (parts, body) = req.into_parts();
    let bytes = axum::body::to_bytes(body, 80 << 20).await.unwrap_or_default();
    let headers: HashMap<&str, Vec<&str>> = parts
        .headers
        .keys()
        .map(|name| {
            let all = parts.headers.get_all(name).iter();
            (name.as_str(), all.map(|v| v.to_str().unwrap_or("?")).collect())
        })
        .collect();
    let told = json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": headers,
        "bytes": bytes.len(),
    });
    let mut answer = Json(told).into_response();
    if parts.uri.path() == "/cookies" {
        let out = answer.headers_mut();
        for cookie in ["id=1; Path=/", "wide=1; Domain=localhost", "toft_session=evil; Path=/"] {
            out.append("set-cookie", cookie.parse().unwrap());
        }
        out.insert("x-toft-port", "1".parse().unwrap());
    }
    if parts.uri.path().ends_with("/evil.html") {
        answer.headers_mut().insert("content-type", "text/html".parse().unwrap());
    }
    answer
}

/// Programs by id, for `Kill`.
static EXECS: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);
static NEXT_EXEC: AtomicU64 = AtomicU64::new(1);

async fn serve_init(listener: UnixListener) {
    let mut conns: Vec<AbortOnDropHandle<()>> = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        conns.retain(|c| !c.is_finished());
        conns.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = init_connection(stream).await;
        })));
    }
}

async fn reply(stream: &mut (impl tokio::io::AsyncWrite + Unpin), reply: &InitReply) {
    let frame = encode(FrameKind::Json, &serde_json::to_vec(reply).unwrap());
    let _ = stream.write_all(&frame).await;
}

async fn init_connection(mut stream: UnixStream) -> std::io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buf = [0u8; 4096];
    let request = loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        decoder.push(&buf[..n]);
        if let Some((_, payload)) = decoder.next_frame().unwrap() {
            break serde_json::from_slice::<InitRequest>(&payload).unwrap();
        }
    };
    match request {
        InitRequest::Exec(spec) => run_program(stream, decoder, spec).await,
        InitRequest::Kill { id, .. } => {
            let pid = EXECS.lock().unwrap().get_or_insert_default().get(&id).copied();
            if let Some(pid) = pid {
                // The group that the program leads.
                let group = format!("-{pid}");
                let _ = std::process::Command::new("kill").args(["-9", "--", &group]).status();
            }
            reply(&mut stream, &InitReply::Done).await;
            Ok(())
        }
        other => panic!("the server asked init for {other:?}"),
    }
}

async fn run_program(
    mut stream: UnixStream,
    mut decoder: Decoder,
    spec: ExecSpec,
) -> std::io::Result<()> {
    let child = tokio::process::Command::new(&spec.argv[0])
        .args(&spec.argv[1..])
        .envs(spec.env)
        .current_dir(spec.cwd.unwrap_or_else(|| "/".into()))
        .stdin(if spec.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let message = format!("{} could not be started: {error}", spec.argv[0]);
            reply(&mut stream, &InitReply::Failed { code: "spawn".into(), message }).await;
            return Ok(());
        }
    };
    let id = format!("exec-{}", NEXT_EXEC.fetch_add(1, Ordering::SeqCst));
    let pid = child.id().unwrap();
    EXECS.lock().unwrap().get_or_insert_default().insert(id.clone(), pid);
    reply(&mut stream, &InitReply::Started { id, pid, attached: false }).await;
    let (mut read, mut write) = stream.into_split();
    let mut stdin = child.stdin.take();
    let input: JoinHandle<()> = tokio::spawn(async move {
        let mut buf = [0u8; 65536];
        loop {
            while let Ok(Some((kind, payload))) = decoder.next_frame() {
                if kind == FrameKind::Stdin {
                    if let Some(pipe) = &mut stdin {
                        let _ = pipe.write_all(&payload).await;
                    }
                } else if serde_json::from_slice::<InitInput>(&payload).is_ok() {
                    stdin = None;
                }
            }
            match read.read(&mut buf).await {
                Ok(n) if n > 0 => decoder.push(&buf[..n]),
                _ => return,
            }
        }
    });
    let input = AbortOnDropHandle::new(input);
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut out_buf, mut err_buf) = ([0u8; 32768], [0u8; 32768]);
    let (mut out_open, mut err_open) = (true, true);
    let mut bytes = 0u64;
    while out_open || err_open {
        let (kind, chunk) = tokio::select! {
            n = out.read(&mut out_buf), if out_open => (FrameKind::Stdout, &out_buf[..n?]),
            n = err.read(&mut err_buf), if err_open => (FrameKind::Stderr, &err_buf[..n?]),
        };
        if chunk.is_empty() {
            if kind == FrameKind::Stdout { out_open = false } else { err_open = false }
            continue;
        }
        bytes += chunk.len() as u64;
        write.write_all(&encode(kind, chunk)).await?;
    }
    let status = child.wait().await?;
    drop(input);
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let exit = ExecExit {
        code: status.code(),
        signal,
        output_bytes: bytes,
        truncated: false,
        output_path: None,
        duration_ms: 1,
    };
    reply(&mut write, &InitReply::Exit(exit)).await;
    Ok(())
}

/// A running server with its data folder and machines.
pub(crate) struct World {
    pub(crate) data: TempDir,
    pub(crate) machines: Arc<Machines>,
    pub(crate) addr: SocketAddr,
    pub(crate) sign_in_url: String,
    pub(crate) stop: Stop,
    /// Unix milliseconds that the server sees.
    pub(crate) now: Arc<AtomicU64>,
    running: Option<JoinHandle<Result<(), toft_server::ServerError>>>,
}

pub(crate) const START_MS: u64 = 1_700_000_000_000;

pub(crate) fn config(data: &Path, now: &Arc<AtomicU64>) -> ServerConfig {
    let now = Arc::clone(now);
    let mut config = ServerConfig::new(
        "127.0.0.1:0".parse().unwrap(),
        data.to_owned(),
        // No gateway in these tests: the server must live without one.
        "/bin/false".into(),
        "1.2.3".into(),
    );
    config.agent_api_key = Some(Secret::new(AGENT_KEY));
    config.clock = Clock::new(move || now.load(Ordering::SeqCst));
    config
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::start(data, Machines::new(), Arc::new(AtomicU64::new(START_MS)), change).await
    }

    async fn start(
        data: TempDir,
        machines: Arc<Machines>,
        now: Arc<AtomicU64>,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let mut config = config(data.path(), &now);
        change(&mut config);
        let (tell, told) = oneshot::channel();
        let backend: Arc<dyn Backend> = machines.clone();
        let running = tokio::spawn(async move {
            toft_server::run(config, backend, CancellationToken::new(), |ready| {
                assert!(tell.send(ready).is_ok());
            })
            .await
        });
        let ready = told.await.expect("the server is ready");
        Self {
            data,
            machines,
            addr: ready.addr,
            sign_in_url: ready.sign_in_url,
            stop: ready.stop,
            now,
            running: Some(running),
        }
    }

    /// Ends the server and starts another one on the same folder and machines.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    pub(crate) async fn restart_with(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        self.stop.stop(false);
        self.running.take().unwrap().await.unwrap().unwrap();
        let World { data, machines, now, .. } = self;
        Self::start(data, machines, now, change).await
    }

    /// A server on the folder and machines of one that is gone.
    pub(crate) async fn reopen(
        data: TempDir,
        machines: Arc<Machines>,
        now: Arc<AtomicU64>,
    ) -> Self {
        Self::start(data, machines, now, |_| {}).await
    }

    pub(crate) async fn end(mut self, stop_machines: bool) {
        self.stop.stop(stop_machines);
        self.running.take().unwrap().await.unwrap().unwrap();
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.addr.port())
    }

    pub(crate) fn cli_token(&self) -> String {
        let text = std::fs::read_to_string(self.data.path().join("run/server.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn send(&self, call: Call) -> Answer {
        call.send(self.addr).await
    }

    /// With the admin key.
    pub(crate) async fn ask(&self, call: Call) -> Answer {
        call.key(AGENT_KEY).send(self.addr).await
    }

    pub(crate) async fn project(&self) -> ProjectId {
        let made = self.ask(Call::post("/v1/projects", &json!({"name": "Shop"}))).await.data();
        assert_eq!(made["state"], "running", "{made}");
        made["id"].as_str().unwrap().parse().unwrap()
    }

    /// Signs in by the printed link; the session's cookie.
    pub(crate) async fn sign_in(&self) -> String {
        let path = self.sign_in_url.split_once("/sign-in").unwrap().1;
        let answer = self.send(Call::get(&format!("/sign-in{path}"))).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
        answer.set_cookie()
    }

    /// Waits until the server's copy holds that many events.
    pub(crate) async fn copied(&self, id: &ProjectId, seq: u64) {
        let path = format!("/v1/projects/{id}/toft/events?after=0");
        let mut events = Call::get(&path).key(AGENT_KEY).stream(self.addr).await;
        events.until(seq).await;
    }

    /// Asks until an answer's data fits; panics after ten seconds.
    pub(crate) async fn eventually(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..500 {
            last = self.ask(Call::get(path)).await.data();
            if fits(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} stayed {last}");
    }
}

/// A header of the request as the app saw it.
pub(crate) fn seen<'a>(told: &'a Value, name: &str) -> Option<&'a str> {
    told["headers"][name][0].as_str()
}
