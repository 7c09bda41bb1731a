//! A running server with its data folder, its machines and the time it sees.

use crate::{
    backend::Machines,
    client::{Answer, Call},
};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use toft_machine::{
    backend::{Backend, MachineError},
    several::{Lazy, Several},
};
use toft_model::id::ProjectId;
use toft_server::{Clock, Secret, ServerConfig, Stop};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) const AGENT_KEY: &str = "agent-key-for-tests";

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
        let backend: Arc<dyn Backend> = machines.clone();
        Self::serve(data, machines, backend, now, config).await
    }

    /// Machines of both, and `host`, which is not offered.
    pub(crate) async fn with_other(
        data: TempDir,
        machines: Arc<Machines>,
        other: &Arc<Machines>,
    ) -> Self {
        let now = Arc::new(AtomicU64::new(START_MS));
        let config = config(data.path(), &now);
        let open = {
            let other = Arc::clone(other);
            move || -> BoxFuture<'static, Result<Arc<dyn Backend>, MachineError>> {
                let other: Arc<dyn Backend> = other.clone();
                Box::pin(async move { Ok(other) })
            }
        };
        let place = |name| data.path().join("backends").join(name);
        let others = vec![
            Lazy { name: "oci", place: place("oci"), open: Ok(Box::new(open)) },
            Lazy { name: "host", place: place("host"), open: Err("it must be named".into()) },
        ];
        let backend = Arc::new(Several::new(machines.clone(), others));
        Self::serve(data, machines, backend, now, config).await
    }

    async fn serve(
        data: TempDir,
        machines: Arc<Machines>,
        backend: Arc<dyn Backend>,
        now: Arc<AtomicU64>,
        config: ServerConfig,
    ) -> Self {
        let (tell, told) = oneshot::channel();
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

    /// Ends the server; what is left for another one.
    pub(crate) async fn leave(mut self) -> (TempDir, Arc<Machines>) {
        self.stop.stop(false);
        self.running.take().unwrap().await.unwrap().unwrap();
        (self.data, self.machines)
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

    /// A project's machine is killed, and that is seen.
    pub(crate) async fn dies(&self, id: &ProjectId) {
        self.machines.kill(id);
        self.eventually(&format!("/v1/projects/{id}"), |p| p["state"] == "cold").await;
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
