//! The work of an open session: started, stopped by a person, and what comes after it.

use super::Actor;
use crate::{
    command::Refused,
    run::Run,
    session::{QueuedAs, Step},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use toft_model::{
    event::{EventBody, QueueUpdate},
    message::StopReason,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// An abort is over after this time, whatever hangs: the tools' and models' own limits are half a
/// second each and run side by side.
const ABORT_TIMEOUT: Duration = Duration::from_millis(1_500);

pub(super) struct Work {
    pub(super) task: AbortOnDropHandle<()>,
    pub(super) cancel: CancellationToken,
    /// A person said something during a compaction: that is no part of it and comes after it.
    pub(super) said_meanwhile: bool,
}

impl Actor {
    pub(super) fn start(&mut self) {
        let cancel = CancellationToken::new();
        let run = self.new_run(&cancel);
        self.conversation.working.store(true, Ordering::Release);
        let task = AbortOnDropHandle::new(tokio::spawn(run.work()));
        self.work = Some(Work { task, cancel, said_meanwhile: false });
    }

    fn new_run(&self, cancel: &CancellationToken) -> Run {
        Run::new(Arc::clone(&self.conversation), Arc::clone(&self.sessions), cancel)
    }

    /// After the work: what came in its last moment is work again.
    pub(super) async fn rest(&mut self, well: bool) {
        let said_meanwhile = self.work.take().is_some_and(|work| work.said_meanwhile);
        if !well {
            self.fault();
        }
        self.conversation.working.store(false, Ordering::Release);
        self.conversation.compacting.store(false, Ordering::Release);
        self.conversation.set_question(None);
        if self.conversation.session().step() == Step::Abort {
            self.start();
            return;
        }
        if (said_meanwhile || self.rests_well()) && self.deliver().await {
            self.start();
        }
    }

    /// Work that ended by a fault of ours must not begin again by itself: it would fail again.
    pub(super) fn fault(&self) {
        const WHY: &str =
            "The agent failed in an unexpected way. Say \"go on\" to let it try again.";
        self.conversation.emit(EventBody::Error { code: "internal".into(), message: WHY.into() });
        let run = self.new_run(&CancellationToken::new());
        run.give_up(WHY);
    }

    /// Whether the last work ended by itself: after a failure or an abort what waits goes on
    /// waiting, until a person says something.
    pub(super) fn rests_well(&self) -> bool {
        let step = self.conversation.session().step();
        let last = self.conversation.last_stop();
        step == Step::Rest && !matches!(last, Some(StopReason::Error | StopReason::Aborted))
    }

    pub(super) async fn deliver(&self) -> bool {
        for which in [QueuedAs::Steer, QueuedAs::FollowUp] {
            match self.conversation.deliver(which, true).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "waiting messages cannot be delivered"),
            }
        }
        false
    }

    pub(super) async fn abort(&mut self, clear_queue: bool) -> Result<QueueUpdate, Refused> {
        self.let_it_end().await;
        if self.work.is_none() && self.conversation.session().step() != Step::Rest {
            // Cut work that nobody has gone on with is closed and not done.
            if self.conversation.mark_aborted().is_ok() {
                self.start();
            }
        }
        if let Some(work) = &mut self.work {
            // A full disk must not keep a person from stopping the agent.
            if let Err(error) = self.conversation.mark_aborted() {
                tracing::warn!(%error, "an abort could not be written down");
            }
            work.cancel.cancel();
            if tokio::time::timeout(ABORT_TIMEOUT, &mut work.task).await.is_err() {
                tracing::warn!("the work did not stop in time and was dropped");
            }
        }
        let texts = self.conversation.queues.lock().await.texts();
        if clear_queue && (!texts.steering.is_empty() || !texts.follow_up.is_empty()) {
            let cleared = self.conversation.queues.lock().await.clear().await;
            if let Err(error) = cleared {
                tracing::warn!(%error, "dropped messages stay in the queue's file");
            }
            self.conversation.tell_queue().await;
        }
        if self.work.is_some() {
            self.rest(true).await;
        }
        Ok(texts)
    }

    /// Work whose end was told is over in a moment; what comes now is not for it.
    pub(super) async fn let_it_end(&mut self) {
        let over = !self.conversation.is_working() && !self.conversation.is_compacting();
        if self.work.is_some() && over {
            let well = ended(&mut self.work).await;
            self.rest(well).await;
        }
    }
}

/// Whether the work ended as it should, or by a fault of ours.
pub(super) async fn ended(work: &mut Option<Work>) -> bool {
    let Some(work) = work else { return std::future::pending().await };
    match (&mut work.task).await {
        Ok(()) => true,
        Err(error) if error.is_panic() => false,
        // The event loop ends, and this task with it: the work is for the next process.
        Err(_) => std::future::pending().await,
    }
}
