//! The work on one prompt: what goes on in it, and the span that each thing becomes.

use super::{
    content::{self, Content},
    facts::{Facts, answered_by, chat, titled, usage},
    span::{Fact, Kind, Mark, Span, SpanId, TraceId, span_id, trace_id},
    told::{Compaction, Moment, Retry, ToolEnd, ToolStart, name, words},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use toft_model::{
    id::ProjectId,
    message::{Message, StopReason, Usage},
};

/// Calls of one piece of work that go on at once and are followed.
const TOOLS_MAX: usize = 64;
/// Things that are marked in the course of one piece of work.
const MARKS_MAX: usize = 64;
/// The agent, and one that it hands work to.
const AGENT: &str = "toft";
const TASK_AGENT: &str = "toft task";
/// The conventions' word where there is no better one for a failure.
const OTHER_ERROR: &str = "_OTHER";
/// Stands between the name of an MCP server and that of its tool.
const OF_SERVER: &str = "__";
/// The tool that calls those of MCP servers with many.
const MCP_CALL: &str = "mcp_call";

/// Below which call a task works.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    trace: TraceId,
    call: SpanId,
    thread: String,
}

#[derive(Debug)]
struct Tool {
    begun: Moment,
    name: String,
    input: Option<Value>,
    child: Option<String>,
    /// It waits for a person at times, so it took longer than it ran.
    waited: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Run {
    project: ProjectId,
    session: String,
    thread: String,
    begun: Moment,
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    /// Its `agent_start` was told.
    told: bool,
    answer: Option<Moment>,
    compaction: Option<(Moment, String)>,
    tools: BTreeMap<String, Tool>,
    /// Who answered last: provider and model.
    model: Option<(String, String)>,
    usage: Usage,
    /// What the model has not seen yet.
    unseen: Vec<Value>,
    asked: Option<Value>,
    said: Option<Value>,
    failure: Option<String>,
    marks: Vec<Mark>,
}

impl Run {
    pub(super) fn begin(
        project: &ProjectId,
        session: &str,
        origin: Option<Origin>,
        begun: Moment,
    ) -> Self {
        let own = || trace_id(project, begun.seq);
        let (trace, parent, thread) = match origin {
            Some(origin) => (origin.trace, Some(origin.call), origin.thread),
            None => (own(), None, session.to_owned()),
        };
        Self {
            project: project.clone(),
            session: session.to_owned(),
            thread,
            begun,
            trace,
            id: span_id(project, begun.seq, Kind::Agent),
            parent,
            told: false,
            answer: None,
            compaction: None,
            tools: BTreeMap::new(),
            model: None,
            usage: Usage::default(),
            unseen: Vec::new(),
            asked: None,
            said: None,
            failure: None,
            marks: Vec::new(),
        }
    }

    pub(super) fn is_told(&self) -> bool {
        self.told
    }

    pub(super) fn tell(&mut self) {
        self.told = true;
    }

    /// A span of this work, of something that began then and ends now.
    fn span(&self, kind: Kind, from: Moment, to: Moment, name: String, facts: Facts) -> Span {
        let agent = kind == Kind::Agent;
        let mut all = vec![
            ("gen_ai.conversation.id", Fact::Text(self.session.clone())),
            ("toft.project.id", Fact::from(self.project.as_str())),
        ];
        all.extend(facts);
        Span {
            trace: self.trace,
            id: if agent { self.id } else { span_id(&self.project, from.seq, kind) },
            parent: if agent { self.parent } else { Some(self.id) },
            kind,
            name,
            from_ms: from.ms.min(to.ms),
            to_ms: to.ms,
            thread: self.thread.clone(),
            facts: all,
            marks: Vec::new(),
            input: None,
            output: None,
            error: None,
            ended: to.seq,
        }
    }

    pub(super) fn answer_starts(&mut self, at: Moment) {
        self.answer = Some(at);
    }

    /// A whole message. The model's own is the end of a call.
    pub(super) fn message(
        &mut self,
        message: &Message,
        content: Content,
        at: Moment,
    ) -> Option<Span> {
        let Message::Assistant(answer) = message else {
            if content.inputs {
                let told = content::message(message);
                if matches!(message, Message::User(_)) {
                    self.asked.get_or_insert_with(|| json!([told]));
                }
                content::push(&mut self.unseen, told);
            }
            return None;
        };
        let shown = self.answer.take();
        self.failure = answer.error_message.as_deref().map(words);
        let empty = answer.content.is_empty() && answer.usage.total_tokens == 0;
        if empty && answer.stop_reason == StopReason::Aborted {
            // Ours, in place of an answer that nobody waited for.
            return None;
        }
        let begun = shown.unwrap_or(at);
        // The model was asked before it said the first word.
        let asked_ms = Some(answer.timestamp).filter(|ms| (self.begun.ms..=at.ms).contains(ms));
        let from = Moment { ms: asked_ms.unwrap_or(begun.ms), ..begun };
        let model = (name(&answer.provider), name(&answer.model));
        let mut facts = chat(answer);
        if shown.is_some() && asked_ms.is_some() {
            let waited = Duration::from_millis(begun.ms.saturating_sub(from.ms)).as_secs_f64();
            facts.push(("gen_ai.response.time_to_first_chunk", Fact::Amount(waited)));
        }
        let mut span = self.span(Kind::Chat, from, at, titled("chat", &model.1), facts);
        span.input =
            Some(Value::Array(std::mem::take(&mut self.unseen))).filter(|_| content.inputs);
        if content.outputs {
            let told = json!([content::message(message)]);
            span.output = Some(told.clone());
            self.said = Some(told);
        }
        if answer.stop_reason == StopReason::Error {
            fail(&mut span, OTHER_ERROR, answer.error_message.as_deref());
        }
        self.usage.add(&answer.usage);
        self.model = Some(model);
        Some(span)
    }

    /// What came of an answer does not count: it is asked for again.
    pub(super) fn restarted(&mut self, why: &str, at: Moment) -> Option<Span> {
        let from = self.answer.take()?;
        let mut facts = vec![("gen_ai.operation.name", Fact::from("chat"))];
        facts.extend(self.model_facts());
        let model = self.model.as_ref().map_or("", |(_, model)| model);
        let mut span = self.span(Kind::Chat, from, at, titled("chat", model), facts);
        fail(&mut span, "message_restarted", Some(why));
        Some(span)
    }

    pub(super) fn retry(&mut self, retry: &Retry, at: Moment) {
        self.mark(
            at,
            "retry",
            vec![
                ("toft.retry.attempt", Fact::Count(retry.attempt)),
                ("toft.retry.delay_ms", Fact::Count(retry.delay_ms)),
                ("exception.message", Fact::Text(words(&retry.error_message))),
            ],
        );
    }

    fn mark(&mut self, at: Moment, name: &'static str, facts: Facts) {
        if self.marks.len() < MARKS_MAX {
            self.marks.push(Mark { at_ms: at.ms, name, facts });
        }
    }

    pub(super) fn compaction_starts(&mut self, reason: &str, at: Moment) {
        self.compaction = Some((at, name(reason)));
    }

    pub(super) fn compaction_ends(&mut self, end: &Compaction, at: Moment) -> Option<Span> {
        let (from, reason) = self.compaction.take()?;
        let mut facts = vec![("toft.compaction.reason", Fact::Text(reason))];
        facts.extend(end.tokens_before.map(|n| ("toft.compaction.tokens_before", Fact::Count(n))));
        let mut span = self.span(Kind::Compaction, from, at, "compact".into(), facts);
        if let Some(why) = &end.error_message {
            fail(&mut span, OTHER_ERROR, Some(why));
        }
        Some(span)
    }

    /// Answers where a conversation of the call's own belongs.
    pub(super) fn tool_start(
        &mut self,
        start: ToolStart,
        content: Content,
        at: Moment,
    ) -> Option<Origin> {
        if self.tools.len() >= TOOLS_MAX || self.tools.contains_key(&name(&start.tool_call_id)) {
            return None;
        }
        let tool = Tool {
            begun: at,
            name: name(&start.tool_name),
            input: content.inputs.then(|| content::arguments(&start.input)),
            child: start.child_session.map(|id| id.as_str().to_owned()),
            waited: false,
        };
        self.tools.insert(name(&start.tool_call_id), tool);
        Some(Origin {
            trace: self.trace,
            call: span_id(&self.project, at.seq, Kind::Tool),
            thread: self.thread.clone(),
        })
    }

    pub(super) fn waits(&mut self, call_id: &str) {
        if let Some(tool) = self.tools.get_mut(&name(call_id)) {
            tool.waited = true;
        }
    }

    /// The span, and the conversation of the call's own.
    pub(super) fn tool_end(
        &mut self,
        end: &ToolEnd,
        content: Content,
        at: Moment,
    ) -> Option<(Span, Option<String>)> {
        let call_id = name(&end.tool_call_id);
        let tool = self.tools.remove(&call_id)?;
        // Calls that run side by side are told together, when the last has ended.
        let ran_until = tool.begun.ms.saturating_add(end.duration_ms).min(at.ms);
        let whole = tool.waited || end.duration_ms == 0;
        let to = if whole { at } else { Moment { ms: ran_until, ..at } };
        let mut span = self.tool_span(&call_id, &tool, to);
        span.input = tool.input;
        span.output = content.outputs.then(|| content::result(&end.result.content));
        if end.is_error {
            fail(&mut span, "tool_error", None);
        }
        Some((span, tool.child))
    }

    fn tool_span(&self, call_id: &str, tool: &Tool, to: Moment) -> Span {
        let of_server = tool.name.contains(OF_SERVER) || tool.name == MCP_CALL;
        let mut facts = vec![
            ("gen_ai.operation.name", Fact::from("execute_tool")),
            ("gen_ai.tool.name", Fact::Text(tool.name.clone())),
            ("gen_ai.tool.call.id", Fact::from(call_id)),
            ("gen_ai.tool.type", Fact::from(if of_server { "extension" } else { "function" })),
        ];
        if of_server {
            facts.push(("mcp.method.name", Fact::from("tools/call")));
        }
        self.span(Kind::Tool, tool.begun, to, titled("execute_tool", &tool.name), facts)
    }

    /// Ends what goes on in it. Answers the spans, and the conversations of calls.
    pub(super) fn close(&mut self, at: Moment) -> (Vec<Span>, Vec<String>) {
        let mut children = Vec::new();
        let mut spans = Vec::new();
        spans.extend(self.restarted("the work ended before the answer was whole", at));
        spans.extend(self.compaction_ends(&Compaction::default(), at));
        for (call_id, mut tool) in std::mem::take(&mut self.tools) {
            let mut span = self.tool_span(&call_id, &tool, at);
            span.input = tool.input.take();
            fail(&mut span, "interrupted", None);
            spans.push(span);
            children.extend(tool.child);
        }
        (spans, children)
    }

    /// Its own span. `reason` is the one of `agent_end`, or a word of ours.
    pub(super) fn end(mut self, reason: &str, at: Moment) -> Span {
        let agent = if self.parent.is_some() { TASK_AGENT } else { AGENT };
        let mut facts = vec![
            ("gen_ai.operation.name", Fact::from("invoke_agent")),
            ("gen_ai.agent.name", Fact::from(agent)),
            ("toft.end_reason", Fact::Text(name(reason))),
        ];
        facts.extend(self.model_facts());
        facts.extend(usage(&self.usage));
        let title = titled("invoke_agent", agent);
        let mut span = self.span(Kind::Agent, self.begun, at, title, facts);
        span.marks = std::mem::take(&mut self.marks);
        span.input = self.asked.take();
        span.output = self.said.take();
        // A person who stops the agent is no failure of it.
        match reason {
            "done" | "waiting" | "aborted" => {}
            "error" => fail(&mut span, OTHER_ERROR, self.failure.as_deref()),
            "limit" => fail(&mut span, "limit", self.failure.as_deref()),
            _ => fail(&mut span, "interrupted", None),
        }
        span
    }

    fn model_facts(&self) -> Facts {
        self.model
            .as_ref()
            .map(|(provider, model)| answered_by(provider, model))
            .unwrap_or_default()
    }
}

fn fail(span: &mut Span, kind: &str, why: Option<&str>) {
    span.facts.push(("error.type", Fact::from(kind)));
    span.error = Some(why.map(words).unwrap_or_default());
}
