//! The way of a run to its bridge: its machine is woken and the whole order given, until a bridge has it.

use super::owned::{Failed, LOOK, PAUSE_MAX, PAUSE_MIN, Stop, Work, read};
use crate::{
    checkpoints::auto,
    machines::{Machine, life},
    runs::{shown, told::Told},
};
use http::{Method, StatusCode};
use std::sync::Arc;
use toft_model::{
    id::SessionId,
    machine::MachineState,
    provider::ModelRef,
    run::{RunNow, RunOrder},
};
use toft_store::{Durable, Left};

/// Runs in a row that were over before they had begun, behind which a conversation is still found.
const PARENTS_MAX: usize = 64;

impl Work {
    /// Gives the order to the bridge, to one after the other until one has it.
    pub(super) async fn hand_over(&mut self, machine: &Arc<Machine>) -> Result<RunNow, Stop> {
        let cause = format!("run {}", self.run.id);
        let order = self.order().await?;
        let path = format!("/toft/runs/{}", self.run.id);
        let mut pause = PAUSE_MIN;
        let is_new = self.run.state.session.is_none();
        // No bridge works on it that could tell how it ended.
        let mut unheard = is_new || self.begins;
        let mut looked = false;
        loop {
            if self.cancelled.is_cancelled() && unheard {
                return Err(Stop::Cancelled);
            }
            // Held until it is answered, so that it is not put away in between.
            let hold = machine.in_use(&self.app.clock);
            let woken = tokio::select! {
                woken = life::ensure_running(&self.app, machine, &cause) => woken,
                // Who is cancelled waits for no machine; what has begun comes to its end.
                () = self.cancelled.cancelled(), if unheard => return Err(Stop::Cancelled),
            };
            match woken {
                Ok(()) => self.waits_for_machine(false).await?,
                Err(error) if machine.state() == MachineState::Stopped => {
                    // A person has stopped it, and starts it again.
                    drop(hold);
                    if self.cancelled.is_cancelled() {
                        // What its bridge still knows of it is ended then.
                        return Err(Stop::Cancelled);
                    }
                    tracing::debug!(run.id = %self.run.id, reason = error.message, "a run waits for its machine");
                    self.waits_for_machine(true).await?;
                    self.pause(LOOK).await;
                    // A signal may be lost.
                    self.look_at_row().await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if is_new && !looked && self.run.state.checkpoint.is_none() {
                looked = true;
                let is_first = self.begins && self.run.state.attempt == 1;
                if is_first || !self.may_be_known(&path).await {
                    let session = order.session_id.clone();
                    let unwanted = &self.cancelled;
                    let copy = auto::before_run(&self.app, machine, session, unwanted).await;
                    let Some(copy) = copy else { return Err(Stop::Cancelled) };
                    if let Some(copy) = copy {
                        // Before the bridge has the order: whoever goes on with it knows what was before it.
                        self.run.state.checkpoint = Some(copy.to_string());
                        self.write(Told::default(), Left::default(), Durable::Soon).await?;
                    }
                }
            }
            self.begins = false;
            let body = serde_json::to_value(&order).unwrap_or_default();
            let answer = self.ask(Method::PUT, &path, Some(&body)).await;
            drop(hold);
            match answer {
                Ok((status, mut answer)) if status.is_success() => {
                    let now = serde_json::from_value(answer["data"].take());
                    return now.map_err(|error| {
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
                // A conversation that is gone is named by the bridge itself.
                Ok((StatusCode::NOT_FOUND, answer))
                    if answer["code"] != "session_not_found"
                        && (answer["code"] != "not_found" || answer["error"].is_null()) =>
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
            unheard = true;
            self.pause(pause).await;
            self.look_at_row().await?;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether its bridge was given the order by an owner who did not come to write that down: then it may have changed
    /// the project already.
    async fn may_be_known(&self, path: &str) -> bool {
        !matches!(self.ask(Method::GET, path, None).await, Ok((StatusCode::NOT_FOUND, _)))
    }

    /// The whole order. The conversation of the run before goes on, if there is one.
    async fn order(&mut self) -> Result<RunOrder, Stop> {
        let settings = &self.app.runs.settings;
        let run = &self.run;
        let (session, prompt) = self.goes_on().await?;
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

    /// The conversation that it goes on in, if there is one, and what is said there. The same whoever asks, and when:
    /// the runs before it are over.
    async fn goes_on(&self) -> Result<(Option<SessionId>, String), Stop> {
        let run = &self.run;
        let mut prompt = run.prompt.clone();
        let mut before = run.parent.clone();
        for step in 0..PARENTS_MAX {
            let Some(id) = before else { break };
            let Some(parent) = read(self.app.store.run(&run.project, &id).await)? else { break };
            if parent.state.session.is_some() {
                return Ok((parent.state.session, prompt));
            }
            // It was over before it had begun: its words are nowhere but here, and what it went on from is told by that
            // one's conversation.
            if step == 0 {
                prompt = shown::go_on(&parent, &run.prompt);
            }
            before = parent.parent;
        }
        Ok((None, prompt))
    }
}
