//! Messages of a conversation, in the shape of Pi's session format v3 (camelCase JSON,
//! `role` as the tag, times in Unix milliseconds). Not the session file: its codec is in `agent`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One message. Roles that only old or foreign files hold are kept verbatim by the codec in `agent`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "camelCase")]
pub enum Message {
    /// What a person (or a schedule, or a channel) said.
    User(UserMessage),
    /// What the model answered.
    Assistant(AssistantMessage),
    /// What a tool returned to the model.
    ToolResult(ToolResultMessage),
    /// Text that an extension put into the context.
    Custom(CustomMessage),
    /// The summary that stands for compacted history.
    CompactionSummary(SummaryMessage),
    /// The summary of a branch that was left.
    BranchSummary(SummaryMessage),
}

impl Message {
    /// The role as files and events name it.
    pub fn role(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Assistant(_) => "assistant",
            Self::ToolResult(_) => "toolResult",
            Self::Custom(_) => "custom",
            Self::CompactionSummary(_) => "compactionSummary",
            Self::BranchSummary(_) => "branchSummary",
        }
    }
}

/// See [`Message::User`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserMessage {
    /// Text, or blocks of text and images.
    pub content: UserContent,
    /// Unix milliseconds.
    pub timestamp: u64,
}

/// The two shapes of a user's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UserContent {
    /// Plain text.
    Text(String),
    /// Text and images in order.
    Blocks(Vec<Block>),
}

impl UserContent {
    /// All text in it, blocks joined by a newline.
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Blocks(blocks) => text_of(blocks),
        }
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Block {
    /// Visible text.
    Text {
        /// The text.
        text: String,
        /// Opaque signature to replay to the provider that made it.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "textSignature")]
        text_signature: Option<String>,
    },
    /// The model's thinking.
    Thinking {
        /// The thinking text; may be empty when the provider hides it.
        thinking: String,
        /// Opaque signature to replay to the provider that made it.
        #[serde(default, skip_serializing_if = "Option::is_none", rename = "thinkingSignature")]
        thinking_signature: Option<String>,
        /// Whether the provider redacted it (the signature then holds all there is).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        redacted: bool,
    },
    /// An image.
    Image {
        /// Base64 bytes.
        data: String,
        /// For example `image/png`.
        #[serde(rename = "mimeType")]
        mime_type: String,
    },
    /// The model asks for a tool.
    ToolCall(ToolCall),
}

impl Block {
    /// A plain text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), text_signature: None }
    }
}

/// All text blocks joined by a newline.
pub fn text_of(blocks: &[Block]) -> String {
    let parts: Vec<&str> = blocks
        .iter()
        .filter_map(|b| match b {
            Block::Text { text, .. } => Some(text.as_str()),
            Block::Thinking { .. } | Block::Image { .. } | Block::ToolCall(_) => None,
        })
        .collect();
    parts.join("\n")
}

/// Stands in [`ToolCall::arguments`] when the model's arguments were no JSON object; its value is the
/// text that the model wrote, shortened. Tools answer such a call with an error that says so.
pub const INVALID_ARGUMENTS: &str = "_invalidArguments";

/// A request of the model to run a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call; unique within a session.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Arguments as the model gave them.
    pub arguments: Map<String, Value>,
}

/// See [`Message::Assistant`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AssistantMessage {
    /// Blocks in order.
    pub content: Vec<Block>,
    /// Wire format that produced it (`anthropic-messages`, `openai-completions`, `scripted`).
    pub api: String,
    /// Provider id.
    pub provider: String,
    /// Model id.
    pub model: String,
    /// What it used, as the provider reported it; zeroes when it reported nothing.
    pub usage: Usage,
    /// Why it ended.
    pub stop_reason: StopReason,
    /// What went wrong, when `stop_reason` is `error` or `aborted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Unix milliseconds at the start of the message.
    pub timestamp: u64,
}

impl AssistantMessage {
    /// The calls in it, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.content.iter().filter_map(|b| match b {
            Block::ToolCall(call) => Some(call),
            Block::Text { .. } | Block::Thinking { .. } | Block::Image { .. } => None,
        })
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// It was done.
    Stop,
    /// It ran out of output tokens.
    Length,
    /// It wants tools to run.
    ToolUse,
    /// The call failed.
    Error,
    /// A person stopped it.
    Aborted,
}

/// Tokens and money of one call. Money is in US dollars; `None` when no price is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Tokens read that were not in the cache.
    pub input: u64,
    /// Tokens written, thinking included.
    pub output: u64,
    /// Tokens read from the provider's cache.
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    pub cache_write: u64,
    /// Tokens of thinking, which `output` holds too; `None` where the provider does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
    /// Sum of `input`, `output`, `cacheRead` and `cacheWrite`.
    pub total_tokens: u64,
    /// Price, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

impl Usage {
    /// Adds one call's to a sum. A sum has a price only if all in it have one: what is not known of a part is
    /// not known of the whole. What used nothing changes nothing.
    pub fn add(&mut self, one: &Self) {
        self.cost = match (self.cost.take(), &one.cost) {
            (sum, None) if one.is_nothing() => sum,
            (None, Some(cost)) if self.is_nothing() => Some(cost.clone()),
            (Some(sum), Some(cost)) => Some(sum.and(cost)),
            (None, _) | (_, None) => None,
        };
        self.input = self.input.saturating_add(one.input);
        self.output = self.output.saturating_add(one.output);
        self.cache_read = self.cache_read.saturating_add(one.cache_read);
        self.cache_write = self.cache_write.saturating_add(one.cache_write);
        self.total_tokens = self.total_tokens.saturating_add(one.total_tokens);
        if let Some(one) = one.reasoning {
            self.reasoning = Some(self.reasoning.unwrap_or(0).saturating_add(one));
        }
    }

    /// Whether no token was used.
    fn is_nothing(&self) -> bool {
        let kinds = [self.input, self.output, self.cache_read, self.cache_write, self.total_tokens];
        kinds == [0; 5]
    }
}

/// Money of one call, in US dollars.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cost {
    /// For `input` tokens.
    pub input: f64,
    /// For `output` tokens.
    pub output: f64,
    /// For `cache_read` tokens.
    pub cache_read: f64,
    /// For `cache_write` tokens.
    pub cache_write: f64,
    /// Sum.
    pub total: f64,
}

impl Cost {
    fn and(mut self, one: &Self) -> Self {
        self.input += one.input;
        self.output += one.output;
        self.cache_read += one.cache_read;
        self.cache_write += one.cache_write;
        self.total += one.total;
        self
    }
}

/// See [`Message::ToolResult`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultMessage {
    /// Which call it answers.
    pub tool_call_id: String,
    /// The tool's name.
    pub tool_name: String,
    /// Text and images for the model.
    pub content: Vec<Block>,
    /// Structured facts for people and programs (diff, exit code, spill path); never sent to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether it failed.
    pub is_error: bool,
    /// Unix milliseconds.
    pub timestamp: u64,
}

/// See [`Message::Custom`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomMessage {
    /// Who put it there.
    pub custom_type: String,
    /// Text or blocks.
    pub content: UserContent,
    /// Whether people see it.
    pub display: bool,
    /// Free data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Unix milliseconds.
    pub timestamp: u64,
}

/// See [`Message::CompactionSummary`] and [`Message::BranchSummary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SummaryMessage {
    /// The summary.
    pub summary: String,
    /// Unix milliseconds.
    pub timestamp: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_has_a_price_only_if_all_in_it_have_one() {
        let used = |tokens, total: Option<f64>| Usage {
            input: tokens,
            total_tokens: tokens,
            cost: total.map(|total| Cost { total, ..Cost::default() }),
            ..Usage::default()
        };
        for (all, expected) in [
            (&[used(1, Some(2.0)), used(3, Some(4.0))][..], Some(6.0)),
            (&[used(1, Some(2.0)), used(3, None)], None),
            (&[used(1, None), used(3, Some(4.0))], None),
            (&[used(1, Some(2.0)), used(3, None), used(1, Some(1.0))], None),
            // A call that failed before it used any.
            (&[used(0, None), used(3, Some(4.0)), used(0, None)], Some(4.0)),
            (&[], None),
        ] {
            let mut sum = Usage::default();
            for one in all {
                sum.add(one);
            }
            assert_eq!(sum.cost.map(|cost| cost.total), expected, "{all:?}");
        }
    }
}
