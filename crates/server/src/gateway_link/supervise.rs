//! Keeping a gateway running: found or started, told everything again whenever it is new.

use crate::{machines::egress, state::App};
use std::{future::pending, time::Duration};
use toft_gateway::{ControlError, Gateway, SpawnConfig};
use tokio::time::sleep;

/// First pause after a gateway that did not start; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: something is wrong with the host, and the log says what.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A gateway that answered and lived this long is started again at once, as often as it dies.
const LIVED: Duration = Duration::from_secs(1);
/// First pause after one that died sooner, for the second time in a row; doubles up to
/// [`EARLY_MAX`].
const EARLY_MIN: Duration = Duration::from_millis(20);
/// Longest such pause. Everybody's model calls wait meanwhile; a start takes 20 ms of a processor,
/// so that one which always dies costs a few per cent.
const EARLY_MAX: Duration = Duration::from_millis(500);
/// Pauses do not double more often: all have reached their longest by then.
const DOUBLINGS_MAX: u32 = 16;

/// How a gateway ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It never answered.
    Unstarted,
    /// It answered, and died within [`LIVED`].
    Early,
    /// It lived.
    Lived,
}

/// The pause before the next start. `earlier` counts the ends before this one since a gateway
/// lived.
fn pause_after(ended: Ended, earlier: u32) -> Duration {
    let doubled = |first: Duration, times: u32| first * 2u32.pow(times.min(DOUBLINGS_MAX));
    match (ended, earlier) {
        (Ended::Lived, _) | (Ended::Early, 0) => Duration::ZERO,
        (Ended::Early, n) => doubled(EARLY_MIN, n - 1).min(EARLY_MAX),
        (Ended::Unstarted, n) => doubled(PAUSE_MIN, n).min(PAUSE_MAX),
    }
}

/// Keeps a gateway running until the server ends, and leaves it running then.
pub(crate) async fn keep_running(app: App, config: SpawnConfig) {
    let ends = app.stop.token().clone();
    let mut earlier: u32 = 0;
    loop {
        // Not given up half-way: a process that it has started would stay, known to nobody.
        let ended = match Gateway::connect_or_spawn(config.clone()).await {
            Ok(gateway) => {
                tracing::info!(pid = gateway.pid(), "the gateway answers");
                let since = tokio::time::Instant::now();
                count_first(&app).await;
                app.gateway.send_config(&gateway, &app.providers, &*app.store).await;
                app.gateway.now.send_replace(Some(gateway.clone()));
                // A key that was set since the first time found no gateway to tell. Machines must
                // not meet one that knows nothing yet, so it is told before it is shown too.
                app.gateway.send_config(&gateway, &app.providers, &*app.store).await;
                if ends.is_cancelled() {
                    // Whoever stopped everything may have looked for a gateway before.
                    if app.stop.wants_machines_stopped() {
                        app.gateway.shutdown().await;
                    }
                    return;
                }
                hand_over(&app).await;
                tokio::select! {
                    () = ends.cancelled() => return,
                    () = gateway.closed() => {}
                    // It may take as long as a machine's start, and has no end of its own here.
                    () = async { take_away(&app, &gateway).await; pending().await } => {}
                }
                app.gateway.now.send_replace(None);
                tracing::warn!("the gateway is gone: starting it again");
                if since.elapsed() < LIVED { Ended::Early } else { Ended::Lived }
            }
            Err(error) => {
                tracing::error!(%error, "no gateway: models cannot be reached");
                Ended::Unstarted
            }
        };
        let pause = pause_after(ended, earlier);
        earlier = if ended == Ended::Lived { 0 } else { earlier.saturating_add(1) };
        tokio::select! {
            () = ends.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// What a gateway reads of its journal before it knows what is spent is what we have not read: the less,
/// the sooner calls go on. Without budgets it reads nothing.
async fn count_first(app: &App) {
    if app.store.budgets().await.is_ok_and(|budgets| budgets.is_empty()) {
        return;
    }
    if let Err(error) = app.usage.catch_up(&app.data_dir, &*app.store).await {
        tracing::warn!(error = error.message, "the gateway reads usage by itself");
    }
}

/// Gives a new gateway every machine that runs.
async fn hand_over(app: &App) {
    for machine in app.machines.list() {
        // A paused one too: it goes on without telling anybody here.
        if !machine.runs() {
            continue;
        }
        match app.backend.adopt(&machine.id).await {
            Ok(Some(running)) => {
                egress::hand_over(app, &machine, running).await;
            }
            // Its tailer notices by itself.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(project.id = %machine.id, %error, "its listeners were not found");
            }
        }
    }
}

/// Takes machines away that ended, or were deleted, while no server was there to say so.
async fn take_away(app: &App, gateway: &Gateway) {
    let served = match gateway.machines().await {
        Ok(served) => served,
        Err(ControlError::Closed) => return,
        Err(error) => {
            tracing::warn!(%error, "the gateway did not say which machines it serves");
            return;
        }
    };
    for id in served.into_iter().map(|entry| entry.project) {
        let Some(machine) = app.machines.get(&id) else {
            app.gateway.remove_machine(&id).await;
            continue;
        };
        // Held, so that it cannot start between the look and the removal.
        let _life = machine.lock_life().await;
        if !machine.runs() {
            app.gateway.remove_machine(&id).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ended: Ended, earlier: u32, expected_ms: u64) {
        let pause = pause_after(ended, earlier);
        assert_eq!(pause, Duration::from_millis(expected_ms), "{ended:?} {earlier}");
    }

    #[test]
    fn a_gateway_that_worked_is_back_soon_however_often_it_dies() {
        check(Ended::Lived, 0, 0);
        check(Ended::Lived, u32::MAX, 0);
        check(Ended::Early, 0, 0);
        check(Ended::Early, 1, 20);
        check(Ended::Early, 2, 40);
        check(Ended::Early, u32::MAX, 500);
    }

    #[test]
    fn a_gateway_that_never_starts_is_tried_less_and_less_often() {
        check(Ended::Unstarted, 0, 50);
        check(Ended::Unstarted, 3, 400);
        check(Ended::Unstarted, u32::MAX, 10_000);
    }
}
