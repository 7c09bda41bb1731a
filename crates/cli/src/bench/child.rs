//! A process of the bench's that is never left behind.

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal};
use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt as _, process::Child};

/// How long one may take to clear away what it made.
const END_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at one that ends.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Dropped while it runs, because a row failed or the bench was interrupted, it is told to end and waited for.
pub(super) struct Ends(pub(super) Child);

impl Ends {
    /// Waits until it has ended: how, its standard output and its standard error. Both must be piped.
    pub(super) async fn said(mut self) -> Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut stdout = self.0.stdout.take().context("standard output is piped")?;
        let mut stderr = self.0.stderr.take().context("standard error is piped")?;
        tokio::try_join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))
            .context("reading what a process of the bench says")?;
        let status = self.0.wait().await.context("waiting for a process of the bench")?;
        Ok((status, out, err))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // None once it was waited for.
        let Some(pid) = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else {
            return;
        };
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        let began = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && began.elapsed() < END_TIMEOUT {
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}
