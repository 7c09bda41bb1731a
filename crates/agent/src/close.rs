//! Closing work that is not to go on, before a session has an actor: after a restore or a fork.
//! Stopping work that runs is the actor's (`Command::Abort`).

use crate::{
    conversation::Conversation,
    session::{SessionError, WentBack},
};
use std::sync::Arc;
use toft_model::event::QueueUpdate;

impl Conversation {
    /// Closes what was cut, in the file and in the log, and drops what waits. `why` is for people
    /// and for the model. Again: changes nothing.
    pub async fn close(self: &Arc<Self>, why: &str) -> Result<(), SessionError> {
        let now = self.now_ms();
        self.session().close_cut(why, now)?;
        self.tell_closed().await;
        Ok(())
    }

    /// Closes what was cut, then moves the conversation back, on disk when this returns. A move
    /// that this ticket has made already is not made again, only told.
    pub async fn go_back(
        self: &Arc<Self>,
        mark: WentBack,
        why: &str,
    ) -> Result<WentBack, SessionError> {
        let made = self.session().move_of(&mark.ticket).map(|(entry, went)| (entry.line, went));
        if let Some((line, went)) = made {
            // The end of what was left is told from where it was.
            self.session().stand_before(line);
            self.tell_closed().await;
            return Ok(went);
        }
        self.close(why).await?;
        let now = self.now_ms();
        self.session().go_back(mark.clone(), now)?;
        self.sync().await?;
        let made = self.session().move_of(&mark.ticket).map(|(_, went)| went);
        Ok(made.unwrap_or(mark))
    }

    async fn tell_closed(self: &Arc<Self>) {
        self.catch_up();
        if let Err(error) = self.queues.lock().await.clear().await {
            tracing::warn!(%error, session = %self.id(), "dropped messages stay in the queue's file");
        }
        self.catch_up_queue(QueueUpdate { steering: Vec::new(), follow_up: Vec::new() });
        self.tell_end("aborted");
    }
}
