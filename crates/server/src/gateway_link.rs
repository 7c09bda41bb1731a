//! The server's line to the gateway that answers now: what it is told of machines and keys. Finding and
//! starting it is in `supervise`; what it does with all that is the gateway's.

pub(crate) mod supervise;

use crate::providers::Providers;
use std::time::Duration;
use toft_gateway::{
    Brokered, ControlError, Fetch, Fetched, Gateway, Reach, records::egress_log::OpenConnection,
};
use toft_machine::backend::{Backend, Running};
use toft_model::{id::ProjectId, machine::EgressLevel};
use toft_store::Store;
use tokio::{
    sync::{Mutex, watch},
    time::{sleep, timeout},
};

/// How long a request waits for a gateway that is just starting.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Tries to hand a machine over on one connection.
const ADD_TRIES: u32 = 3;
/// Between them.
const ADD_PAUSE: Duration = Duration::from_millis(50);

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
    pub(crate) async fn add_machine(
        &self,
        backend: &dyn Backend,
        reach: impl Into<Reach>,
        id: &ProjectId,
        running: Running,
    ) {
        let Some(gateway) = self.current() else { return };
        let reach = reach.into();
        let mut running = Some(running);
        for attempt in 1..=ADD_TRIES {
            // Listeners travel with the first try; the machine's init has copies for another.
            let next = match running.take() {
                Some(running) => Some(running),
                None => backend.adopt(id).await.ok().flatten(),
            };
            let Some(Running { token, gateway_listeners, .. }) = next else { return };
            match gateway.add_machine(id, &token, reach.clone(), gateway_listeners).await {
                // The next gateway is given every machine anyway.
                Ok(()) | Err(ControlError::Closed) => return,
                Err(error) => {
                    tracing::warn!(project.id = %id, %error, attempt,
                        "the gateway did not take the machine");
                }
            }
            sleep(ADD_PAUSE).await;
        }
    }

    /// Changes what a machine may reach, at once; how many connections that ends. Whoever is given the
    /// machine later is given that with it: without a gateway, or to one that does not serve it, nothing
    /// is to be said.
    pub(crate) async fn set_egress(
        &self,
        id: &ProjectId,
        egress: EgressLevel,
    ) -> Result<usize, ControlError> {
        let Some(gateway) = self.current() else { return Ok(0) };
        match gateway.set_egress(id, egress).await {
            Err(ControlError::Closed) => Ok(0),
            Err(ControlError::Refused { code, .. }) if code == "not_found" => Ok(0),
            told => told,
        }
    }

    /// Changes which secrets are put into a machine's requests. As with [`GatewayLink::set_egress`],
    /// nothing is to be said where nobody serves it.
    pub(crate) async fn set_brokered(
        &self,
        id: &ProjectId,
        brokered: Brokered,
    ) -> Result<(), ControlError> {
        let Some(gateway) = self.current() else { return Ok(()) };
        match gateway.set_brokered(id, brokered).await {
            Err(ControlError::Closed) => Ok(()),
            Err(ControlError::Refused { code, .. }) if code == "not_found" => Ok(()),
            told => told,
        }
    }

    /// Connections of a machine that are open now.
    pub(crate) async fn open_connections(&self, id: &ProjectId) -> Vec<OpenConnection> {
        let Some(gateway) = self.current() else { return Vec::new() };
        gateway.open_connections(id).await.unwrap_or_else(|error| {
            tracing::debug!(project.id = %id, %error, "open connections are not known");
            Vec::new()
        })
    }

    /// Asks a host on a project's way out.
    pub(crate) async fn fetch(
        &self,
        id: &ProjectId,
        fetch: Fetch,
    ) -> Result<Fetched, ControlError> {
        self.get().await.ok_or(ControlError::Closed)?.fetch(id, fetch).await
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
    pub(crate) async fn push_config(&self, providers: &Providers, store: &dyn Store) {
        let Some(gateway) = self.current() else { return };
        self.send_config(&gateway, providers, store).await;
    }

    async fn send_config(&self, gateway: &Gateway, providers: &Providers, store: &dyn Store) {
        let _telling = self.telling.lock().await;
        let config = match providers.gateway_config(store).await {
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

    /// Ends the gateway.
    pub(crate) async fn shutdown(&self) {
        let Some(gateway) = self.now.send_replace(None) else { return };
        if let Err(error) = gateway.shutdown().await {
            tracing::warn!(%error, "the gateway did not end");
        }
    }
}
