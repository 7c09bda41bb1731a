//! `toft chat`: a conversation in the terminal. Text as it comes, tools as one line each, a
//! receipt at the end. Ctrl-C stops the agent; a second one leaves.

use super::logs::first_line;
use crate::{
    args::At,
    client::{Client, Events, SseEvent},
    output,
};
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// One message, or one per line of standard input.
pub(crate) async fn run(
    at: &At,
    project: &str,
    message: Option<&str>,
    session: Option<&str>,
    as_json: bool,
) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let mut chat = Chat {
        client,
        base: format!("/v1/projects/{id}/toft"),
        session: session.map(str::to_owned),
        as_json,
    };
    if let Some(message) = message {
        return chat.say(message).await;
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        if !as_json {
            output::piece("> ");
        }
        match lines.next_line().await.context("reading standard input")? {
            None => return Ok(()),
            Some(line) if line.trim().is_empty() => {}
            Some(line) => chat.say(&line).await?,
        }
    }
}

struct Chat {
    client: Client,
    base: String,
    session: Option<String>,
    as_json: bool,
}

impl Chat {
    async fn say(&mut self, message: &str) -> Result<()> {
        // The stream is opened first and answers `hello` with its place, so that nothing between
        // prompt and first event is missed.
        let mut events =
            self.client.stream(Method::GET, &format!("{}/events", self.base), None).await?;
        let _hello = events.next().await?;
        let mut body = json!({"message": message});
        if let Some(session) = &self.session {
            body["sessionId"] = session.as_str().into();
        }
        let sent = self.client.post(&format!("{}/prompt", self.base), &body).await?;
        let session = sent["sessionId"].as_str().context("the prompt has no session")?.to_owned();
        self.session = Some(session.clone());
        loop {
            tokio::select! {
                ended = self.follow(&mut events, &session) => return ended,
                _ = tokio::signal::ctrl_c() => {
                    self.client.post(&format!("{}/abort", self.base), &json!({"sessionId": session})).await?;
                }
            }
        }
    }

    async fn follow(&self, events: &mut Events, session: &str) -> Result<()> {
        while let Some(event) = events.next().await? {
            if event.data["sessionId"].as_str().is_some_and(|s| s != session) {
                continue;
            }
            if self.as_json {
                output::line(&json!({"kind": event.name, "data": event.data}).to_string());
            } else {
                show(&event);
            }
            if event.name == "agent_end" {
                return match event.data["reason"].as_str() {
                    Some("error") => bail!("the agent stopped because of an error"),
                    _ => Ok(()),
                };
            }
        }
        bail!("the server closed the stream; `toft chat` again shows where the agent is")
    }
}

fn show(event: &SseEvent) {
    let data = &event.data;
    match event.name.as_str() {
        "message_update" if data["type"] == "text_delta" => {
            output::piece(data["delta"].as_str().unwrap_or_default());
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
        "notify" => output::line(&format!("! {}", output::text(&data["message"]))),
        "question" => {
            output::line(&format!("? {}", output::text(&data["question"])));
            for option in data["options"].as_array().map(Vec::as_slice).unwrap_or_default() {
                output::line(&format!("  - {}", output::text(option)));
            }
        }
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
        "{}{demo}: {} turns, {} tools, {seconds:.1} s{cost}",
        output::text(&end["reason"]),
        end["turns"],
        end["tools"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_invents_no_money() {
        let end =
            json!({"reason":"done","turns":2,"tools":3,"durationMs":1500,"usage":{},"demo":true});
        assert_eq!(receipt(&end), "done (demo): 2 turns, 3 tools, 1.5 s");
        let paid = json!({"reason":"done","turns":1,"tools":0,"durationMs":0,
            "usage":{"cost":{"total":0.0123}}});
        assert_eq!(receipt(&paid), "done: 1 turns, 0 tools, 0.0 s, 0.0123 USD");
    }
}
