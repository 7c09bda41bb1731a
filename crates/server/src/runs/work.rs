//! One run from its claim to its end: its machine is woken, the whole order goes to its bridge, and what the bridge
//! tells becomes the run's events. A bridge that knows the run goes on with it, so an owner that takes over prompts
//! nobody twice. What the run does inside its machine is not looked at here.

mod place;

use super::{
    UNKEPT, WORKSPACE,
    artifacts::Artifacts,
    cost::cost,
    shown,
    told::{self, Calls, Told},
};
use crate::{
    api_error::{ApiError, Code},
    bridge_client::BridgeError,
    checkpoints::auto,
    machines::{Machine, life},
    state::App,
};
use axum::body::Body;
use futures_util::TryStreamExt as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use std::{io, sync::Arc, time::Duration};
use toft_model::{
    http::TAKE_BEFORE,
    id::SessionId,
    machine::MachineState,
    provider::ModelRef,
    run::{Phase, RunNow, RunOrder, RunStatus, RunStep},
};
use toft_store::{Artifact, Durable, Left, NewEvent, Run, StoreError, Wrote};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a bridge may take for an answer; right after a start it is still loading.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer: a run's plan.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// First pause before a bridge is asked again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a run is looked at of which nothing is told.
const LOOK: Duration = Duration::from_millis(750);
/// Events of the copy that are read at once.
const ROWS_MAX: u32 = 512;
const BYTES_MAX: usize = 1 << 20;
/// Events that come within this are written together.
const GATHER: Duration = Duration::from_millis(5);
/// How long keeping a workspace may take.
const ARCHIVE_TIMEOUT: Duration = Duration::from_mins(10);
/// How often it is tried again.
const ARCHIVE_TRIES: u32 = 4;
/// How often a run's server may end over it before it is left alone.
const CRASHES_MAX: u32 = 3;

/// A run that is worked on.
pub(super) struct Work {
    app: App,
    run: Run,
    cancelled: CancellationToken,
    calls: Calls,
}

/// Why work on a run stops here.
enum Stop {
    /// It is over, or goes back to the queue: that is written.
    Written,
    /// Another owner has it, or it is gone with its project.
    Lost,
    /// Its machine is another server's.
    Elsewhere,
    /// It failed before its bridge had it.
    Failed(Failed),
}

/// A workspace that is not kept.
struct Unkept {
    error: String,
    /// The bridge's word for it.
    code: Option<String>,
    /// Whether another try may help.
    again: bool,
}

/// A run that could not be begun, or ended in an error.
struct Failed {
    error: String,
    /// Whether another try may help.
    again: bool,
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        if error == ApiError::no_project() {
            return Self::Lost;
        }
        if matches!(error.code, Code::OtherHost | Code::WaitingHost) {
            return Self::Elsewhere;
        }
        Self::Failed(Failed { error: error.message, again: true })
    }
}

impl Work {
    pub(super) fn new(app: App, run: Run, cancelled: CancellationToken) -> Self {
        Self { app, run, cancelled, calls: Calls::default() }
    }

    /// Until it is over, or somebody else's.
    pub(super) async fn run(mut self) {
        let machine = self.app.machines.get(&self.run.project).unwrap_or_else(|| {
            // Another server has made the project, and no machine for it.
            self.app.machines.put(Machine::new(self.run.project.clone(), MachineState::Cold, None))
        });
        match self.go(&machine).await {
            Ok(()) | Err(Stop::Written | Stop::Lost) => {}
            Err(Stop::Elsewhere) => self.give_back().await,
            Err(Stop::Failed(failed)) => self.fail(failed, Told::default()).await,
        }
    }

    /// While it began here, its project got a machine on another server: that one goes on with it.
    async fn give_back(&self) {
        let (id, fence) = (&self.run.id, self.run.fence);
        if let Err(error) = self.app.store.give_back_run(id, fence).await {
            tracing::warn!(run.id = %id, %error, "a run goes to another server when its time here is over");
        }
        super::tell(&*self.app.store, super::QUEUE_TOPIC).await;
    }

    fn now(&self) -> u64 {
        self.app.clock.now_ms()
    }

    async fn go(&mut self, machine: &Arc<Machine>) -> Result<(), Stop> {
        if self.run.crashes >= CRASHES_MAX {
            let error = format!(
                "Its server ended {} times over this run before it told anything: it is not tried again.",
                self.run.crashes
            );
            return Err(Stop::Failed(Failed { error, again: false }));
        }
        if self.run.state.attempt == 0 || self.run.state.phase == Phase::Over {
            self.begin().await?;
        }
        self.take_place(machine).await?;
        let Some(now) = self.hand_over(machine).await? else {
            return self.end_cancelled(Told::default()).await;
        };
        self.attach(&now).await?;
        self.follow(machine).await
    }

    /// The first try, or another one.
    async fn begin(&mut self) -> Result<(), Stop> {
        let ts = self.now();
        let mut told = Told::default();
        let state = &mut self.run.state;
        state.attempt += 1;
        state.phase = Phase::Plan;
        state.error = None;
        state.started_at.get_or_insert(ts);
        told.status(ts, "running", json!({ "attempt": state.attempt }));
        told.status(ts, "phase_started", json!({ "phase": "plan" }));
        self.write(told, Left::default(), Durable::Now).await
    }

    /// Gives the order to the bridge, to one after the other until one has it. Nothing: it is to end, and no bridge
    /// knows it.
    async fn hand_over(&mut self, machine: &Arc<Machine>) -> Result<Option<RunNow>, Stop> {
        let cause = format!("run {}", self.run.id);
        let order = self.order().await?;
        let path = format!("/toft/runs/{}", self.run.id);
        let mut pause = PAUSE_MIN;
        let is_new = self.run.state.session.is_none();
        loop {
            if self.cancelled.is_cancelled() && is_new {
                return Ok(None);
            }
            // Held until it is answered, so that it is not put away in between.
            let hold = machine.in_use(&self.app.clock);
            match life::ensure_running(&self.app, machine, &cause).await {
                Ok(()) => {}
                Err(error) if machine.state() == MachineState::Stopped => {
                    // A person has stopped it, and starts it again.
                    drop(hold);
                    if self.cancelled.is_cancelled() {
                        // What its bridge still knows of it is ended then.
                        return Ok(None);
                    }
                    tracing::debug!(run.id = %self.run.id, reason = error.message, "a run waits for its machine");
                    self.pause(LOOK).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if is_new && pause == PAUSE_MIN {
                let session = order.session_id.clone();
                let copy = auto::before_prompt(&self.app, machine, session).await;
                self.run.state.checkpoint = copy.map(|id| id.to_string());
            }
            let body = serde_json::to_value(&order).unwrap_or_default();
            let answer = self.ask(Method::PUT, &path, Some(&body)).await;
            drop(hold);
            match answer {
                Ok((status, mut answer)) if status.is_success() => {
                    let now = serde_json::from_value(answer["data"].take());
                    return now.map(Some).map_err(|error| {
                        let error =
                            format!("The machine's bridge said of the run what is none: {error}.");
                        Stop::Failed(Failed { error, again: true })
                    });
                }
                Ok((StatusCode::CONFLICT, answer)) if answer["code"] == "stale_fence" => {
                    return Err(Stop::Lost);
                }
                // Another run of this conversation, or too many: it waits for its turn.
                Ok((StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE, answer))
                    if matches!(
                        answer["code"].as_str(),
                        Some("busy" | "too_late" | "unavailable")
                    ) => {}
                Ok((StatusCode::NOT_FOUND, answer))
                    if answer["code"] != "not_found" || answer["error"].is_null() =>
                {
                    let error =
                        "The machine runs an older version that knows no runs: stop and start it.";
                    return Err(Stop::Failed(Failed { error: error.into(), again: false }));
                }
                Ok((status, answer)) if status.is_client_error() => {
                    let error =
                        answer["error"].as_str().unwrap_or("The machine's bridge refused the run.");
                    return Err(Stop::Failed(Failed { error: error.to_owned(), again: false }));
                }
                Ok((status, _)) => {
                    tracing::debug!(run.id = %self.run.id, %status, "a run is handed over again");
                }
                Err(error) => {
                    tracing::debug!(run.id = %self.run.id, %error, "a run is handed over again");
                }
            }
            self.pause(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.cancelled.cancelled() => {
                // Not in a loop without a breath.
                sleep(pause.min(PAUSE_MIN)).await;
            }
        }
    }

    /// The whole order. The conversation of the run before goes on, if there is one.
    async fn order(&mut self) -> Result<RunOrder, Stop> {
        let settings = &self.app.runs.settings;
        let run = &self.run;
        let (mut session, mut prompt) = (None, run.prompt.clone());
        // The same whoever asks, and when: the run before it is over.
        if let Some(parent) = &run.parent {
            let parent = read(self.app.store.run(&run.project, parent).await)?;
            match parent {
                Some(Run { state, .. }) if state.session.is_some() => session = state.session,
                Some(parent) => prompt = super::shown::go_on(&parent, &run.prompt),
                None => {}
            }
        }
        let model = run.asked_provider.as_ref().zip(run.asked_model.as_ref());
        let mut rules = settings.rules.clone();
        rules.installs = settings.installs_with(self.app.backend.of(&run.project).name());
        let model =
            model.map(|(provider, id)| ModelRef { provider: provider.clone(), id: id.clone() });
        Ok(RunOrder {
            fence: run.fence,
            attempt: run.state.attempt,
            prompt,
            session_id: session,
            model,
            plan: true,
            approval: run.approval,
            commit: settings.commit,
            author: settings.author.clone(),
            committer: settings.committer.clone(),
            plan_timeout_s: settings.plan_timeout.as_secs().max(1),
            build_timeout_s: settings.build_timeout.as_secs().max(1),
            rules,
        })
    }

    /// The bridge has it: from here on its events are the run's.
    async fn attach(&mut self, now: &RunNow) -> Result<(), Stop> {
        let state = &mut self.run.state;
        let session = now.session_id.clone();
        let is_new = state.session.as_ref() != Some(&session);
        state.session = Some(session);
        if state.taken_seq < now.after_seq {
            state.taken_seq = now.after_seq;
        } else {
            self.remember(now.after_seq).await?;
        }
        let mut told = Told::default();
        let sandbox = self.app.backend.of(&self.run.project).sandbox(&self.run.project);
        if sandbox.is_some() && sandbox != self.run.state.sandbox {
            told.status(self.now(), "sandbox_created", self.place(sandbox.as_deref()).await);
            self.run.state.sandbox = sandbox;
        }
        if self.run.state.provider.is_none()
            && let Some((provider, model)) = self.answering().await
        {
            let source = if self.run.asked_model.is_some() { "request" } else { "project" };
            self.run.state.model_source = Some(source.into());
            let ts = self.now();
            told::resolved(&mut told, ts, &mut self.run.state, &provider, &model);
        }
        if is_new || !told.0.is_empty() {
            self.write(told, Left::default(), Durable::Soon).await?;
        }
        Ok(())
    }

    /// Where a client finds what is worked on there.
    async fn place(&self, sandbox: Option<&str>) -> Value {
        let (project, run) = (&self.run.project, &self.run.id);
        let conversation = self.conversation().await.unwrap_or_default();
        json!({
            "sandboxId": sandbox,
            "appDir": conversation["cwd"],
            "nextjsUrl": self.app.hosts.preview_origin(project.as_str()),
            "downloadPath": format!("/v1/projects/{project}/runs/{run}/download.zip"),
        })
    }

    /// Which calls were under way when an earlier owner told the last event.
    async fn remember(&mut self, after: u64) -> Result<(), Stop> {
        let mut after = after;
        loop {
            let events = self.copy(after).await?;
            for event in &events {
                if event.seq > self.run.state.taken_seq {
                    return Ok(());
                }
                self.calls.remember(event);
                after = event.seq;
            }
            if events.is_empty() {
                return Ok(());
            }
        }
    }

    /// Who answers in its conversation.
    async fn answering(&self) -> Option<(String, String)> {
        let model = &self.conversation().await?["model"];
        let text = |name: &str| model[name].as_str().map(str::to_owned);
        Some((text("provider")?, text("id")?))
    }

    /// How its conversation stands.
    async fn conversation(&self) -> Option<Value> {
        let session = self.run.state.session.as_ref()?;
        let path = format!("/toft/state?sessionId={session}");
        let (_, mut answer) = self.ask(Method::GET, &path, None).await.ok()?;
        Some(answer["data"].take())
    }

    async fn copy(&self, after: u64) -> Result<Vec<NewEvent>, Stop> {
        read(self.app.store.events_after(&self.run.project, after, ROWS_MAX, BYTES_MAX).await)
    }

    /// Makes the project's events into the run's until it is over.
    async fn follow(&mut self, machine: &Arc<Machine>) -> Result<(), Stop> {
        let mut bursts = machine.feed.subscribe();
        let mut asked_to_end = false;
        loop {
            let events = match self.copy(self.run.state.taken_seq).await {
                Ok(events) => events,
                Err(Stop::Failed(failed)) => {
                    // The database is away, and the work goes on without it.
                    tracing::warn!(run.id = %self.run.id, failed.error, "a run cannot be followed");
                    sleep(PAUSE_MAX).await;
                    continue;
                }
                Err(lost) => return Err(lost),
            };
            if !events.is_empty() {
                if let Some((step, told)) = self.tell(&events).await? {
                    return self.end(machine, step, told).await;
                }
                continue;
            }
            if self.cancelled.is_cancelled() && !asked_to_end {
                asked_to_end = self.cancel(machine).await?;
                continue;
            }
            tokio::select! {
                // Lagging is no loss: the store has it.
                _ = bursts.recv() => sleep(GATHER).await,
                () = self.cancelled.cancelled(), if !asked_to_end => {}
                () = sleep(LOOK) => self.look(machine).await?,
            }
        }
    }

    /// Nothing was told for a while.
    async fn look(&mut self, machine: &Arc<Machine>) -> Result<(), Stop> {
        match self.app.store.run(&self.run.project, &self.run.id).await {
            Ok(None) => return Err(Stop::Lost),
            Ok(Some(run)) if run.fence != self.run.fence => return Err(Stop::Lost),
            Ok(Some(run)) if run.cancel_requested => self.cancelled.cancel(),
            Ok(Some(_)) => {}
            Err(error) => tracing::warn!(run.id = %self.run.id, %error, "a run cannot be read"),
        }
        match machine.state() {
            // What the run does goes on where it was cut.
            MachineState::Cold | MachineState::Error => {
                let cause = format!("run {}", self.run.id);
                if let Err(error) = life::ensure_running(&self.app, machine, &cause).await {
                    tracing::debug!(run.id = %self.run.id, reason = error.message, "a run waits for its machine");
                }
            }
            MachineState::Creating
            | MachineState::Running
            | MachineState::Frozen
            | MachineState::Stopped
            | MachineState::Destroyed => {}
        }
        Ok(())
    }

    /// Writes what these events mean. The run's last step, if it is among them, with what is to be written together
    /// with it.
    async fn tell(&mut self, events: &[NewEvent]) -> Result<Option<(RunStep, Told)>, Stop> {
        let mut told = Told::default();
        for event in events {
            self.run.state.taken_seq = event.seq;
            let session = self.run.state.session.as_ref().map(SessionId::as_str);
            if event.session.as_deref() != session {
                continue;
            }
            let (id, state) = (&self.run.id, &mut self.run.state);
            if let Some(step) = told::tell(&mut told, &mut self.calls, id, state, event) {
                return Ok(Some((step, told)));
            }
        }
        if !told.0.is_empty() {
            self.write(told, Left::default(), Durable::Soon).await?;
        }
        Ok(None)
    }

    /// The machine has done what it could.
    async fn end(
        &mut self,
        machine: &Arc<Machine>,
        step: RunStep,
        mut told: Told,
    ) -> Result<(), Stop> {
        match step.status.unwrap_or(RunStatus::Error) {
            RunStatus::Completed => {
                let artifact = self.keep_workspace(machine, &mut told).await;
                let ts = self.now();
                self.over(RunStatus::Completed, ts);
                self.price().await;
                let state = &self.run.state;
                let usage = state.usage;
                let done = json!({
                    "output": state.output, "usage": usage.map(shown::usage_of),
                    "cachedInputTokens": usage.map(|usage| usage.cached_input),
                    "reasoningOutputTokens": usage.map(|usage| usage.reasoning_output),
                    "durationMs": state.duration_ms,
                });
                told.say(ts, "done", &done);
                let path = artifact.as_ref().map(|artifact| artifact.path.clone());
                let left = Left { said: state.output.clone(), artifact };
                let written = self.write(told, left, Durable::Now).await;
                if let (Err(Stop::Lost), Some(path)) = (&written, path)
                    && self.is_gone().await
                {
                    self.app.runs.artifacts.remove(&path).await;
                }
                if written.is_ok() {
                    self.drop_old().await;
                }
                written
            }
            RunStatus::Cancelled => self.end_cancelled(told).await,
            RunStatus::Error | RunStatus::Queued | RunStatus::Running => {
                let error = step.error.unwrap_or_else(|| "The agent failed.".into());
                self.fail(Failed { error, again: true }, told).await;
                Ok(())
            }
        }
    }

    /// Keeps what the run left, outside of the machine. Its events say whether that worked.
    async fn keep_workspace(
        &mut self,
        machine: &Arc<Machine>,
        told: &mut Told,
    ) -> Option<Artifact> {
        let mut tries = 0;
        loop {
            match timeout(ARCHIVE_TIMEOUT, self.archive(machine)).await {
                Ok(Ok(artifact)) => {
                    let with = json!({
                        "artifactPath": artifact.path, "sizeBytes": artifact.size, "fileCount": artifact.files,
                    });
                    told.status(self.now(), "workspace_snapshot_stored", with);
                    return Some(artifact);
                }
                Ok(Err(Unkept { again: true, .. })) if tries < ARCHIVE_TRIES => {
                    tries += 1;
                    sleep(PAUSE_MIN * 2u32.pow(tries)).await;
                }
                Ok(Err(Unkept { error, code, .. })) => {
                    told.status(self.now(), UNKEPT, json!({ "error": error, "code": code }));
                    return None;
                }
                Err(_) => {
                    let error = format!("it took longer than {} s", ARCHIVE_TIMEOUT.as_secs());
                    told.status(self.now(), UNKEPT, json!({ "error": error, "code": null }));
                    return None;
                }
            }
        }
    }

    async fn archive(&self, machine: &Arc<Machine>) -> Result<Artifact, Unkept> {
        let again = |error: String| Unkept { error, code: None, again: true };
        let hold = machine.in_use(&self.app.clock);
        let cause = format!("the workspace of run {}", self.run.id);
        life::ensure_running(&self.app, machine, &cause).await.map_err(|e| again(e.message))?;
        let settings = &self.app.runs.settings;
        let (bytes, files) = (settings.archive_bytes_max, settings.archive_files_max);
        let request =
            Request::get(format!("/toft/files/archive.zip?bytesMax={bytes}&filesMax={files}"))
                .body(Body::empty())
                .map_err(|e| again(e.to_string()))?;
        let answer = self.app.bridge.send(&self.run.project, request).await;
        let (parts, body) = answer.map_err(|e| again(e.told()))?.into_parts();
        if !parts.status.is_success() {
            let bytes = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let told = bytes.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let told: Value = serde_json::from_slice(&told).unwrap_or_default();
            let error = told["error"].as_str().unwrap_or("the bridge refused it").to_owned();
            let code = told["code"].as_str().map(str::to_owned);
            return Err(Unkept { error, code, again: parts.status.is_server_error() });
        }
        let files = parts.headers.get("x-toft-files");
        let files = files.and_then(|n| n.to_str().ok()?.parse().ok()).unwrap_or(0);
        let path = Artifacts::workspace(&self.run.project, &self.run.id, self.run.state.attempt);
        let bytes = body.into_data_stream().map_err(io::Error::other);
        let size =
            self.app.runs.artifacts.put(&path, bytes).await.map_err(|e| again(e.to_string()))?;
        drop(hold);
        Ok(Artifact {
            name: WORKSPACE.into(),
            path,
            mime: "application/zip".into(),
            size,
            files,
            created_at: self.now(),
        })
    }

    /// Of older runs of its project the workspaces go. What stays is found again by the next run.
    async fn drop_old(&self) {
        let (app, project) = (&self.app, &self.run.project);
        let old = app.store.old_artifacts(project, app.runs.settings.workspaces_kept).await;
        let drop = async |path: &str| {
            app.runs.artifacts.remove(path).await;
            app.store.forget_artifact(project, path).await
        };
        for path in old.unwrap_or_default() {
            if let Err(error) = drop(&path).await {
                tracing::warn!(project.id = %project, %error, "an old workspace is still known");
                return;
            }
        }
    }

    /// What it used so far costs as much, if that is known.
    async fn price(&mut self) {
        let state = &mut self.run.state;
        let (Some(usage), Some(provider), Some(model)) =
            (state.usage, &state.provider, &state.model)
        else {
            return;
        };
        match self.app.store.active_price(provider, model).await {
            Ok(price) => state.cost = price.map(|price| cost(usage, &price)),
            Err(error) => {
                tracing::warn!(run.id = %self.run.id, %error, "what a run costs is not known");
            }
        }
    }

    /// Whether it went with its project.
    async fn is_gone(&self) -> bool {
        matches!(self.app.store.run(&self.run.project, &self.run.id).await, Ok(None))
    }

    fn over(&mut self, status: RunStatus, ts: u64) {
        let state = &mut self.run.state;
        state.status = status;
        state.phase = Phase::Over;
        state.waits_for = None;
        state.completed_at = Some(ts);
        state.duration_ms = state.started_at.map(|began| ts.saturating_sub(began));
    }

    async fn end_cancelled(&mut self, mut told: Told) -> Result<(), Stop> {
        let ts = self.now();
        self.price().await;
        self.over(RunStatus::Cancelled, ts);
        told.status(ts, "cancelled", json!({}));
        self.write(told, Left::default(), Durable::Now).await
    }

    /// It is tried again after a pause, or has failed.
    async fn fail(&mut self, failed: Failed, mut told: Told) {
        if self.cancelled.is_cancelled() {
            // Who wanted it ended was told that it is.
            let _ = self.end_cancelled(told).await;
            return;
        }
        let ts = self.now();
        self.price().await;
        let (attempt, max) = (self.run.state.attempt.max(1), self.run.attempts_max);
        let with = json!({ "error": failed.error, "attempts": attempt, "maxAttempts": max });
        if failed.again && attempt < max {
            let pause =
                Duration::from_secs(1 << attempt.min(16)).min(self.app.runs.settings.backoff_max);
            let state = &mut self.run.state;
            state.status = RunStatus::Queued;
            state.phase = Phase::Over;
            state.waits_for = None;
            state.not_before = ts + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            told.status(ts, "attempt_failed", with);
            let with = json!({ "nextAttempt": attempt + 1, "backoffSeconds": pause.as_secs() });
            told.status(ts, "retrying", with);
        } else {
            self.over(RunStatus::Error, ts);
            told.say(ts, "error", &with);
        }
        self.run.state.error = Some(failed.error);
        // One that is lost meanwhile is told by who has it.
        let _ = self.write(told, Left::default(), Durable::Now).await;
    }

    /// Has the bridge end it. Whether it was told: its end is an event.
    async fn cancel(&mut self, machine: &Arc<Machine>) -> Result<bool, Stop> {
        match machine.state() {
            MachineState::Stopped | MachineState::Error | MachineState::Destroyed => {
                // Nothing works for it; what its bridge still knows of it is ended when that starts.
                self.end_cancelled(Told::default()).await?;
                return Err(Stop::Written);
            }
            MachineState::Creating
            | MachineState::Running
            | MachineState::Frozen
            | MachineState::Cold => {}
        }
        let hold = machine.in_use(&self.app.clock);
        let cause = format!("cancelling run {}", self.run.id);
        life::ensure_running(&self.app, machine, &cause).await?;
        let path = format!("/toft/runs/{}/cancel", self.run.id);
        let body = json!({ "fence": self.run.fence });
        let answer = self.ask(Method::POST, &path, Some(&body)).await;
        drop(hold);
        match answer {
            Ok((status, _)) if status.is_success() => Ok(true),
            Ok((StatusCode::CONFLICT, answer)) if answer["code"] == "stale_fence" => {
                Err(Stop::Lost)
            }
            Ok((StatusCode::NOT_FOUND, _)) => {
                self.end_cancelled(Told::default()).await?;
                Err(Stop::Written)
            }
            Ok((status, _)) => {
                tracing::debug!(run.id = %self.run.id, %status, "a run is cancelled again");
                sleep(PAUSE_MIN).await;
                Ok(false)
            }
            Err(error) => {
                tracing::debug!(run.id = %self.run.id, %error, "a run is cancelled again");
                sleep(PAUSE_MIN).await;
                Ok(false)
            }
        }
    }

    /// Writes state and events in one transaction, again until the database takes it.
    async fn write(&mut self, told: Told, left: Left, durable: Durable) -> Result<(), Stop> {
        let mut pause = PAUSE_MIN;
        loop {
            let now = self.now();
            match self.app.store.write_run(&self.run, &told.0, &left, durable, now).await {
                Ok(Wrote::Done(last)) => {
                    self.run.last_seq = last;
                    self.app.runs.changed(&*self.app.store, &self.run.id).await;
                    return Ok(());
                }
                Ok(Wrote::Lost) => return Err(Stop::Lost),
                Err(error) => {
                    tracing::warn!(run.id = %self.run.id, %error, "a run's events wait to be written");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), BridgeError> {
        let broken = |e: &dyn std::fmt::Display| BridgeError::Broken(e.to_string());
        let work = async {
            let until = crate::clock::monotonic_ms() + 10_000;
            let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::CONTENT_TYPE, "application/json")
                .header(TAKE_BEFORE, until)
                .body(body)
                .map_err(|e| broken(&e))?;
            let answer = self.app.bridge.send(&self.run.project, request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|e| broken(&e))?.to_bytes();
            Ok((status, serde_json::from_slice(&bytes).map_err(|_| BridgeError::NoJson)?))
        };
        timeout(ANSWER_TIMEOUT, work).await.map_err(|_| BridgeError::Timeout)?
    }
}

/// What was read; what was not says whether the run is still ours.
fn read<T>(read: Result<T, StoreError>) -> Result<T, Stop> {
    read.map_err(|error| match error {
        StoreError::Missing { .. } => Stop::Lost,
        error => Stop::Failed(Failed { error: ApiError::from(error).message, again: true }),
    })
}
