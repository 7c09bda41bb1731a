//! A prompt that a schedule says: delivered under the firing's id as that of the message, so that one
//! which was sent twice is said once. How it ended is read from the copy of the project's events.

use super::job::{Ended, Job};
use crate::{
    api_error::ApiError,
    bridge_client::BridgeError,
    checkpoints::auto,
    machines::{
        cold_log,
        deliver::{self, Answer, Message, Undelivered},
    },
};
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::{id::SessionId, machine::MachineState, time::rfc3339};
use toft_store::{NewEvent, Step};
use tokio::time::{Instant, sleep, timeout};

/// How long a bridge may take for a small answer; right after a start it is still loading.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Small answers are no larger: the list of conversations is the largest.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// A bridge that breaks off is asked again, so often.
const TRIES_MAX: u32 = 6;
/// First pause between; doubles.
const TRY_PAUSE: Duration = Duration::from_millis(100);
/// First pause before a message is sent again of which nobody knows whether it was taken; doubles up to
/// the second. Delivering it takes its time by itself.
const AGAIN_PAUSE: Duration = Duration::from_millis(500);
const AGAIN_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Events read from the copy at once.
const ROWS_MAX: u32 = 500;
const BYTES_MAX: usize = 1 << 20;
/// How often a machine is looked at whose agent says nothing. One that is gone is woken, and goes on
/// with its work.
const LOOK: Duration = Duration::from_secs(5);
/// Events that come within this are read together.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// Says it and waits for the agent's end, or goes on with that.
pub(super) async fn run(job: &mut Job, prompt: String, session: Option<SessionId>) -> Ended {
    match follow_up(job, &prompt, session).await {
        Ok(ended) | Err(ended) => ended,
    }
}

async fn follow_up(
    job: &mut Job,
    prompt: &str,
    session: Option<SessionId>,
) -> Result<Ended, Ended> {
    if job.firing.step == Step::Due {
        job.not_replaced()?;
    }
    if job.firing.step == Step::Due {
        job.wake().await?;
        let session = match session {
            Some(session) => session,
            None => own_session(job).await?,
        };
        let head = job.app.store.head(&job.schedule.project).await;
        job.firing.after_seq =
            Some(head.map_err(|e| Ended::Failed(format!("the database failed: {e}")))?.seq);
        job.firing.session = Some(session);
        job.firing.started_at = Some(job.app.clock.now_ms());
        job.firing.step = Step::Asked;
        job.save().await?;
    }
    if job.firing.step == Step::Asked {
        let said = say(job, prompt).await?;
        job.firing.entry = said["entryId"].as_str().map(str::to_owned);
        job.firing.step = Step::Started;
        job.save().await?;
    }
    wait(job, prompt).await
}

/// Says it: `data` of the bridge's answer. While nobody knows whether it was taken it is sent again under
/// its id until its time is over: an end is told of what is known.
async fn say(job: &Job, prompt: &str) -> Result<Value, Ended> {
    // What an earlier server may have sent is begun: its moment has passed.
    let copy = if job.resumed {
        None
    } else {
        auto::before_prompt(&job.app, &job.machine, job.firing.session.clone()).await
    };
    let said = tokio::select! {
        said = until_known(job, prompt) => said,
        () = job.gone.cancelled() => return Err(Ended::Gone),
    };
    if let Some(copy) = copy
        && said.as_ref().map_or(true, |said| said["entryId"].is_null())
    {
        auto::not_sent(&job.app, &job.machine, copy);
    }
    said
}

async fn until_known(job: &Job, prompt: &str) -> Result<Value, Ended> {
    let body = json!({
        "message": prompt,
        "sessionId": job.firing.session,
        "entryId": job.firing.id,
    });
    let cause = job.cause();
    let message = Message {
        path: "/toft/prompt",
        body: Bytes::from(body.to_string()),
        id: &job.firing.id,
        cause: &cause,
    };
    // Whether a bridge may have it: also one that an earlier server sent it to.
    let mut may_have = job.resumed;
    let mut pause = AGAIN_PAUSE;
    loop {
        let why = match deliver(job, &message).await {
            Ok(answer) => return data_of(&answer),
            Err(Undelivered::NotTaken(error)) if error == ApiError::no_project() => {
                return Err(Ended::Gone);
            }
            // By this attempt; what became of one before it is not known by that.
            Err(Undelivered::NotTaken(error)) if may_have => error.message,
            Err(Undelivered::NotTaken(error)) => return Err(Job::not_started(&error)),
            Err(Undelivered::Unknown(why)) => {
                may_have = true;
                why
            }
        };
        tracing::debug!(project.id = %job.schedule.project, schedule.id = %job.schedule.id, why,
            "whether a prompt was taken is not known; it is sent again");
        // As far as anybody can know, it runs.
        job.runs();
        tokio::select! {
            () = sleep(pause) => {}
            () = job.replaced.cancelled() => {}
        }
        pause = (pause * 2).min(AGAIN_PAUSE_MAX);
        // Between two attempts, so that none is under way that could still be taken.
        if job.replaced.is_cancelled() || Instant::now() >= job.deadline() {
            let why =
                format!("whether the agent was told is not known and was asked no longer: {why}");
            return Err(Ended::Failed(why));
        }
    }
}

/// In its turn among all machines that schedules start.
async fn deliver(job: &Job, message: &Message<'_>) -> Result<Answer, Undelivered> {
    job.started().await.map_err(Undelivered::NotTaken)?;
    deliver::deliver(&job.app, &job.machine, message).await
}

/// `data` of what a bridge said of a message.
fn data_of(answer: &Answer) -> Result<Value, Ended> {
    let status = answer.response.status();
    let said: Value = serde_json::from_slice(answer.response.body()).unwrap_or_default();
    if status.is_success() {
        // Not taken: a bridge may say what is no object.
        return Ok(said["data"].clone());
    }
    let why = said["error"].as_str();
    Err(Ended::Failed(why.unwrap_or("the machine's bridge refused it").to_owned()))
}

/// A conversation of its own, named after schedule and slot. An earlier server may have made it.
async fn own_session(job: &Job) -> Result<SessionId, Ended> {
    let name = format!("{} · {}", job.schedule.name, rfc3339(job.firing.slot));
    let not_one = |_| Ended::Failed("the machine's bridge named no conversation".into());
    if job.resumed {
        let all = ask(job, Method::GET, "/toft/sessions", None).await?;
        let list = all["sessions"].as_array().into_iter().flatten();
        let mine = list.filter(|s| s["name"] == name.as_str()).find_map(|s| s["id"].as_str());
        if let Some(id) = mine {
            return id.parse().map_err(not_one);
        }
    }
    let body = json!({"name": name, "current": false});
    let made = ask(job, Method::POST, "/toft/sessions/new", Some(&body)).await?;
    made["sessionId"].as_str().unwrap_or_default().parse().map_err(not_one)
}

/// `data` of a bridge's answer. One that breaks off is asked again: what is asked here may be asked
/// twice.
async fn ask(job: &Job, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Ended> {
    let mut tries = 0;
    loop {
        let error = match once(job, method.clone(), path, body).await {
            Ok((status, answer)) if status.is_success() => {
                return Ok(answer["data"].clone());
            }
            Ok((status, answer)) if status.is_client_error() => {
                let why = answer["error"].as_str().unwrap_or("the machine's bridge refused it");
                return Err(Ended::Failed(why.to_owned()));
            }
            Ok((status, _)) => BridgeError::Status(status.as_u16()),
            Err(error) => error,
        };
        tries += 1;
        if tries >= TRIES_MAX {
            return Err(Ended::Failed(error.told()));
        }
        sleep(TRY_PAUSE * 2u32.pow(tries)).await;
        // It may have been put to sleep, or died.
        job.wake().await?;
    }
}

async fn once(
    job: &Job,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(StatusCode, Value), BridgeError> {
    let work = async {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|e| BridgeError::Broken(e.to_string()))?;
        let answer = job.app.bridge.send(&job.schedule.project, request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let bytes = body.map_err(|e| BridgeError::Broken(e.to_string()))?.to_bytes();
        let answer = serde_json::from_slice(&bytes).map_err(|_| BridgeError::NoJson)?;
        Ok((status, answer))
    };
    timeout(ANSWER_TIMEOUT, work).await.map_err(|_| BridgeError::Timeout)?
}

/// Waits for the agent's end in the copy of the events.
async fn wait(job: &mut Job, prompt: &str) -> Result<Ended, Ended> {
    let session = job.firing.session.clone().map(|s| s.as_str().to_owned()).unwrap_or_default();
    let mut reading = Reading::new(&job.firing.id, prompt);
    let mut after = job.firing.after_seq.unwrap_or(0);
    let mut frames = job.machine.feed.subscribe();
    let deadline = job.deadline();
    // What an earlier server began is known to run when all that has happened was read.
    let until = if job.resumed { told_so_far(job).await } else { 0 };
    loop {
        let project = &job.schedule.project;
        let events = match job.app.store.events_after(project, after, ROWS_MAX, BYTES_MAX).await {
            Ok(events) => events,
            Err(toft_store::StoreError::Missing { .. }) => return Err(Ended::Gone),
            Err(error) => {
                tracing::warn!(project.id = %project, %error, "the copy cannot be read");
                Vec::new()
            }
        };
        for event in &events {
            after = event.seq;
            if event.session.as_deref() == Some(session.as_str())
                && let Some(ended) = reading.take(event)
            {
                return Ok(ended);
            }
        }
        if !events.is_empty() {
            continue;
        }
        if after >= until {
            job.runs();
        }
        let replaced = job.replaced.is_cancelled();
        if replaced || Instant::now() >= deadline {
            let body = json!({"sessionId": session, "clearQueue": false});
            // Without the machine there is nothing to stop.
            if job.machine.answers() {
                let _ = once(job, Method::POST, "/toft/abort", Some(&body)).await;
            }
            return Ok(if replaced { Job::replaced() } else { job.over_time() });
        }
        tokio::select! {
            // Lagging is no loss: the store has it.
            _ = frames.recv() => sleep(READ_PAUSE).await,
            () = sleep(LOOK) => {
                // Nothing more comes: as far as anybody can know, it runs.
                job.runs();
                if reading.left_queue && !reading.said {
                    return Err(Ended::Failed(
                        "it waited for the agent's other work, and was taken off the queue".into(),
                    ));
                }
                look(job).await?;
            }
            () = tokio::time::sleep_until(deadline) => {}
            () = job.gone.cancelled() => return Err(Ended::Gone),
            () = job.replaced.cancelled() => {}
        }
    }
}

/// Number of the last event that the machine's agent has told; 0 when that is in the copy.
async fn told_so_far(job: &Job) -> u64 {
    if !job.machine.answers() {
        // Its log is read after a server's start, one machine after the other: this one now.
        cold_log::catch_up(&job.app, &job.machine).await;
        return 0;
    }
    let session = job.firing.session.as_ref().map(SessionId::as_str).unwrap_or_default();
    match once(job, Method::GET, &format!("/toft/state?sessionId={session}"), None).await {
        Ok((_, answer)) => answer["data"]["seq"].as_u64().unwrap_or(0),
        // The machine is looked at below.
        Err(_) => u64::MAX,
    }
}

/// The machine of an agent that has not ended must run; if a person stopped it, it is waited for.
async fn look(job: &Job) -> Result<(), Ended> {
    match job.machine.state() {
        MachineState::Cold | MachineState::Error => match job.wake().await {
            Err(Ended::Skipped(_)) | Ok(()) => Ok(()),
            Err(other) => Err(other),
        },
        MachineState::Creating
        | MachineState::Running
        | MachineState::Frozen
        | MachineState::Stopped
        | MachineState::Destroyed => Ok(()),
    }
}

/// What the events of its conversation say of a prompt.
struct Reading<'a> {
    entry: &'a str,
    prompt: &'a str,
    said: bool,
    waits: bool,
    /// It waited and does so no more. A delivered one is told as a message right after that.
    left_queue: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageEnd {
    entry_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    steering: Vec<String>,
    follow_up: Vec<String>,
}

#[derive(Deserialize)]
struct AgentEnd {
    reason: String,
}

impl<'a> Reading<'a> {
    fn new(entry: &'a str, prompt: &'a str) -> Self {
        Self { entry, prompt, said: false, waits: false, left_queue: false }
    }

    /// How it ended, if this event says so.
    fn take(&mut self, event: &NewEvent) -> Option<Ended> {
        match event.kind.as_str() {
            "message_end" => {
                let message: Option<MessageEnd> = serde_json::from_str(&event.data).ok();
                self.said |= message.is_some_and(|m| m.entry_id == self.entry);
                None
            }
            "queue_update" => {
                let waiting: Waiting = serde_json::from_str(&event.data).ok()?;
                let mut all = waiting.steering.iter().chain(&waiting.follow_up);
                let waits = all.any(|text| text == self.prompt);
                self.left_queue |= std::mem::replace(&mut self.waits, waits) && !waits;
                None
            }
            "agent_end" if self.said => {
                let end: Option<AgentEnd> = serde_json::from_str(&event.data).ok();
                Some(match end.as_ref().map(|end| end.reason.as_str()) {
                    Some("error") => {
                        Ended::Failed("the agent failed: its conversation says why".into())
                    }
                    Some("aborted") => Ended::Failed("the agent was stopped".into()),
                    Some("limit") => Ended::Failed(
                        "the agent reached a limit of its prompts: its conversation says which"
                            .into(),
                    ),
                    Some("waiting") => Ended::Well(Some(
                        "the agent asked a question and waits for the answer".into(),
                    )),
                    Some(_) | None => Ended::Well(None),
                })
            }
            _ => None,
        }
    }
}
