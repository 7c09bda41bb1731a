//! Decides on slots as they become due, over all projects with one timer. What is decided is in the
//! store before anything starts. Not when a slot is due, nor how a firing goes.

use super::{
    firing,
    judge::{self, Fate, Scene, Verdict},
    slots::{Due, NoPlan, Plan},
};
use crate::state::App;
use std::{collections::HashSet, time::Duration};
use toft_model::{
    event::Outcome,
    id::ProjectId,
    schedule::{ScheduleId, When},
};
use toft_store::{Decided, Firing, Schedule, Step, StoreError};
use tokio::time::{Instant, timeout};

/// The clock is looked at this often, so that one that was set, or a host that slept, is noticed.
const TICK: Duration = Duration::from_secs(1);
/// Schedules decided on in one round.
const ROUND_MAX: u32 = 100;
/// A clock that went back is waited for this long where slots are times of the day: what was decided
/// stays decided. One that went back further was wrong before; slots begin again from now, and
/// those with a record keep it.
const CLOCK_BACK_MAX_MS: u64 = 24 * 3_600_000;
/// A clock that is put right by less is waited for by all.
const CLOCK_BACK_MIN_MS: u64 = 1_000;
/// Times a run by hand looks for a moment of its own.
const MOMENTS_MAX: u64 = 50;
/// Firings that are told at a server's start in one go.
const UNTOLD_MAX: u32 = 1_000;

/// Works until the server ends.
pub(crate) async fn run(app: App) {
    let ends = app.stop.token().clone();
    ends.run_until_cancelled_owned(work(app)).await;
}

async fn work(app: App) {
    // First what an earlier server began: a slot that is due may have to wait for it.
    while let Err(error) = take_up(&app).await {
        tracing::warn!(%error, "schedules wait for the database");
        tokio::time::sleep(TICK).await;
    }
    app.schedules.taken_up();
    let mut seen = (app.clock.now_ms(), Instant::now());
    let mut moved = HashSet::new();
    let mut next = None;
    let mut look = true;
    loop {
        let now = app.clock.now_ms();
        if now < seen.0 {
            // By the clock that only goes forward: how much later it is than the wall says.
            let passed_ms = u64::try_from(seen.1.elapsed().as_millis()).unwrap_or(u64::MAX);
            let back_ms = seen.0.saturating_add(passed_ms) - now;
            match plan_anew(&app, now, Some(back_ms), &mut moved).await {
                Ok(()) => {
                    seen = (now, Instant::now());
                    moved.clear();
                }
                Err(error) => tracing::warn!(%error, "schedules could not be planned anew"),
            }
            look = true;
        } else {
            seen = (now, Instant::now());
        }
        if look || next.is_some_and(|slot| slot <= now) {
            match round(&app, now).await {
                Ok((slot, is_whole)) => {
                    next = slot;
                    look = !is_whole;
                }
                Err(error) => {
                    tracing::warn!(%error, "slots of schedules wait to be decided");
                    look = true;
                }
            }
        }
        let wait = next.map_or(TICK, |slot| {
            Duration::from_millis(slot.saturating_sub(app.clock.now_ms())).min(TICK)
        });
        // After a failure not at once again.
        let wait = if look { TICK } else { wait };
        look |= timeout(wait, app.schedules.changed.notified()).await.is_ok();
    }
}

/// Goes on with what an earlier server began, and plans anew: time zones' rules may have changed.
async fn take_up(app: &App) -> Result<(), StoreError> {
    plan_anew(app, app.clock.now_ms(), None, &mut HashSet::new()).await?;
    // Of other servers' projects nothing is told here: they have no machine here.
    for (schedule, firing) in app.store.untold_firings(UNTOLD_MAX).await? {
        firing::tell(app, &schedule, &firing).await;
    }
    let _turn = app.schedules.turn.lock().await;
    // Nothing else has begun: that waits for this.
    let mut open = app.store.all_open_firings().await?;
    open.retain(|(schedule, _)| is_here(app, schedule));
    go_on(app, &open).await;
    Ok(())
}

/// Goes on with what a server that is gone began for a project that is this one's now.
pub(crate) async fn take_up_of(app: &App, project: &ProjectId) -> Result<(), StoreError> {
    let _turn = app.schedules.turn.lock().await;
    let mut open = app.store.all_open_firings().await?;
    open.retain(|(schedule, _)| schedule.project == *project);
    go_on(app, &open).await;
    app.schedules.changed();
    Ok(())
}

/// Another server goes on with what was begun for a project.
pub(crate) async fn let_go_of(app: &App, project: &ProjectId) -> Result<(), StoreError> {
    let own: HashSet<ScheduleId> =
        app.store.schedules(project).await?.into_iter().map(|schedule| schedule.id).collect();
    app.schedules.let_go(|id| own.contains(id));
    Ok(())
}

async fn go_on(app: &App, open: &[(Schedule, Firing)]) {
    for (schedule, firing) in open {
        if firing.step != Step::Waiting {
            firing::spawn(app, schedule.clone(), firing.clone(), true);
        }
    }
    for (schedule, firing) in open {
        if firing.step == Step::Waiting {
            firing::make_room(app, schedule, firing);
            firing::promote(app, schedule).await;
        }
    }
}

/// Whether its project's machine is this server's: only that one decides.
fn is_here(app: &App, schedule: &Schedule) -> bool {
    app.machines.get(&schedule.project).is_some_and(|machine| machine.is_bound())
}

/// Computes the next slot of every schedule again, but of those that were moved by an earlier try.
/// `back_ms`: by so much the clock was just set back.
async fn plan_anew(
    app: &App,
    now: u64,
    back_ms: Option<u64>,
    moved: &mut HashSet<ScheduleId>,
) -> Result<(), StoreError> {
    let _turn = app.schedules.turn.lock().await;
    for mut schedule in app.store.enabled_schedules().await? {
        if moved.contains(&schedule.id) || !is_here(app, &schedule) {
            continue;
        }
        let was = (schedule.anchor_at, schedule.decided_at, schedule.next_at);
        after_back(&mut schedule, now, back_ms);
        let Ok(plan) = Plan::new(&schedule.when, schedule.anchor_at) else { continue };
        schedule.next_at = plan.next(schedule.decided_at);
        if was != (schedule.anchor_at, schedule.decided_at, schedule.next_at) {
            // One that a person changed meanwhile has been planned by that.
            app.store.update_schedule(&schedule).await?;
        }
        moved.insert(schedule.id);
    }
    Ok(())
}

/// Moves what is decided of a schedule where the clock was set back, by as much as is known.
pub(crate) fn after_back(schedule: &mut Schedule, now: u64, back_ms: Option<u64>) {
    let When::Every { every_s } = schedule.when else {
        if schedule.decided_at > now + CLOCK_BACK_MAX_MS {
            schedule.decided_at = now;
        }
        return;
    };
    // Real time goes on, whatever the clock says.
    let every_ms = every_s * 1_000;
    match back_ms.filter(|ms| *ms >= CLOCK_BACK_MIN_MS) {
        Some(back_ms) => {
            // No moment twice: one that comes again would be taken for the one that has a record.
            let back_ms = back_ms - u64::from(back_ms.is_multiple_of(every_ms));
            let short = back_ms.saturating_sub(schedule.anchor_at);
            schedule.anchor_at += short.div_ceil(every_ms) * every_ms;
            schedule.anchor_at -= back_ms;
            schedule.decided_at = schedule.decided_at.saturating_sub(back_ms);
        }
        None if schedule.decided_at > now + CLOCK_BACK_MIN_MS => {
            (schedule.anchor_at, schedule.decided_at) = (now, now);
        }
        None => {}
    }
}

/// Decides on all slots that are due; answers the next one to come, and whether all were decided
/// that could be.
async fn round(app: &App, now: u64) -> Result<(Option<u64>, bool), StoreError> {
    let mut is_whole = true;
    let mut after = None;
    loop {
        let behind = after.as_ref().map(|(slot, id)| (*slot, id));
        let due = app.store.due_schedules(now, behind, ROUND_MAX).await?;
        for schedule in &due {
            // Held up, it is looked at again when that is known.
            if is_here(app, schedule) && !app.schedules.is_unknown(&schedule.id) {
                is_whole &= decide(app, schedule, now).await?;
            }
        }
        after = due.last().and_then(|last| Some((last.next_at?, last.id.clone())));
        if after.is_none() || due.len() < ROUND_MAX as usize {
            return Ok((app.store.next_slot(now).await?, is_whole));
        }
    }
}

/// Decides on the slots of one schedule that are due. False: it was changed meanwhile.
async fn decide(app: &App, schedule: &Schedule, now: u64) -> Result<bool, StoreError> {
    let _turn = app.schedules.turn.lock().await;
    let (firings, decided_at, next_at) = match Plan::new(&schedule.when, schedule.anchor_at) {
        Ok(plan) => {
            let scene = scene(app, schedule, now).await?;
            match plan.due(schedule.decided_at, now, scene.keep()) {
                Some(due) => {
                    let verdicts = judge::judge(&due, &scene);
                    let firings: Vec<Firing> =
                        verdicts.iter().map(|v| record(schedule, v, now)).collect();
                    (firings, due.last(), plan.next(due.last()))
                }
                None => (Vec::new(), schedule.decided_at, plan.next(schedule.decided_at)),
            }
        }
        Err(error) => (vec![unplanned(schedule, &error, now)], now, None),
    };
    let decided = Decided {
        schedule: &schedule.id,
        revision: schedule.revision,
        decided_at,
        next_at,
        firings: &firings,
    };
    let Some(new) = app.store.decide_slots(&decided).await? else { return Ok(false) };
    for firing in new {
        firing::begin(app, schedule, firing).await;
    }
    Ok(true)
}

async fn scene(app: &App, schedule: &Schedule, now_ms: u64) -> Result<Scene, StoreError> {
    let open = app.store.open_firings(&schedule.id).await?;
    let waiting = open.iter().filter(|f| f.step == Step::Waiting).count();
    Ok(Scene {
        now_ms,
        catch_up: schedule.catch_up,
        catch_up_max: schedule.catch_up_max,
        overlap: schedule.overlap,
        // One that waits goes first, also in the moment after the end of the one before.
        oldest: open.first().map(|f| f.slot),
        running: open.len() - waiting,
        waiting,
        stopped: firing::is_stopped(app, &schedule.project).await?,
    })
}

fn record(schedule: &Schedule, verdict: &Verdict, now: u64) -> Firing {
    let (outcome, step, reason, is_late) = match &verdict.fate {
        Fate::Start { late } => (Outcome::Running, Step::Due, late.clone(), late.is_some()),
        Fate::Wait { late } => (Outcome::Running, Step::Waiting, late.clone(), late.is_some()),
        Fate::Skip(why) => (Outcome::Skipped, Step::Over, Some(why.clone()), false),
        Fate::Suppress(why) => (Outcome::Suppressed, Step::Over, Some(why.clone()), false),
    };
    let is_over = step == Step::Over;
    Firing {
        // What names it inside the machine too: nobody there could have guessed it.
        id: format!("firing-{}", ProjectId::random()),
        schedule: schedule.id.clone(),
        slot: verdict.first,
        last_slot: verdict.last,
        slots: verdict.slots,
        by_hand: false,
        outcome,
        reason,
        is_late,
        work: (!is_over).then(|| schedule.work.clone()),
        step,
        boot: None,
        session: None,
        after_seq: None,
        entry: None,
        started_at: None,
        ended_at: is_over.then_some(now),
        exit_code: None,
        output: None,
        told: false,
    }
}

/// A schedule that could be planned when it was made, and no more.
fn unplanned(schedule: &Schedule, error: &NoPlan, now: u64) -> Firing {
    let slot = schedule.next_at.unwrap_or(now);
    let fate = Fate::Skip(format!("it has no further slots until it is changed: {error}"));
    record(schedule, &Verdict { first: slot, last: slot, slots: 1, fate }, now)
}

/// A firing that a person asks for, with a slot of its own: now.
pub(crate) async fn by_hand(app: &App, schedule: &Schedule) -> Result<Option<Firing>, StoreError> {
    app.schedules.until_known(&schedule.id).await;
    let _turn = app.schedules.turn.lock().await;
    let now = app.clock.now_ms();
    for slot in now..now + MOMENTS_MAX {
        let schedule = app.store.schedule(&schedule.project, &schedule.id).await?;
        let Some(schedule) = schedule else { return Ok(None) };
        let scene = Scene { now_ms: slot, ..scene(app, &schedule, now).await? };
        let verdicts = judge::judge(&Due::one(slot), &scene);
        let firings: Vec<Firing> = verdicts
            .iter()
            .map(|verdict| Firing { by_hand: true, ..record(&schedule, verdict, now) })
            .collect();
        let decided = Decided {
            schedule: &schedule.id,
            revision: schedule.revision,
            decided_at: schedule.decided_at,
            next_at: schedule.next_at,
            firings: &firings,
        };
        // None: it was changed, or that moment is taken.
        let new = app.store.decide_slots(&decided).await?.unwrap_or_default();
        if let Some(firing) = new.into_iter().next() {
            firing::begin(app, &schedule, firing.clone()).await;
            return Ok(Some(firing));
        }
    }
    Ok(None)
}
