//! Which port the app listens on: the default, one that a tool's output named, or one that a
//! person set. Kept in `state.json`; a change is an `app_port` event. Does not speak to the app.

mod detect;
pub(crate) mod listening;

use crate::{log::EventLog, state_file};
use detect::{Found, Reader};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use toft_model::event::EventBody;

/// Ports that were named and could be the app's; more than a project ever runs.
const CANDIDATES_MAX: usize = 16;

/// Key in `state.json`, as the Starter document has it.
const STATE_KEY: &str = "appPort";

/// Key in `state.json`: whether a person chose the port.
const STATE_KEY_SET: &str = "appPortSet";

/// See the module.
pub struct AppPort {
    home: PathBuf,
    log: EventLog,
    known: Mutex<Known>,
}

struct Known {
    port: u16,
    /// A person chose it: only an explicit announcement replaces it.
    set: bool,
    /// Named in output, newest last.
    candidates: Vec<u16>,
    /// Ports of services in the inspect database.
    declared: Vec<u16>,
    /// The bridge's own port: never the app's.
    own: Option<u16>,
    reader: Reader,
}

impl AppPort {
    /// What `state.json` in `home` says, or `default`. `own` is the bridge's port on TCP.
    pub fn open(home: &Path, default: u16, own: Option<u16>, log: EventLog) -> Arc<Self> {
        let state = state_file::read(home);
        let kept = state.get(STATE_KEY).and_then(serde_json::Value::as_u64);
        let kept = kept.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        let set = kept.is_some() && state.get(STATE_KEY_SET) == Some(&true.into());
        let known = Known {
            port: kept.unwrap_or(default),
            set,
            candidates: Vec::new(),
            declared: Vec::new(),
            own,
            reader: Reader::default(),
        };
        Arc::new(Self { home: home.to_owned(), log, known: Mutex::new(known) })
    }

    /// The app's port.
    pub fn port(&self) -> u16 {
        self.known().port
    }

    /// Whether something listens on it (or on the one port that is taken instead).
    #[expect(clippy::unused_async, reason = "the contract; a look at `/proc` takes microseconds")]
    pub async fn listening(&self) -> bool {
        let open = listening::of_programs();
        let port = self.resolve_among(&open);
        open.contains(&port) && self.known().own != Some(port)
    }

    /// The bridge's own port on TCP.
    pub(crate) fn own(&self) -> Option<u16> {
        self.known().own
    }

    /// The port to send a request to: the app's, or, when nothing listens there, the only one of
    /// those that were named or declared where something does.
    pub(crate) fn resolve(&self) -> u16 {
        self.resolve_among(&listening::of_programs())
    }

    fn resolve_among(&self, open: &listening::Ports) -> u16 {
        let mut known = self.known();
        if open.contains(&known.port) {
            return known.port;
        }
        let mut others: Vec<u16> = known
            .candidates
            .iter()
            .chain(&known.declared)
            .copied()
            .filter(|port| open.contains(port) && Some(*port) != known.own)
            .collect();
        others.sort_unstable();
        others.dedup();
        let [only] = others[..] else { return known.port };
        if !known.set {
            self.detected(&mut known, only);
        }
        only
    }

    /// Looks for announcements in a tool's output; pieces may be cut anywhere.
    pub fn observe_output(&self, text: &str) {
        let mut known = self.known();
        let own = known.own;
        for found in known.reader.read(text) {
            let (Found::Announced(port) | Found::Mentioned(port)) = found;
            if Some(port) == own {
                continue;
            }
            known.candidates.retain(|candidate| *candidate != port);
            if known.candidates.len() == CANDIDATES_MAX {
                known.candidates.remove(0);
            }
            known.candidates.push(port);
            if matches!(found, Found::Announced(_)) && (known.port != port || known.set) {
                self.detected(&mut known, port);
            }
        }
    }

    /// A person chose a port; it stays until output announces another one. Fails when it cannot be
    /// kept, and changes nothing then.
    pub async fn set(self: &Arc<Self>, port: u16) -> io::Result<()> {
        let this = Arc::clone(self);
        let set = tokio::task::spawn_blocking(move || this.set_now(port));
        set.await.map_err(io::Error::other)?
    }

    fn set_now(&self, port: u16) -> io::Result<()> {
        let mut known = self.known();
        self.keep(port, true)?;
        (known.port, known.set) = (port, true);
        self.tell(port, "set");
        Ok(())
    }

    /// Ports of the services that the inspect database names now.
    pub(crate) fn declare(&self, ports: Vec<u16>) {
        self.known().declared = ports;
    }

    /// Output or a look at the listeners says so.
    fn detected(&self, known: &mut Known, port: u16) {
        let moved = known.port != port;
        (known.port, known.set) = (port, false);
        if let Err(err) = self.keep(port, false) {
            tracing::warn!(error = %err, port, "the app port is not kept over a restart");
        }
        if moved {
            self.tell(port, "detected");
        }
    }

    fn keep(&self, port: u16, set: bool) -> io::Result<()> {
        state_file::update(&self.home, |state| {
            state.insert(STATE_KEY.to_owned(), port.into());
            if set {
                state.insert(STATE_KEY_SET.to_owned(), true.into());
            } else {
                state.remove(STATE_KEY_SET);
            }
        })
    }

    fn tell(&self, port: u16, source: &str) {
        self.log.append(None, EventBody::AppPort { port, source: source.to_owned() });
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // A panic while it was held leaves a port that is still a port.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    async fn port_in(home: &Path) -> Arc<AppPort> {
        let log = EventLog::open(home, crate::clock::now_ms).await.unwrap();
        AppPort::open(home, 3000, Some(8080), log)
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn an_announced_port_is_taken_and_kept_over_a_restart() {
        let home = tempfile::tempdir().unwrap();
        let app = port_in(home.path()).await;
        assert_eq!(app.port(), 3000);
        app.observe_output("  VITE ready\n  Local:   http://localhost:51");
        assert_eq!(app.port(), 3000, "a number may go on in the next piece");
        app.observe_output("73/\n");
        assert_eq!(app.port(), 5173);
        assert_eq!(port_in(home.path()).await.port(), 5173);
        assert_eq!(app.log.last_seq(), 1);
    }

    #[tokio::test]
    async fn the_same_announcement_again_is_no_event() {
        let home = tempfile::tempdir().unwrap();
        let app = port_in(home.path()).await;
        for _ in 0..3 {
            app.observe_output("Listening on port 4000\n");
        }
        assert_eq!(app.log.last_seq(), 1);
    }

    #[tokio::test]
    async fn a_persons_choice_stays_until_an_announcement() {
        let home = tempfile::tempdir().unwrap();
        let app = port_in(home.path()).await;
        let (_open, mentioned) = listener();
        app.set(4567).await.unwrap();
        app.observe_output(&format!("see http://localhost:{mentioned}\n"));
        assert_eq!(app.port(), 4567);
        assert_eq!(app.resolve(), mentioned, "it is the only one that answers");
        assert_eq!(app.port(), 4567, "and the choice still stands");
        app.observe_output("Listening on port 4001\n");
        assert_eq!(app.port(), 4001);
    }

    #[tokio::test]
    async fn the_only_declared_port_that_listens_is_preferred() {
        let home = tempfile::tempdir().unwrap();
        let app = port_in(home.path()).await;
        let (open, declared) = listener();
        let (_other, second) = listener();
        app.declare(vec![declared]);
        assert_eq!(app.resolve(), declared);
        assert!(app.listening().await);
        drop(open);
        app.declare(vec![declared, second]);
        assert_eq!(app.resolve(), second, "the first no longer listens");
    }

    #[tokio::test]
    async fn the_bridges_own_port_is_never_the_apps() {
        let home = tempfile::tempdir().unwrap();
        let app = port_in(home.path()).await;
        app.observe_output("Listening on port 8080\n");
        assert_eq!(app.port(), 3000);
    }
}
