//! The bridge's side of init: runs programs that outlive the bridge, and follows them. When a
//! connection to init breaks, a program that goes on is attached to again at the byte where it
//! broke off.

use crate::init_link::InitLink;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use toft_machine::init_client::{self, ExecEvent, ExecHandle, InitError, ToldEnvironment};
use toft_model::{
    event::{LimitHit, LimitKind},
    init::{ExecSpec, ExecStatus},
};
use toft_tools::host::{Shell, ShellError, ShellEvent, ShellRun};
use tokio::{
    sync::watch,
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
pub struct InitShell(Arc<InitLink>, Arc<LimitHits>);

impl InitShell {
    /// Over this link.
    pub fn new(link: InitLink) -> Self {
        Self(Arc::new(link), Arc::default())
    }

    /// Where the host's word of memory kills goes.
    pub(crate) fn limit_hits(&self) -> Arc<LimitHits> {
        Arc::clone(&self.1)
    }

    /// Starts a program, or attaches to the one with the same id.
    pub(crate) async fn exec(&self, spec: ExecSpec) -> Result<ExecHandle, ShellError> {
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

    async fn connect(&self) -> Result<tokio::net::UnixStream, ShellError> {
        self.0.connect().await.map_err(|err| told(&InitError::Io(err)))
    }
}

#[async_trait]
impl Shell for InitShell {
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError> {
        let handle = self.exec(spec).await?;
        let (id, pid) = (handle.id.clone(), handle.pid);
        Ok(ShellRun { id, pid, events: self.events(handle) })
    }

    async fn kill(&self, id: &str, grace_ms: u64) -> Result<(), ShellError> {
        init_client::kill(self.connect().await?, id, grace_ms).await.map_err(|err| told(&err))
    }

    async fn forget(&self, id: &str) -> Result<(), ShellError> {
        init_client::forget(self.connect().await?, id).await.map_err(|err| told(&err))
    }

    async fn list(&self) -> Result<Vec<ExecStatus>, ShellError> {
        InitShell::list(self).await
    }

    async fn limit_hit(&self, kind: LimitKind, since: Instant, wait: Duration) -> Option<LimitHit> {
        self.1.since(kind, since, wait).await
    }
}

impl InitShell {
    fn events(&self, mut handle: ExecHandle) -> BoxStream<'static, ShellEvent> {
        let shell = self.clone();
        Box::pin(async_stream::stream! {
            let mut at = 0u64;
            loop {
                match handle.next().await {
                    Ok(Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes))) => {
                        at += bytes.len() as u64;
                        yield ShellEvent::Output(bytes.into());
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

fn told(err: &InitError) -> ShellError {
    ShellError { code: err.code().to_owned(), message: err.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use toft_model::{
        frame::{Decoder, FrameKind, encode},
        init::{ExecExit, InitReply, InitRequest},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
    };

    fn exit() -> ExecExit {
        ExecExit {
            code: Some(0),
            signal: None,
            output_bytes: 6,
            truncated: false,
            output_path: None,
            duration_ms: 1,
        }
    }

    /// The bridge's end of a link, and init's.
    fn link() -> (InitShell, UnixStream) {
        let (bridge, init) = std::os::unix::net::UnixStream::pair().unwrap();
        init.set_nonblocking(true).unwrap();
        let shell = InitShell::new(InitLink::new(bridge.into()).unwrap());
        (shell, UnixStream::from_std(init).unwrap())
    }

    /// Init's side of one operation: takes the request, sends these frames, closes.
    async fn operation(link: &UnixStream, frames: &[(FrameKind, Vec<u8>)]) -> InitRequest {
        let mut stream = crate::init_link::take(link).await.unwrap().unwrap();
        let mut decoder = Decoder::default();
        let request = loop {
            let mut buf = vec![0; 4_096];
            let n = stream.read(&mut buf).await.unwrap();
            decoder.push(&buf[..n]);
            if let Some((_, payload)) = decoder.next_frame().unwrap() {
                break serde_json::from_slice(&payload).unwrap();
            }
        };
        for (kind, payload) in frames {
            stream.write_all(&encode(*kind, payload)).await.unwrap();
        }
        request
    }

    fn says(reply: &InitReply) -> (FrameKind, Vec<u8>) {
        (FrameKind::Json, serde_json::to_vec(reply).unwrap())
    }

    fn started(attached: bool) -> (FrameKind, Vec<u8>) {
        says(&InitReply::Started { id: "a".into(), pid: 7, attached, environment: 0 })
    }

    #[tokio::test]
    async fn a_broken_connection_is_taken_up_where_it_broke_off() {
        let (shell, link) = link();
        let init = async {
            let out = |text: &str| (FrameKind::Stdout, text.as_bytes().to_vec());
            operation(&link, &[started(false), out("ab"), out("c")]).await;
            let end = says(&InitReply::Exit(exit()));
            operation(&link, &[started(true), out("def"), end]).await
        };
        let run = async {
            let run = shell.start(ExecSpec::default()).await.unwrap();
            run.events.collect::<Vec<_>>().await
        };
        let (request, events) = tokio::join!(init, run);
        assert_eq!(request, InitRequest::Attach { id: "a".into(), from: 3 });
        let output = |text: &str| ShellEvent::Output(text.into());
        assert_eq!(events, [output("ab"), output("c"), output("def"), ShellEvent::Exit(exit())]);
    }

    #[tokio::test(start_paused = true)]
    async fn news_of_a_memory_kill_is_waited_for_and_old_news_is_none() {
        let hits = LimitHits::default();
        let hit = |pid| LimitHit {
            kind: LimitKind::Memory,
            command: None,
            pid: Some(pid),
            peak: None,
            limit: None,
            message: "out of memory".into(),
        };
        hits.add(hit(1));
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        let wait = Duration::from_secs(2);
        assert_eq!(hits.since(LimitKind::Memory, began, Duration::ZERO).await, None);
        let later = async {
            sleep(Duration::from_secs(1)).await;
            hits.add(hit(2));
        };
        let (found, ()) = tokio::join!(hits.since(LimitKind::Memory, began, wait), later);
        assert_eq!(found.and_then(|hit| hit.pid), Some(2));
        assert_eq!(hits.since(LimitKind::Memory, Instant::now() + wait, wait).await, None);
        assert_eq!(hits.since(LimitKind::Disk, began, Duration::ZERO).await, None);
    }

    #[tokio::test]
    async fn a_program_is_lost_when_init_is_gone() {
        let (shell, link) = link();
        let init = async {
            operation(&link, &[started(false)]).await;
            drop(link);
        };
        let run = async {
            let run = shell.start(ExecSpec::default()).await.unwrap();
            run.events.collect::<Vec<_>>().await
        };
        let ((), events) = tokio::join!(init, run);
        assert_eq!(events, [ShellEvent::Lost]);
        assert_eq!(shell.list().await.unwrap_err().code, "lost");
    }
}
