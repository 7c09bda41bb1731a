//! Commands about mode and plan. Each decision is one line of the session's file, so that a bridge that dies
//! in the middle has either made it or not.

use super::Actor;
use crate::{
    command::{Approved, Refused},
    plan,
    session::{Body, Extra, custom, proposed, rejected},
};
use serde_json::json;
use toft_model::{
    event::EventBody,
    message::{Message, UserContent, UserMessage},
    plan::{Mode, Plan, PlanReady, PlanSettled, PlanSource, PlanState},
};

impl Actor {
    /// What the agent may do from its next call on.
    pub(super) async fn set_mode(&mut self, mode: Mode) -> Result<(), Refused> {
        self.conversation.around.sink.check().map_err(Refused::Disk)?;
        if self.conversation.session().mode() == mode {
            return Ok(());
        }
        let data = json!({ "mode": mode });
        let body = Body::Custom { custom_type: custom::MODE.into(), data };
        self.conversation.append(body, Extra::default())?;
        self.conversation.sync().await?;
        self.conversation.emit(EventBody::ModeChange { mode });
        if self.work.is_none() {
            self.conversation.settle();
        }
        Ok(())
    }

    /// Has a plan carried out, or what a person made of it.
    pub(super) async fn approve(
        &mut self,
        plan_id: Option<String>,
        edited: Option<Plan>,
    ) -> Result<Approved, Refused> {
        self.not_a_task()?;
        let edited = edited.as_ref().map(plan::checked).transpose().map_err(Refused::BadPlan)?;
        self.conversation.around.sink.check().map_err(Refused::Disk)?;
        // Asked again after an answer that was lost.
        if let Some(plan_id) = &plan_id
            && let Some(approval) = self.conversation.session().approval_of(plan_id)
        {
            return Ok(Approved { plan_id: plan_id.clone(), entry_id: approval.id.clone() });
        }
        self.idle().await?;
        let is_newest = plan_id.is_none();
        let ready = match (self.plan_to_settle(plan_id), edited) {
            (Ok(of), None) => of,
            (Ok(of), Some(edited)) if edited == of.plan => of,
            (Ok(of), Some(edited)) => {
                self.put_forward(edited, PlanSource::Edited, Some(of.plan_id))?
            }
            (Err(Refused::NoPlan), Some(edited)) if is_newest => {
                self.put_forward(edited, PlanSource::Edited, None)?
            }
            (Err(Refused::NoPlan), None) if is_newest => self.last_words()?,
            (Err(refused), _) => return Err(refused),
        };
        let extra = Extra { approves: Some(ready.plan_id.clone()), ..Extra::default() };
        let entry_id = self.say(plan::order(&ready.plan), extra).await?;
        let plan_id = ready.plan_id;
        let settled = PlanSettled { plan_id: plan_id.clone(), state: PlanState::Approved };
        self.conversation.emit(EventBody::PlanSettled(settled));
        self.conversation.emit(EventBody::ModeChange { mode: Mode::Build });
        self.start();
        Ok(Approved { plan_id, entry_id })
    }

    /// Puts the last words forward as a plan.
    pub(super) async fn propose(&mut self) -> Result<PlanReady, Refused> {
        self.not_a_task()?;
        self.conversation.around.sink.check().map_err(Refused::Disk)?;
        self.idle().await?;
        let ready = self.last_words()?;
        self.conversation.sync().await?;
        self.conversation.settle();
        Ok(ready)
    }

    /// Wants another plan, for a reason, or none. Answers with the entry of the reason.
    pub(super) async fn reject(
        &mut self,
        plan_id: Option<String>,
        reason: Option<String>,
    ) -> Result<Option<String>, Refused> {
        self.not_a_task()?;
        self.conversation.around.sink.check().map_err(Refused::Disk)?;
        self.idle().await?;
        let plan_id = self.plan_to_settle(plan_id)?.plan_id;
        let said = if let Some(reason) = reason.filter(|reason| !reason.trim().is_empty()) {
            let extra = Extra { rejects: Some(plan_id.clone()), ..Extra::default() };
            Some(self.say(reason, extra).await?)
        } else {
            self.conversation.append(rejected(&plan_id), Extra::default())?;
            self.conversation.sync().await?;
            None
        };
        let settled = PlanSettled { plan_id, state: PlanState::Rejected };
        self.conversation.emit(EventBody::PlanSettled(settled));
        match said {
            Some(_) => self.start(),
            None => self.conversation.settle(),
        }
        Ok(said)
    }

    async fn idle(&mut self) -> Result<(), Refused> {
        self.let_it_end().await;
        if self.work.is_some() { Err(Refused::Busy) } else { Ok(()) }
    }

    /// The newest plan, unless another one is meant or it is being carried out.
    fn plan_to_settle(&self, wanted: Option<String>) -> Result<PlanReady, Refused> {
        let newest = self.conversation.session().plan();
        let (plan, state) = newest.ok_or(Refused::NoPlan)?;
        let is_other = wanted.is_some_and(|wanted| wanted != plan.plan_id);
        if is_other || state == PlanState::Approved {
            return Err(Refused::NoPlan);
        }
        Ok(plan)
    }

    /// The last answer of plan mode as a plan, whatever it says.
    fn last_words(&self) -> Result<PlanReady, Refused> {
        let answer = {
            let session = self.conversation.session();
            let answer = session.answer_without_plan().filter(|_| session.mode() == Mode::Plan);
            answer.map(|(entry, text)| (entry.id.clone(), text))
        };
        let (of, text) = answer.ok_or(Refused::NoPlan)?;
        let (plan, source) = plan::read(&text).ok_or(Refused::NoPlan)?;
        self.put_forward(plan, source, Some(of))
    }

    /// Puts a plan before a person.
    fn put_forward(
        &self,
        plan: Plan,
        source: PlanSource,
        of: Option<String>,
    ) -> Result<PlanReady, Refused> {
        let body = proposed(&plan, source, of.as_deref());
        let plan_id = self.conversation.append(body, Extra::default())?;
        let ready = PlanReady { plan_id, of, source, plan };
        self.conversation.emit(EventBody::PlanReady(ready.clone()));
        Ok(ready)
    }

    /// A message that begins work, once it is on disk.
    async fn say(&self, text: String, extra: Extra) -> Result<String, Refused> {
        let timestamp = self.conversation.now_ms();
        let message = Message::User(UserMessage { content: UserContent::Text(text), timestamp });
        let entry_id = self.conversation.append(Body::Message(message), extra)?;
        if let Err(error) = self.conversation.sync().await {
            // A refused message must not be found, and answered, by the next bridge.
            if self.conversation.session().take_back(&entry_id).is_ok() {
                return Err(error.into());
            }
            tracing::warn!(%error, "a message may not outlive a power cut");
        }
        Ok(entry_id)
    }
}
