//! Takes runs from the queue and has them worked on, keeps what this server holds, and hears what other servers tell.

use super::{
    CANCEL_TOPIC, Held, QUEUE_TOPIC, RUN_TOPIC,
    feed::{RunFeed, Turn},
    settle::settle_soon,
    work,
};
use crate::{servers, state::App};
use std::{sync::Arc, time::Duration};
use toft_model::run::JobId;
use toft_store::{Claim, Run, Signal};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How often the queue is looked at by itself: a signal may be lost, and a run may wait for its time.
const LOOK: Duration = Duration::from_secs(1);
/// A project's runs go one after the other: each goes on from what the one before left.
const PER_PROJECT: u32 = 1;
/// Before the database is asked again that did not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Works until the server ends. What it holds then goes on in its machines, and the next server goes on with it.
pub(crate) async fn run(app: App) {
    // Of the server that was here before: it cannot come back.
    while let Err(error) = app.store.let_go_runs(&app.runs.owner, false).await {
        tracing::warn!(%error, "the queue cannot be read");
        tokio::select! {
            () = sleep(RETRY_PAUSE) => {}
            () = app.stop.token().cancelled() => return,
        }
    }
    // Those that waited for this server, before it goes on with them.
    if let Err(error) = servers::tell_runs(&app, false, app.clock.now_ms()).await {
        tracing::warn!(%error, "runs are told later that this server is back");
    }
    let (keeping, hearing) = (app.clone(), app.clone());
    tokio::join!(claim(&app), keep(&keeping), hear(&hearing));
    if let Err(error) = app.store.let_go_runs(&app.runs.owner, true).await {
        tracing::warn!(%error, "runs are let go when their time is over");
    }
}

fn claiming(app: &App, limit: u32) -> Claim<'_> {
    Claim {
        owner: &app.runs.owner,
        lease_ms: u64::try_from(app.runs.settings.lease.as_millis()).unwrap_or(u64::MAX),
        limit,
        per_project: PER_PROJECT,
        per_team: app.runs.settings.per_team,
    }
}

async fn claim(app: &App) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // What was let go, or lost, is told by nobody.
        let takes_over = tokio::select! {
            () = app.runs.queued.notified() => false,
            _ = tick.tick() => true,
            () = app.stop.token().cancelled() => return,
        };
        if let Err(error) = claim_some(app, takes_over).await {
            tracing::warn!(%error, "the queue cannot be read");
        }
    }
}

async fn claim_some(app: &App, takes_over: bool) -> Result<(), toft_store::StoreError> {
    // After the database was away, what is worked on here looks as if nobody did.
    if app.runs.is_overdue() {
        keep_once(app).await?;
    }
    let free = || app.runs.places();
    if takes_over && free() > 0 {
        for run in app.store.take_over_runs(&claiming(app, free()), app.clock.now_ms()).await? {
            begin(app, run);
        }
    }
    if free() > 0 {
        for run in app.store.claim_runs(&claiming(app, free()), app.clock.now_ms()).await? {
            begin(app, run);
        }
    }
    Ok(())
}

fn begin(app: &App, run: Run) {
    let held = Held {
        fence: run.fence,
        lost: app.stop.token().child_token(),
        cancelled: CancellationToken::new(),
        rests: Arc::default(),
    };
    if run.cancel_requested {
        held.cancelled.cancel();
    }
    let before = app.runs.held().insert(run.id.clone(), held.clone());
    if let Some(before) = before {
        // It was lost, and has come back to this server before the work on it had ended.
        before.lost.cancel();
    }
    let place = Place { app: app.clone(), id: run.id.clone(), fence: run.fence };
    app.tasks.clone().spawn(async move {
        let place = place;
        let (app, project) = (place.app.clone(), run.project.clone());
        let work = work::Work::new(app.clone(), run, &held);
        if held.lost.run_until_cancelled(work.run()).await.is_none()
            && let Some(machine) = app.machines.get(&project)
        {
            // Over by the word of others, maybe.
            settle_soon(&app, &machine);
        }
    });
}

/// The place of a run among those that this server works on. Given back however the work on it ends: what is held is
/// renewed, and would else be nobody's for ever.
struct Place {
    app: App,
    id: JobId,
    fence: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.app.runs.held();
        if all.get(&self.id).is_some_and(|held| held.fence == self.fence) {
            all.remove(&self.id);
        }
        drop(all);
        self.app.runs.queued.notify_one();
    }
}

/// Says again and again that what this server holds is its own.
async fn keep(app: &App) {
    let pause = app.runs.settings.lease / 3;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = app.stop.token().cancelled() => return,
        }
        if let Err(error) = keep_once(app).await {
            tracing::warn!(%error, "runs cannot be kept");
        }
    }
}

async fn keep_once(app: &App) -> Result<(), toft_store::StoreError> {
    let held: Vec<(JobId, u64)> =
        app.runs.held().iter().map(|(id, held)| (id.clone(), held.fence)).collect();
    let lost = if held.is_empty() {
        Vec::new()
    } else {
        app.store.renew_runs(&claiming(app, 0), &held, app.clock.now_ms()).await?
    };
    app.runs.kept();
    let all = app.runs.held();
    for (id, fence) in held.iter().filter(|(id, _)| lost.contains(id)) {
        if let Some(held) = all.get(id).filter(|held| held.fence == *fence) {
            tracing::info!(run.id = %id, "a run is over, or another server's now");
            held.lost.cancel();
        }
    }
    Ok(())
}

/// What other servers, and this one, tell.
async fn hear(app: &App) {
    let mut signals = app.store.listen();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let signal = tokio::select! {
            signal = signals.next() => signal,
            _ = tick.tick() => Some(Signal::Missed),
            () = app.stop.token().cancelled() => return,
        };
        match signal {
            None => return,
            Some(Signal::Topic(topic)) if topic == QUEUE_TOPIC => app.runs.queued.notify_one(),
            Some(Signal::Topic(topic)) => {
                let id = |of: &str| topic.strip_prefix(of)?.parse::<JobId>().ok();
                if let Some(id) = id(CANCEL_TOPIC) {
                    app.runs.cancel_here(&id);
                } else if let Some(feed) = id(RUN_TOPIC).and_then(|id| app.runs.followed(&id)) {
                    send_on(app, feed).await;
                }
            }
            Some(Signal::Missed) => {
                for feed in app.runs.all_followed() {
                    send_on(app, feed).await;
                }
            }
        }
    }
}

/// What a run has told, to those who follow it: now, or once all of them had their turn with what went out before.
async fn send_on(app: &App, feed: Arc<RunFeed>) {
    match feed.turn() {
        Turn::Now => feed.catch_up(&*app.store).await,
        Turn::At(at) => {
            let app = app.clone();
            app.tasks.clone().spawn(async move {
                feed.await_turn(at).await;
                feed.catch_up(&*app.store).await;
            });
        }
        Turn::Awaited => {}
    }
}
