//! One task for each place: reads what has come since, makes spans of it, sends them, and moves the
//! place's position when they were taken. What it keeps in memory can be had again from the database.

use super::{
    Line,
    fold::Fold,
    post::{Answer, Post, Problem},
    setting::TraceSettings,
    span::Span,
    told::KINDS,
};
use crate::clock::Clock;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use toft_model::id::ProjectId;
use toft_store::{Store, StoreError, TraceCursor};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Events read at once.
const PAGE_ROWS: u32 = 256;
/// Bytes of them, about: a message may have some MiB.
const PAGE_BYTES: usize = 4 << 20;
/// Spans in a request, and while nothing was taken yet: each may be tried alone.
const BATCH_SPANS: usize = 128;
const BATCH_SPANS_FIRST: usize = 8;
/// Bytes of content in a request, about. Collectors refuse some MiB.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes of a span beside its content, about.
const SPAN_BYTES: usize = 1 << 10;
/// Events that were looked at and gave nothing, until their position is written.
const UNWRITTEN_MAX: u64 = 10_000;
/// Projects whose unfinished work is kept in memory.
const KNOWN_MAX: usize = 64;
/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How long the end of the server waits for what is being sent, and for what came last, each. The next
/// server sends the rest.
const LAST_MAX: Duration = Duration::from_secs(2);

/// What a sender needs of its server.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) settings: TraceSettings,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) version: String,
    /// Which server this is: each sends what its own machines have told.
    pub(crate) server: String,
}

/// Not now; not before this, if the place says so.
#[derive(Debug, PartialEq, Eq)]
struct Held(Option<Duration>);

/// A project as far as it was sent.
struct Known {
    fold: Fold,
    /// Everything up to this event is in the fold, and what it gave was taken.
    read: u64,
    written: TraceCursor,
}

struct Sender {
    line: Arc<Line>,
    post: Post,
    means: Means,
    known: BTreeMap<ProjectId, Known>,
    /// The last one whose turn it was.
    last: Option<ProjectId>,
    /// Whether all projects are to be looked at: for what came while no server ran.
    looks: bool,
}

/// Sends to one place until the server ends.
pub(crate) async fn follow(line: Arc<Line>, means: Means, ends: CancellationToken) {
    let version = means.version.clone();
    let post = tokio::task::spawn_blocking(move || Post::new(version)).await;
    let post = match post.map_err(|error| error.to_string()).and_then(|post| post) {
        Ok(post) => post,
        Err(why) => {
            let message = format!("No connections can be made ({why}): start the server again.");
            line.held(Problem { code: "internal", message }, means.clock.now_ms());
            return;
        }
    };
    let delay = means.settings.delay;
    let mut sender = Sender { line, post, means, known: BTreeMap::new(), last: None, looks: true };
    let mut failed: u32 = 0;
    let mut after = None;
    while !ends.is_cancelled() {
        let wait = async {
            if failed > 0 {
                sleep(pause(failed, after, chance())).await;
            } else {
                while !sender.looks && sender.line.is_idle() {
                    sender.line.ring.notified().await;
                }
                sleep(delay).await;
            }
        };
        tokio::select! {
            () = ends.cancelled() => break,
            () = wait => {}
        }
        let overdue = async {
            ends.cancelled().await;
            sleep(LAST_MAX).await;
        };
        let round = tokio::select! {
            round = sender.round() => round,
            () = overdue => return,
        };
        match round {
            Ok(()) => {
                failed = 0;
                after = None;
            }
            Err(held) => {
                failed = failed.saturating_add(1);
                after = held.0;
            }
        }
    }
    if failed == 0 {
        let _ = timeout(LAST_MAX, sender.round()).await;
    }
}

/// How long to wait after so many failures in a row.
fn pause(failed: u32, after: Option<Duration>, chance: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << failed.saturating_sub(1).min(10)).min(PAUSE_MAX);
    // Between half and all of it, so that many servers do not come at once.
    doubled.mul_f64(0.5 + 0.5 * chance).max(after.unwrap_or_default())
}

/// From 0 to 1.
fn chance() -> f64 {
    let mut byte = [0u8];
    // Without randomness there is no jitter, and nothing else is lost.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

impl Sender {
    /// Sends what there is of all projects that have something new. One whose spans are not taken keeps no
    /// other, unless it seems that nothing is taken at all.
    async fn round(&mut self) -> Result<(), Held> {
        if self.looks {
            let broken = |error| self.broken(&error);
            if self.means.store.trace_taken(self.line.name()).await.map_err(broken)? {
                self.line.has_taken();
            }
            let projects = self.means.store.projects(u32::MAX, 0).await;
            for project in projects.map_err(broken)? {
                if project.host.as_ref().is_none_or(|host| *host == self.means.server) {
                    self.line.touch(&project.id);
                }
            }
            self.looks = false;
        }
        let mut waits = BTreeSet::new();
        let mut held = None;
        while let Some(project) = self.line.next_due(self.last.as_ref(), &waits) {
            self.last = Some(project.clone());
            match self.project(&project).await {
                Ok(known) => {
                    self.line.caught_up(&project);
                    self.keep(project, known);
                }
                Err(Trouble::Gone) => self.line.caught_up(&project),
                Err(Trouble::Held(one)) => {
                    waits.insert(project);
                    let is_told = one.0.is_some();
                    held = Some(one);
                    if is_told || self.line.is_away() {
                        break;
                    }
                }
            }
        }
        for project in &waits {
            self.line.touch(project);
        }
        held.map_or(Ok(()), Err)
    }

    /// Whatever was known of it is dropped when this fails: it is read again.
    async fn project(&mut self, project: &ProjectId) -> Result<Known, Trouble> {
        let mut known = match self.known.remove(project) {
            Some(known) => known,
            None => self.load(project).await?,
        };
        loop {
            let page = self
                .means
                .store
                .events_of(project, &KINDS, known.read, PAGE_ROWS, PAGE_BYTES)
                .await
                .map_err(|error| self.trouble(&error))?;
            if page.through <= known.read {
                return Ok(known);
            }
            let ended = page.events.iter().flat_map(|event| known.fold.take(event));
            let spans: Vec<Span> = ended.filter(|span| self.is_told(span)).collect();
            self.deliver(project, &mut known, &spans).await?;
            known.read = page.through;
            if !spans.is_empty() || known.read - known.written.sent >= UNWRITTEN_MAX {
                let sent = known.read;
                let cursor = TraceCursor { sent, open_from: known.fold.open_from(sent) };
                self.write(project, &mut known, cursor).await?;
            }
        }
    }

    /// What was unfinished when the place took the last span.
    async fn load(&self, project: &ProjectId) -> Result<Known, Trouble> {
        let store = &self.means.store;
        let written = store.trace_cursor(self.line.name(), project).await;
        let written = written.map_err(|error| self.trouble(&error))?;
        let mut fold = Fold::new(project.clone(), self.line.sink.content, written.open_from);
        let mut read = written.open_from;
        while read < written.sent {
            let page = store.events_of(project, &KINDS, read, PAGE_ROWS, PAGE_BYTES).await;
            let page = page.map_err(|error| self.trouble(&error))?;
            for event in page.events.iter().take_while(|event| event.seq <= written.sent) {
                // It was taken already.
                drop(fold.take(event));
            }
            if page.through <= read {
                // The copy is shorter than it was: the host lost power.
                break;
            }
            read = page.through;
        }
        Ok(Known { fold, read: written.sent, written })
    }

    /// Whether its trace is one of those that are told: the same answer for every span of it.
    fn is_told(&self, span: &Span) -> bool {
        let ratio = self.means.settings.ratio;
        let low: [u8; 8] = std::array::from_fn(|at| span.trace[at + 8]);
        #[expect(clippy::cast_precision_loss, reason = "a share of all traces")]
        let at = (u64::from_be_bytes(low) >> 1) as f64 / (u64::MAX >> 1) as f64;
        ratio >= 1.0 || at < ratio
    }

    /// Sends spans in requests that places take, the oldest first.
    async fn deliver(
        &self,
        project: &ProjectId,
        known: &mut Known,
        spans: &[Span],
    ) -> Result<(), Trouble> {
        let mut rest = spans;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(self.batch(rest));
            self.batch_out(project, batch).await.map_err(Trouble::Held)?;
            // Between two events all is told that the first one ended.
            if let (Some(last), Some(next)) = (batch.last(), later.first())
                && last.ended < next.ended
            {
                let cursor = TraceCursor { sent: last.ended, ..known.written };
                self.write(project, known, cursor).await?;
            }
            rest = later;
        }
        Ok(())
    }

    /// How many spans go into the next request.
    fn batch(&self, spans: &[Span]) -> usize {
        let most = if self.line.works() { BATCH_SPANS } else { BATCH_SPANS_FIRST };
        let mut bytes = 0;
        let fits = spans.iter().take(most).take_while(|span| {
            let content = [&span.input, &span.output];
            let content = content.into_iter().flatten().map(|json| json.to_string().len());
            bytes += SPAN_BYTES + content.sum::<usize>();
            bytes <= BATCH_BYTES
        });
        fits.count().max(1)
    }

    /// One request; more where some spans of it are refused: then each is tried alone in the end, and left
    /// out if it is at fault.
    async fn batch_out(&self, project: &ProjectId, spans: &[Span]) -> Result<(), Held> {
        let line = &self.line;
        let mut parts = vec![spans];
        let mut refused = Vec::new();
        while let Some(part) = parts.pop() {
            let answer = self.post.send(&line.sink, &self.means.settings.resource, part).await;
            let now_ms = self.means.clock.now_ms();
            match answer {
                Answer::Taken { rejected, said } => {
                    line.taken(part.len() as u64, rejected, &said, now_ms);
                    if rejected < part.len() as u64 && line.has_taken() {
                        let noted = self.means.store.put_trace_taken(line.name()).await;
                        noted.map_err(|error| self.broken(&error))?;
                    }
                }
                Answer::Later { problem, after } => {
                    line.waits(project, spans.first().map(|span| span.to_ms));
                    line.held(problem, now_ms);
                    return Err(Held(after));
                }
                Answer::Never(_) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Answer::Never(problem) => refused.push(problem),
            }
        }
        if !line.works()
            && let Some(problem) = refused.pop()
        {
            // Nothing was ever taken there: it is not these spans.
            line.waits(project, spans.first().map(|span| span.to_ms));
            line.held(problem, self.means.clock.now_ms());
            return Err(Held(None));
        }
        for problem in &refused {
            line.left_out(problem);
        }
        Ok(())
    }

    async fn write(
        &self,
        project: &ProjectId,
        known: &mut Known,
        cursor: TraceCursor,
    ) -> Result<(), Trouble> {
        let written = self.means.store.put_trace_cursor(self.line.name(), project, cursor).await;
        written.map_err(|error| self.trouble(&error))?;
        known.written = cursor;
        Ok(())
    }

    fn keep(&mut self, project: ProjectId, known: Known) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(project, known);
    }

    fn trouble(&self, error: &StoreError) -> Trouble {
        match error {
            StoreError::Missing { .. } => Trouble::Gone,
            error => Trouble::Held(self.broken(error)),
        }
    }

    fn broken(&self, error: &StoreError) -> Held {
        let message = format!("The database failed ({error}); it is tried again.");
        self.line.held(Problem { code: "database", message }, self.means.clock.now_ms());
        Held(None)
    }
}

/// Why a project's spans were not all sent.
enum Trouble {
    /// It was deleted.
    Gone,
    Held(Held),
}
