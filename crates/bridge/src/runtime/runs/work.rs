//! The part of a run that is a conversation: its prompt is said once, its end is waited for, its plan is approved. A
//! person may speak in it, stop it and answer it like any other.

use super::{
    Run, RunRefused, State,
    drive::Failed,
    found::{Found, approved, builds, found, prompt_of},
};
use crate::{
    log::Batch,
    runtime::{AgentRuntime, RuntimeError, blocking, failed, said::Claim},
};
use futures_util::{Stream, StreamExt as _};
use std::{future::pending, pin::pin, time::Duration};
use toft_agent::{
    Command, Conversation, Handle, Refused, Reply, Setting,
    session::{Session, Step},
};
use toft_llm::ask::Retry;
use toft_model::{
    id::SessionId,
    message::UserContent,
    plan::{Mode, PlanReady, PlanState},
    run::{JobId, Phase, RunOrder, WaitsFor},
};
use tokio::time::sleep;

/// Between looks at the clock, and at whether a person is asked.
const LOOK: Duration = Duration::from_secs(1);

/// The shortest time between two looks.
const LOOK_MIN: Duration = Duration::from_millis(20);

/// Times a command is sent again when its conversation was just closed for idleness.
const CLOSED_RETRIES: usize = 3;

impl AgentRuntime {
    /// Planning, or building: as far as it goes without another look at the book.
    pub(super) async fn converse(
        &self,
        id: &JobId,
        run: &Run,
        order: &RunOrder,
    ) -> Result<(), Failed> {
        let state = &run.state;
        let prompt = prompt_of(id);
        // From before the look on, so that nothing is missed.
        let mut news = pin!(self.news(&state.session));
        let handle = self.begin(id, state, order).await?;
        if state.phase == Phase::Plan
            && let Some(Built { plan_id }) = carried_out(handle.conversation(), &prompt)
        {
            self.build(id, plan_id).await;
            return Ok(());
        }
        self.rest(id, order, &handle).await?;
        let look = || {
            let session = handle.conversation().session();
            let leaf = session.leaf().map(|entry| entry.id.clone());
            (found(&session, &prompt), approved(&session, &prompt), leaf)
        };
        let (found, approved, leaf) = look();
        // Somebody said something in this moment. Asked last: who works has said it before.
        if works(handle.conversation()) {
            return Ok(());
        }
        if found == Found::Cut {
            // Or is saying it: it stands there before the agent works on it, and behind that it rests again.
            self.rest(id, order, &handle).await?;
            if works(handle.conversation()) || look().2 != leaf {
                return Ok(());
            }
        }
        drop(handle);
        // Waiting may have ended with the rest.
        let Some(Run { state, .. }) = self.runs.run(id) else { return Ok(()) };
        if state.phase == Phase::Plan && approved.is_some() {
            // In the last moment. How that went says the next look.
            self.build(id, approved).await;
            return Ok(());
        }
        let (plan, mode) = match found {
            Found::Elsewhere => {
                let why = "The conversation was taken elsewhere: it does not stand behind the run's prompt.";
                return Err(Failed::cancelled(why));
            }
            Found::Cut => {
                let why = "The work was cut: its conversation's file could not be written.";
                return Err(Failed::error(why));
            }
            Found::Stopped => return Err(Failed::cancelled("The work was stopped by a person.")),
            Found::Failed { answer, error } => {
                return Err(Failed { answer: Some(answer), ..Failed::error(error) });
            }
            Found::Done { plan, mode } => (plan, mode),
        };
        if state.phase == Phase::Build {
            let (now, seq) = self.here();
            self.keep(id, move |state| state.advance(Phase::Commit, now, seq)).await;
            return Ok(());
        }
        let is_rejected = matches!(plan, Some((_, PlanState::Rejected)));
        let plan_id = plan.map(|(plan, _)| plan.plan_id);
        if mode == Mode::Build {
            // A person had it work without a plan.
            self.build(id, None).await;
        } else if !order.approval && !is_rejected {
            self.approve(&state, plan_id).await?;
        } else if plan_id.is_none() {
            // A person is to see what they approve.
            self.propose(&state).await?;
        } else if waits_for(&state) == Some(WaitsFor::Approval) && state.plan_id == plan_id {
            // Any of them may be a person's word.
            let _ = news.next().await;
        } else {
            let (now, seq) = self.here();
            self.keep(id, move |state| {
                state.plan_id.clone_from(&plan_id);
                state.advance(Phase::Plan, now, seq);
                state.wait_for(Some(WaitsFor::Approval), now);
            })
            .await;
        }
        Ok(())
    }

    /// The plan is approved, or there is none: from here on it builds.
    async fn build(&self, id: &JobId, plan_id: Option<String>) {
        let (now, seq) = self.here();
        self.keep(id, move |state| {
            state.plan_id.clone_from(&plan_id);
            state.advance(Phase::Build, now, seq);
        })
        .await;
    }

    /// Has the plan carried out. That it is approved is seen by the next look.
    async fn approve(&self, state: &State, plan_id: Option<String>) -> Result<(), Failed> {
        let approve = |reply| Command::Approve { plan_id: plan_id.clone(), plan: None, reply };
        match self.ask_in(state, approve).await {
            // Somebody said something in this moment: then that is waited for.
            Ok(_) | Err(RunRefused::Refused(Refused::Busy)) => Ok(()),
            Err(refused) => Err(no_plan(refused)),
        }
    }

    /// Has the agent's words put forward as its plan. The next look finds it.
    async fn propose(&self, state: &State) -> Result<(), Failed> {
        match self.ask_in(state, |reply| Command::Propose { reply }).await {
            Ok(_) | Err(RunRefused::Refused(Refused::Busy)) => Ok(()),
            Err(refused) => Err(no_plan(refused)),
        }
    }

    /// Says the run's prompt, unless it is said; after an error has the model asked again.
    async fn begin(&self, id: &JobId, state: &State, order: &RunOrder) -> Result<Handle, Failed> {
        let prompt = prompt_of(id);
        let handle = self.place(state).await.map_err(RunRefused::from)?;
        let conversation = handle.conversation();
        if conversation.session().entry(&prompt).is_some() {
            self.said_as(id, state, &prompt).await;
            self.again(state, conversation).await?;
            return Ok(handle);
        }
        if state.said.is_some() {
            // It waits, or was dropped: the look at the end tells.
            return Ok(handle);
        }
        loop {
            // What goes on there is not to be done as this run's.
            self.rest(id, order, &handle).await?;
            self.is_asked_for(order).await?;
            if self.say(state, &prompt, order).await? {
                break;
            }
        }
        self.said_as(id, state, &prompt).await;
        Ok(handle)
    }

    /// Its model is one that there is.
    async fn is_asked_for(&self, order: &RunOrder) -> Result<(), Failed> {
        let Some(model) = &order.model else { return Ok(()) };
        match self.around.models.choose(Some(model)).await {
            Err(failure) if matches!(failure.retry, Retry::Never) => {
                Err(Failed::error(failure.message))
            }
            // The agent waits for a gateway that is not there now.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn said_as(&self, id: &JobId, state: &State, prompt: &str) {
        if state.said.is_none() {
            let said = prompt.to_owned();
            self.keep(id, move |state| state.said = Some(said.clone())).await;
        }
    }

    /// Says it under its name, once, to the order's model and in the mode in which it begins. `false`: a person was
    /// faster. Waiting behind them it might be carried out when nobody knows of the run any more.
    async fn say(&self, state: &State, prompt: &str, order: &RunOrder) -> Result<bool, Failed> {
        let content = UserContent::Text(order.prompt.clone());
        let claim = self.said.claim(prompt, state.session.clone(), &content).await;
        match claim.map_err(RunRefused::from)? {
            Claim::New(_) | Claim::Begun(_) => {}
            // It waited, and was dropped since.
            Claim::Taken(..) => return Ok(true),
            Claim::Other => {
                return Err(Failed::error("Another message was said under the run's name."));
            }
        }
        let id = Some(prompt.to_owned());
        let mode = if order.plan { Mode::Plan } else { Mode::Build };
        let setting = Setting { model: order.model.clone(), mode };
        let said = self.ask_in(state, |reply| Command::Prompt {
            id: id.clone(),
            content: content.clone(),
            waiting: None,
            setting: Some(setting.clone()),
            reply,
        });
        let prompted = match said.await {
            Err(RunRefused::Refused(Refused::Busy)) => return Ok(false),
            other => other?,
        };
        if let Err(error) = self.said.answered(prompt, &prompted).await {
            // Its entry still says so.
            tracing::warn!(%error, "what became of a run's prompt was not kept");
        }
        Ok(true)
    }

    /// Has an answer asked for anew that failed before this attempt, and cut work gone on with.
    async fn again(&self, state: &State, conversation: &Conversation) -> Result<(), Failed> {
        let is_due = {
            let session = conversation.session();
            let failed = session.failed_answer().map(|entry| entry.id.as_str());
            let failed_again = failed.is_some() && failed == state.retries.as_deref();
            failed_again || (session.step() != Step::Rest && !works(conversation))
        };
        if !is_due {
            return Ok(());
        }
        match self.ask_in(state, |reply| Command::Retry { reply }).await {
            // It goes on already, or a person was faster.
            Ok(()) | Err(RunRefused::Refused(Refused::Busy | Refused::NothingToRetry)) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Whether its prompt is said. One that is on its way comes before this is answered.
    pub(super) async fn is_said(&self, state: &State, prompt: &str) -> bool {
        if state.said.is_some() || self.said.session_of(prompt).is_none() {
            return state.said.is_some();
        }
        let nothing =
            |reply| Command::Change { model: None, thinking_level: None, name: None, reply };
        if let Err(error) = self.ask_in(state, nothing).await {
            tracing::warn!(session = %state.session, %error, "what a run has said is looked for in its file");
        }
        let Ok(handle) = self.place(state).await else { return false };
        handle.conversation().session().entry(prompt).is_some()
    }

    /// Ends what works for a run.
    pub(super) async fn stop_work(&self, state: &State) {
        let abort = |reply| Command::Abort { clear_queue: true, reply };
        if let Err(error) = self.ask_in(state, abort).await {
            tracing::warn!(session = %state.session, %error, "the work of a run could not be stopped");
        }
    }

    /// Nobody is to be asked about its plan any more.
    pub(super) async fn withdraw(&self, state: &State) {
        let Ok(handle) = self.place(state).await else { return };
        let plan = handle.conversation().session().plan();
        let Some((PlanReady { plan_id, .. }, PlanState::Proposed)) = plan else { return };
        let reject = |reply| {
            let plan_id = Some(plan_id.clone());
            Command::Reject { plan_id, reason: None, reply }
        };
        if let Err(error) = self.ask_in(state, reject).await {
            tracing::warn!(session = %state.session, %error, "a run's plan goes on waiting");
        }
    }

    /// The answer with which its work ended, if the model can be asked for another one.
    pub(super) async fn failed_answer(&self, state: &State) -> Option<String> {
        let handle = self.place(state).await.ok()?;
        let session = handle.conversation().session();
        session.failed_answer().map(|entry| entry.id.clone())
    }

    /// Waits until nothing works there, or its plan is carried out, at most for as long as the phase may take. Writes
    /// down when a person is waited for meanwhile, and when not any more.
    async fn rest(&self, id: &JobId, order: &RunOrder, handle: &Handle) -> Result<(), Failed> {
        let conversation = handle.conversation();
        let prompt = prompt_of(id);
        let mut rested = pin!(handle.ask(|reply| Command::Rested { reply }));
        let mut look = LOOK_MIN;
        loop {
            let (asks, provider) = (asks(conversation), conversation.needs_provider());
            let (now, seq) = self.here();
            let Some(Run { state, .. }) = self.runs.run(id) else { return Ok(()) };
            // A summary that a person wants is no work of the run's.
            let is_working = conversation.is_working();
            // A plan that is approved is carried out before anything rests: that is another phase.
            if state.phase == Phase::Plan
                && is_working
                && carried_out(conversation, &prompt).is_some()
            {
                return Ok(());
            }
            let waits =
                if asks { Some(WaitsFor::Answer) } else { provider.then_some(WaitsFor::Provider) };
            if is_working && waits_for(&state) == Some(WaitsFor::Approval) {
                // A person wants another plan. Nothing else tells that they are waited for no more.
                self.keep(id, move |state| {
                    state.wait_for(None, now);
                    state.advance(state.phase, now, seq);
                })
                .await;
                return Ok(());
            }
            if is_working && waits_for(&state) != waits {
                self.keep(id, move |state| state.wait_for(waits, now)).await;
                continue;
            }
            let left = state.left_ms(order, now);
            // What is done is done, also when no bridge was there to see it in time.
            if left == 0 && is_working {
                let (what, seconds) = match state.phase {
                    Phase::Plan => ("Planning", order.plan_timeout_s),
                    Phase::Build | Phase::Commit | Phase::Over => {
                        ("Building", order.build_timeout_s)
                    }
                };
                let why = format!("{what} took longer than the {seconds} seconds that it may.");
                let answer = None;
                return Err(Failed { stops: true, answer, ..Failed::error(why) });
            }
            tokio::select! {
                biased;
                rested = &mut rested => return match rested {
                    Err(Refused::Closed) if self.stop.is_cancelled() => pending().await,
                    // Closed for idleness: nothing works.
                    Ok(()) | Err(Refused::Closed) => Ok(()),
                    Err(refused) => Err(RunRefused::from(refused).into()),
                },
                () = sleep(look.min(Duration::from_millis(left)).max(LOOK_MIN)) => {}
            }
            look = (look * 2).min(LOOK);
        }
    }

    /// The conversation of a run; one of its own is made unless it is there.
    pub(super) async fn place(&self, state: &State) -> Result<Handle, RuntimeError> {
        let mut open = self.open.lock().await;
        match self.open_in(&mut open, &state.session).await {
            // One that was there and is gone is not made anew: its work would be done twice.
            Err(RuntimeError::NoSession(_)) if state.own && state.said.is_none() => {}
            other => return other,
        }
        let (dir, cwd, id) = (self.sessions_dir(), self.boot.cwd.clone(), state.session.clone());
        let (now, _) = self.here();
        let session = blocking(move || Ok(Session::create_as(&dir, id, &cwd, now)))
            .await
            .map_err(failed("making the conversation of a run"))??;
        self.made_in(&mut open, session, None)
    }

    /// Asks the conversation of a run to do something.
    pub(super) async fn ask_in<T>(
        &self,
        state: &State,
        command: impl Fn(Reply<T>) -> Command,
    ) -> Result<T, RunRefused> {
        let mut tries = 0;
        loop {
            let handle = self.place(state).await?;
            match handle.ask(&command).await {
                // The bridge ends: nothing is known of what was asked.
                Err(Refused::Closed) if self.stop.is_cancelled() => return pending().await,
                Err(Refused::Closed) if tries < CLOSED_RETRIES => tries += 1,
                other => return Ok(other?),
            }
        }
    }

    /// What is told of a conversation from now on.
    fn news(&self, session: &SessionId) -> impl Stream<Item = Batch> + Send + use<> {
        let session = session.clone();
        let batches = self.log.batches(None);
        batches.filter(move |batch| std::future::ready(batch.names(&session)))
    }

    /// The plan of a run, as its conversation has it.
    pub(super) async fn plan_of(&self, state: &State) -> Option<PlanReady> {
        let plan_id = state.plan_id.as_deref()?;
        let handle = {
            let mut open = self.open.lock().await;
            self.open_in(&mut open, &state.session).await.ok()?
        };
        let session = handle.conversation().session();
        session.entry(plan_id)?.proposes()
    }

    /// Whether the agent of a run asks a person now.
    pub(super) async fn asks(&self, state: &State) -> bool {
        self.open.lock().await.get(&state.session).is_some_and(|handle| asks(handle.conversation()))
    }

    /// Whether its provider is waited for now.
    pub(super) async fn needs_provider(&self, state: &State) -> bool {
        let open = self.open.lock().await;
        open.get(&state.session).is_some_and(|handle| handle.conversation().needs_provider())
    }

    /// Conversations of runs that are at work, in this moment maybe between two steps: where no person is
    /// waited for.
    pub(crate) async fn runs_at_work(&self) -> Vec<SessionId> {
        let open = super::lock(&self.runs.book)
            .all()
            .filter(|(_, run)| !run.state.is_over())
            .filter(|(_, run)| waits_for(&run.state) != Some(WaitsFor::Approval))
            .map(|(_, run)| run.state.session.clone())
            .collect::<Vec<_>>();
        let known = self.open.lock().await;
        let asked = |id: &SessionId| known.get(id).is_some_and(|one| asks(one.conversation()));
        open.into_iter().filter(|id| !asked(id)).collect()
    }
}

fn no_plan(refused: RunRefused) -> Failed {
    match refused {
        RunRefused::Refused(Refused::NoPlan) => {
            Failed::error("The agent came to rest without a plan and without a word.")
        }
        refused => refused.into(),
    }
}

fn waits_for(state: &State) -> Option<WaitsFor> {
    state.waits.map(|wait| wait.what)
}

/// Work that is no planning any more.
struct Built {
    /// The plan that a person, or the run itself, approved; none where a person had it work without one.
    plan_id: Option<String>,
}

/// What is being built, or was. The words that say so stand there before anything works on them, and are taken back if
/// the disk refuses them.
fn carried_out(conversation: &Conversation, prompt: &str) -> Option<Built> {
    let works = works(conversation);
    let session = conversation.session();
    let plan_id = approved(&session, prompt);
    let is_built = plan_id.is_some() || builds(&session, prompt);
    (is_built && (works || session.step() == Step::Rest)).then_some(Built { plan_id })
}

fn works(conversation: &Conversation) -> bool {
    conversation.is_working() || conversation.is_compacting()
}

fn asks(conversation: &Conversation) -> bool {
    conversation.question().is_some() || conversation.needs_person()
}
