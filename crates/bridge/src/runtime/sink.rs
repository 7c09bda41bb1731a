//! The event log as the agent sees it.

use crate::log::EventLog;
use async_trait::async_trait;
use toft_agent::surroundings::Sink;
use toft_model::{event::EventBody, id::SessionId};

#[async_trait]
impl Sink for EventLog {
    fn emit(&self, session: Option<&SessionId>, body: EventBody) -> u64 {
        self.append(session, body)
    }

    fn emit_all(&self, session: Option<&SessionId>, bodies: Vec<EventBody>) {
        self.append_all(session, bodies);
    }

    fn last_seq(&self) -> u64 {
        EventLog::last_seq(self)
    }

    async fn sync(&self) {
        EventLog::sync(self).await;
    }

    fn check(&self) -> Result<(), String> {
        EventLog::check(self).map_err(|trouble| trouble.to_string())
    }
}
