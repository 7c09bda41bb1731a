//! Runs: pieces of work that a server hands over whole, from a prompt to a commit. What they are is in
//! [`toft_model::run`], how one is driven from step to step in [`drive`]. Who owns a run, and when it is tried
//! again, is the server's.
//!
//! A line of the book ([`book`]) is on disk before what it says is done or told, so a bridge that is killed
//! leaves one of these, and the next one goes on from it:
//!
//! | Killed | is found | and so |
//! |---|---|---|
//! | before the order is on disk | nothing | it was not taken: who sent it sends it again |
//! | before its conversation is made | its id, and no file | it is made, under that id |
//! | before its prompt is said | no entry of the run's name | it is said |
//! | after that, before that is written | the entry | nothing is said; the agent goes on by itself |
//! | before a step is told | a line without `told`, no event behind its `mark` | it is told |
//! | after that, before that is written | the event behind the `mark` | its number is taken |
//! | before its plan is approved | a plan that is proposed | it is approved, or goes on waiting |
//! | after that, before the step to `build` | the message that approves it | it is at `build` |
//! | while a person is waited for | since when | that time does not count |
//! | before the step to `commit` | a conversation that rests | it goes that step |
//! | while git works, or before its end is written | a program of the run's name | it is followed to its end |
//! | the same, and the machine ended | no such program | git runs anew, its locks taken away: a commit with the run's name is its own |
//! | before stopped work has ended | the `ending`, and that it stops | it is stopped |
//! | before another attempt asked again | the failed answer that it `retries`, still the last | it is asked again |
//! | after that | another answer, or work | nothing is asked |

mod book;
mod commit;
mod drive;
mod found;
mod state;
#[cfg(test)]
mod tests;
mod work;

use super::{AgentRuntime, RuntimeError, blocking, failed};
use book::{Added, Book, Run};
use state::{Ending, State};
use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use toft_agent::{Refused, surroundings::RulesOf};
use toft_model::{
    event::EventBody,
    id::SessionId,
    run::{JobId, Phase, RunNow, RunOrder, RunStatus, WaitsFor},
};
use tokio::{sync::watch, time::timeout};

/// Prompts of runs have names that begin so, and no others do.
pub(crate) const RUN_PREFIX: &str = "run-";

/// How long a cancel waits for the end: an abort's own limits are shorter.
const CANCEL_WAIT: Duration = Duration::from_secs(3);

/// Why runs end when the disk went back in time.
const WENT_BACK: &str = "The project went back to a checkpoint while this run was under way.";

/// The runs of a machine.
pub(crate) struct Runs {
    book: Arc<Mutex<Book>>,
    /// Rung at every change.
    changed: watch::Sender<()>,
    /// Those that are driven.
    driven: Mutex<HashSet<JobId>>,
}

/// A run that is not ordered, or not changed, as was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunRefused {
    /// There is none.
    #[error("there is no run {0} here: it was never handed over, or is long over")]
    Unknown(JobId),
    /// Its owner lost it.
    #[error("the run has another owner: its fence is {0}, which is larger")]
    Stale(u64),
    /// The id has another order.
    #[error("another order came under this id before: a run's order never changes")]
    Other,
    /// It is to be tried again before its last try is told to be over.
    #[error("the run's last try is not told to be over yet: ask again in a moment")]
    Telling,
    /// One at a time.
    #[error("run {0} works in this conversation: wait until it is over, or cancel it")]
    InSession(JobId),
    /// Too many.
    #[error("too many runs of this machine are not over: wait, or cancel some")]
    Full,
    /// The book cannot be written.
    #[error("writing down a run failed: {0}")]
    Io(#[from] io::Error),
    /// Its conversation cannot be used.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Its conversation says no.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Runs {
    /// Reads what is kept in `log_dir`. Blocks.
    pub(super) fn open(log_dir: &Path) -> io::Result<Self> {
        let book = Arc::new(Mutex::new(Book::open(log_dir)?));
        Ok(Self { book, changed: watch::channel(()).0, driven: Mutex::default() })
    }

    /// Says which rules the run has that works in a conversation.
    pub(super) fn rules_of(&self) -> RulesOf {
        let book = Arc::clone(&self.book);
        Arc::new(move |session| {
            let book = lock(&book);
            let of =
                |(_, run): &(&JobId, &Run)| run.state.session == *session && !run.state.is_over();
            let (_, run) = book.all().rev().find(of)?;
            Some(run.order.as_ref()?.rules.clone())
        })
    }

    fn run(&self, id: &JobId) -> Option<Run> {
        lock(&self.book).get(id).cloned()
    }

    /// Works with the book; what that wrote is on disk when this returns.
    async fn with<T: Send + 'static, E: From<io::Error> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Book) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let book = Arc::clone(&self.book);
        let worked = blocking(move || Ok(work(&mut lock(&book)))).await;
        self.changed.send_replace(());
        worked?
    }

    async fn change(
        &self,
        id: &JobId,
        change: impl FnOnce(&mut State) + Send + 'static,
    ) -> io::Result<()> {
        let id = id.clone();
        self.with(move |book| book.change(&id, change)).await
    }

    /// Resolves when that holds of it, or it is not known any more.
    async fn until(&self, id: &JobId, holds: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        while self.run(id).is_some_and(|run| !holds(&run.state)) {
            // An error: there are no runs any more.
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn driven(&self) -> MutexGuard<'_, HashSet<JobId>> {
        lock(&self.driven)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an order came to.
enum Taken {
    /// It begins, or is tried again.
    Begins,
    Known,
}

/// Takes an order that comes for the first time, or again.
fn take(
    book: &mut Book,
    id: JobId,
    order: RunOrder,
    session: SessionId,
    (now_ms, seq): (u64, u64),
) -> Result<Taken, RunRefused> {
    let known = book.get(&id).map(|run| run.state.clone());
    let mut state = match known {
        None => State::new(&order, session, now_ms, seq),
        Some(known) if order.fence < known.fence => return Err(RunRefused::Stale(known.fence)),
        Some(known) if !order.is_of(&known.digest) => return Err(RunRefused::Other),
        Some(known) => {
            let failed = known.phase == Phase::Over
                && known.ending.as_ref().is_some_and(|end| end.status == RunStatus::Error);
            if !failed || order.attempt <= known.attempt || order.fence == known.fence {
                let fence = order.fence;
                book.change(&id, move |state| state.fence = fence)?;
                return Ok(Taken::Known);
            }
            if !known.is_over() {
                return Err(RunRefused::Telling);
            }
            known
        }
    };
    let same = |(other, run): &(&JobId, &Run)| {
        **other != id && run.state.session == state.session && !run.state.is_over()
    };
    if let Some((other, _)) = book.all().find(same) {
        return Err(RunRefused::InSession(other.clone()));
    }
    state.reopen(&order, now_ms, seq);
    match book.put(id, Run { order: Some(Arc::new(order)), state })? {
        Added::Done => Ok(Taken::Begins),
        Added::Full => Err(RunRefused::Full),
    }
}

impl AgentRuntime {
    /// Takes a run; on disk when this returns. Says where it is, and whether it was known.
    pub(crate) async fn order_run(
        &self,
        id: JobId,
        order: RunOrder,
    ) -> Result<(RunNow, bool), RunRefused> {
        let known = self.runs.run(&id);
        if known.is_none() {
            self.log.check().map_err(|trouble| Refused::Disk(trouble.to_string()))?;
        }
        let session = match (known, &order.session_id) {
            (Some(known), _) => known.state.session,
            (None, Some(named)) => {
                let handle = self.session(Some(named)).await?;
                // In place of the current one, if its file is gone, comes another.
                if handle.conversation().id() != named {
                    return Err(RuntimeError::NoSession(named.to_string()).into());
                }
                if handle.conversation().is_task() {
                    return Err(Refused::Task.into());
                }
                named.clone()
            }
            (None, None) => SessionId::at((self.around.clock)()),
        };
        self.step();
        let (now, seq) = ((self.around.clock)(), self.log.last_seq());
        let taken = id.clone();
        let taken =
            self.runs.with(move |book| take(book, taken, order, session, (now, seq))).await?;
        self.step();
        self.drive(&id);
        Ok((self.run_now(&id).await?, matches!(taken, Taken::Known)))
    }

    /// Ends a run; waits until it has, for a moment.
    pub(crate) async fn cancel_run(&self, id: &JobId, fence: u64) -> Result<RunNow, RunRefused> {
        self.step();
        let ended = id.clone();
        let write = move |book: &mut Book| -> Result<(), RunRefused> {
            let known = book.get(&ended).ok_or_else(|| RunRefused::Unknown(ended.clone()))?;
            if fence < known.state.fence {
                return Err(RunRefused::Stale(known.state.fence));
            }
            book.change(&ended, move |state| {
                state.fence = fence;
                let phase = state.phase;
                let status = RunStatus::Cancelled;
                state.end(Ending { status, error: None, phase, stops: true, failed: None });
            })?;
            Ok(())
        };
        let written = self.runs.with(write).await;
        if let (Err(RunRefused::Io(_)), Some(run)) = (&written, self.runs.run(id))
            && run.state.said.is_some()
        {
            // A full disk must not keep anybody from stopping the agent.
            self.stop_work(&run.state).await;
        }
        written?;
        self.step();
        self.drive(id);
        // Whoever looks later sees it.
        let _ = timeout(CANCEL_WAIT, self.runs.until(id, State::is_over)).await;
        self.run_now(id).await
    }

    /// Where a run is.
    pub(crate) async fn run_now(&self, id: &JobId) -> Result<RunNow, RunRefused> {
        let run = self.runs.run(id).ok_or_else(|| RunRefused::Unknown(id.clone()))?;
        let mut now = shown(id, &run.state);
        now.plan = self.plan_of(&run.state).await;
        if now.status.is_none() && now.waits_for.is_none() && self.asks(&run.state).await {
            now.waits_for = Some(WaitsFor::Answer);
        }
        if now.status.is_none() && now.waits_for.is_none() && self.needs_provider(&run.state).await
        {
            now.waits_for = Some(WaitsFor::Provider);
        }
        Ok(now)
    }

    /// All that are kept, newest first, without their plans.
    pub(crate) fn runs_now(&self) -> Vec<RunNow> {
        lock(&self.runs.book).all().rev().map(|(id, run)| shown(id, &run.state)).collect()
    }

    /// The conversation of a run that is not over.
    pub(crate) fn session_of_run(&self, id: &JobId) -> Result<SessionId, RunRefused> {
        let run = self.runs.run(id).ok_or_else(|| RunRefused::Unknown(id.clone()))?;
        if run.state.phase == Phase::Plan && run.state.ending.is_none() {
            Ok(run.state.session)
        } else {
            Err(Refused::NoPlan.into())
        }
    }

    /// After a start: tells what the log misses of runs, and goes on with those that are not over.
    pub(super) async fn resume_runs(&self) -> Result<(), RuntimeError> {
        let last = self.log.last_seq();
        let untold: HashMap<JobId, (Phase, u64)> = {
            let mut book = lock(&self.runs.book);
            // The log lost its end with the power.
            book.lost_end(last);
            let untold = book.all().filter(|(_, run)| run.state.told.is_none());
            untold.map(|(id, run)| (id.clone(), (run.state.phase, run.state.mark))).collect()
        };
        if let Some(from) = untold.values().map(|(_, mark)| *mark).min() {
            let (log, wanted) = (self.log.clone(), untold);
            let told = blocking(move || {
                let mut told = HashMap::new();
                log.visit(from, |event| {
                    if let EventBody::RunStep(step) = event.body
                        && let Some((phase, mark)) = wanted.get(&step.run_id)
                        && step.phase == *phase
                        && event.seq > *mark
                    {
                        told.insert(step.run_id, event.seq);
                    }
                })?;
                Ok(told)
            });
            for (id, seq) in told.await.map_err(failed("reading the event log"))? {
                self.keep(&id, move |state| state.told = Some(seq)).await;
            }
        }
        let open: Vec<JobId> = {
            let book = lock(&self.runs.book);
            let open = book.all().filter(|(_, run)| !run.state.is_over());
            open.map(|(id, _)| id.clone()).collect()
        };
        for id in open {
            self.drive(&id);
        }
        Ok(())
    }

    /// The disk went back in time: what was under way is not gone on with.
    pub(super) async fn cut_runs(&self) -> Result<(), RuntimeError> {
        self.step();
        let cut = |book: &mut Book| -> io::Result<()> {
            let open = book.all().filter(|(_, run)| !run.state.is_over());
            let open: Vec<JobId> = open.map(|(id, _)| id.clone()).collect();
            for id in open {
                book.change(&id, |state| {
                    let (status, phase) = (RunStatus::Cancelled, state.phase);
                    let error = Some(WENT_BACK.to_owned());
                    state.end(Ending { status, error, phase, stops: false, failed: None });
                })?;
            }
            Ok(())
        };
        self.runs.with(cut).await.map_err(failed("ending runs"))?;
        self.step();
        Ok(())
    }
}

/// What is told of it without a look at its conversation.
fn shown(id: &JobId, state: &State) -> RunNow {
    let ending = state.ending.as_ref().filter(|_| state.is_over());
    let waits = state.waits.filter(|wait| wait.what == WaitsFor::Approval);
    RunNow {
        id: id.clone(),
        fence: state.fence,
        attempt: state.attempt,
        session_id: state.session.clone(),
        phase: state.phase,
        status: ending.map(|ending| ending.status),
        waits_for: waits.filter(|_| !state.is_over()).map(|wait| wait.what),
        plan: None,
        commit: state.commit.clone(),
        error: ending.and_then(|ending| ending.error.clone()),
        after_seq: state.after_seq,
        end_seq: state.told.filter(|_| state.is_over()),
    }
}
