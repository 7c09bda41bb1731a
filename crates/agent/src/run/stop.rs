//! What a stop ends: the calls that have no result yet, and programs that the stopped work left in the
//! background. Those of earlier prompts go on, as people mean them to.

use super::{
    Run,
    calls::KILL_TIMEOUT,
    ids::{of_prompt, run_id},
};
use crate::{command::Command, session::SessionError};
use futures_util::future::join_all;
use std::{collections::HashSet, time::Duration};
use toft_model::{id::SessionId, message::ToolCall, tool::TASK};
use toft_tools::ToolOutcome;

/// How long ending them may take. Part of the second in which a stop must be over.
const END_TIMEOUT: Duration = Duration::from_millis(300);

impl Run {
    /// Gives the calls that have none a result that says so. What they began in a life of the bridge before
    /// this one is ended.
    pub(super) async fn close_open(&self, why: &str) -> Result<(), SessionError> {
        let (entry_id, open) = self.conversation.session().open_calls();
        let (sessions, shell) = (&self.sessions, &self.conversation.around.shell);
        let ends = open.iter().map(|(place, call)| {
            let run_id = run_id(self.conversation.id().as_str(), &entry_id, *place);
            async move {
                if call.name == TASK
                    && let Some(task) = sessions.known_child(&SessionId::of(&run_id)).await
                {
                    let _ = task.ask(|reply| Command::Abort { clear_queue: true, reply }).await;
                }
                // Most are not known there.
                let _ = shell.kill(&run_id, 0).await;
            }
        });
        let _ = tokio::time::timeout(KILL_TIMEOUT, join_all(ends)).await;
        for (_, call) in open {
            self.close_call(&call, why)?;
        }
        Ok(())
    }

    /// Gives a call that will not run a result that says so.
    pub(super) fn close_call(&self, call: &ToolCall, why: &str) -> Result<(), SessionError> {
        self.conversation.tell_begun(call, None);
        self.result(call, ToolOutcome::cancelled(why), Duration::ZERO)
    }

    /// Ends what calls of this prompt, and of its tasks, left running.
    pub(super) async fn end_background(&self) {
        let left = self.left_behind();
        if left.is_empty() {
            return;
        }
        let shell = &self.conversation.around.shell;
        let end = async {
            let Ok(programs) = shell.list().await else { return };
            let of_this = |id: &str| {
                left.contains(id) || id.split_once('.').is_some_and(|(of, _)| left.contains(of))
            };
            let running = programs.iter().filter(|program| program.exit.is_none());
            let ends = running
                .filter(|program| of_this(&program.id))
                .map(|program| shell.kill(&program.id, 0));
            for failed in join_all(ends).await.into_iter().filter_map(Result::err) {
                tracing::warn!(error = %failed, "a program in the background was not ended");
            }
        };
        if tokio::time::timeout(END_TIMEOUT, end).await.is_err() {
            tracing::warn!("programs in the background were not ended in time");
        }
    }

    /// Names of programs that this prompt's calls may have begun, and conversations of its tasks.
    fn left_behind(&self) -> HashSet<String> {
        let mut left = HashSet::new();
        for (id, is_task) in of_prompt(&self.conversation.session()) {
            if is_task {
                left.insert(SessionId::of(&id).to_string());
            }
            left.insert(id);
        }
        left
    }
}
