//! What a terminal shows of a conversation: text as it comes, a line for each tool, a receipt.

use super::{super::logs::first_line, asked, plan};
use crate::{client::SseEvent, output};
use serde_json::Value;

pub(super) fn show(event: &SseEvent, project: &str) {
    let data = &event.data;
    match event.name.as_str() {
        "message_update" if data["type"] == "text_delta" => {
            output::piece(&output::text(&data["delta"]));
        }
        "message_update" if data["type"] == "text_end" => output::piece("\n"),
        "message_restarted" => output::line(&output::dim("(the answer was cut; asked again)")),
        "message_end" => {
            if let Some(error) = data["message"]["errorMessage"].as_str() {
                output::remark(error);
            }
        }
        "tool_start" => output::line(&output::dim(&format!(
            "· {} {}",
            output::text(&data["toolName"]),
            subject(&data["input"])
        ))),
        "tool_end" if data["isError"] == true => {
            output::line(&output::dim(&format!("  {} failed", output::text(&data["toolName"]))));
        }
        "plan_ready" => {
            for line in plan::lines(data) {
                output::line(&line);
            }
        }
        "auto_check" => output::line(&output::dim(&format!(
            "· check `{}`: {}",
            output::text(&data["command"]),
            output::text(&data["status"]).replace('_', " ")
        ))),
        "notify" => output::line(&format!("! {}", output::text(&data["message"]))),
        "extension_error" => output::remark(&format!(
            "extension {}: {}",
            output::text(&data["extension"]),
            output::text(&data["message"])
        )),
        "question" => {
            output::line(&format!("? {}", output::text(&data["question"])));
            for option in data["options"].as_array().map(Vec::as_slice).unwrap_or_default() {
                output::line(&format!("  - {}", output::text(option)));
            }
            for line in asked::secrets(data, project) {
                output::line(&line);
            }
        }
        "auto_retry_start" if data["asks"] == true => output::remark(&format!(
            "paused: {} It goes on by itself then.",
            output::text(&data["errorMessage"])
        )),
        "auto_retry_start" => output::remark(&format!(
            "trying again in {} ms: {}",
            data["delayMs"],
            output::text(&data["errorMessage"])
        )),
        "agent_end" => output::line(&output::dim(&receipt(data))),
        _ => {}
    }
}

/// The most telling argument of a tool call.
fn subject(input: &Value) -> String {
    let found = ["command", "path", "pattern", "message", "question"]
        .iter()
        .find_map(|field| input[*field].as_str());
    first_line(found.unwrap_or_default())
}

fn receipt(end: &Value) -> String {
    let seconds = end["durationMs"].as_f64().unwrap_or(0.0) / 1000.0;
    let is_demo = end["demo"] == true;
    let cost = end["usage"]["cost"]["total"]
        .as_f64()
        .filter(|_| !is_demo)
        .map_or_else(String::new, |usd| format!(", {usd:.4} USD"));
    let demo = if is_demo { " (demo)" } else { "" };
    format!(
        "{}{demo}: {}, {}, {seconds:.1} s{cost}",
        output::text(&end["reason"]),
        counted(&end["turns"], "turn"),
        counted(&end["tools"], "tool")
    )
}

fn counted(number: &Value, word: &str) -> String {
    let s = if number.as_u64() == Some(1) { "" } else { "s" };
    format!("{number} {word}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_receipt_invents_no_money() {
        let end =
            json!({"reason":"done","turns":2,"tools":3,"durationMs":1500,"usage":{},"demo":true});
        assert_eq!(receipt(&end), "done (demo): 2 turns, 3 tools, 1.5 s");
        let paid = json!({"reason":"done","turns":1,"tools":0,"durationMs":0,
            "usage":{"cost":{"total":0.0123}}});
        assert_eq!(receipt(&paid), "done: 1 turn, 0 tools, 0.0 s, 0.0123 USD");
    }
}
