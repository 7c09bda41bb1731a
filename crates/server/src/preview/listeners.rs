//! The listeners of previews that have a port of their own (`ports`): opened, answering for a bare
//! address, closed when nobody uses them any more.

use super::{
    COOKIE_MS,
    origin::Origin,
    ports::{Open, candidates},
};
use crate::{
    api_error::{ApiError, Code},
    hosts::{self, Label},
    listen,
    machines::Machine,
    preview,
    state::App,
};
use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_model::machine::MachineState;
use toft_store::StoreError;
use tokio::{net::TcpListener, time::sleep};

/// Connections to one preview at once: a browser opens six and its sockets; a few people look.
const CONNECTIONS_MAX: usize = 64;
/// A listener that nobody used for so long is closed: no cookie for it is valid any more.
const IDLE_MS: u64 = COOKIE_MS + 3600 * 1000;
/// The same for one whose machine was stopped by a person.
const STOPPED_MS: u64 = 3600 * 1000;
/// How often that is looked at; also whenever a port is opened.
const SWEEP_EVERY: Duration = Duration::from_mins(5);

/// The port of a preview; opened when it is not.
pub(crate) async fn open(app: &App, label: &Label) -> Result<u16, ApiError> {
    let _turn = app.ports.turn.lock().await;
    sweep(app);
    let now = app.clock.now_ms();
    let found = app.ports.all().iter().find_map(|(port, open)| {
        (open.label == *label).then(|| {
            open.used_at.store(now, Ordering::Relaxed);
            *port
        })
    });
    if let Some(port) = found {
        app.store.put_preview_port(port, &label.project, label.port, now).await?;
        return Ok(port);
    }
    let rows = app.store.preview_ports().await?;
    for port in candidates(&rows, label, &app.ports.range) {
        // Another program may have it, whatever our rows say.
        let Ok(listener) = bind(app, port).await else { continue };
        match app.store.put_preview_port(port, &label.project, label.port, now).await {
            Ok(()) => {}
            Err(StoreError::Taken { .. }) => continue,
            Err(StoreError::Missing { .. }) => return Err(ApiError::no_project()),
            Err(error) => return Err(error.into()),
        }
        start(app, Origin::at_port(label.clone(), port), listener, now);
        return Ok(port);
    }
    let (first, last) = (app.ports.range.start(), app.ports.range.end());
    Err(ApiError::new(
        Code::Unavailable,
        format!(
            "no port of {first}-{last} is free for this preview: delete projects that are no \
             longer needed, or start the server with a wider --preview-ports or with \
             --preview-domain"
        ),
    ))
}

/// Opens the ports again whose cookies may still be good. Tabs go on as if nothing had happened.
pub(crate) async fn reopen(app: &App) -> Result<(), StoreError> {
    if !app.hosts.may_be_bare() {
        return Ok(());
    }
    app.tasks.spawn(keep_swept(app.clone()));
    let _turn = app.ports.turn.lock().await;
    let now = app.clock.now_ms();
    for row in app.store.preview_ports().await? {
        if app.machines.get(&row.project).is_none() {
            // Another server's.
            continue;
        }
        let is_used = row.lives && now < row.used_at + COOKIE_MS;
        if !is_used || !app.ports.range.contains(&row.port) {
            continue;
        }
        let label = Label { project: row.project, port: row.app_port };
        match bind(app, row.port).await {
            Ok(listener) => start(app, Origin::at_port(label, row.port), listener, row.used_at),
            Err(error) => tracing::warn!(
                port = row.port, %error,
                "a preview's port is not free any more: opened anew, it gets another one"
            ),
        }
    }
    Ok(())
}

async fn bind(app: &App, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(app.hosts.listen_ip(), port)).await
}

fn start(app: &App, origin: Origin, listener: TcpListener, used_at: u64) {
    let Some(port) = origin.port else { return };
    let ends = app.stop.token().child_token();
    let used_at = Arc::new(AtomicU64::new(used_at));
    let open =
        Open { label: origin.label.clone(), used_at: Arc::clone(&used_at), ends: ends.clone() };
    tracing::info!(project.id = %origin.label.project, port, "a preview port is open");
    app.ports.all().insert(port, open);
    let answering = app.clone();
    let answer = move |req: Request| {
        let (app, origin) = (answering.clone(), origin.clone());
        used_at.store(app.clock.now_ms(), Ordering::Relaxed);
        async move { answer(&app, origin, req).await }
    };
    app.tasks.spawn(listen::serve(app.tasks.clone(), listener, CONNECTIONS_MAX, ends, answer));
}

/// Answers a request to a preview's own port: for a bare address only. A name could have been bent
/// to this computer by whoever owns it.
async fn answer(app: &App, origin: Origin, req: Request) -> Response {
    let host = hosts::host_of(&req).unwrap_or_default().to_ascii_lowercase();
    let port = hosts::split_port(&host).and_then(|(_, port)| port);
    if port != origin.port || app.hosts.bare_address(&host).is_none() {
        let error = ApiError::new(
            Code::Misdirected,
            "this preview answers for the server's address only: open it from the dashboard",
        );
        return error.into_response();
    }
    preview::handle(app, origin, req).await
}

async fn keep_swept(app: App) {
    loop {
        tokio::select! {
            () = app.stop.token().cancelled() => return,
            () = sleep(SWEEP_EVERY) => {}
        }
        let _turn = app.ports.turn.lock().await;
        sweep(&app);
    }
}

/// Closes what nobody uses any more. The rows stay: the ports stay theirs.
fn sweep(app: &App) {
    let now = app.clock.now_ms();
    app.ports.close_those(|open| {
        let idle_ms = now.saturating_sub(open.used_at.load(Ordering::Relaxed));
        let state = app.machines.get(&open.label.project).map(|m: Arc<Machine>| m.state());
        is_over(state, idle_ms)
    });
}

fn is_over(state: Option<MachineState>, idle_ms: u64) -> bool {
    match state {
        None => true,
        Some(MachineState::Stopped) => idle_ms >= STOPPED_MS,
        Some(_) => idle_ms >= IDLE_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_outlives_its_cookies_and_no_deleted_project() {
        assert!(is_over(None, 0));
        assert!(!is_over(Some(MachineState::Cold), COOKIE_MS));
        assert!(is_over(Some(MachineState::Cold), IDLE_MS));
        assert!(!is_over(Some(MachineState::Stopped), STOPPED_MS - 1));
        assert!(is_over(Some(MachineState::Stopped), STOPPED_MS));
    }
}
