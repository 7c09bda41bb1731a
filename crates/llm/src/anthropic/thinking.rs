//! How Anthropic's models are told to think, by whomever they are offered.

use crate::{
    ask::{ModelRequest, ThinkingLevel},
    handover::{Said, Turn},
};
use serde::Serialize;

/// Tokens of a thinking budget at least, as the API demands.
const BUDGET_MIN: u64 = 1_024;

/// Thinking between tool calls, for models that do not do it by themselves.
const INTERLEAVED: &str = "interleaved-thinking-2025-05-14";

/// The field `thinking`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Thinking {
    Enabled {
        budget_tokens: u64,
    },
    Adaptive {
        /// From 4.7 on nothing of it is shown unless it is asked for; those before take no such word.
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<&'static str>,
    },
}

/// What is said of it in a request.
pub(crate) struct Asked {
    pub(crate) thinking: Option<Thinking>,
    /// `effort` in the field `output_config`.
    pub(crate) effort: Option<&'static str>,
    /// A feature that has to be named.
    pub(crate) beta: Option<&'static str>,
}

/// For a request whose conversation is `turns`, and whose answer may have so many tokens.
pub(crate) fn ask(request: &ModelRequest, turns: &[Turn<'_>], max_tokens: u64) -> Asked {
    let (mut thinking, effort) = if request.model.reasoning {
        thinking(&request.model.id, request.thinking, max_tokens)
    } else {
        (None, None)
    };
    if matches!(thinking, Some(Thinking::Enabled { .. })) && !may_think(turns) {
        thinking = None;
    }
    let budgeted = matches!(thinking, Some(Thinking::Enabled { .. }));
    Asked { thinking, effort, beta: budgeted.then_some(INTERLEAVED) }
}

/// With a thinking budget the API wants the work since the last user message to begin with thinking.
/// Work that another provider began, or that began with thinking off, does not.
fn may_think(turns: &[Turn<'_>]) -> bool {
    let mut began = turns
        .iter()
        .rev()
        .take_while(|turn| !matches!(turn, Turn::User(_)))
        .filter_map(|turn| match turn {
            Turn::Assistant(said) => said.first(),
            Turn::User(_) | Turn::Results(_) => None,
        })
        .peekable();
    began.peek().is_none()
        || began.any(|first| matches!(first, Said::Thinking { signature: Some(_), .. }))
}

/// How a model is told to think. From version 4.6 on models decide themselves how much, and 4.7
/// refuses budgets.
fn thinking(
    model: &str,
    level: ThinkingLevel,
    max_tokens: u64,
) -> (Option<Thinking>, Option<&'static str>) {
    if level == ThinkingLevel::Off {
        return (None, None);
    }
    if let Some(version) = claude_version(model).filter(|version| *version >= (4, 6)) {
        let effort = match level {
            ThinkingLevel::Off | ThinkingLevel::Minimal | ThinkingLevel::Low => "low",
            ThinkingLevel::Medium => "medium",
            ThinkingLevel::Xhigh if model.contains("opus") => "max",
            ThinkingLevel::High | ThinkingLevel::Xhigh => "high",
        };
        let display = (version >= (4, 7)).then_some("summarized");
        return (Some(Thinking::Adaptive { display }), Some(effort));
    }
    let room = max_tokens.saturating_sub(BUDGET_MIN);
    let budget_tokens = level.budget_tokens().min(room);
    ((budget_tokens >= BUDGET_MIN).then_some(Thinking::Enabled { budget_tokens }), None)
}

/// `claude-opus-4-6-20260205` → (4, 6), whatever stands before it. `None` for what is no such name, also
/// for the older order `claude-3-7-sonnet`.
pub(crate) fn claude_version(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.split_once("claude-")?;
    let mut parts = name.split('-').map(|p| p.parse::<u32>().ok());
    if parts.next()?.is_some() {
        return None;
    }
    let major = parts.next()??;
    // A date is no minor version.
    let minor = parts.next().flatten().filter(|n| *n < 100).unwrap_or(0);
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (name, expected) in [
            ("claude-opus-4-6", Some((4, 6))),
            ("claude-opus-4-6-20260205", Some((4, 6))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-sonnet-5", Some((5, 0))),
            ("us.anthropic.claude-opus-4-5-20251101-v1:0", Some((4, 5))),
            ("anthropic.claude-opus-4-7", Some((4, 7))),
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", None),
            ("claude-3-7-sonnet-latest", None),
            ("MiniMax-M2", None),
        ] {
            assert_eq!(claude_version(name), expected, "{name}");
        }
    }

    #[test]
    fn a_budget_leaves_room_for_the_answer() {
        let (enabled, _) = thinking("claude-sonnet-4-5", ThinkingLevel::High, 8_192);
        assert!(matches!(enabled, Some(Thinking::Enabled { budget_tokens: 7_168 })));
        let (none, _) = thinking("claude-sonnet-4-5", ThinkingLevel::High, 1_500);
        assert!(none.is_none());
    }

    #[test]
    fn thinking_that_is_hidden_unless_asked_for_is_asked_for() {
        let asked =
            |model| serde_json::to_value(thinking(model, ThinkingLevel::High, 32_000).0).unwrap();
        let plain = serde_json::json!({"type": "adaptive"});
        let shown = serde_json::json!({"type": "adaptive", "display": "summarized"});
        assert_eq!(asked("claude-opus-4-6"), plain);
        for model in ["claude-opus-4-7", "us.anthropic.claude-opus-4-7", "claude-sonnet-5"] {
            assert_eq!(asked(model), shown, "{model}");
        }
    }
}
