//! The thread on which model calls are served, and nothing else is. A call passes through some ten tasks
//! that wake each other: with another thread that may take them over, each of these turns can cost a wake-up
//! of that thread, and together they took an eighth of what the gateway adds to a first byte (0.38 ms became
//! 0.33 ms on two busy processors). Nor do downloads through the egress proxy hold it up. Work that computes for
//! long goes to threads for that.

use std::{io, thread::JoinHandle};
use tokio::{runtime::Handle, sync::oneshot};

/// Ended when it is dropped, without waiting for name lookups.
pub(crate) struct ModelThread {
    handle: Handle,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl ModelThread {
    /// `blocking_max`: threads for what blocks.
    pub(crate) fn start(blocking_max: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(blocking_max)
            .thread_name("toft-models")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        let thread =
            std::thread::Builder::new().name("toft-models".to_owned()).spawn(move || {
                // Told, or the sender is gone: the same.
                let _ = runtime.block_on(ended);
                runtime.shutdown_background();
            })?;
        Ok(Self { handle, thread: Some((end, thread)) })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for ModelThread {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
