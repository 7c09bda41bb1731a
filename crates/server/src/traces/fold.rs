//! A project's events, one after the other, become finished spans. Knows no database and no network: the
//! same events always give the same spans.

use super::{
    content::Content,
    run::{Origin, Run},
    span::Span,
    told::{self, Moment, Told},
};
use std::collections::BTreeMap;
use toft_model::{
    id::{ProjectId, SessionId},
    message::Message,
};
use toft_store::NewEvent;

/// Conversations that work at once and are followed. The agent itself has far fewer.
const RUNS_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Fold {
    project: ProjectId,
    content: Content,
    /// Work that goes on, by its conversation.
    runs: BTreeMap<String, Run>,
    /// Where the work of a task belongs, by the task's conversation: below a call that goes on.
    tasks: BTreeMap<String, Origin>,
    /// The last event after which nothing went on.
    quiet: u64,
}

impl Fold {
    /// Begins after an event after which nothing went on.
    pub(crate) fn new(project: ProjectId, content: Content, quiet: u64) -> Self {
        Self { project, content, runs: BTreeMap::new(), tasks: BTreeMap::new(), quiet }
    }

    /// Where to begin to come to what goes on after everything up to `through` was taken.
    pub(crate) fn open_from(&self, through: u64) -> u64 {
        if self.runs.is_empty() { through } else { self.quiet }
    }

    /// Takes the next event; answers the spans that it ended, children first.
    pub(crate) fn take(&mut self, event: &NewEvent) -> Vec<Span> {
        let ended = self.ended(event);
        if self.runs.is_empty() {
            self.tasks.clear();
            self.quiet = event.seq;
        }
        ended
    }

    fn ended(&mut self, event: &NewEvent) -> Vec<Span> {
        let mut ended = Vec::new();
        let Some(told) = told::told(event) else { return ended };
        let at = Moment::of(event);
        if let Told::Restored(restored) = &told {
            for moved in &restored.sessions {
                self.cut(moved.session_id.as_str(), "restored", at, &mut ended);
            }
            return ended;
        }
        let Some(session) = event.session.as_deref() else { return ended };
        match told {
            Told::AgentStart => {
                if self.runs.get(session).is_some_and(Run::is_told) {
                    // Its end was never told.
                    self.cut(session, "interrupted", at, &mut ended);
                }
                if let Some(run) = self.run(session, at) {
                    run.tell();
                }
            }
            // A prompt may be told before the work on it.
            Told::Message(message) => {
                let begins = matches!(*message, Message::User(_));
                let content = self.content;
                let run = if begins { self.run(session, at) } else { self.runs.get_mut(session) };
                ended.extend(run.and_then(|run| run.message(&message, content, at)));
            }
            Told::AgentEnd(end) => {
                if let Some(mut run) = self.runs.remove(session) {
                    self.close(&mut run, at, &mut ended);
                    ended.push(run.end(&end.reason, at));
                }
            }
            Told::ToolStart(start) => {
                let content = self.content;
                let Some(run) = self.runs.get_mut(session) else { return ended };
                let child = start.child_session.clone();
                if let Some((origin, child)) = run.tool_start(start, content, at).zip(child)
                    && self.tasks.len() < RUNS_MAX
                {
                    self.tasks.insert(child.as_str().to_owned(), origin);
                }
            }
            Told::ToolEnd(end) => {
                let content = self.content;
                let Some(run) = self.runs.get_mut(session) else { return ended };
                let Some((span, child)) = run.tool_end(&end, content, at) else { return ended };
                if let Some(child) = child {
                    self.cut(&child, "interrupted", at, &mut ended);
                    self.tasks.remove(&child);
                }
                ended.push(span);
            }
            Told::Question(question) => {
                // A task's comes here with the call that it does the work of; the one in it is in the name.
                let child = question.child_session.as_ref().map(SessionId::as_str);
                let within = child.zip(question.id.as_deref()).and_then(|(child, id)| {
                    Some((child, id.strip_prefix(child)?.strip_prefix(':')?))
                });
                for (of, call) in within.into_iter().chain([(session, &*question.tool_call_id)]) {
                    if let Some(run) = self.runs.get_mut(of) {
                        run.waits(call);
                    }
                }
            }
            Told::MessageStart(start) => {
                if let Some(run) = self.runs.get_mut(session)
                    && start.role == "assistant"
                {
                    run.answer_starts(at);
                }
            }
            Told::Restarted(why) => {
                let run = self.runs.get_mut(session);
                ended.extend(run.and_then(|run| run.restarted(&why.reason, at)));
            }
            Told::Retry(retry) => {
                if let Some(run) = self.runs.get_mut(session) {
                    run.retry(&retry, at);
                }
            }
            Told::CompactionStart(compaction) => {
                if let Some(run) = self.runs.get_mut(session) {
                    run.compaction_starts(&compaction.reason, at);
                }
            }
            Told::CompactionEnd(compaction) => {
                let run = self.runs.get_mut(session);
                ended.extend(run.and_then(|run| run.compaction_ends(&compaction, at)));
            }
            Told::Restored(_) => {}
        }
        ended
    }

    /// The work of a conversation, begun now if there is none.
    fn run(&mut self, session: &str, at: Moment) -> Option<&mut Run> {
        if !self.runs.contains_key(session) {
            if self.runs.len() >= RUNS_MAX {
                return None;
            }
            let origin = self.tasks.get(session).cloned();
            let run = Run::begin(&self.project, session, origin, at);
            self.runs.insert(session.to_owned(), run);
        }
        self.runs.get_mut(session)
    }

    /// Ends what goes on within a piece of work: nothing of it is told any more.
    fn close(&mut self, run: &mut Run, at: Moment, ended: &mut Vec<Span>) {
        let (spans, children) = run.close(at);
        for child in children {
            self.cut(&child, "interrupted", at, ended);
            self.tasks.remove(&child);
        }
        ended.extend(spans);
    }

    /// Ends a conversation's work that did not come to its own end.
    fn cut(&mut self, session: &str, why: &'static str, at: Moment, ended: &mut Vec<Span>) {
        if let Some(mut run) = self.runs.remove(session) {
            self.close(&mut run, at, ended);
            ended.push(run.end(why, at));
        }
    }
}
