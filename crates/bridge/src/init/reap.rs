//! Reaps every child: those that somebody waits for, and orphans that nobody knows.

use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use std::{cell::RefCell, collections::HashMap, io};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, oneshot},
};

/// Who waits for which child. Children are started and registered between two rounds of
/// [`Reaper::run`] on the same thread, so none can end unnoticed.
#[derive(Default)]
pub(super) struct Reaper {
    waiting: RefCell<HashMap<Pid, oneshot::Sender<WaitStatus>>>,
    /// Children were reaped.
    pub(super) reaped: Notify,
}

impl Reaper {
    /// The end of `pid`, a child that was started just now.
    pub(super) fn expect(&self, pid: Pid) -> oneshot::Receiver<WaitStatus> {
        let (tell, told) = oneshot::channel();
        self.waiting.borrow_mut().insert(pid, tell);
        told
    }

    /// The stream of wake-ups for [`Reaper::run`]; made before the first child is.
    pub(super) fn listen() -> io::Result<Signal> {
        signal(SignalKind::child())
    }

    /// Reaps for ever.
    pub(super) async fn run(&self, mut child_ended: Signal) {
        loop {
            self.reap();
            if child_ended.recv().await.is_none() {
                return;
            }
        }
    }

    fn reap(&self) {
        let mut any = false;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            any = true;
            if let Some(tell) = self.waiting.borrow_mut().remove(&pid) {
                let _ = tell.send(status);
            }
        }
        if any {
            self.reaped.notify_waiters();
        }
    }
}
