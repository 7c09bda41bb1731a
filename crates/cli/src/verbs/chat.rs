//! `toft chat`: a conversation in the terminal. Text as it comes, tools as one line each, a
//! receipt at the end; what the agent asks is answered by the next line. Ctrl-C stops the agent; a
//! second one leaves. Each message has a name, so that one which is sent again is said once.

use super::logs::first_line;
use crate::{
    args::At,
    client::{Client, Events, OUTCOME_UNKNOWN, Refused, SseEvent, UNREACHABLE},
    output,
};
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::{io::IsTerminal as _, time::Duration};
use toft_model::id::random_hex;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin},
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// After Ctrl-C, as shells have it.
const INTERRUPTED_EXIT: i32 = 130;
/// Bytes of a message's name: none comes twice.
const KEY_BYTES: usize = 16;
/// Without a person a message of which nothing was heard is sent so often; the server tries for a
/// minute each time.
const TRIES_MAX: u32 = 3;
const TRY_PAUSE: Duration = Duration::from_secs(1);

/// What is asked for.
pub(crate) struct Order<'a> {
    /// Without it, each line of standard input is one.
    pub(crate) message: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    /// Names the message.
    pub(crate) key: Option<&'a str>,
}

/// One message, or one per line of standard input. Answers the exit code.
pub(crate) async fn run(at: &At, project: &str, order: &Order<'_>, as_json: bool) -> Result<i32> {
    let message = order.message;
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let is_person = std::io::stdin().is_terminal();
    let mut chat = Chat {
        client,
        base: format!("/v1/projects/{id}/toft"),
        project: project.to_owned(),
        session: order.session.map(str::to_owned),
        key: order.key.map(str::to_owned),
        as_json,
        invites: !as_json && is_person && std::io::stdout().is_terminal(),
        lines: (message.is_none() || is_person).then(|| BufReader::new(tokio::io::stdin()).lines()),
        interrupt: signal(SignalKind::interrupt()).context("listening for Ctrl-C")?,
    };
    let ended = match message {
        Some(message) => chat.turn(Act::Say(message)).await?,
        None => chat.converse().await?,
    };
    Ok(match ended {
        Ended::Done => 0,
        Ended::Left => INTERRUPTED_EXIT,
    })
}

/// How a turn or a conversation ended.
#[derive(PartialEq)]
enum Ended {
    Done,
    /// A person pressed Ctrl-C and did not want to wait.
    Left,
}

/// What begins a turn.
enum Act<'a> {
    Say(&'a str),
    /// A question is open from before.
    Hear(Value),
}

/// What comes next while the agent works.
enum Next {
    Event(Option<SseEvent>),
    Line(Option<String>),
    Interrupt,
}

/// A message that was taken.
struct Said {
    data: Value,
    /// Before this began to listen.
    is_old: bool,
}

struct Chat {
    client: Client,
    base: String,
    project: String,
    session: Option<String>,
    /// Name of the next message, if it was given one.
    key: Option<String>,
    as_json: bool,
    /// Whether a person is to be invited to type.
    invites: bool,
    /// Absent when standard input is not ours to read.
    lines: Option<Lines<BufReader<Stdin>>>,
    interrupt: Signal,
}

impl Chat {
    async fn converse(&mut self) -> Result<Ended> {
        let session = self.session.as_ref().map_or_else(String::new, |s| format!("?sessionId={s}"));
        let state = self.client.get(&format!("{}/state{session}", self.base)).await?;
        if !state["question"].is_null() {
            let mut question = state["question"].clone();
            question["sessionId"] = state["sessionId"].clone();
            if self.turn(Act::Hear(question)).await? == Ended::Left {
                return Ok(Ended::Left);
            }
        }
        loop {
            self.invite();
            let Some(lines) = &mut self.lines else { return Ok(Ended::Done) };
            let line = tokio::select! {
                line = lines.next_line() => line.context("reading standard input")?,
                _ = self.interrupt.recv() => return Ok(Ended::Left),
            };
            match line {
                None => return Ok(Ended::Done),
                Some(line) if line.trim().is_empty() => {}
                Some(line) => {
                    if self.turn(Act::Say(&line)).await? == Ended::Left {
                        return Ok(Ended::Left);
                    }
                }
            }
        }
    }

    fn invite(&self) {
        if self.invites {
            output::piece("> ");
        }
    }

    async fn turn(&mut self, act: Act<'_>) -> Result<Ended> {
        // The stream is opened first and answers `hello` with its place, so that nothing between
        // prompt and first event is missed.
        let path = format!("{}/events", self.base);
        let mut events = self.client.stream(Method::GET, &path, None).await?;
        let _hello = events.next().await?;
        let mut question = None;
        let session = match act {
            Act::Say(message) => {
                let Some(sent) = self.say(message).await? else { return Ok(Ended::Left) };
                if sent.is_old && self.is_over(&sent.data["sessionId"]).await? {
                    output::remark(
                        "it was said before under this key: the conversation has the answer",
                    );
                    return Ok(Ended::Done);
                }
                let sent = sent.data;
                sent["sessionId"].as_str().context("the prompt has no session")?.to_owned()
            }
            Act::Hear(asked) => {
                let session = output::text(&asked["sessionId"]);
                let event = SseEvent { name: "question".into(), id: None, data: asked };
                self.print(&event);
                question = Some(self.asked(&event.data)?);
                session
            }
        };
        self.session = Some(session.clone());
        let mut stopped = false;
        loop {
            match self.next(&mut events, question.is_some()).await? {
                Next::Interrupt if stopped => return Ok(Ended::Left),
                Next::Interrupt => {
                    stopped = true;
                    let body = json!({"sessionId": session});
                    self.client.post(&format!("{}/abort", self.base), &body).await?;
                }
                Next::Line(Some(line)) if line.trim().is_empty() => self.invite(),
                Next::Line(Some(line)) => {
                    let Some(call) = question.take() else { continue };
                    let body = json!({"toolCallId": call, "answer": line, "sessionId": session});
                    self.client.post(&format!("{}/answer", self.base), &body).await?;
                }
                Next::Line(None) => {
                    self.lines = None;
                    bail!(self.waiting());
                }
                Next::Event(None) => {
                    bail!(
                        "the server closed the stream; `toft chat` again shows where the agent is"
                    )
                }
                Next::Event(Some(event)) => {
                    if event.data["sessionId"].as_str().is_some_and(|s| s != session) {
                        continue;
                    }
                    self.print(&event);
                    match event.name.as_str() {
                        "question" => question = Some(self.asked(&event.data)?),
                        // Answered from somewhere else, or stopped.
                        "tool_end" if event.data["toolCallId"].as_str() == question.as_deref() => {
                            question = None;
                        }
                        "agent_end" if event.data["reason"] == "error" => {
                            bail!("the agent stopped because of an error")
                        }
                        "agent_end" => return Ok(Ended::Done),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Sends a message until it is known what became of it; `None` when the person leaves instead.
    async fn say(&mut self, message: &str) -> Result<Option<Said>> {
        let mut body = json!({"message": message});
        if let Some(session) = &self.session {
            body["sessionId"] = session.as_str().into();
        }
        let path = format!("{}/prompt", self.base);
        let key = self.key.take().unwrap_or_else(|| random_hex(KEY_BYTES));
        let mut tries = 0;
        loop {
            let error = tokio::select! {
                said = self.client.say(&path, &body, &key) => match said {
                    Ok(data) => {
                        let is_old = tries == 0 && data["repeated"] == true;
                        return Ok(Some(Said { data, is_old }));
                    }
                    Err(error) => error,
                },
                _ = self.interrupt.recv() => {
                    output::remark("the message may have arrived: the conversation shows it then");
                    return Ok(None);
                }
            };
            // One that was asked after and finds no server knows no more than before.
            let may_have = is_unknown(&error) || (tries > 0 && code(&error) == Some(UNREACHABLE));
            if !may_have {
                return Err(error);
            }
            tries += 1;
            if self.invites {
                if !self.wants_again(&error).await? {
                    return Ok(None);
                }
            } else if tries < TRIES_MAX {
                sleep(TRY_PAUSE).await;
            } else {
                bail!(Refused {
                    code: OUTCOME_UNKNOWN.to_owned(),
                    message: format!(
                        "whether the message arrived is not known: {error:#}. Sent again with `--key {key}` \
                         it is not said twice"
                    ),
                });
            }
        }
    }

    /// Whether the agent has nothing more to do for what was said in a conversation.
    async fn is_over(&self, session: &Value) -> Result<bool> {
        let path = format!("{}/state?sessionId={}", self.base, output::text(session));
        let state = self.client.get(&path).await?;
        if !state["question"].is_null() {
            bail!(self.waiting());
        }
        Ok(state["status"] != "working")
    }

    /// Asks the person whether to send a message again of which nothing was heard.
    async fn wants_again(&mut self, error: &anyhow::Error) -> Result<bool> {
        output::remark(&format!("whether your message arrived is not known: {error:#}"));
        loop {
            output::remark(
                "Enter sends it again (one that did arrive is not said twice), Ctrl-C leaves",
            );
            let Some(lines) = &mut self.lines else { return Ok(false) };
            let line = tokio::select! {
                line = lines.next_line() => line.context("reading standard input")?,
                _ = self.interrupt.recv() => return Ok(false),
            };
            match line {
                None => return Ok(false),
                Some(line) if line.trim().is_empty() => return Ok(true),
                // No answer to this, and not to be lost for one.
                Some(_) => output::remark("that was not sent: first say what becomes of the other"),
            }
        }
    }

    async fn next(&mut self, events: &mut Events, wants_line: bool) -> Result<Next> {
        let line = async {
            match &mut self.lines {
                Some(lines) if wants_line => lines.next_line().await,
                Some(_) | None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            event = events.next() => Next::Event(event?),
            line = line => Next::Line(line.context("reading standard input")?),
            _ = self.interrupt.recv() => Next::Interrupt,
        })
    }

    /// The call that waits for an answer.
    fn asked(&self, question: &Value) -> Result<String> {
        if self.lines.is_none() {
            bail!(self.waiting());
        }
        self.invite();
        question["toolCallId"].as_str().map(str::to_owned).context("the question has no call")
    }

    fn waiting(&self) -> String {
        format!(
            "the agent asked something and waits: answer it with `toft chat {}` or in the dashboard",
            self.project
        )
    }

    fn print(&self, event: &SseEvent) {
        if self.as_json {
            output::line(&json!({"kind": event.name, "data": event.data}).to_string());
        } else {
            show(event);
        }
    }
}

/// Whether a message that failed so may have been taken all the same: the connection broke, or the
/// server does not know.
fn is_unknown(error: &anyhow::Error) -> bool {
    code(error).is_none_or(|code| code == OUTCOME_UNKNOWN)
}

fn code(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Refused>().map(|refused| refused.code.as_str())
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

    #[test]
    fn only_what_may_have_been_taken_is_sent_again() {
        let refused =
            |code: &str| anyhow::Error::new(Refused { code: code.into(), message: "no".into() });
        assert!(is_unknown(&refused(OUTCOME_UNKNOWN)));
        assert!(is_unknown(&anyhow::anyhow!("the connection broke")));
        assert!(is_unknown(&anyhow::anyhow!("it broke").context("reading the answer")));
        assert!(!is_unknown(&refused("unavailable")));
        assert!(!is_unknown(&refused("unreachable").context("saying it")));
    }

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
