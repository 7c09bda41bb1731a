//! The server's line to the gateway: found or started, told everything again whenever it is new.
//! What the gateway does with it is the gateway's.

use crate::state::App;
use std::time::Duration;
use toft_gateway::{ControlError, Gateway, SpawnConfig};
use toft_machine::backend::Running;
use toft_model::{id::ProjectId, machine::MachineState};
use tokio::{
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

/// First pause before the gateway is started again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: something is wrong with the host, and the log says what.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A gateway that lived this long was healthy: begin with the first pause again.
const HEALTHY: Duration = Duration::from_secs(10);
/// How long a request waits for a gateway that is just starting.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Tries to hand a machine over on one connection.
const ADD_TRIES: u32 = 3;

/// The gateway that answers now, if one does.
pub(crate) struct GatewayLink {
    now: watch::Sender<Option<Gateway>>,
    /// Held from reading the configuration to its arrival: an older one never comes after a newer.
    telling: Mutex<()>,
}

impl Default for GatewayLink {
    fn default() -> Self {
        Self { now: watch::Sender::new(None), telling: Mutex::new(()) }
    }
}

impl GatewayLink {
    fn current(&self) -> Option<Gateway> {
        self.now.borrow().clone()
    }

    /// The gateway; waits a little for one that is starting.
    pub(crate) async fn get(&self) -> Option<Gateway> {
        let mut now = self.now.subscribe();
        let found = timeout(WAIT_MAX, now.wait_for(Option::is_some)).await.ok()?.ok()?;
        found.clone()
    }

    /// Hands a machine over. Without a gateway it is done when there is one.
    pub(crate) async fn add_machine(&self, app: &App, id: &ProjectId, running: Running) {
        let Some(gateway) = self.current() else { return };
        let mut running = Some(running);
        for attempt in 1..=ADD_TRIES {
            // Listeners travel with the first try; the machine's init has copies for another.
            let next = match running.take() {
                Some(running) => Some(running),
                None => app.backend.adopt(id).await.ok().flatten(),
            };
            let Some(Running { token, gateway_listeners, .. }) = next else { return };
            let egress = app.egress.clone();
            match gateway.add_machine(id, &token, egress, gateway_listeners).await {
                // The next gateway is given every machine anyway.
                Ok(()) | Err(ControlError::Closed) => return,
                Err(error) => {
                    tracing::warn!(project.id = %id, %error, attempt,
                        "the gateway did not take the machine");
                }
            }
            sleep(PAUSE_MIN).await;
        }
    }

    /// Takes a machine away.
    pub(crate) async fn remove_machine(&self, id: &ProjectId) {
        let Some(gateway) = self.current() else { return };
        match gateway.remove_machine(id).await {
            Ok(()) | Err(ControlError::Closed) => {}
            Err(error) => tracing::warn!(project.id = %id, %error, "the gateway kept the machine"),
        }
    }

    /// Sends providers, keys and defaults as they are now.
    pub(crate) async fn push_config(&self, app: &App) {
        let Some(gateway) = self.current() else { return };
        send_config(app, &gateway).await;
    }

    /// Ends the gateway.
    pub(crate) async fn shutdown(&self) {
        let Some(gateway) = self.now.send_replace(None) else { return };
        if let Err(error) = gateway.shutdown().await {
            tracing::warn!(%error, "the gateway did not end");
        }
    }
}

async fn send_config(app: &App, gateway: &Gateway) {
    let _telling = app.gateway.telling.lock().await;
    let config = match app.providers.gateway_config(app).await {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(error = error.message, "the gateway has no keys");
            return;
        }
    };
    match gateway.set_config(config).await {
        Ok(()) | Err(ControlError::Closed) => {}
        Err(error) => tracing::error!(%error, "the gateway did not take its configuration"),
    }
}

/// Keeps a gateway running until the server ends, and leaves it running then.
pub(crate) async fn supervise(app: App, config: SpawnConfig) {
    let ends = app.stop.token().clone();
    let mut pause = PAUSE_MIN;
    loop {
        // Not given up half-way: a process that it has started would stay, known to nobody.
        match Gateway::connect_or_spawn(config.clone()).await {
            Ok(gateway) => {
                tracing::info!(pid = gateway.pid(), "the gateway answers");
                let since = tokio::time::Instant::now();
                send_config(&app, &gateway).await;
                app.gateway.now.send_replace(Some(gateway.clone()));
                // A key that was set since the first time found no gateway to tell. Machines must
                // not meet one that knows nothing yet, so it is told before it is shown too.
                send_config(&app, &gateway).await;
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
                }
                app.gateway.now.send_replace(None);
                tracing::warn!("the gateway is gone: starting it again");
                if since.elapsed() > HEALTHY {
                    pause = PAUSE_MIN;
                }
            }
            Err(error) => tracing::error!(%error, "no gateway: models cannot be reached"),
        }
        tokio::select! {
            () = ends.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Gives a new gateway every machine that runs.
async fn hand_over(app: &App) {
    for machine in app.machines.list() {
        if machine.state() != MachineState::Running {
            continue;
        }
        match app.backend.adopt(&machine.id).await {
            Ok(Some(running)) => app.gateway.add_machine(app, &machine.id, running).await,
            // Its tailer notices by itself.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(project.id = %machine.id, %error, "its listeners were not found");
            }
        }
    }
}
