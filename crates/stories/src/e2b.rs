//! A double of E2B: its control plane and the daemon of its sandboxes on one port, over real processes. A
//! sandbox is a set of namespaces with a home of its own and no network; paused, its processes stand still.
//! Strict: a field, a path or a header that E2B's published clients would not send is remembered as a
//! fault. It is itself held to those clients (`tests/all/e2b_sdk.rs`). No wire double of others was found.
//!
//! What E2B has and this has not: memory in snapshots (they are copies of files), pages of logs, volumes,
//! terminals, watching of files.

#![expect(clippy::result_large_err, reason = "a refusal is an answer as it goes out, and rare")]

mod call;
mod control;
mod daemon;
mod files;
mod sandbox;

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
    response::{IntoResponse as _, Response},
};
use sandbox::Sandbox;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tempfile::TempDir;

/// The key that is taken.
pub const KEY: &str = "e2b_00000000000000000000000000000000c0ffee42";
/// The template that there is.
pub const TEMPLATE: &str = "toft-base";
/// How often it is looked whose time is up.
const LOOK: Duration = Duration::from_millis(100);

/// How a request is answered instead: `None` as it should be.
pub type Fates = Arc<dyn Fn(usize, &str) -> Option<u16> + Send + Sync>;

/// A running double.
pub struct E2b {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

struct Shared {
    state: Mutex<Inner>,
    fates: Fates,
    addr: SocketAddr,
}

#[derive(Default)]
struct Inner {
    sandboxes: BTreeMap<String, Arc<Sandbox>>,
    /// Snapshots: what new sandboxes can be made of, beside the template.
    snapshots: HashMap<String, TempDir>,
    /// Sandboxes by the keys of the requests that made them.
    idempotent: HashMap<String, String>,
    faults: Vec<String>,
    /// Method and path of every request.
    requests: Vec<String>,
    made: usize,
}

impl E2b {
    /// Starts one that answers as it should. Takes root, for the namespaces.
    pub async fn start() -> Result<Self> {
        Self::start_with(Arc::new(|_, _| None)).await
    }

    /// Starts one that does not answer every request as it should: decided by its number, and method and
    /// path.
    pub async fn start_with(fates: Fates) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { state: Mutex::default(), fates, addr });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        let looking = Arc::clone(&shared);
        let times = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                control::end_times(&looking).await;
            }
        });
        Ok(Self { addr, shared, tasks: vec![serving, times] })
    }

    /// Variables that lead a server, or a published client, here.
    pub fn env(&self) -> Vec<(String, String)> {
        let at = format!("http://{}", self.addr);
        [
            ("E2B_API_KEY", KEY),
            ("E2B_TEMPLATE", TEMPLATE),
            ("E2B_API_URL", &at),
            ("E2B_SANDBOX_URL", &at),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// What no published client would have sent.
    pub fn faults(&self) -> Vec<String> {
        self.shared.inner().faults.clone()
    }

    /// Method and path of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.inner().requests.clone()
    }

    /// Ids of sandboxes, and whether each runs.
    pub fn sandboxes(&self) -> Vec<(String, bool)> {
        let inner = self.shared.inner();
        inner.sandboxes.iter().map(|(id, sandbox)| (id.clone(), sandbox.runs())).collect()
    }

    /// What each was made with.
    pub fn metadata(&self, id: &str) -> Option<Value> {
        Some(json!(self.shared.inner().sandboxes.get(id)?.metadata))
    }

    /// The folder of a sandbox, with the homes of its users.
    pub fn folder(&self, id: &str) -> Option<PathBuf> {
        Some(self.shared.inner().sandboxes.get(id)?.folder())
    }

    /// Pids of all that runs in a sandbox, as they are on this host.
    pub fn pids(&self, id: &str) -> Vec<u32> {
        let sandbox = self.shared.inner().sandboxes.get(id).cloned();
        sandbox.map(|sandbox| sandbox.pids()).unwrap_or_default()
    }

    /// Breaks every connection into sandboxes that is open now.
    pub fn break_connections(&self) {
        for sandbox in self.shared.inner().sandboxes.values() {
            sandbox.break_connections();
        }
    }

    /// Pauses a sandbox as E2B does with one whose time is up.
    pub async fn time_is_up(&self, id: &str) -> Result<()> {
        let sandbox = self.shared.sandbox(id).context("there is such a sandbox")?;
        tokio::task::spawn_blocking(move || sandbox.pause()).await??;
        Ok(())
    }

    /// Makes a sandbox as somebody else would, with other metadata.
    pub async fn somebody_elses(&self, metadata: &[(&str, &str)]) -> Result<String> {
        let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        control::make(&self.shared, TEMPLATE, metadata, 600, true).await
    }
}

impl Drop for E2b {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // Their processes end with them.
        self.shared.inner().sandboxes.clear();
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn fault(&self, what: impl Into<String>) {
        self.inner().faults.push(what.into());
    }

    fn sandbox(&self, id: &str) -> Option<Arc<Sandbox>> {
        self.inner().sandboxes.get(id).cloned()
    }
}

/// An answer of the control plane's that says no. Its clients need both fields.
fn refused(status: u16, message: &str) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, axum::Json(json!({"code": status, "message": message}))).into_response()
}

/// Takes what a request should have; the rest is a fault. `T` refuses unknown fields.
fn read<T: serde::de::DeserializeOwned>(
    shared: &Shared,
    place: &str,
    body: &[u8],
) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|error| {
        shared.fault(format!("{place}: {error} in {}", String::from_utf8_lossy(body)));
        refused(400, &format!("{error}"))
    })
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let place = format!("{} {}", request.method(), request.uri().path());
    let number = {
        let mut inner = shared.inner();
        inner.requests.push(place.clone());
        inner.requests.len() - 1
    };
    if let Some(status) = (shared.fates)(number, &place) {
        return refused(status, "this one is refused by the story");
    }
    if request.headers().contains_key("e2b-sandbox-id") {
        return daemon::answer(&shared, &place, request).await;
    }
    control::answer(&shared, &place, request).await
}
