//! Makes any stored conversation fit for any provider: results stand right after their calls, every
//! call has one, what another provider alone understands is left out. The adapters then write it
//! down in their format.
//!
//! Pure and append-stable: what stands for a message never changes when messages are added later,
//! but for the results of its calls. Provider caches live from that.

mod names;

pub(crate) use names::{IdRule, wire_id, wire_name};

use std::{borrow::Cow, collections::HashMap};
use toft_model::{
    message::{
        AssistantMessage, Block, Message, StopReason, ToolCall, ToolResultMessage, UserContent,
    },
    provider::ModelInfo,
};

/// Told to the model for a call that has no result.
const ORPHAN: &str = "No result: the call was interrupted before it ended.";

/// Told to a model without eyes.
const UNSEEN: &str = "[an image, which this model cannot see]";

/// Told to the model for a result that is only images, where they come after it.
const BELOW: &str = "(see the image below)";

/// Told to the model for a result without content: some providers refuse empty ones.
const SILENT: &str = "(no output)";

/// One message of a conversation in the order of the wire.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// From a person; never empty.
    User(Vec<Piece<'a>>),
    /// From a model; never empty.
    Assistant(Vec<Said<'a>>),
    /// Results of all calls of the assistant's turn right before, in the calls' order.
    Results(Vec<Answer<'a>>),
}

/// Content that goes to a model.
#[derive(Debug, Clone)]
pub(crate) enum Piece<'a> {
    Text(Cow<'a, str>),
    Image { data: &'a str, mime_type: &'a str },
}

/// Content that came from a model.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    Text(&'a str),
    /// Only of the same provider and format.
    Thinking {
        text: &'a str,
        signature: Option<&'a str>,
        redacted: bool,
    },
    Call(&'a ToolCall),
}

/// The result of one call.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) call: &'a ToolCall,
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) is_error: bool,
}

impl<'a> Answer<'a> {
    /// Its texts as one, for formats whose results hold no images.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        let texts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(&**text),
            Piece::Image { .. } => None,
        });
        match texts.collect::<Vec<_>>().as_slice() {
            [] => Cow::Borrowed(BELOW),
            [one] => Cow::Borrowed(*one),
            many => Cow::Owned(many.join("\n")),
        }
    }

    /// Its images.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Piece<'a>> {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Image { .. }))
    }
}

/// The conversation as turns for `model`.
pub(crate) fn turns<'a>(messages: &'a [Message], model: &ModelInfo) -> Vec<Turn<'a>> {
    let mut out = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate() {
        match message {
            Message::User(m) => push_user(&mut out, user_pieces(&m.content, model)),
            Message::Custom(m) => push_user(&mut out, user_pieces(&m.content, model)),
            Message::CompactionSummary(m) => push_user(
                &mut out,
                vec![Piece::Text(Cow::Owned(format!(
                    "The conversation before this point was compacted. Its summary:\n\n\
                     <summary>\n{}\n</summary>",
                    m.summary
                )))],
            ),
            Message::BranchSummary(m) => push_user(
                &mut out,
                vec![Piece::Text(Cow::Owned(format!(
                    "Work on another branch of this conversation was left. Its summary:\n\n\
                     <summary>\n{}\n</summary>",
                    m.summary
                )))],
            ),
            Message::Assistant(m) => {
                let said = said(m, model);
                if said.is_empty() {
                    continue;
                }
                let calls: Vec<&ToolCall> = said
                    .iter()
                    .filter_map(|s| match s {
                        Said::Call(call) => Some(*call),
                        Said::Text(_) | Said::Thinking { .. } => None,
                    })
                    .collect();
                out.push(Turn::Assistant(said));
                if !calls.is_empty() {
                    let results = results_after(&messages[at + 1..]);
                    let answers = calls.iter().map(|call| answer(call, &results, model)).collect();
                    out.push(Turn::Results(answers));
                }
            }
            // Taken with its call; without one no provider accepts it.
            Message::ToolResult(_) => {}
        }
    }
    out
}

fn push_user<'a>(out: &mut Vec<Turn<'a>>, pieces: Vec<Piece<'a>>) {
    if !pieces.is_empty() {
        out.push(Turn::User(pieces));
    }
}

/// Results between an assistant's message and the next one that has content.
fn results_after(rest: &[Message]) -> HashMap<&str, &ToolResultMessage> {
    let mut out = HashMap::new();
    let results = rest
        .iter()
        .take_while(|m| !matches!(m, Message::Assistant(a) if !a.content.is_empty()))
        .filter_map(|m| match m {
            Message::ToolResult(result) => Some(result),
            Message::User(_)
            | Message::Assistant(_)
            | Message::Custom(_)
            | Message::CompactionSummary(_)
            | Message::BranchSummary(_) => None,
        });
    for result in results {
        // The first one of a call.
        out.entry(result.tool_call_id.as_str()).or_insert(result);
    }
    out
}

fn answer<'a>(
    call: &'a ToolCall,
    results: &HashMap<&str, &'a ToolResultMessage>,
    model: &ModelInfo,
) -> Answer<'a> {
    match results.get(call.id.as_str()) {
        Some(result) => {
            let mut pieces = pieces(&result.content, model);
            if pieces.is_empty() {
                pieces.push(Piece::Text(Cow::Borrowed(SILENT)));
            }
            Answer { call, pieces, is_error: result.is_error }
        }
        None => Answer { call, pieces: vec![Piece::Text(Cow::Borrowed(ORPHAN))], is_error: true },
    }
}

fn said<'a>(message: &'a AssistantMessage, model: &ModelInfo) -> Vec<Said<'a>> {
    let own = message.provider == model.provider
        && message.api == model.api.as_str()
        && maker(&message.model) == maker(&model.id);
    let failed = matches!(message.stop_reason, StopReason::Error | StopReason::Aborted);
    let mut said: Vec<Said<'a>> = message
        .content
        .iter()
        .filter_map(|block| match block {
            Block::Text { text, .. } if !text.trim().is_empty() => Some(Said::Text(text)),
            Block::Thinking { thinking, thinking_signature, redacted } if own && !failed => {
                Some(Said::Thinking {
                    text: thinking,
                    signature: thinking_signature.as_deref(),
                    redacted: *redacted,
                })
            }
            // A failed message has no call that ended; an imported one may claim so.
            Block::ToolCall(call) if !failed => Some(Said::Call(call)),
            Block::Text { .. }
            | Block::Thinking { .. }
            | Block::Image { .. }
            | Block::ToolCall(_) => None,
        })
        .collect();
    if said.iter().all(|s| matches!(s, Said::Thinking { .. })) {
        said.clear();
    }
    said
}

/// Who made a model, where its name says so: one provider may have the models of many, and what one of
/// them sealed another refuses. `us.anthropic.claude-…` (Amazon), `anthropic/claude-…` (routers).
fn maker(model: &str) -> &str {
    if let Some((maker, _)) = model.split_once('/') {
        return maker;
    }
    let mut parts = model.split('.');
    let first = parts.next().unwrap_or_default();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let maker = match first {
        "us" | "eu" | "apac" | "au" | "jp" | "ca" | "global" | "us-gov" => parts.next(),
        first => Some(first).filter(|_| parts.next().is_some()),
    };
    maker.filter(is_word).unwrap_or_default()
}

fn user_pieces<'a>(content: &'a UserContent, model: &ModelInfo) -> Vec<Piece<'a>> {
    match content {
        UserContent::Text(text) if text.trim().is_empty() => Vec::new(),
        UserContent::Text(text) => vec![Piece::Text(Cow::Borrowed(text))],
        UserContent::Blocks(blocks) => pieces(blocks, model),
    }
}

fn pieces<'a>(blocks: &'a [Block], model: &ModelInfo) -> Vec<Piece<'a>> {
    blocks
        .iter()
        .filter_map(|block| match block {
            Block::Text { text, .. } if !text.trim().is_empty() => {
                Some(Piece::Text(Cow::Borrowed(text)))
            }
            Block::Image { data, mime_type } if model.images => {
                Some(Piece::Image { data, mime_type })
            }
            Block::Image { .. } => Some(Piece::Text(Cow::Borrowed(UNSEEN))),
            Block::Text { .. } | Block::Thinking { .. } | Block::ToolCall(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assistant, call, model_info, result, user};

    fn shape(messages: &[Message]) -> String {
        let model = model_info("anthropic", "claude-opus-4-6");
        let text = |pieces: &[Piece<'_>]| {
            pieces
                .iter()
                .map(|p| match p {
                    Piece::Text(t) => t.chars().take(12).collect(),
                    Piece::Image { .. } => "image".to_owned(),
                })
                .collect::<Vec<String>>()
                .join("+")
        };
        turns(messages, &model)
            .iter()
            .map(|turn| match turn {
                Turn::User(pieces) => format!("user({})", text(pieces)),
                Turn::Assistant(said) => {
                    let parts: Vec<String> = said
                        .iter()
                        .map(|s| match s {
                            Said::Text(t) => (*t).to_owned(),
                            Said::Thinking { .. } => "thinking".to_owned(),
                            Said::Call(call) => format!("call {}", call.id),
                        })
                        .collect();
                    format!("assistant({})", parts.join("+"))
                }
                Turn::Results(answers) => {
                    let parts: Vec<String> = answers
                        .iter()
                        .map(|a| format!("{}={}", a.call.id, text(&a.pieces)))
                        .collect();
                    format!("results({})", parts.join(" "))
                }
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn said_by(provider: &str, blocks: Vec<Block>) -> Message {
        let Message::Assistant(mut m) = assistant(blocks) else { unreachable!() };
        provider.clone_into(&mut m.provider);
        "anthropic-messages".clone_into(&mut m.api);
        Message::Assistant(m)
    }

    fn thought() -> Block {
        Block::Thinking {
            thinking: "hm".into(),
            thinking_signature: Some("sig".into()),
            redacted: false,
        }
    }

    #[test]
    fn results_follow_their_calls_and_every_call_has_one() {
        let calls = || assistant(vec![call("a", "bash", "{}"), call("b", "bash", "{}")]);
        assert_eq!(
            shape(&[user("go"), calls(), result("b", "2"), user("hey"), result("a", "1")]),
            "user(go) assistant(call a+call b) results(a=1 b=2) user(hey)"
        );
        assert_eq!(
            shape(&[calls(), result("a", "1"), user("next")]),
            "assistant(call a+call b) results(a=1 b=No result: t) user(next)"
        );
        assert_eq!(
            shape(&[calls(), result("a", ""), result("b", "x"), result("b", "twice")]),
            "assistant(call a+call b) results(a=(no output) b=x)"
        );
        assert_eq!(shape(&[result("nobody", "x"), user("u")]), "user(u)");
    }

    #[test]
    fn failed_and_empty_messages_leave_no_trace_that_a_provider_refuses() {
        let failed = |blocks| {
            let Message::Assistant(mut m) = said_by("anthropic", blocks) else { unreachable!() };
            m.stop_reason = StopReason::Aborted;
            Message::Assistant(m)
        };
        assert_eq!(shape(&[user("u"), failed(vec![]), user("v")]), "user(u) user(v)");
        assert_eq!(
            shape(&[failed(vec![thought(), Block::text("half"), call("a", "bash", "{}")])]),
            "assistant(half)"
        );
        assert_eq!(shape(&[said_by("anthropic", vec![thought(), Block::text(" ")])]), "");
        assert_eq!(shape(&[user("  ")]), "");
    }

    #[test]
    fn the_maker_of_a_model_is_read_from_its_name() {
        for (model, expected) in [
            ("us.anthropic.claude-opus-4-6-v1", "anthropic"),
            ("anthropic.claude-opus-4-6-v1", "anthropic"),
            ("deepseek.r1-v1:0", "deepseek"),
            ("moonshotai/kimi-k2.6", "moonshotai"),
            ("gpt-5.4", ""),
            ("gpt-5", ""),
            ("claude-opus-4-6", ""),
            ("", ""),
        ] {
            assert_eq!(maker(model), expected, "{model}");
        }
    }

    #[test]
    fn thinking_goes_back_to_models_of_its_own_maker_only() {
        let Message::Assistant(mut m) = said_by("openrouter", vec![thought(), Block::text("done")])
        else {
            unreachable!()
        };
        "openai-completions".clone_into(&mut m.api);
        "anthropic/claude-opus-4.6".clone_into(&mut m.model);
        let history = [Message::Assistant(m)];
        for (model, expected) in [("anthropic/claude-sonnet-4.6", 2), ("openai/gpt-5.4", 1)] {
            let turns = turns(&history, &model_info("openrouter", model));
            let [Turn::Assistant(said)] = turns.as_slice() else { panic!("{turns:?}") };
            assert_eq!(said.len(), expected, "{model}");
        }
    }

    #[test]
    fn thinking_goes_back_to_its_own_provider_only() {
        let blocks = || vec![thought(), Block::text("done")];
        assert_eq!(shape(&[said_by("anthropic", blocks())]), "assistant(thinking+done)");
        assert_eq!(shape(&[said_by("openai", blocks())]), "assistant(done)");
    }
}
