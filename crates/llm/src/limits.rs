//! How many tokens an answer may have. Shared by the adapters.

use crate::ask::ModelRequest;
use toft_model::message::{Block, Message, UserContent};

/// Output tokens asked for when nobody said how many: enough for a long file, far below what makes
/// providers refuse for lack of credit or room. Pi asks for a third of the model's limit.
const DEFAULT_OUTPUT_TOKENS_MAX: u64 = 32_000;

/// Least output tokens asked for; with less an answer is useless.
const OUTPUT_TOKENS_MIN: u64 = 1_024;

/// Characters that make a token, on the cautious side for code.
const CHARS_PER_TOKEN: u64 = 3;

/// Tokens that an image counts for (Anthropic: width × height / 750, at most about 1,600).
const IMAGE_TOKENS: u64 = 1_600;

/// The output limit of a request whose context window has room for it: what was asked for, and what the model
/// can. An answer that was cut before it had as many ended for want of room.
pub fn output_tokens_wanted(request: &ModelRequest) -> u64 {
    request.max_tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS_MAX).min(request.model.max_tokens)
}

/// The output limit of a request: that, and what still fits in its context window.
pub(crate) fn output_tokens(request: &ModelRequest) -> u64 {
    let room = request.model.context_window.saturating_sub(estimate(request));
    output_tokens_wanted(request).min(room.max(OUTPUT_TOKENS_MIN)).max(1)
}

/// Input tokens of a request, roughly and rather too many.
pub(crate) fn estimate(request: &ModelRequest) -> u64 {
    let tools: usize =
        request.tools.iter().map(|t| t.description.len() + t.parameters.to_string().len()).sum();
    let messages: u64 = request.messages.iter().map(message_tokens).sum();
    ((request.system.len() + tools) as u64) / CHARS_PER_TOKEN + messages
}

fn message_tokens(message: &Message) -> u64 {
    match message {
        Message::User(m) => content_tokens(&m.content),
        Message::Custom(m) => content_tokens(&m.content),
        Message::Assistant(m) => blocks_tokens(&m.content),
        Message::ToolResult(m) => blocks_tokens(&m.content),
        Message::CompactionSummary(m) | Message::BranchSummary(m) => text_tokens(&m.summary),
    }
}

fn content_tokens(content: &UserContent) -> u64 {
    match content {
        UserContent::Text(text) => text_tokens(text),
        UserContent::Blocks(blocks) => blocks_tokens(blocks),
    }
}

fn blocks_tokens(blocks: &[Block]) -> u64 {
    blocks
        .iter()
        .map(|block| match block {
            Block::Text { text, .. } => text_tokens(text),
            Block::Thinking { thinking, .. } => text_tokens(thinking),
            Block::Image { .. } => IMAGE_TOKENS,
            Block::ToolCall(call) => {
                let arguments = serde_json::to_string(&call.arguments).unwrap_or_default();
                text_tokens(&call.name) + text_tokens(&arguments)
            }
        })
        .sum()
}

fn text_tokens(text: &str) -> u64 {
    text.len() as u64 / CHARS_PER_TOKEN + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{request, user};

    #[test]
    fn the_answer_fits_beside_the_conversation() {
        let mut ask = request("anthropic", "claude-haiku-4-5", vec![user("hi")]);
        assert_eq!(output_tokens(&ask), DEFAULT_OUTPUT_TOKENS_MAX);
        ask.max_tokens = Some(500);
        assert_eq!(output_tokens(&ask), 500);
        ask.max_tokens = Some(10_000_000);
        assert_eq!(output_tokens(&ask), 64_000);
        ask.messages = vec![user(&"x".repeat(570_000))];
        assert!(output_tokens(&ask) < 10_000);
        ask.messages = vec![user(&"x".repeat(5_700_000))];
        assert_eq!(output_tokens(&ask), OUTPUT_TOKENS_MIN);
    }
}
