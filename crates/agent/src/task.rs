//! Tasks: work that a call has done in a conversation of its own, which is found again by the call's run
//! id. It is an open session like any other; what ties it to its call is [`Errand`].

use crate::{
    command::{Command, Refused},
    conversation::{Conversation, Errand},
    handle::{Child, Handle, Sessions},
    session::{Body, QueuedAs, TaskOf},
    tally,
};
use async_trait::async_trait;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use toft_model::{
    id::SessionId,
    message::{Message, StopReason, UserContent, text_of},
    plan::Mode,
    provider::ModelRef,
    tool::TASK_PROMPT,
};
use toft_tools::{
    ToolContext,
    host::{TaskEnd, TaskOrder, Tasks},
};

/// Part of the second in which an abort must be over.
const ABORT_TIMEOUT: Duration = Duration::from_millis(400);

/// Before another try, when the conversation was just closed or the gateway is away.
const AGAIN: Duration = Duration::from_millis(200);

/// Characters of a name in a list.
const NAME_CHARS_MAX: usize = 80;

/// Has tasks done for a conversation.
pub(crate) struct Helpers {
    /// That.
    pub(crate) conversation: Arc<Conversation>,
    /// Opens theirs.
    pub(crate) sessions: Arc<dyn Sessions>,
}

#[async_trait]
impl Tasks for Helpers {
    async fn run(&self, ctx: &ToolContext, order: TaskOrder) -> Result<TaskEnd, String> {
        let model = match &order.model {
            Some(wanted) => Some(self.model(ctx, wanted).await?),
            None => self.conversation.session().model().cloned(),
        };
        let child = self.child(ctx);
        loop {
            let handle = self.sessions.child(child.clone()).await?;
            match self.follow(ctx, &handle, &order, model.clone()).await {
                Ok(()) => return Ok(end(&handle, &order)),
                // Closed for idleness, or with the bridge: then this ends, too.
                Err(Refused::Closed) => tokio::time::sleep(AGAIN).await,
                Err(refused) => return Err(format!("The task could not be begun: {refused}.")),
            }
        }
    }
}

impl Helpers {
    fn child(&self, ctx: &ToolContext) -> Child {
        let session = self.conversation.session();
        Child {
            id: SessionId::of(&ctx.run_id),
            task: TaskOf {
                parent: session.id().clone(),
                call_id: ctx.call_id.clone(),
                run: session.run(),
            },
            parent_file: session.path().to_owned(),
        }
    }

    /// The model that was named: `provider/id`, or an id of the provider that is used now.
    async fn model(&self, ctx: &ToolContext, wanted: &str) -> Result<ModelRef, String> {
        let wanted = wanted.trim();
        let models = &self.conversation.around.models;
        let mut names = Vec::new();
        if let Some((provider, id)) = wanted.split_once('/') {
            names.push(ModelRef { provider: provider.into(), id: id.into() });
        }
        let now = self.conversation.session().model().cloned();
        if let Some(choice) = models.known(now.as_ref())
            // Some providers have ids of two parts; to the others such an id is none.
            && (names.is_empty() || choice.info.id.contains('/'))
        {
            names.push(ModelRef { provider: choice.info.provider, id: wanted.to_owned() });
        }
        let mut why = format!("The model {wanted:?} is not known: name it as provider/id.");
        for (n, name) in names.iter().enumerate() {
            loop {
                match models.choose(Some(name)).await {
                    Ok(choice) => {
                        return Ok(ModelRef { provider: choice.info.provider, id: choice.info.id });
                    }
                    Err(failure) if failure.code == "unreachable" && !ctx.cancel.is_cancelled() => {
                        tokio::time::sleep(AGAIN).await;
                    }
                    Err(failure) => {
                        if n == 0 {
                            why = failure.message;
                        }
                        break;
                    }
                }
            }
        }
        Err(format!("The task was not begun: {why}"))
    }

    /// Begins it, or goes on with it, and returns at its end.
    async fn follow(
        &self,
        ctx: &ToolContext,
        handle: &Handle,
        order: &TaskOrder,
        model: Option<ModelRef>,
    ) -> Result<(), Refused> {
        let conversation = handle.conversation();
        conversation.set_errand(Errand {
            parent: Arc::clone(&self.conversation),
            call_id: ctx.call_id.clone(),
            updates: ctx.updates.clone(),
        });
        // Said once, however often its call is run.
        let begun = conversation.session().entry(TASK_PROMPT).is_some();
        if begun {
            handle.resume().await?;
        } else {
            let thinking_level = self.conversation.session().thinking_level().map(str::to_owned);
            let name = order.description.split_whitespace().collect::<Vec<_>>().join(" ");
            let name = Some(name.chars().take(NAME_CHARS_MAX).collect());
            let name = name.filter(|_| conversation.session().name().is_none());
            handle.ask(|reply| Command::Change { model, thinking_level, name, reply }).await?;
            if ctx.read_only {
                handle.ask(|reply| Command::Mode { mode: Mode::Plan, reply }).await?;
            }
            let content = UserContent::Text(order.prompt.clone());
            let (id, waiting) = (Some(TASK_PROMPT.to_owned()), Some(QueuedAs::FollowUp));
            handle.prompt(id, content, waiting).await?;
        }
        tokio::select! {
            rested = handle.ask(|reply| Command::Rested { reply }) => rested,
            () = ctx.cancel.cancelled() => {
                let abort = handle.ask(|reply| Command::Abort { clear_queue: true, reply });
                // It goes on stopping when this is given up.
                let _ = tokio::time::timeout(ABORT_TIMEOUT, abort).await;
                Ok(())
            }
        }
    }
}

fn end(handle: &Handle, order: &TaskOrder) -> TaskEnd {
    let conversation = handle.conversation();
    let reason = match conversation.last_stop() {
        Some(StopReason::Error) if conversation.last_limit().is_some() => "limit",
        Some(StopReason::Error) => "error",
        Some(StopReason::Stop | StopReason::Length) => "done",
        Some(StopReason::Aborted | StopReason::ToolUse) | None => "aborted",
    };
    let tally = tally::of(conversation, reason);
    let session = conversation.session();
    let mut text = String::new();
    // The failure, and what was said before it.
    for entry in session.ancestors() {
        let Body::Message(Message::Assistant(answer)) = &entry.body else { continue };
        let said = text_of(&answer.content);
        // Of one that was stopped its reason says that.
        let failure = answer.error_message.clone();
        let failure = failure.filter(|_| answer.stop_reason != StopReason::Aborted);
        let parts = [failure.unwrap_or_default(), said.clone()];
        for part in parts.iter().filter(|part| !part.trim().is_empty()) {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(part);
        }
        if !said.trim().is_empty() || reason == "done" {
            break;
        }
    }
    let cwd = &conversation.around.cwd;
    TaskEnd {
        text,
        file: session.path().to_owned(),
        reason: reason.to_owned(),
        details: json!({
            "sessionId": session.id(),
            "description": order.description,
            "reason": reason,
            "model": session.model(),
            "usage": tally.usage,
            "turns": tally.turns,
            "tools": tally.tools,
            "durationMs": tally.duration_ms,
        }),
        changed: tally.changed.iter().map(|path| cwd.join(path)).collect(),
    }
}
