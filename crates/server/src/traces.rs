//! Traces: what agents did, told to OpenTelemetry collectors and LangSmith. They are made of the server's
//! copy of the events, and each place has a position in it that moves only when it has taken what was
//! sent: a place that is away, or a server that is killed, loses nothing and gets the same span again, if
//! anything. Machines know nothing of it.
//!
//! Events become spans in `fold` and `run`, spans become OTLP in `otlp`, and `send` has them delivered.

mod content;
mod facts;
mod fold;
mod otlp;
mod post;
mod run;
pub(crate) mod send;
mod setting;
mod span;
#[cfg(test)]
mod tests;
mod told;

pub use setting::{TraceSettingError, TraceSettings};

use post::Problem;
use schemars::JsonSchema;
use serde::Serialize;
use setting::Sink;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use toft_model::id::ProjectId;
use toft_store::NewEvent;
use tokio::sync::Notify;

/// So many projects in a row of which a place takes nothing are the place's fault.
const MISSES_MAX: u32 = 3;

/// All places.
pub(crate) struct Traces {
    lines: Vec<Arc<Line>>,
}

impl Traces {
    pub(crate) fn new(settings: Option<&TraceSettings>) -> Self {
        let sinks = settings.map(|settings| settings.sinks.clone()).unwrap_or_default();
        Self { lines: sinks.into_iter().map(|sink| Arc::new(Line::new(sink))).collect() }
    }

    pub(crate) fn lines(&self) -> &[Arc<Line>] {
        &self.lines
    }

    /// Events have come into the copy.
    pub(crate) fn came(&self, project: &ProjectId, events: &[NewEvent]) {
        if self.lines.is_empty() || !events.iter().any(|e| told::ENDS.contains(&e.kind.as_str())) {
            return;
        }
        for line in &self.lines {
            line.touch(project);
        }
    }

    /// How it stands with each place, for people. Without a key.
    pub(crate) fn report(&self) -> Vec<Report> {
        self.lines.iter().map(|line| line.report()).collect()
    }
}

/// How it stands with a place that takes traces.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TracesReport")]
pub(crate) struct Report {
    sink: &'static str,
    /// Without its path.
    endpoint: String,
    content: ReportedContent,
    spans_accepted: u64,
    spans_rejected: u64,
    spans_left_out: u64,
    /// Unix milliseconds.
    last_accepted_at: Option<u64>,
    projects_waiting: usize,
    /// Unix milliseconds.
    waiting_since: Option<u64>,
    problem: Option<ReportedProblem>,
}

/// What goes along.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TracesContent")]
struct ReportedContent {
    inputs: bool,
    outputs: bool,
}

/// What is wrong.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TracesProblem")]
struct ReportedProblem {
    /// Unix milliseconds.
    at: u64,
    code: &'static str,
    message: String,
}

/// One place, and how it stands with it.
pub(crate) struct Line {
    sink: Sink,
    /// Projects whose events have not been looked at since some came.
    due: Mutex<BTreeSet<ProjectId>>,
    /// Projects with spans that were not taken, and the end of the oldest of each where it is known.
    waiting: Mutex<BTreeMap<ProjectId, Option<u64>>>,
    ring: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accepted: u64,
    rejected: u64,
    left_out: u64,
    accepted_at: Option<u64>,
    problem: Option<(u64, Problem)>,
    /// Whether anything was ever taken there, by an earlier server too.
    has_taken: bool,
    /// Projects in a row of which nothing was taken.
    misses: u32,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn new(sink: Sink) -> Self {
        Self {
            sink,
            due: Mutex::default(),
            waiting: Mutex::default(),
            ring: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// The word for the place.
    pub(crate) fn name(&self) -> &'static str {
        self.sink.place.as_str()
    }

    fn touch(&self, project: &ProjectId) {
        locked(&self.due).insert(project.clone());
        self.ring.notify_one();
    }

    /// The next one behind that one, round and round, but none of these.
    fn next_due(&self, behind: Option<&ProjectId>, not: &BTreeSet<ProjectId>) -> Option<ProjectId> {
        let mut due = locked(&self.due);
        let others = || due.iter().filter(|id| !not.contains(*id));
        let next = others().find(|id| behind.is_none_or(|behind| *id > behind));
        let next = next.or_else(|| others().next()).cloned()?;
        due.take(&next)
    }

    fn is_idle(&self) -> bool {
        locked(&self.due).is_empty()
    }

    /// Whether anything was ever taken: then what is refused is at fault, and not who refuses.
    fn works(&self) -> bool {
        locked(&self.state).has_taken
    }

    /// Something was taken there, now or before; whether that is new.
    fn has_taken(&self) -> bool {
        !std::mem::replace(&mut locked(&self.state).has_taken, true)
    }

    /// Whether it takes nothing of whomever: the next ones would be asked for nothing.
    fn is_away(&self) -> bool {
        locked(&self.state).misses >= MISSES_MAX
    }

    fn taken(&self, spans: u64, rejected: u64, said: &str, now_ms: u64) {
        let mut state = locked(&self.state);
        if rejected > 0 && state.rejected == 0 {
            tracing::warn!(
                sink = self.name(),
                rejected,
                said,
                "some spans of traces were rejected"
            );
        }
        state.rejected = state.rejected.saturating_add(rejected);
        state.accepted = state.accepted.saturating_add(spans.saturating_sub(rejected));
        state.accepted_at = Some(now_ms);
        state.misses = 0;
    }

    /// All of a project was taken; or it was deleted.
    fn caught_up(&self, project: &ProjectId) {
        let mut waiting = locked(&self.waiting);
        waiting.remove(project);
        if waiting.is_empty() && locked(&self.state).problem.take().is_some() {
            tracing::info!(sink = self.name(), "traces are taken again");
        }
    }

    fn left_out(&self, problem: &Problem) {
        let mut state = locked(&self.state);
        if state.left_out == 0 {
            tracing::warn!(sink = self.name(), problem = problem.message, "a span was left out");
        }
        state.left_out += 1;
    }

    /// A project's spans wait. `since_ms`: the end of the oldest, where it is known.
    fn waits(&self, project: &ProjectId, since_ms: Option<u64>) {
        let mut waiting = locked(&self.waiting);
        let since = waiting.entry(project.clone()).or_default();
        *since = since_ms.or(*since);
    }

    fn held(&self, problem: Problem, now_ms: u64) {
        let mut state = locked(&self.state);
        if state.problem.as_ref().is_none_or(|(_, before)| before.code != problem.code) {
            tracing::warn!(sink = self.name(), problem = problem.message, "traces wait");
        }
        state.misses = state.misses.saturating_add(1);
        state.problem = Some((now_ms, problem));
    }

    fn report(&self) -> Report {
        let (waiting, since) = {
            let waiting = locked(&self.waiting);
            (waiting.len(), waiting.values().flatten().min().copied())
        };
        let state = locked(&self.state);
        let problem = state.problem.as_ref().map(|(at, problem)| ReportedProblem {
            at: *at,
            code: problem.code,
            message: problem.message.clone(),
        });
        Report {
            sink: self.name(),
            // Some have a key in their path.
            endpoint: self.sink.url.origin().ascii_serialization(),
            content: ReportedContent {
                inputs: self.sink.content.inputs,
                outputs: self.sink.content.outputs,
            },
            spans_accepted: state.accepted,
            spans_rejected: state.rejected,
            spans_left_out: state.left_out,
            last_accepted_at: state.accepted_at,
            projects_waiting: waiting,
            waiting_since: since,
            problem,
        }
    }
}
