//! HTTP to the bridges over their unix sockets, with connections kept for the next request. Does
//! not judge what is asked, and does not wake machines.

mod reads_on;

use axum::body::Body;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use reads_on::ReadsOn;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use toft_machine::backend::{Backend, MachineError};
use toft_model::id::ProjectId;

/// Connections kept open per machine: a dashboard's parallel requests.
const IDLE_MAX: usize = 8;
/// How long a kept connection may wait.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// The socket's backlog answers at once; a stuck host does not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Small answers (state, sessions, inspect) that are read whole.
const SMALL_BYTES_MAX: usize = 8 << 20;
/// How long a bridge may take for such an answer; right after a start it is still loading.
const SMALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a bridge did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    #[error("the machine's bridge does not take connections: {0}")]
    Connect(String),
    #[error("the machine's bridge broke off: {0}")]
    Broken(String),
    #[error("the request's body is too large")]
    TooLarge,
    #[error("the machine's bridge did not answer in time")]
    Timeout,
    #[error("the machine's bridge answered {0}")]
    Status(u16),
    #[error("the machine's bridge sent no JSON")]
    NoJson,
    #[error("the machine's bridge ends again whenever it is started ({starts} times by now)")]
    NeverUp { starts: u32 },
}

impl BridgeError {
    /// What happened, and what a person can do.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::NeverUp { .. } => format!(
                "{self}, so the agent and the files cannot be reached. Commands still run: look with \
                 `toft exec` whether the machine's disk is full, or something in the agent's own \
                 folders /home/starter and /var/lib/toft was changed, and put it right"
            ),
            Self::Connect(_)
            | Self::Broken(_)
            | Self::TooLarge
            | Self::Timeout
            | Self::Status(_)
            | Self::NoJson => format!("{self}. It restarts by itself: try again in a moment"),
        }
    }
}

/// Speaks to every bridge.
#[derive(Clone)]
pub(crate) struct BridgeClient {
    http: Client<Connector, Body>,
}

impl BridgeClient {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        let http = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(Connector(backend));
        Self { http }
    }

    /// Sends a request whose URI holds only path and query.
    pub(crate) async fn send(
        &self,
        project: &ProjectId,
        mut req: Request<Body>,
    ) -> Result<Response<Incoming>, BridgeError> {
        let path = req.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let uri = Uri::builder().scheme("http").authority(project.as_str()).path_and_query(path);
        *req.uri_mut() = uri.build().map_err(|e| BridgeError::Broken(e.to_string()))?;
        self.http.request(req).await.map_err(|e| {
            let is_connect = e.is_connect();
            let text = innermost(&e).to_string();
            if is_connect {
                BridgeError::Connect(text)
            } else if is_too_large(&e) {
                BridgeError::TooLarge
            } else {
                BridgeError::Broken(text)
            }
        })
    }

    /// A small JSON answer of a `GET`.
    pub(crate) async fn get_json(
        &self,
        project: &ProjectId,
        path: &str,
    ) -> Result<serde_json::Value, BridgeError> {
        let work = async {
            let req = Request::get(path)
                .body(Body::empty())
                .map_err(|e| BridgeError::Broken(e.to_string()))?;
            let answer = self.send(project, req).await?;
            if !answer.status().is_success() {
                return Err(BridgeError::Status(answer.status().as_u16()));
            }
            let body = Limited::new(answer.into_body(), SMALL_BYTES_MAX).collect().await;
            let bytes = body.map_err(|e| BridgeError::Broken(e.to_string()))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|_| BridgeError::NoJson)
        };
        tokio::time::timeout(SMALL_TIMEOUT, work).await.map_err(|_| BridgeError::Timeout)?
    }
}

fn innermost<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(e) = at {
        if e.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        at = e.source();
    }
    false
}

/// Connects to the bridge of the project that the URI's host names.
#[derive(Clone)]
struct Connector(Arc<dyn Backend>);

impl tower::Service<Uri> for Connector {
    type Response = ReadsOn;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let backend = Arc::clone(&self.0);
        Box::pin(async move {
            let project: ProjectId =
                uri.host().unwrap_or_default().parse().map_err(io::Error::other)?;
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, backend.connect_bridge(&project))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
                .map_err(|e: MachineError| io::Error::other(e.to_string()))?;
            Ok(ReadsOn::new(stream))
        })
    }
}
