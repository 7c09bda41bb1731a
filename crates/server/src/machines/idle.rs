//! Machines that nobody uses are put away: paused first, cold later, each by its project's rule or
//! the server's. One task for all; whether anybody uses a machine is in `machine`, how it is paused
//! in `pause`.

use super::{
    CHANGING, Machine, life,
    pause::{self, By},
};
use crate::{api_error::ApiError, state::App, tasks::finish};
use futures_util::{StreamExt as _, stream};
use std::{sync::Arc, time::Duration};
use toft_model::machine::{IdleRule, MachineState};
use tokio::time::sleep;

/// Between two looks: half of the shortest time that a rule can name. Short too because the clock
/// that is looked at may be set.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// What is to be done with an idle machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Freeze,
    Cold,
}

/// Judges by the rule. Where nothing can be paused, a machine runs until it goes cold.
fn due(state: MachineState, rule: IdleRule, can_freeze: bool, idle_ms: u64) -> Option<Due> {
    let past = |after_s: Option<u64>| after_s.is_some_and(|s| idle_ms >= s.saturating_mul(1000));
    match state {
        MachineState::Running | MachineState::Frozen if past(rule.cold_after_s) => Some(Due::Cold),
        MachineState::Running if can_freeze && past(rule.freeze_after_s) => Some(Due::Freeze),
        MachineState::Creating
        | MachineState::Running
        | MachineState::Frozen
        | MachineState::Cold
        | MachineState::Stopped
        | MachineState::Error
        | MachineState::Destroyed => None,
    }
}

/// The rule that holds for a machine.
pub(crate) fn rule(app: &App, machine: &Machine) -> IdleRule {
    machine.view().idle.unwrap_or(app.idle)
}

/// Puts idle machines away until the server ends.
pub(crate) async fn put_away(app: App) {
    let ends = app.stop.token().clone();
    let looking = async {
        loop {
            sleep(LOOK_PAUSE).await;
            look(&app).await;
        }
    };
    // What it has begun runs in tasks of its own.
    ends.run_until_cancelled(looking).await;
}

async fn look(app: &App) {
    let now = app.clock.now_ms();
    let all = app.machines.list().into_iter();
    let due = all.filter_map(|machine| Some((now_due(app, &machine, now)?, machine)));
    stream::iter(due.collect::<Vec<_>>())
        .for_each_concurrent(life::AT_ONCE, |(due, machine)| async move {
            if let Err(error) = act(app, &machine, due).await {
                tracing::warn!(project.id = %machine.id, error = error.message,
                    "an idle machine was not put away");
                machine.used(app.clock.now_ms());
            }
        })
        .await;
}

fn now_due(app: &App, machine: &Machine, now_ms: u64) -> Option<Due> {
    if machine.is_held() {
        return None;
    }
    let can_freeze = app.backend.of(&machine.id).can().freeze;
    due(machine.state(), rule(app, machine), can_freeze, machine.idle_ms(now_ms))
}

/// Does it, unless somebody has come meanwhile.
async fn act(app: &App, machine: &Arc<Machine>, wanted: Due) -> Result<(), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        // Somebody changes it just now, and may for long: it is in use.
        let Some(life) = machine.try_lock_life() else { return Ok(()) };
        let now = app2.clock.now_ms();
        if now_due(&app2, &machine, now) != Some(wanted) {
            return Ok(());
        }
        match wanted {
            Due::Freeze => pause::freeze_locked(&app2, &machine, By::Rule, &life).await.map(|_| ()),
            Due::Cold => go_cold(&app2, &machine).await,
        }
    })
    .await
}

/// Ends an idle machine's processes. The caller holds its life.
async fn go_cold(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    let _going = machine.end();
    let looking = async {
        match machine.state() {
            // Paused by a person in the middle of its work: that goes on when it is let.
            MachineState::Frozen => machine.view().frozen_at_work,
            _ => pause::is_at_work(app, machine).await,
        }
    };
    let works = tokio::select! {
        biased;
        // Whoever comes does not wait for a bridge that thinks.
        () = machine.until_held(true) => return Ok(()),
        works = looking => works,
    };
    if works || machine.is_held() {
        machine.used(app.clock.now_ms());
        return Ok(());
    }
    life::end_processes(app, machine, MachineState::Cold).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_paused_first_and_cold_later_and_never_without_a_rule() {
        use MachineState::{Cold, Creating, Error, Frozen, Running, Stopped};
        let rule = |freeze_after_s, cold_after_s| IdleRule { freeze_after_s, cold_after_s };
        let both = rule(Some(300), Some(3600));
        let check = |state, rule, can_freeze, idle_s: u64, want| {
            assert_eq!(due(state, rule, can_freeze, idle_s * 1000), want, "{state:?} {idle_s}");
        };
        check(Running, both, true, 299, None);
        check(Running, both, true, 300, Some(Due::Freeze));
        check(Running, both, true, 3600, Some(Due::Cold));
        check(Frozen, both, true, 3599, None);
        check(Frozen, both, true, 3600, Some(Due::Cold));
        // Cannot be paused: by the second rule alone.
        check(Running, both, false, 3599, None);
        check(Running, both, false, 3600, Some(Due::Cold));
        check(Running, rule(Some(1), None), false, u64::MAX / 1000, None);
        check(Running, rule(None, Some(5)), true, 5, Some(Due::Cold));
        check(Running, rule(Some(9), Some(5)), true, 5, Some(Due::Cold));
        for never in [Cold, Stopped, Creating, Error] {
            check(never, both, true, u64::MAX / 1000, None);
        }
        check(Running, rule(None, None), true, u64::MAX / 1000, None);
        check(Frozen, rule(Some(1), None), true, u64::MAX / 1000, None);
    }
}
