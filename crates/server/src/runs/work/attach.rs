//! A bridge has the run: what is known of it from then on, and where its telling goes on.

use super::owned::{PAUSE_MIN, Stop, Work};
use crate::runs::told::{self, Told};
use serde_json::{Value, json};
use toft_model::run::RunNow;
use toft_store::{Durable, Left};

/// How often a conversation is asked for where it works, before that is left out.
const PLACE_TRIES: u32 = 20;

impl Work {
    /// The bridge has it: from here on its events are the run's.
    pub(super) async fn attach(&mut self, now: &RunNow) -> Result<(), Stop> {
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
        if self.run.state.provider.is_none() {
            let asked = self.run.asked_provider.clone().zip(self.run.asked_model.clone());
            let source = if asked.is_some() { "request" } else { "project" };
            self.run.state.model_source = Some(source.into());
            // A conversation may not have changed to the model that is asked for yet. One that is not made yet has
            // none: then who answers is told by the first answer.
            let answering = match asked {
                Some(asked) => Some(asked),
                None => self.answering().await,
            };
            if let Some((provider, model)) = answering {
                let ts = self.now();
                told::resolved(&mut told, ts, &mut self.run.state, &provider, &model);
            }
        }
        if is_new || !told.0.is_empty() {
            self.write(told, Left::default(), Durable::Soon).await?;
        }
        Ok(())
    }

    /// Where a client finds what is worked on there.
    async fn place(&self, sandbox: Option<&str>) -> Value {
        let (project, run) = (&self.run.project, &self.run.id);
        let mut conversation = self.conversation().await.unwrap_or_default();
        // The line into a sandbox may break in just that moment.
        for _ in 0..PLACE_TRIES {
            if conversation["cwd"].is_string() {
                break;
            }
            self.pause(PAUSE_MIN).await;
            conversation = self.conversation().await.unwrap_or_default();
        }
        json!({
            "sandboxId": sandbox,
            "appDir": conversation["cwd"],
            "nextjsUrl": self.app.hosts.preview_origin(project.as_str()),
            "downloadPath": format!("/v1/projects/{project}/runs/{run}/download.zip"),
        })
    }

    /// What was under way when an earlier owner told the last event.
    async fn remember(&mut self, after: u64) -> Result<(), Stop> {
        let mut after = after;
        loop {
            let events = self.copy(after).await?;
            for event in &events {
                if event.seq > self.run.state.taken_seq {
                    return Ok(());
                }
                self.under_way.remember(event);
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
}
