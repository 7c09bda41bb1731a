//! Compaction: old history is replaced by a summary that the model itself writes. Rules are Pi's:
//! due when the context leaves less than 16,384 tokens of the window, the newest 20,000 stay, the
//! cut is never at a tool's result.

use crate::{
    conversation::Conversation,
    run::{booking, held_back},
    session::{Body, Compaction, Entry, Extra, Session, SessionError, message_tokens},
    surroundings::Choice,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _, sync::atomic::Ordering};
use toft_llm::ask::{ModelEvent, ModelFailure, ModelRequest, Options, ThinkingLevel};
use toft_model::{
    event::{CompactionEnd, EventBody},
    message::{Block, Message, Usage, UserContent, UserMessage, text_of},
};
use tokio_util::sync::CancellationToken;

/// Tokens kept free for the answer.
const RESERVE_TOKENS: u64 = 16_384;

/// Newest tokens that stay as they are.
const KEEP_TOKENS: u64 = 20_000;

/// Neither number may take more than this share of a small window.
const WINDOW_SHARE: u64 = 4;

/// Characters of one tool result in the text to summarise (opencode's number).
const RESULT_CHARS_MAX: usize = 2_000;

const SYSTEM: &str = "You summarise the work of a coding agent so that another can go on with it. \
Write only the summary. Do not answer questions in the conversation and do not go on with it.";

const FORMAT: &str = "Write a summary that lets another agent go on without having seen the conversation. \
Use exactly these sections:\n\
## Goal\n## Constraints & Preferences\n## Progress\n### Done\n### In Progress\n### Blocked\n\
## Key Decisions\n## Next Steps\n## Critical Context\n\
Keep exact paths, names, commands, ports and error messages. Be brief.";

/// No compaction happened.
#[derive(Debug)]
pub(crate) enum Failed {
    /// There is too little history for it.
    Nothing,
    /// A person stopped it.
    Aborted,
    /// The model gave no summary; its words.
    Model(String),
    /// The session's file cannot be written.
    Disk(SessionError),
}

/// What a compaction came to: Pi's shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Compacted {
    /// Stands for the history.
    pub summary: String,
    /// First entry that stays.
    pub first_kept_entry_id: String,
    /// Context tokens before, estimated.
    pub tokens_before: u64,
    /// `{readFiles, modifiedFiles}`.
    pub details: Value,
}

fn reserve(window: u64) -> u64 {
    RESERVE_TOKENS.min(window / WINDOW_SHARE)
}

fn keep(window: u64) -> u64 {
    KEEP_TOKENS.min(window / WINDOW_SHARE)
}

/// Whether history should be compacted before the next question.
pub(crate) fn is_due(conversation: &Conversation, choice: &Choice) -> bool {
    let window = choice.info.context_window;
    conversation.around.settings().auto_compaction_enabled
        && window > 0
        && conversation.session().context_tokens() > window.saturating_sub(reserve(window))
}

/// Compacts and tells about it. `reason` is `manual`, `threshold` or `overflow`.
pub(crate) async fn compact(
    conversation: &Conversation,
    choice: &Choice,
    reason: &str,
    instructions: Option<&str>,
    cancel: &CancellationToken,
) -> Result<Compacted, Failed> {
    let window = choice.info.context_window;
    let plan = plan(&conversation.session(), keep(window)).ok_or(Failed::Nothing)?;
    conversation.compacting.store(true, Ordering::Release);
    conversation.emit(EventBody::CompactionStart { reason: reason.to_owned() });
    let tokens_before = plan.tokens_before;
    let compacted = summarise(conversation, choice, plan, instructions, cancel).await;
    conversation.compacting.store(false, Ordering::Release);
    let (summary, error_message) = match &compacted {
        Ok(done) => (Some(done.summary.clone()), None),
        Err(failed) => (None, Some(failed.to_string())),
    };
    conversation.emit(EventBody::CompactionEnd(CompactionEnd {
        reason: reason.to_owned(),
        summary,
        tokens_before,
        error_message,
    }));
    compacted
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is nothing to compact yet"),
            Self::Aborted => f.write_str("stopped by a person"),
            Self::Model(words) => write!(f, "the model gave no summary: {words}"),
            Self::Disk(error) => write!(f, "{error}"),
        }
    }
}

async fn summarise(
    conversation: &Conversation,
    choice: &Choice,
    plan: Plan,
    instructions: Option<&str>,
    cancel: &CancellationToken,
) -> Result<Compacted, Failed> {
    let window = choice.info.context_window;
    // Four characters a token, and some air for the frame around it.
    let chars = usize::try_from(window.saturating_sub(reserve(window)) * 3).unwrap_or(usize::MAX);
    let mut text = String::new();
    if let Some(previous) = &plan.previous {
        let _ = write!(text, "<previous-summary>\n{previous}\n</previous-summary>\n\n");
    }
    let _ = write!(
        text,
        "<conversation>\n{}\n</conversation>\n\n{FORMAT}",
        middle_out(plan.text, chars)
    );
    if plan.previous.is_some() {
        text.push_str("\nCarry over what still matters of the previous summary.");
    }
    if let Some(instructions) = instructions.filter(|text| !text.trim().is_empty()) {
        let _ = write!(text, "\nWhat the person wants of the summary: {instructions}");
    }
    let request = ModelRequest {
        model: choice.info.clone(),
        system: SYSTEM.into(),
        messages: vec![Message::User(UserMessage {
            content: UserContent::Text(text),
            timestamp: conversation.now_ms(),
        })],
        tools: Vec::new(),
        thinking: ThinkingLevel::Off,
        max_tokens: Some(reserve(window) * 4 / 5),
        session: format!("{}.compaction", conversation.id()),
        booking: booking(&conversation.session()),
        options: Options::default(),
    };
    let (summary, usage) = ask(choice, request, cancel).await?;
    let details = json!({ "readFiles": plan.read_files, "modifiedFiles": plan.modified_files });
    let compaction = Compaction {
        summary: with_files(summary, &plan.read_files, &plan.modified_files),
        first_kept_entry_id: plan.first_kept_entry_id,
        tokens_before: plan.tokens_before,
        usage: Some(usage),
        details: Some(details.clone()),
    };
    let done = Compacted {
        summary: compaction.summary.clone(),
        first_kept_entry_id: compaction.first_kept_entry_id.clone(),
        tokens_before: compaction.tokens_before,
        details,
    };
    conversation.append(Body::Compaction(compaction), Extra::default()).map_err(Failed::Disk)?;
    conversation.sync().await.map_err(Failed::Disk)?;
    Ok(done)
}

/// Asks, and asks again for as long as the project has to wait.
async fn ask(
    choice: &Choice,
    request: ModelRequest,
    cancel: &CancellationToken,
) -> Result<(String, Usage), Failed> {
    loop {
        let failure = match ask_once(choice, request.clone(), cancel).await? {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let Some(delay) = held_back(&failure) else {
            return Err(Failed::Model(failure.message));
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = cancel.cancelled() => return Err(Failed::Aborted),
        }
    }
}

async fn ask_once(
    choice: &Choice,
    request: ModelRequest,
    cancel: &CancellationToken,
) -> Result<Result<(String, Usage), ModelFailure>, Failed> {
    let mut stream = choice.model.ask(request, cancel.child_token());
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = cancel.cancelled() => return Err(Failed::Aborted),
        };
        match next {
            Some(ModelEvent::Delta(_) | ModelEvent::Sealed { .. }) => {}
            Some(ModelEvent::Done { failure: Some(failure), .. }) => return Ok(Err(failure)),
            Some(ModelEvent::Done { message, failure: None }) => {
                let text = text_of(&message.content);
                if text.trim().is_empty() {
                    return Err(Failed::Model("its answer was empty".into()));
                }
                return Ok(Ok((text, message.usage)));
            }
            None => return Err(Failed::Model("its answer ended without its end mark".into())),
        }
    }
}

/// What to summarise and what to keep.
#[derive(Debug, PartialEq)]
struct Plan {
    first_kept_entry_id: String,
    text: String,
    previous: Option<String>,
    tokens_before: u64,
    read_files: BTreeSet<String>,
    modified_files: BTreeSet<String>,
}

fn plan(session: &Session, keep_tokens: u64) -> Option<Plan> {
    let entries = session.context_entries();
    let previous = match &entries.first()?.body {
        Body::Compaction(compaction) => Some(compaction),
        _ => None,
    };
    let history = if previous.is_some() { &entries[1..] } else { &entries[..] };
    let cut = cut(history, keep_tokens)?;
    let (old, kept) = history.split_at(cut);
    if !old.iter().any(|e| matches!(e.body, Body::Message(_))) {
        return None;
    }
    let mut plan = Plan {
        first_kept_entry_id: kept.first()?.id.clone(),
        text: String::new(),
        previous: previous.map(|c| c.summary.clone()),
        tokens_before: session.context_tokens(),
        read_files: BTreeSet::new(),
        modified_files: BTreeSet::new(),
    };
    if let Some(details) = previous.and_then(|c| c.details.as_ref()) {
        plan.read_files.extend(strings(&details["readFiles"]));
        plan.modified_files.extend(strings(&details["modifiedFiles"]));
    }
    for entry in old {
        match &entry.body {
            Body::Message(message) => plan.take(message),
            Body::BranchSummary { summary, .. } => {
                let _ = write!(plan.text, "[Summary of another branch]: {summary}\n\n");
            }
            _ => {}
        }
    }
    Some(plan)
}

/// Where the kept part begins: the newest messages that make up `keep_tokens`, from a message
/// that is no tool result. `None`: everything would be kept.
fn cut(history: &[&Entry], keep_tokens: u64) -> Option<usize> {
    let mut kept = 0;
    let mut at = history.len();
    let mut found = None;
    for (place, entry) in history.iter().enumerate().rev() {
        let Body::Message(message) = &entry.body else { continue };
        kept += message_tokens(message);
        if !matches!(message, Message::ToolResult(_)) {
            at = place;
        }
        if kept >= keep_tokens && at < history.len() {
            // A single message beyond the budget is kept: cutting behind it would leave nothing.
            found = Some(at);
            break;
        }
    }
    found.filter(|at| *at > 0)
}

impl Plan {
    fn take(&mut self, message: &Message) {
        let text = &mut self.text;
        let _ = match message {
            Message::User(m) => write!(text, "[User]: {}\n\n", m.content.text()),
            Message::Custom(m) => write!(text, "[Note]: {}\n\n", m.content.text()),
            Message::CompactionSummary(m) | Message::BranchSummary(m) => {
                write!(text, "[Summary]: {}\n\n", m.summary)
            }
            Message::ToolResult(m) => {
                let result = text_of(&m.content);
                let short: String = result.chars().take(RESULT_CHARS_MAX).collect();
                let cut = if short.len() < result.len() { " [cut]" } else { "" };
                write!(text, "[Result of {}]: {short}{cut}\n\n", m.tool_name)
            }
            Message::Assistant(m) => {
                for block in &m.content {
                    let _ = match block {
                        Block::Text { text: said, .. } => write!(text, "[Assistant]: {said}\n\n"),
                        Block::ToolCall(call) => {
                            let path = call.arguments.get("path").and_then(Value::as_str);
                            match (call.name.as_str(), path) {
                                ("read", Some(path)) => {
                                    self.read_files.insert(path.to_owned());
                                }
                                ("write" | "edit", Some(path)) => {
                                    self.modified_files.insert(path.to_owned());
                                }
                                _ => {}
                            }
                            let arguments = Value::Object(call.arguments.clone()).to_string();
                            let short: String = arguments.chars().take(RESULT_CHARS_MAX).collect();
                            write!(text, "[Assistant calls {}]: {short}\n\n", call.name)
                        }
                        Block::Thinking { .. } | Block::Image { .. } => Ok(()),
                    };
                }
                Ok(())
            }
        };
    }
}

fn strings(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// Leaves out the middle of a text that is too long: its beginning has the goal, its end the state.
fn middle_out(text: String, chars_max: usize) -> String {
    if text.len() <= chars_max {
        return text;
    }
    let floor = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let head = floor(chars_max / 3);
    let tail = floor(text.len() - chars_max * 2 / 3);
    format!("{}\n[… left out …]\n{}", &text[..head], &text[tail..])
}

fn with_files(mut summary: String, read: &BTreeSet<String>, modified: &BTreeSet<String>) -> String {
    let mut list = |name: &str, files: Vec<&String>| {
        if !files.is_empty() {
            let _ = write!(summary, "\n\n<{name}>");
            for file in files {
                let _ = write!(summary, "\n{file}");
            }
            let _ = write!(summary, "\n</{name}>");
        }
    };
    list("read-files", read.difference(modified).collect());
    list("modified-files", modified.iter().collect());
    summary
}
