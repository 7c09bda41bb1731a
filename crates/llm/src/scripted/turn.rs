//! Reads out of a conversation what the scripted model works on: the prompt, what was done for it,
//! and what was said meanwhile. It decides nothing.

use toft_model::message::{Message, StopReason, ToolCall, ToolResultMessage, text_of};

/// The piece of work that the conversation is at.
#[derive(Debug, Default)]
pub(super) struct Turn<'a> {
    /// What was asked for.
    pub(super) prompt: String,
    /// When, in Unix milliseconds.
    pub(super) asked_at: u64,
    /// Rounds of calls made for it, oldest first.
    pub(super) steps: Vec<Step<'a>>,
    /// What people said since the last round.
    pub(super) steering: Vec<String>,
    /// A plan is wanted, and nothing is to be changed.
    pub(super) plans: bool,
}

/// What the agent says of the mode comes under this name, with the mode in its details.
const MODE: &str = "toft.mode";

/// One round of calls.
#[derive(Debug, Default)]
pub(super) struct Step<'a> {
    pub(super) calls: Vec<(&'a ToolCall, Option<&'a ToolResultMessage>)>,
}

impl<'a> Turn<'a> {
    /// The newest piece of work. A user's message begins one, unless it arrives between a round of
    /// calls and the next message of the model: then it is steering.
    pub(super) fn of(messages: &'a [Message]) -> Self {
        let mut turn = Self::default();
        let mut under_way = false;
        for message in messages {
            match message {
                Message::User(user) => {
                    let text = user.content.text();
                    if under_way {
                        turn.steering.push(text);
                    } else {
                        let (asked_at, plans) = (user.timestamp, turn.plans);
                        turn = Self { prompt: text, asked_at, plans, ..Self::default() };
                    }
                }
                Message::Assistant(said) => {
                    turn.steering.clear();
                    let calls: Vec<_> = said.tool_calls().map(|call| (call, None)).collect();
                    under_way = !calls.is_empty()
                        && !matches!(said.stop_reason, StopReason::Error | StopReason::Aborted);
                    if under_way {
                        turn.steps.push(Step { calls });
                    }
                }
                Message::ToolResult(result) => {
                    let call = turn
                        .steps
                        .last_mut()
                        .and_then(|s| s.calls.iter_mut().find(|c| c.0.id == result.tool_call_id));
                    if let Some(call) = call {
                        call.1 = Some(result);
                    }
                    // Someone stopped the work: what comes next is a new prompt.
                    under_way &= !was_cancelled(result) || was_skipped(result);
                }
                Message::Custom(said) if said.custom_type == MODE => {
                    turn.plans = said.details.as_ref().is_some_and(|told| told["mode"] == "plan");
                }
                Message::Custom(_) | Message::CompactionSummary(_) | Message::BranchSummary(_) => {}
            }
        }
        // A round of which a steering message kept a part from beginning is made again.
        turn.steps.retain(|step| step.calls.iter().all(|c| !c.1.is_some_and(was_skipped)));
        turn
    }

    /// Text of all results of a round, in the order of its calls.
    pub(super) fn output(&self, step: usize) -> String {
        let Some(step) = self.steps.get(step) else { return String::new() };
        let texts: Vec<String> =
            step.calls.iter().filter_map(|c| c.1).map(|r| text_of(&r.content)).collect();
        texts.join("\n")
    }

    /// Whether a call of a round failed, or has no result.
    pub(super) fn failed(&self, step: usize) -> bool {
        self.steps
            .get(step)
            .is_some_and(|step| step.calls.iter().any(|c| c.1.is_none_or(|r| r.is_error)))
    }

    /// Whether the newest round failed.
    pub(super) fn last_failed(&self) -> bool {
        self.steps.len().checked_sub(1).is_some_and(|last| self.failed(last))
    }

    /// Value of a line `name=value` in the results of a round.
    pub(super) fn value(&self, step: usize, name: &str) -> Option<String> {
        self.output(step)
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::trim))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }
}

/// Tools mark the result of a call that a person stopped.
fn was_cancelled(result: &ToolResultMessage) -> bool {
    result
        .details
        .as_ref()
        .and_then(|d| d.get("cancelled"))
        .and_then(serde_json::Value::as_bool)
        .unwrap_or_default()
}

/// The agent marks the result of a call that it skipped because a person said something, in Pi's
/// words.
fn was_skipped(result: &ToolResultMessage) -> bool {
    text_of(&result.content).starts_with("Skipped due to queued user message")
}
