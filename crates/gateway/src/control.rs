//! The server's side of the control socket: find the gateway of a data folder or start it, give it
//! keys and machines, ask it things. Not the gateway itself.
//!
//! After [`Gateway::closed`] the gateway is gone or has dropped this connection: call
//! [`Gateway::connect_or_spawn`] again and send the configuration and every machine again.
//! Sending what a living gateway already has changes nothing and cuts nothing.

pub(crate) mod fetch;
pub mod protocol;
pub(crate) mod spawn;
pub(crate) mod wire;

use crate::{
    brokered::Brokered,
    config::GatewayConfig,
    control::fetch::{Fetch, Fetched},
    control::protocol::{
        Answer, CONTROL_PROTOCOL, Call, Hello, LISTENERS_PER_MACHINE, LISTENERS_PER_MACHINE_MAX,
        MachineEntry, ProviderTest, Reach, Reply, Request,
    },
    folder,
    records::egress_log::OpenConnection,
};
use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_model::{id::ProjectId, machine::EgressLevel, provider::ModelList};
use toft_vault::Secret;
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use zeroize::Zeroizing;

/// An answer to anything but a provider test takes microseconds; a busy host may need a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A little longer than the gateway gives a provider.
const PROVIDER_TEST_TIMEOUT: Duration = Duration::from_secs(40);

/// A little longer than the gateway gives a host.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests waiting to be written: each caller waits for its answer, so this many callers.
const REQUESTS_QUEUED_MAX: usize = 32;

/// Why the gateway could not be reached, started or moved to do something.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nothing answers on the socket.
    #[error("no gateway answers for {}: {source}", data_dir.display())]
    NotRunning {
        /// Whose.
        data_dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It runs, but speaks another version.
    #[error(
        "the running gateway (pid {pid}) speaks control protocol {theirs}, this program speaks \
         {CONTROL_PROTOCOL}"
    )]
    Protocol {
        /// Its version.
        theirs: u32,
        /// Its process.
        pid: u32,
    },
    /// The program could not be started.
    #[error("the gateway could not be started from {}: {source}", exe.display())]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was started and did not answer.
    #[error("the gateway did not start ({detail}); look into {}", log.display())]
    DidNotStart {
        /// What was seen.
        detail: String,
        /// Its log.
        log: PathBuf,
    },
    /// The connection ended.
    #[error("the connection to the gateway ended")]
    Closed,
    /// No answer in time.
    #[error("the gateway did not answer {request} in time")]
    Timeout {
        /// What was asked.
        request: &'static str,
    },
    /// The gateway said no.
    #[error("{message}")]
    Refused {
        /// Stable code.
        code: String,
        /// What happened and what to do.
        message: String,
    },
    /// The request cannot be sent.
    #[error("the request to the gateway cannot be sent: {0}")]
    Invalid(io::Error),
    /// It answered something else than was asked.
    #[error("the gateway gave an answer that does not fit the request")]
    Unexpected,
}

/// A connection to the gateway. Cheap to clone; the last clone closes it, which the gateway
/// outlives.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    hello: Hello,
    link: Link,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("hello", &self.inner.hello).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Connects to the gateway of a data folder; never starts one.
    pub async fn connect(data_dir: &Path) -> Result<Self, ControlError> {
        let not_running =
            |source| ControlError::NotRunning { data_dir: data_dir.to_owned(), source };
        let stream = folder::connect(data_dir).await.map_err(not_running)?;
        let link = Link::new(stream);
        let reply = link.ask("hello", Request::Hello, Vec::new(), ANSWER_TIMEOUT).await?;
        let Reply::Hello(hello) = reply else { return Err(ControlError::Unexpected) };
        if hello.protocol != CONTROL_PROTOCOL {
            // Asking for the end is part of every version: the caller decides whether to use it.
            return Err(ControlError::Protocol { theirs: hello.protocol, pid: hello.pid });
        }
        Ok(Self { inner: Arc::new(Inner { hello, link }) })
    }

    /// Process of the gateway.
    pub fn pid(&self) -> u32 {
        self.inner.hello.pid
    }

    /// What it said of itself when this connection was made.
    pub fn hello(&self) -> &Hello {
        &self.inner.hello
    }

    /// Resolves when the connection is gone; at once when it already is.
    pub async fn closed(&self) {
        self.inner.link.closed.cancelled().await;
    }

    /// Replaces providers, keys and defaults.
    pub async fn set_config(&self, config: GatewayConfig) -> Result<(), ControlError> {
        self.done("set_config", Request::SetConfig(Box::new(config)), Vec::new()).await
    }

    /// Serves a machine on its sockets ([`LISTENERS_PER_MACHINE`], or
    /// [`LISTENERS_PER_MACHINE_MAX`]). A known machine with the
    /// same token and the same sockets goes on undisturbed; otherwise it is replaced.
    pub async fn add_machine(
        &self,
        project: &ProjectId,
        token: &str,
        reach: impl Into<Reach>,
        listeners: Vec<OwnedFd>,
    ) -> Result<(), ControlError> {
        if ![LISTENERS_PER_MACHINE, LISTENERS_PER_MACHINE_MAX].contains(&listeners.len()) {
            let message = format!(
                "{LISTENERS_PER_MACHINE} or {LISTENERS_PER_MACHINE_MAX} listeners are needed, not {}",
                listeners.len()
            );
            return Err(ControlError::Invalid(io::Error::new(
                io::ErrorKind::InvalidInput,
                message,
            )));
        }
        let Reach { egress, brokered } = reach.into();
        let request = Request::AddMachine {
            project: project.clone(),
            token: Secret::new(token),
            egress,
            brokered,
            listeners: listeners.len(),
        };
        self.done("add_machine", request, listeners).await
    }

    /// Stops serving a machine and ends its calls and connections. Unknown: does nothing.
    pub async fn remove_machine(&self, project: &ProjectId) -> Result<(), ControlError> {
        let request = Request::RemoveMachine { project: project.clone() };
        self.done("remove_machine", request, Vec::new()).await
    }

    /// Changes what a machine may reach, at once; how many open connections are no longer allowed and
    /// end. `not_found` when it serves no such machine.
    pub async fn set_egress(
        &self,
        project: &ProjectId,
        egress: EgressLevel,
    ) -> Result<usize, ControlError> {
        let request = Request::SetEgress { project: project.clone(), egress };
        match self.ask("set_egress", request).await? {
            Reply::EgressSet { cut } => Ok(cut),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Changes which secrets are put into a machine's requests, from the next one on. `not_found` when
    /// it serves no such machine.
    pub async fn set_brokered(
        &self,
        project: &ProjectId,
        brokered: Brokered,
    ) -> Result<(), ControlError> {
        let request = Request::SetBrokered { project: project.clone(), brokered };
        self.done("set_brokered", request, Vec::new()).await
    }

    /// Connections of a machine that are open, oldest first; none of one that it does not serve.
    pub async fn open_connections(
        &self,
        project: &ProjectId,
    ) -> Result<Vec<OpenConnection>, ControlError> {
        let request = Request::OpenConnections { project: project.clone() };
        match self.ask("open_connections", request).await? {
            Reply::OpenConnections(open) => Ok(open),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Machines that it serves, by project id.
    pub async fn machines(&self) -> Result<Vec<MachineEntry>, ControlError> {
        match self.ask("machines", Request::Machines).await? {
            Reply::Machines(machines) => Ok(machines),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Asks a provider for its models with its key. A refused key or a dead line is an outcome with
    /// `ok: false`; an unknown provider or a missing key is `Refused`.
    pub async fn test_provider(&self, provider: &str) -> Result<ProviderTest, ControlError> {
        let request = Request::TestProvider { provider: provider.to_owned() };
        let answer =
            self.inner.link.ask("test_provider", request, Vec::new(), PROVIDER_TEST_TIMEOUT);
        match refused(answer.await?)? {
            Reply::Tested(test) => Ok(test),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Asks a host on a project's way out. `Refused` with `egress_denied` where its level says no, with
    /// `not_found` when the gateway serves no such machine, else with what went wrong.
    pub async fn fetch(&self, project: &ProjectId, fetch: Fetch) -> Result<Fetched, ControlError> {
        let request = Request::Fetch { project: project.clone(), fetch };
        let answer = self.inner.link.ask("fetch", request, Vec::new(), FETCH_TIMEOUT);
        match refused(answer.await?)? {
            Reply::Fetched(fetched) => Ok(fetched),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// What `GET /llm/models` answers.
    pub async fn models(&self) -> Result<ModelList, ControlError> {
        match self.ask("models", Request::Models).await? {
            Reply::Models(models) => Ok(models),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Where the usage journal ends now, for [`crate::records::usage::read`].
    pub async fn usage_position(&self) -> Result<u64, ControlError> {
        match self.ask("usage_position", Request::UsagePosition).await? {
            Reply::UsagePosition(position) => Ok(position),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Ends the gateway: calls and connections under way are cut. Resolves when it let go of its
    /// socket, so that another one can be started.
    pub async fn shutdown(&self) -> Result<(), ControlError> {
        match self.done("shutdown", Request::Shutdown, Vec::new()).await {
            // It may be gone before its answer was read.
            Ok(()) | Err(ControlError::Closed) => {}
            Err(e) => return Err(e),
        }
        timeout(ANSWER_TIMEOUT, self.closed())
            .await
            .map_err(|_| ControlError::Timeout { request: "shutdown" })
    }

    async fn ask(&self, what: &'static str, request: Request) -> Result<Reply, ControlError> {
        refused(self.inner.link.ask(what, request, Vec::new(), ANSWER_TIMEOUT).await?)
    }

    async fn done(
        &self,
        what: &'static str,
        request: Request,
        fds: Vec<OwnedFd>,
    ) -> Result<(), ControlError> {
        match refused(self.inner.link.ask(what, request, fds, ANSWER_TIMEOUT).await?)? {
            Reply::Done => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }
}

fn refused(reply: Reply) -> Result<Reply, ControlError> {
    match reply {
        Reply::Failed { code, message } => Err(ControlError::Refused { code, message }),
        Reply::Hello(_)
        | Reply::Done
        | Reply::EgressSet { .. }
        | Reply::OpenConnections(_)
        | Reply::Machines(_)
        | Reply::Tested(_)
        | Reply::Fetched(_)
        | Reply::Models(_)
        | Reply::UsagePosition(_) => Ok(reply),
    }
}

/// Asks whatever version of gateway runs to end. `Ok` also when none runs.
pub(crate) async fn end_any_version(data_dir: &Path) -> Result<(), ControlError> {
    let Ok(stream) = folder::connect(data_dir).await else { return Ok(()) };
    let link = Link::new(stream);
    match link.ask("shutdown", Request::Shutdown, Vec::new(), ANSWER_TIMEOUT).await {
        Ok(_) | Err(ControlError::Closed) => {}
        Err(e) => return Err(e),
    }
    timeout(ANSWER_TIMEOUT, link.closed.cancelled())
        .await
        .map_err(|_| ControlError::Timeout { request: "shutdown" })
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Reply>>>>;

/// The connection with its two tasks, which end with it.
struct Link {
    next_id: AtomicU64,
    waiting: Waiting,
    outgoing: mpsc::Sender<(Zeroizing<Vec<u8>>, Vec<OwnedFd>)>,
    closed: CancellationToken,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Link {
    fn new(stream: UnixStream) -> Self {
        let stream = Arc::new(stream);
        let waiting = Waiting::default();
        let closed = CancellationToken::new();
        let (outgoing, mut queue) =
            mpsc::channel::<(Zeroizing<Vec<u8>>, Vec<OwnedFd>)>(REQUESTS_QUEUED_MAX);
        let writer = {
            let stream = Arc::clone(&stream);
            tokio::spawn(async move {
                while let Some((frame, fds)) = queue.recv().await {
                    if wire::send(&stream, &frame, &fds).await.is_err() {
                        // The reader sees the same end and tells everybody.
                        break;
                    }
                }
            })
        };
        let reader = {
            let (waiting, closed) = (Arc::clone(&waiting), closed.clone());
            tokio::spawn(async move {
                read_answers(&stream, &waiting).await;
                closed.cancel();
                lock(&waiting).clear();
            })
        };
        Self {
            next_id: AtomicU64::new(1),
            waiting,
            outgoing,
            closed,
            _tasks: [AbortOnDropHandle::new(writer), AbortOnDropHandle::new(reader)],
        }
    }

    async fn ask(
        &self,
        what: &'static str,
        request: Request,
        fds: Vec<OwnedFd>,
        limit: Duration,
    ) -> Result<Reply, ControlError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = wire::json_frame(&Call { id, request }).map_err(ControlError::Invalid)?;
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).insert(id, tell);
        // A caller that gives up leaves no entry behind.
        let _entry = Entry { waiting: &self.waiting, id };
        if self.closed.is_cancelled() || self.outgoing.send((frame, fds)).await.is_err() {
            return Err(ControlError::Closed);
        }
        match timeout(limit, told).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(ControlError::Closed),
            Err(_) => Err(ControlError::Timeout { request: what }),
        }
    }
}

struct Entry<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.id);
    }
}

async fn read_answers(stream: &UnixStream, waiting: &Waiting) {
    let mut receiver = wire::Receiver::default();
    while let Ok(Some(payload)) = receiver.next(stream).await {
        let Ok(answer) = serde_json::from_slice::<Answer>(&payload) else { return };
        if let Some(tell) = lock(waiting).remove(&answer.id) {
            // The caller may have given up.
            let _ = tell.send(answer.reply);
        }
    }
}

fn lock(waiting: &Waiting) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Reply>>> {
    waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
