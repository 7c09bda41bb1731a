//! One server: started when it is needed, ended when nobody needs it, started again after it ended by itself,
//! each time a little later. How its program is started is in `start`.

use super::{
    News,
    config::Declared,
    link::{Link, Word},
    start::{Around, Running, listed, start},
};
use rmcp::{Peer, RoleClient, model::Tool as Listed};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};
use toft_model::mcp::{McpChange, McpState};
use tokio::time::{Instant, sleep, timeout};

/// Time to start and to list tools; the first time, many are downloaded.
const START_MAX: Duration = Duration::from_mins(2);

/// From a stopped call to the end of its server, and the longest that two steps of that may take: parts of the half
/// second that tools have to end in.
const CALLED_OFF: Duration = Duration::from_millis(100);
const STOP_MAX: Duration = Duration::from_millis(180);

/// Waits after failures double up to this.
const AGAIN_MAX: Duration = Duration::from_mins(1);

/// Such a wait is waited for; a longer one is told.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Server {
    pub(super) declared: Declared,
    around: Arc<Around>,
    life: tokio::sync::Mutex<Life>,
    /// What it listed last, and whether it said since that there are others.
    listed: Mutex<Option<Arc<[Listed]>>>,
    stale: Arc<AtomicBool>,
    condition: Mutex<Condition>,
    used: Mutex<Instant>,
    calls: AtomicUsize,
    /// In a row.
    failures: AtomicU32,
    /// Nobody waits for its start any more.
    late: AtomicBool,
    me: Weak<Self>,
}

#[derive(Default)]
struct Life {
    running: Option<Running>,
    not_before: Option<Instant>,
}

/// What people see of it.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) state: McpState,
    pub(super) error: Option<String>,
    /// Starts that were tried.
    pub(super) starts: u32,
}

/// Says that a call has ended.
pub(super) struct InUse {
    counted: Counted,
    link: Arc<Link>,
}

impl InUse {
    /// Why a call came to nothing, for the model.
    pub(super) async fn why(&self, error: &rmcp::ServiceError) -> String {
        let name = self.counted.0.name();
        if matches!(error, rmcp::ServiceError::McpError(_)) {
            return format!("The MCP server `{name}` says: {error}");
        }
        match self.link.last_word_soon().await {
            Some(word) => format!("The MCP server `{name}` has ended: {}.", word.text),
            None => format!("The MCP server `{name}` cannot be spoken to: {error}."),
        }
    }
}

/// A start that nobody waits for any more was none.
struct Starting<'a>(Option<&'a Server>);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if let Some(server) = self.0 {
            server.turned(McpState::Off, None);
        }
    }
}

/// Counts a call until it has ended.
struct Counted(Arc<Server>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.touch();
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    pub(super) fn new(declared: Declared, around: Arc<Around>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            declared,
            around,
            life: tokio::sync::Mutex::default(),
            listed: Mutex::default(),
            stale: Arc::default(),
            condition: Mutex::new(Condition { state: McpState::Off, error: None, starts: 0 }),
            used: Mutex::new(Instant::now()),
            calls: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            late: AtomicBool::new(false),
            me: Weak::clone(me),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.declared.name
    }

    pub(super) fn condition(&self) -> Condition {
        lock(&self.condition).clone()
    }

    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }

    /// Whether it was that already.
    pub(super) fn set_late(&self) -> bool {
        self.late.swap(true, Ordering::AcqRel)
    }

    /// The tools that it listed last.
    pub(super) fn listed(&self) -> Arc<[Listed]> {
        lock(&self.listed).clone().unwrap_or_default()
    }

    /// Starts it unless its tools are known. A failure was told.
    pub(super) async fn ready(&self) {
        let known = lock(&self.listed).is_some();
        if known && !self.stale.load(Ordering::Acquire) {
            return;
        }
        let Ok((peer, _)) = self.peer().await else { return };
        if self.stale.swap(false, Ordering::AcqRel)
            && let Ok(Ok(listed)) = timeout(START_MAX, listed(&peer)).await
        {
            *lock(&self.listed) = Some(listed);
        }
    }

    /// Whom to ask, for as long as the second one is held. The error is for the model.
    pub(super) async fn call(&self) -> Result<(Peer<RoleClient>, InUse), String> {
        let me = self.me.upgrade().ok_or("the server is no longer declared")?;
        self.calls.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(me);
        let (peer, link) = self.peer().await?;
        Ok((peer, InUse { counted, link }))
    }

    /// Ends it.
    pub(super) async fn end(&self) {
        self.life.lock().await.running = None;
    }

    /// A person stopped a call. The server has a moment to hear that; but it need not heed it, and what it
    /// started for the call would go on. So it ends with all of that, unless other calls need it. The next one
    /// starts it again.
    pub(super) async fn call_was_stopped(&self) {
        sleep(CALLED_OFF).await;
        let Ok(mut life) = timeout(STOP_MAX, self.life.lock()).await else { return };
        if self.calls.load(Ordering::Acquire) > 0 {
            return;
        }
        if let Some(running) = life.running.take() {
            let _ = timeout(STOP_MAX, running.link.end()).await;
            self.turned(McpState::Off, None);
        }
    }

    /// Ends it if it runs, and starts it at once.
    pub(super) async fn restart(&self) {
        {
            let mut life = self.life.lock().await;
            (life.running, life.not_before) = (None, None);
            self.failures.store(0, Ordering::Release);
        }
        // What came of it was told.
        let _ = self.peer().await;
    }

    async fn peer(&self) -> Result<(Peer<RoleClient>, Arc<Link>), String> {
        let mut life = self.life.lock().await;
        self.touch();
        if let Some(running) = &life.running {
            if !running.link.ended.is_cancelled() && !running.service.is_closed() {
                return Ok((running.service.peer().clone(), Arc::clone(&running.link)));
            }
            life.running = None;
        }
        let wait = life.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        match wait.unwrap_or_default() {
            wait if wait > WAIT_MAX => {
                return Err(format!(
                    "The MCP server `{}` has failed; it can be started again in {} s.",
                    self.name(),
                    wait.as_secs() + 1
                ));
            }
            wait => sleep(wait).await,
        }
        self.turned(McpState::Starting, None);
        let mut starting = Starting(Some(self));
        let started = timeout(START_MAX, start(&self.around, &self.declared, &self.stale)).await;
        starting.0 = None;
        match started {
            Ok(Ok((running, listed))) => {
                *lock(&self.listed) = Some(listed);
                let told = (running.service.peer().clone(), Arc::clone(&running.link));
                self.watch(&running.link);
                life.running = Some(running);
                self.turned(McpState::Ready, None);
                Ok(told)
            }
            failed => {
                let why = match failed {
                    Ok(Err(why)) => self.around.fit(&why),
                    _ => Word::plain(format!("it did not answer within {} s", START_MAX.as_secs())),
                };
                let text =
                    format!("The MCP server `{}` cannot be started: {}.", self.name(), why.text);
                self.broke(&mut life, Some(why));
                if self.condition().state == McpState::Failed {
                    (self.around.tell)(News::Words(text.clone()));
                }
                Err(text)
            }
        }
    }

    /// Ends it when nobody uses it, and tells when it ended by itself.
    fn watch(&self, link: &Arc<Link>) {
        let (me, link) = (Weak::clone(&self.me), Arc::downgrade(link));
        let look = self.around.pace.idle_look;
        // Ends with the program.
        tokio::spawn(async move {
            loop {
                let Some(ended) = link.upgrade().map(|link| link.ended.clone()) else { return };
                let gone = tokio::select! {
                    () = ended.cancelled() => true,
                    () = sleep(look) => false,
                };
                let Some(me) = me.upgrade() else { return };
                let mut life = me.life.lock().await;
                let ours = life
                    .running
                    .as_ref()
                    .is_some_and(|now| Weak::ptr_eq(&Arc::downgrade(&now.link), &link));
                if !ours {
                    return;
                }
                if gone {
                    let word = life.running.take().and_then(|running| running.link.last_word());
                    let word = word.map(|word| me.around.fit(&word));
                    let why =
                        word.as_ref().map(|why| format!(": {}", why.text)).unwrap_or_default();
                    me.broke(&mut life, word);
                    drop(life);
                    if me.condition().state == McpState::Failed {
                        (me.around.tell)(News::Words(format!(
                            "The MCP server `{}` has ended by itself{why}. It is started again when it is needed.",
                            me.name()
                        )));
                    }
                    return;
                }
                if me.is_idle() {
                    life.running = None;
                    me.turned(McpState::Off, None);
                    return;
                }
            }
        });
    }

    /// It failed, and another start has to wait.
    fn broke(&self, life: &mut Life, why: Option<Word>) {
        let before = self.failures.fetch_add(1, Ordering::AcqRel);
        let first = self.around.pace.again_first;
        let wait = first.saturating_mul(1 << before.min(10)).min(AGAIN_MAX);
        life.not_before = Some(Instant::now() + wait);
        let why = why.unwrap_or_else(|| Word::plain("it ended by itself".to_owned()));
        let state = if why.sign_in { McpState::NeedsSignIn } else { McpState::Failed };
        self.turned(state, Some(why.text));
    }

    fn turned(&self, state: McpState, error: Option<String>) {
        {
            let mut now = lock(&self.condition);
            now.starts += u32::from(state == McpState::Starting);
            (now.state, now.error) = (state, error.clone());
        }
        let tools = (state == McpState::Ready).then(|| self.listed().len());
        let name = self.name().to_owned();
        (self.around.tell)(News::Changed(McpChange { name, state, message: error, tools }));
    }

    /// A call has come to a result.
    pub(super) fn worked(&self) {
        self.failures.store(0, Ordering::Release);
    }

    fn is_idle(&self) -> bool {
        let used = *lock(&self.used);
        self.calls.load(Ordering::Acquire) == 0 && used.elapsed() >= self.around.pace.idle_max
    }

    fn touch(&self) {
        *lock(&self.used) = Instant::now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
