//! The bridge's side of init: runs programs that outlive the bridge, and follows them. When a
//! connection to init breaks, a program that goes on is attached to again at the byte where it
//! broke off.

use crate::init_link::InitLink;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use rustix::net::{Shutdown, shutdown};
use std::{collections::VecDeque, os::fd::AsFd as _, sync::Arc, time::Duration};
use toft_machine::init_client::{self, ExecEvent, ExecHandle, InitError, ToldEnvironment};
use toft_model::{
    event::{LimitHit, LimitKind},
    id::SessionId,
    init::{ExecSpec, ExecStatus},
    receipt::Receipt,
};
use toft_tools::host::{Shell, ShellError, ShellEvent, ShellRun};
use tokio::{
    sync::{OnceCell, watch},
    time::{Instant, sleep, timeout},
};

/// Waits before each new attempt to attach. Init serves connections as long as it lives, so a
/// second failure in a row means that it is gone.
const ATTACH_AGAIN: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(500)];

/// Limits that were reached and are remembered, for the tools that run meanwhile.
const HITS_MAX: usize = 16;

/// When limits of the machine were reached, as the host told.
#[derive(Debug)]
pub(crate) struct LimitHits(watch::Sender<VecDeque<(Instant, LimitHit)>>);

impl Default for LimitHits {
    fn default() -> Self {
        Self(watch::channel(VecDeque::new()).0)
    }
}

impl LimitHits {
    /// It was reached now.
    pub(crate) fn add(&self, hit: LimitHit) {
        self.0.send_modify(|hits| {
            if hits.len() == HITS_MAX {
                hits.pop_front();
            }
            hits.push_back((Instant::now(), hit));
        });
    }

    /// The newest one since then, waited for that long.
    async fn since(&self, kind: LimitKind, since: Instant, wait: Duration) -> Option<LimitHit> {
        let mut hits = self.0.subscribe();
        let fits = |(at, hit): &&(Instant, LimitHit)| *at >= since && hit.kind == kind;
        let _ = timeout(wait, hits.wait_for(|hits| hits.iter().any(|hit| fits(&hit)))).await;
        let hits = self.0.borrow();
        hits.iter().rev().find(fits).map(|(_, hit)| hit.clone())
    }
}

/// Speaks to init over the bridge's link. Clones share it.
#[derive(Clone)]
pub struct InitShell(
    Arc<InitLink>,
    Arc<LimitHits>,
    Arc<[String]>,
    Arc<str>,
    /// Whether init starts programs that only read.
    Arc<OnceCell<bool>>,
);

impl InitShell {
    /// Over this link, to an init in this life.
    pub fn new(link: InitLink, life: &str) -> Self {
        Self(Arc::new(link), Arc::default(), own_program().into(), life.into(), Arc::default())
    }

    /// Where the host's word of memory kills goes.
    pub(crate) fn limit_hits(&self) -> Arc<LimitHits> {
        Arc::clone(&self.1)
    }

    /// Starts a program, or attaches to the one with the same id.
    pub(crate) async fn exec(&self, spec: ExecSpec) -> Result<ExecHandle, ShellError> {
        // An older init would run it as any other.
        if spec.read_only && !self.reads_only().await? {
            return Err(ShellError {
                code: "not_read_only".to_owned(),
                message:
                    "this machine cannot run programs that only read, so plan mode runs none. Its \
                          tools that read files and search work; a person can switch to build mode"
                        .to_owned(),
            });
        }
        init_client::exec(self.connect().await?, spec).await.map_err(|err| told(&err))
    }

    /// Follows a program from byte `from` on.
    pub(crate) async fn attach(&self, id: &str, from: u64) -> Result<ExecHandle, ShellError> {
        init_client::attach(self.connect().await?, id, from).await.map_err(|err| told(&err))
    }

    /// Running programs and kept ended ones, oldest first.
    pub(crate) async fn list(&self) -> Result<Vec<ExecStatus>, ShellError> {
        init_client::list(self.connect().await?).await.map_err(|err| told(&err))
    }

    /// What new programs find in their environment: at once without `known`, else as soon as it is
    /// another one.
    pub(crate) async fn environment(
        &self,
        known: Option<&ToldEnvironment>,
    ) -> Result<ToldEnvironment, ShellError> {
        let stream = self.connect().await?;
        let asked = match known {
            None => init_client::environment(stream).await,
            Some(known) => init_client::next_environment(stream, known).await,
        };
        asked.map_err(|err| told(&err))
    }

    /// What is new of receipts, as soon as anything is, and what to say as `told` next time.
    pub(crate) async fn receipt_news(
        &self,
        told: Option<u64>,
    ) -> Result<(u64, Vec<Receipt>), ShellError> {
        init_client::receipt_news(self.connect().await?, told).await.map_err(|err| self::told(&err))
    }

    /// Whether init starts programs that only read. It outlives this process, and does not change its
    /// mind.
    async fn reads_only(&self) -> Result<bool, ShellError> {
        let asked = self.4.get_or_try_init(|| async {
            let hello = init_client::hello(self.connect().await?).await;
            hello.map(|hello| hello.read_only).map_err(|err| told(&err))
        });
        asked.await.copied()
    }

    async fn connect(&self) -> Result<tokio::net::UnixStream, ShellError> {
        self.0.connect().await.map_err(|err| told(&InitError::Io(err)))
    }
}

#[async_trait]
impl Shell for InitShell {
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError> {
        let handle = self.exec(spec).await?;
        let (id, pid) = (handle.id.clone(), handle.pid);
        Ok(ShellRun { id, pid, events: self.events(handle, 0) })
    }

    async fn has_read_only(&self) -> bool {
        self.reads_only().await.unwrap_or(false)
    }

    async fn kill(&self, id: &str, grace_ms: u64) -> Result<(), ShellError> {
        init_client::kill(self.connect().await?, id, grace_ms).await.map_err(|err| told(&err))
    }

    async fn forget(&self, id: &str) -> Result<(), ShellError> {
        init_client::forget(self.connect().await?, id).await.map_err(|err| told(&err))
    }

    async fn attach(&self, id: &str, from: u64) -> Result<ShellRun, ShellError> {
        let handle = InitShell::attach(self, id, from).await?;
        let (id, pid) = (handle.id.clone(), handle.pid);
        Ok(ShellRun { id, pid, events: self.events(handle, from) })
    }

    async fn input(&self, id: &str, bytes: &[u8], close: bool) -> Result<(), ShellError> {
        let lost = |err: std::io::Error| told(&InitError::Io(err));
        let stream = self.connect().await?;
        let socket = stream.as_fd().try_clone_to_owned().map_err(lost)?;
        // Only its end is wanted: no output comes between.
        let attached = init_client::attach(stream, id, u64::MAX).await;
        let mut handle = attached.map_err(|err| told(&err))?;
        let input = handle.input();
        input.stdin(bytes).await.map_err(|err| told(&err))?;
        if close {
            input.close_stdin().await.map_err(|err| told(&err))?;
        }
        // What init has not handed on yet would be lost with the connection: init closes it when all is given.
        shutdown(&socket, Shutdown::Write).map_err(|err| lost(err.into()))?;
        while let Ok(Some(_)) = handle.next().await {}
        Ok(())
    }

    fn own_program(&self) -> Vec<String> {
        self.2.to_vec()
    }

    fn life(&self) -> String {
        self.3.to_string()
    }

    async fn list(&self) -> Result<Vec<ExecStatus>, ShellError> {
        InitShell::list(self).await
    }

    async fn receipts(&self, session: &SessionId) -> Result<Vec<Receipt>, ShellError> {
        init_client::receipts(self.connect().await?, session).await.map_err(|err| told(&err))
    }

    async fn limit_hit(&self, kind: LimitKind, since: Instant, wait: Duration) -> Option<LimitHit> {
        self.1.since(kind, since, wait).await
    }
}

impl InitShell {
    fn events(&self, mut handle: ExecHandle, from: u64) -> BoxStream<'static, ShellEvent> {
        let shell = self.clone();
        Box::pin(async_stream::stream! {
            let mut at = from;
            loop {
                match handle.next().await {
                    Ok(Some(ExecEvent::Stdout(bytes))) => {
                        at += bytes.len() as u64;
                        yield ShellEvent::Output(bytes.into());
                    }
                    Ok(Some(ExecEvent::Stderr(bytes))) => {
                        at += bytes.len() as u64;
                        yield ShellEvent::Errors(bytes.into());
                    }
                    Ok(Some(ExecEvent::Gap(to))) => {
                        at = to;
                        yield ShellEvent::Gap(to);
                    }
                    Ok(Some(ExecEvent::Exit(exit))) => {
                        yield ShellEvent::Exit(exit);
                        return;
                    }
                    Ok(None) => return,
                    Err(err) => {
                        tracing::warn!(exec.id = %handle.id, error = %err, "lost a program, attaching again");
                        let Some(again) = shell.attach_again(&handle.id, at).await else {
                            yield ShellEvent::Lost;
                            return;
                        };
                        handle = again;
                    }
                }
            }
        })
    }

    async fn attach_again(&self, id: &str, from: u64) -> Option<ExecHandle> {
        for wait in ATTACH_AGAIN {
            sleep(wait).await;
            match self.attach(id, from).await {
                Ok(handle) => return Some(handle),
                Err(err) if err.code == "not_found" => return None,
                Err(_) => {}
            }
        }
        None
    }
}

/// How this program was started, without the part that it plays: a loader may stand before it, which
/// the program's own arguments do not show.
fn own_program() -> Vec<String> {
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let line = String::from_utf8(line).unwrap_or_default();
    let mut argv: Vec<String> = line.split_terminator('\0').map(str::to_owned).collect();
    match argv.pop() {
        Some(part) if part == "bridge" => argv,
        // A test.
        Some(_) | None => Vec::new(),
    }
}

fn told(err: &InitError) -> ShellError {
    ShellError { code: err.code().to_owned(), message: err.to_string() }
}

#[cfg(test)]
mod tests;
