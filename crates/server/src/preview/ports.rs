//! Previews by port, for people who came by a bare address: which preview has which port, opening
//! and closing the listeners. Names need none of this. Why it is as it is:
//! `docs/decisions/0005-a-preview-keeps-its-port.md`.

use crate::{
    api_error::{ApiError, Code},
    hosts::{self, Label},
    listen,
    machines::Machine,
    preview::{self, COOKIE_MS, origin::Origin},
    state::App,
};
use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use toft_model::{id::ProjectId, machine::MachineState};
use toft_store::{PreviewPort, StoreError};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

/// Connections to one preview at once: a browser opens six and its sockets; a few people look.
const CONNECTIONS_MAX: usize = 64;
/// A listener that nobody used for so long is closed: no cookie for it is valid any more.
const IDLE_MS: u64 = COOKIE_MS + 3600 * 1000;
/// The same for one whose machine was stopped by a person.
const STOPPED_MS: u64 = 3600 * 1000;
/// How often that is looked at; also whenever a port is opened.
const SWEEP_EVERY: Duration = Duration::from_mins(5);

/// The listeners that are open.
pub(crate) struct Ports {
    range: RangeInclusive<u16>,
    open: Mutex<HashMap<u16, Open>>,
    /// One at a time opens or closes.
    turn: tokio::sync::Mutex<()>,
}

struct Open {
    label: Label,
    /// Unix milliseconds of the last request.
    used_at: Arc<AtomicU64>,
    ends: CancellationToken,
}

impl Ports {
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, open: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<u16, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose preview a port shows.
    pub(crate) fn project(&self, port: u16) -> Option<ProjectId> {
        self.all().get(&port).map(|open| open.label.project.clone())
    }

    /// Closes every port of a deleted project.
    pub(crate) async fn close(&self, project: &ProjectId) {
        // Whoever is just opening one finishes first.
        let _turn = self.turn.lock().await;
        self.close_those(|open| open.label.project == *project);
    }

    fn close_those(&self, over: impl Fn(&Open) -> bool) {
        self.all().retain(|port, open| {
            let ends = over(open);
            if ends {
                open.ends.cancel();
                tracing::info!(project.id = %open.label.project, port, "a preview port is closed");
            }
            !ends
        });
    }
}

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

/// Ports to try, best first: those that this preview had; those that nobody ever had; those of
/// deleted projects, the longest unused first.
fn candidates(rows: &[PreviewPort], label: &Label, range: &RangeInclusive<u16>) -> Vec<u16> {
    let within = || rows.iter().filter(|row| range.contains(&row.port));
    let had: HashSet<u16> = rows.iter().map(|row| row.port).collect();
    let mut own: Vec<&PreviewPort> = within()
        .filter(|r| r.lives && r.project == label.project && r.app_port == label.port)
        .collect();
    own.sort_by_key(|row| Reverse(row.used_at));
    let mut left: Vec<&PreviewPort> = within().filter(|row| !row.lives).collect();
    left.sort_by_key(|row| row.used_at);
    let fresh = range.clone().filter(|port| !had.contains(port));
    own.iter().map(|row| row.port).chain(fresh).chain(left.iter().map(|row| row.port)).collect()
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
    let answer = move |app: App, req: Request| {
        let origin = origin.clone();
        used_at.store(app.clock.now_ms(), Ordering::Relaxed);
        async move { answer(&app, origin, req).await }
    };
    app.tasks.spawn(listen::serve(app.clone(), listener, CONNECTIONS_MAX, ends, answer));
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

    fn label(project: &str, port: Option<u16>) -> Label {
        Label { project: project.parse().unwrap(), port }
    }

    fn row(
        port: u16,
        project: &str,
        app_port: Option<u16>,
        used_at: u64,
        lives: bool,
    ) -> PreviewPort {
        PreviewPort { port, project: project.parse().unwrap(), app_port, used_at, lives }
    }

    const SHOP: &str = "a23456789bcd";
    const BLOG: &str = "b23456789bcd";

    #[test]
    fn a_preview_gets_its_own_port_again_and_never_that_of_a_living_project() {
        let rows = [
            row(4100, SHOP, None, 5, true),
            row(4101, SHOP, Some(3000), 6, true),
            row(4102, BLOG, None, 9, false),
            row(4103, BLOG, Some(1), 8, false),
            row(4104, SHOP, None, 7, true),
            row(5000, SHOP, None, 8, true),
        ];
        let check = |label: &Label, want: &[u16]| {
            assert_eq!(candidates(&rows, label, &(4100..=4106)), want, "{label}");
        };
        check(&label(SHOP, None), &[4104, 4100, 4105, 4106, 4103, 4102]);
        check(&label(SHOP, Some(3000)), &[4101, 4105, 4106, 4103, 4102]);
        check(&label("c23456789bcd", None), &[4105, 4106, 4103, 4102]);
        assert_eq!(candidates(&rows[..2], &label(BLOG, None), &(4100..=4101)), [0; 0]);
    }

    #[test]
    fn a_listener_outlives_its_cookies_and_no_deleted_project() {
        assert!(is_over(None, 0));
        assert!(!is_over(Some(MachineState::Cold), COOKIE_MS));
        assert!(is_over(Some(MachineState::Cold), IDLE_MS));
        assert!(!is_over(Some(MachineState::Stopped), STOPPED_MS - 1));
        assert!(is_over(Some(MachineState::Stopped), STOPPED_MS));
    }
}
