//! A sandbox that this server has awake: its tunnel, which is opened anew when it breaks; the word that keeps
//! it alive; and the gateway's doors on this host, which stay the same meanwhile.

use super::{
    Inner,
    api::Api,
    envd::Envd,
    tunnel::{Program, Tunnel},
};
use crate::{backend::MachineError, error::step};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_model::id::ProjectId;
use tokio::{sync::Mutex as AsyncMutex, time::sleep};
use tokio_util::sync::CancellationToken;

/// Words in the time that a sandbox lives from each.
const WORDS: u32 = 3;
/// The least time between two.
const WORD_PAUSE_MIN: Duration = Duration::from_secs(1);
/// Pauses before a tunnel that broke is opened again by itself. Who needs it does not wait for that.
const AGAIN_MIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// See the module. Dropping it ends what it does here, and nothing in the sandbox.
#[derive(Debug)]
pub(super) struct Live {
    project: ProjectId,
    pub(super) sandbox: String,
    /// See [`crate::backend::Backend::fenced`].
    fence: u64,
    api: Api,
    program: Arc<Program>,
    log: PathBuf,
    common_url: Option<String>,
    http: super::http::Http,
    listeners: [TcpListener; 2],
    doors: [SocketAddr; 2],
    tunnel: AsyncMutex<Option<Arc<Tunnel>>>,
    /// Its tunnel for who wants it only if it is there.
    now: Mutex<Option<Arc<Tunnel>>>,
    awake: Mutex<Awake>,
}

/// As long as the sandbox may be awake: tunnels are opened, and words said.
#[derive(Debug, Clone, Default)]
struct Awake {
    rests: CancellationToken,
    /// Whether both are done by themselves.
    kept: bool,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.awake().rests.cancel();
    }
}

impl Live {
    /// Nothing is asked yet.
    pub(super) fn new(
        inner: &Inner,
        project: &ProjectId,
        sandbox: String,
    ) -> Result<Arc<Self>, MachineError> {
        let door = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            Ok::<_, io::Error>((listener, address))
        };
        let opening = "opening the gateway's doors";
        let (model, model_at) = door().map_err(step(project, opening))?;
        let (egress, egress_at) = door().map_err(step(project, opening))?;
        Ok(Arc::new(Self {
            project: project.clone(),
            sandbox,
            fence: inner.fence(project),
            api: inner.api.clone(),
            program: Arc::clone(&inner.program),
            log: inner.log(project),
            common_url: inner.sandbox_url.clone(),
            http: inner.http.clone(),
            listeners: [model, egress],
            doors: [model_at, egress_at],
            tunnel: AsyncMutex::default(),
            now: Mutex::default(),
            awake: Mutex::default(),
        }))
    }

    /// Copies of the doors, for the gateway.
    pub(super) fn listeners(&self) -> io::Result<Vec<OwnedFd>> {
        self.listeners.iter().map(|door| door.try_clone().map(OwnedFd::from)).collect()
    }

    fn awake(&self) -> std::sync::MutexGuard<'_, Awake> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tunnel; wakes the sandbox and opens one if there is none.
    pub(super) async fn tunnel(&self) -> Result<Arc<Tunnel>, MachineError> {
        let gone = || MachineError::NotRunning(self.project.clone());
        let mut tunnel = self.tunnel.lock().await;
        if let Some(open) = tunnel.as_ref().filter(|tunnel| !tunnel.has_ended()) {
            return Ok(Arc::clone(open));
        }
        let rests = self.awake().rests.clone();
        let opening = async {
            let envd = self.wake().await?;
            let (doors, log) = (self.doors, &self.log);
            Tunnel::open(&envd, &self.program, &self.project, doors, log, self.fence).await
        };
        let opened = Arc::new(rests.run_until_cancelled(opening).await.ok_or_else(gone)??);
        *tunnel = Some(Arc::clone(&opened));
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&opened));
        Ok(opened)
    }

    async fn wake(&self) -> Result<Envd, MachineError> {
        let woken = self.api.wake(&self.sandbox).await;
        let woken = woken.map_err(|fault| self.api.explain(Some(&self.project), fault))?;
        let woken = woken.ok_or_else(|| MachineError::NotRunning(self.project.clone()))?;
        Envd::new(self.http.clone(), self.common_url.as_deref(), &woken)
            .map_err(step(&self.project, "reaching into the sandbox"))
    }

    /// The tunnel if there is one.
    pub(super) fn open_tunnel(&self) -> Option<Arc<Tunnel>> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.as_ref().filter(|tunnel| !tunnel.has_ended()).cloned()
    }

    /// Brings the program there, without starting it.
    pub(super) async fn bring(&self) -> Result<(), MachineError> {
        let bringing = "bringing toft into the sandbox";
        let envd = self.wake().await?;
        self.program.bring(&envd).await.map_err(step(&self.project, bringing))
    }

    /// Ends its tunnel, and opens none until [`Live::rouse`]: before the sandbox is paused, or it would be
    /// woken again.
    pub(super) async fn rest(&self) {
        self.awake().rests.cancel();
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Others may still wait for something of it.
        if let Some(tunnel) = self.tunnel.lock().await.take() {
            tunnel.end();
        }
    }

    /// After [`Live::rest`]: it may be woken.
    pub(super) fn rouse(&self) {
        let mut awake = self.awake();
        if awake.rests.is_cancelled() {
            *awake = Awake::default();
        }
    }

    /// Keeps the sandbox alive, and its tunnel open, until it rests: the machine asks models by it whether
    /// or not anybody here asks the machine.
    pub(super) fn keep(self: &Arc<Self>) {
        let ended = {
            let mut awake = self.awake();
            if std::mem::replace(&mut awake.kept, true) {
                return;
            }
            awake.rests.clone()
        };
        let weak = Arc::downgrade(self);
        let pause = (self.api.lives() / WORDS).max(WORD_PAUSE_MIN);
        let alive = async move {
            loop {
                sleep(pause).await;
                let Some(live) = weak.upgrade() else { return };
                match live.api.keep(&live.sandbox).await {
                    Ok(true) => {}
                    // Paused for want of a word: the tunnel has ended, and the next one wakes it.
                    Ok(false) => {
                        tracing::warn!(project.id = %live.project, "its sandbox does not run");
                    }
                    Err(fault) => {
                        tracing::warn!(project.id = %live.project, "its sandbox is not told that it is wanted: {fault}");
                    }
                }
            }
        };
        tokio::spawn(ended.clone().run_until_cancelled_owned(alive));
        let weak = Arc::downgrade(self);
        let open = async move {
            let mut again = AGAIN_MIN;
            loop {
                let Some(live) = weak.upgrade() else { return };
                let project = live.project.clone();
                match live.tunnel().await {
                    Ok(tunnel) => {
                        drop(live);
                        again = AGAIN_MIN;
                        tunnel.until_ended().await;
                        tracing::info!(project.id = %project, "a tunnel broke and is opened again");
                    }
                    // It is gone, or going, or another server's: who uses it finds out.
                    Err(MachineError::NotRunning(_) | MachineError::Superseded(_)) => return,
                    Err(error) => {
                        tracing::warn!(project.id = %project, "no tunnel into its sandbox: {error}");
                        drop(live);
                        again = (again * 2).min(AGAIN_MAX);
                    }
                }
                sleep(again).await;
            }
        };
        tokio::spawn(ended.run_until_cancelled_owned(open));
    }
}
