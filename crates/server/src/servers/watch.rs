//! What a server does again and again for the sake of others: says that it is there and how its machines are, tells
//! runs whose host is gone, removes what others have deleted, and takes in what others have set.

use super::{known::GONE_TOPIC, takeover};
use crate::{clock::since_boot_ms, machines::life, state::App};
use std::{collections::HashMap, sync::PoisonError, time::Duration};
use toft_model::{id::ProjectId, machine::MachineState};
use toft_store::{GONE_MS, Signal, Store, StoreError};
use tokio::time::{MissedTickBehavior, interval};

/// Between two beats: a fifth of the time after which a server counts as gone.
const BEAT: Duration = Duration::from_millis(GONE_MS / 5);
/// One that comes later than this after the one before says nothing about others: the database was away, or this
/// host stood still.
const LATE_MS: u64 = GONE_MS / 2;
/// How often keys of programs are read again: a signal may be lost.
const KEYS_LOOK: Duration = Duration::from_secs(5);
/// The same for what only costs, and opens nothing.
const CONFIG_LOOK: Duration = Duration::from_mins(1);

/// Told when something was set that all servers hold in memory.
const SHARED_TOPIC: &str = "shared";
/// Tells other servers that something was set that they hold in memory.
pub(crate) async fn tell_shared(store: &dyn Store) {
    if let Err(error) = store.notify(SHARED_TOPIC).await {
        // They look by themselves, too.
        tracing::debug!(%error, "other servers are not told of a setting");
    }
}

/// Until the server ends. Alone on its database, it has nobody to watch.
pub(crate) async fn run(app: App) {
    if !app.store.is_shared() {
        return;
    }
    let ends = app.stop.token().clone();
    ends.run_until_cancelled_owned(async move { tokio::join!(beat(&app), hear(&app)) }).await;
}

async fn beat(app: &App) {
    let mut tick = interval(BEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = HashMap::new();
    loop {
        tick.tick().await;
        let now = app.clock.now_ms();
        match app.store.beat(&app.servers.me, now).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!(
                    "another server uses this server's id (server.id) from another place: this one ends"
                );
                app.stop.stop(false);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "other servers cannot be told that this one is there");
                app.servers.heard().since_ms = None;
                continue;
            }
        }
        let at = since_boot_ms();
        let is_sure = {
            let mut heard = app.servers.heard();
            if at.saturating_sub(heard.last_ms) >= LATE_MS {
                heard.since_ms = None;
            }
            heard.since_ms.get_or_insert(at);
            heard.last_ms = at;
            drop(heard);
            app.servers.is_sure()
        };
        if let Err(error) = look(app, now, is_sure, &mut told).await {
            tracing::warn!(%error, "other servers cannot be watched");
        }
    }
}

async fn look(
    app: &App,
    now: u64,
    is_sure: bool,
    told: &mut HashMap<ProjectId, MachineState>,
) -> Result<(), StoreError> {
    let known = app.store.servers(now).await?;
    *app.servers.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    tell_states(app, told).await?;
    forget_unbound(app).await?;
    remove_deleted(app).await?;
    takeover::let_go(app).await?;
    if is_sure {
        takeover::look(app);
    }
    tell_runs(app, is_sure, now).await
}

/// Tells runs that their host is back, or is gone.
pub(crate) async fn tell_runs(app: &App, is_sure: bool, now: u64) -> Result<(), StoreError> {
    for run in app.store.tell_of_hosts(is_sure, now).await? {
        app.runs.changed(&*app.store, &run).await;
    }
    Ok(())
}

/// How machines of this server are, for those who ask others.
async fn tell_states(
    app: &App,
    told: &mut HashMap<ProjectId, MachineState>,
) -> Result<(), StoreError> {
    let machines = app.machines.list();
    let bound = machines.iter().filter(|machine| machine.is_bound());
    let states: HashMap<ProjectId, MachineState> =
        bound.map(|machine| (machine.id.clone(), machine.state())).collect();
    let news: Vec<_> = states
        .iter()
        .filter(|(id, state)| told.get(id) != Some(state))
        .map(|(id, state)| (id.clone(), *state))
        .collect();
    if !news.is_empty() {
        app.store.keep_machine_states(&news).await?;
    }
    *told = states;
    Ok(())
}

/// Projects without a machine that another server has given one, or deleted.
async fn forget_unbound(app: &App) -> Result<(), StoreError> {
    for machine in app.machines.list().into_iter().filter(|machine| !machine.is_bound()) {
        let project = app.store.project(machine.id.as_str()).await?;
        let is_ours =
            project.is_some_and(|project| app.servers.elsewhere(project.host.as_deref()).is_none());
        if !is_ours
            && let Some(_life) = machine.try_lock_life()
            && !machine.is_bound()
        {
            app.machines.remove(&machine.id);
        }
    }
    Ok(())
}

/// Machines of this server whose projects others have deleted.
async fn remove_deleted(app: &App) -> Result<(), StoreError> {
    if app.store.to_destroy().await?.is_empty() {
        return Ok(());
    }
    // Alone: forks that are being made count as deleted until they are whole.
    let alone = app.machines.making.write().await;
    let deleted = app.store.to_destroy().await?;
    drop(alone);
    for id in deleted {
        if app.servers.leaving_now().contains(&id) {
            continue;
        }
        if let Err(error) = life::remove(app, &id).await {
            tracing::warn!(project.id = %id, error = error.message, "remains of a deleted project");
        }
    }
    Ok(())
}

/// What others have set, and deleted.
async fn hear(app: &App) {
    let mut signals = app.store.listen();
    let mut keys = interval(KEYS_LOOK);
    let mut config = interval(CONFIG_LOOK);
    for tick in [&mut keys, &mut config] {
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
    }
    loop {
        let (looks_at_keys, looks_at_config) = tokio::select! {
            signal = signals.next() => match signal {
                None => return,
                Some(Signal::Topic(topic)) if topic == GONE_TOPIC => {
                    if let Err(error) = remove_deleted(app).await {
                        tracing::warn!(%error, "what others have deleted is looked for again");
                    }
                    (false, false)
                }
                Some(Signal::Topic(topic)) => (topic == SHARED_TOPIC, topic == SHARED_TOPIC),
                Some(Signal::Missed) => {
                    // The database may have been away, and have lost what it had not on its disk yet.
                    for machine in app.machines.list() {
                        machine.doubtful.notify_one();
                    }
                    (true, true)
                }
            },
            _ = keys.tick() => (true, false),
            _ = config.tick() => (false, true),
        };
        if looks_at_keys {
            match app.store.api_keys().await {
                Ok(keys) => app.auth.read_again(keys),
                Err(error) => tracing::warn!(%error, "keys that others made are not known yet"),
            }
        }
        if looks_at_config {
            app.gateway.push_config(&app.providers, &*app.store).await;
        }
    }
}
