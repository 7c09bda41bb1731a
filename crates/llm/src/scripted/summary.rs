//! What the demo answers when no tools are offered: it is asked for a summary or a title.

use super::{say::Say, turn::Turn};
use crate::ask::ModelRequest;
use toft_model::message::Message;

/// Characters of each person's message that a summary keeps.
const LINE_CHARS_MAX: usize = 160;

/// Most messages that a summary names.
const LINES_MAX: usize = 20;

pub(super) fn next(request: &ModelRequest, turn: &Turn<'_>) -> Say {
    let asks = format!("{} {}", request.system, turn.prompt).to_lowercase();
    if !asks.contains("summar") {
        return Say::text(
            "This is Toft's scripted demo model. Without tools it has nothing to show.",
        );
    }
    let lines: Vec<String> = request
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::User(user) => Some(user.content.text()),
            _ => None,
        })
        .flat_map(|text| text.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.is_empty() && !line.to_lowercase().contains("summar"))
        .map(|line| format!("- {}", line.chars().take(LINE_CHARS_MAX).collect::<String>()))
        .collect();
    let first = lines.len().saturating_sub(LINES_MAX);
    Say::text(format!(
        "## Goal\nWork with Toft's scripted demo model.\n\n## Progress\n{}\n\n## Next Steps\n- Wait \
         for the next prompt.\n\n*Made by the scripted demo: the last lines of what was said, not a \
         real summary.*",
        if lines.is_empty() { "- Nothing was said.".to_owned() } else { lines[first..].join("\n") }
    ))
}
