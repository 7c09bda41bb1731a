//! `toft chat`: a conversation in the terminal. Text as it comes, tools as one line each, a
//! receipt at the end; what the agent asks is answered by the next line. Ctrl-C stops the agent; a
//! second one leaves. Each message has a name, so that one which is sent again is said once.

mod asked;
mod plan;
mod say;
mod show;

use crate::{
    args::At,
    client::{Client, Events, SseEvent},
    output,
};
use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::{Value, json};
use show::show;
use std::io::IsTerminal as _;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin},
    signal::unix::{Signal, SignalKind, signal},
};

/// After Ctrl-C, as shells have it.
const INTERRUPTED_EXIT: i32 = 130;

/// What is asked for.
pub(crate) struct Order<'a> {
    /// Without it, each line of standard input is one.
    pub(crate) message: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    /// Names the message.
    pub(crate) key: Option<&'a str>,
    /// The agent plans from here on.
    pub(crate) plan: bool,
    /// The newest plan is to be carried out, and nothing is said.
    pub(crate) approve: bool,
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
        planned: None,
    };
    if order.plan {
        chat.begin_plan().await?;
    }
    let ended = match message {
        _ if order.approve => chat.approve().await?,
        Some(message) => {
            let ended = chat.turn(Act::Say(message)).await?;
            chat.settle(ended).await?
        }
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
    /// A plan of this conversation is decided on.
    Decide(String, Value),
}

/// What comes next while the agent works.
enum Next {
    Event(Option<SseEvent>),
    Line(Option<String>),
    Interrupt,
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
    /// The plan that came of the last turn and waits.
    planned: Option<String>,
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
                    let ended = self.turn(Act::Say(&line)).await?;
                    if self.settle(ended).await? == Ended::Left {
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
            Act::Decide(session, decision) => {
                self.client
                    .post(&format!("{}/sessions/{session}/plan", self.base), &decision)
                    .await?;
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
                        "plan_ready" => {
                            self.planned = event.data["planId"].as_str().map(str::to_owned);
                        }
                        "plan_settled" => self.planned = None,
                        // Answered from somewhere else, or stopped.
                        "tool_end" if event.data["toolCallId"].as_str() == question.as_deref() => {
                            question = None;
                        }
                        "agent_end" if event.data["reason"] == "error" => {
                            bail!("the agent stopped because of an error")
                        }
                        "agent_end" if event.data["reason"] == "limit" => {
                            bail!("the agent stopped at a limit of its prompts")
                        }
                        "agent_end" => return Ok(Ended::Done),
                        _ => {}
                    }
                }
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
            show(event, &self.project);
        }
    }
}
