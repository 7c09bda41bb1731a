//! Ends a program and everything that it started: TERM (and HUP at a terminal), a grace, then KILL
//! until none is left.

use super::{
    Init, Refusal,
    exec::Exec,
    groups::OwnGroup,
    hunt::{self, Prey},
};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long KILLed processes may take to vanish. The kernel needs milliseconds; one that hangs in
/// a driver may never go, and the caller is told so.
const VANISH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look again when nothing was reaped meanwhile: children of others than init end
/// without a word to it.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What `end` goes after.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// One program.
    Exec(&'a Exec),
    /// Everything that init ever started, the bridge excepted.
    Work,
    /// Every process there is. Only for pid 1.
    Machine,
}

impl Target<'_> {
    fn living(self, init: &Init) -> Vec<Pid> {
        match self {
            Self::Exec(exec) => hunt::find(&Prey {
                init: &init.mark,
                id: &exec.id,
                session: exec.pid,
                leads: !exec.reaped.get(),
                group: exec.group.as_ref().and_then(OwnGroup::folder),
            }),
            Self::Work => hunt::descendants(init.bridge.pid()),
            Self::Machine => hunt::everybody(),
        }
    }

    /// What one call to the kernel can do before the hunt begins.
    fn close_group(self) {
        match self {
            Self::Exec(exec) => {
                if let Some(group) = &exec.group {
                    group.kill();
                }
            }
            Self::Work | Self::Machine => {}
        }
    }
}

/// Returns when no process of the target lives.
pub(super) async fn end(init: &Init, target: Target<'_>, grace: Duration) -> Result<(), Refusal> {
    if !grace.is_zero() && asked_to_end(init, target, grace).await {
        return Ok(());
    }
    let deadline = Instant::now() + VANISH_TIMEOUT;
    loop {
        let reaped = init.reaper.reaped.notified();
        target.close_group();
        let living = target.living(init);
        if living.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Refusal::new(
                "io",
                format!(
                    "{} of its processes do not end although they were killed; they hang in the \
                     kernel. Stop the machine to be rid of them",
                    living.len()
                ),
            ));
        }
        signal_all(&living, Signal::KILL);
        let _ = timeout(LOOK_AGAIN, reaped).await;
    }
}

/// Asks all to end and waits; says whether all did.
async fn asked_to_end(init: &Init, target: Target<'_>, grace: Duration) -> bool {
    let living = target.living(init);
    // Interactive shells take no notice of TERM; they go when their terminal hangs up.
    signal_all(&hunt::at_terminals(&living), Signal::HUP);
    signal_all(&living, Signal::TERM);
    // A stopped process takes no TERM before it goes on.
    signal_all(&living, Signal::CONT);
    let deadline = Instant::now() + grace;
    loop {
        let reaped = init.reaper.reaped.notified();
        if target.living(init).is_empty() {
            return true;
        }
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        let look_again = LOOK_AGAIN.max((deadline - now) / 16).min(deadline - now);
        let _ = timeout(look_again, reaped).await;
        // Many ends at once are one look.
        sleep(Duration::from_millis(1)).await;
    }
}

fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        let _ = kill_process(*pid, signal);
    }
}
