//! What this server is among those on its database, and which others it knows of. Told anew by `watch`.

use super::elsewhere::Elsewhere;
use crate::{clock::since_boot_ms, error::ServerError, machines::Machine};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Instant,
};
use toft_model::id::{ProjectId, hex};
use toft_store::{GONE_MS, Joined, NewServer, Project, Server, Store};

/// Names where a data folder lies, for as long as its computer runs.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Told when a project was deleted whose machine is another server's.
pub(crate) const GONE_TOPIC: &str = "gone";

/// See the module.
pub(crate) struct Servers {
    pub(super) me: NewServer,
    pub(super) known: RwLock<Vec<Server>>,
    /// Projects that are just being deleted here.
    leaving: Mutex<HashSet<ProjectId>>,
    heard: Mutex<Heard>,
    /// Held by whoever takes projects over, or lets go of some.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// Projects that could not be taken over, and when that was tried.
    pub(super) unreached: Mutex<HashMap<ProjectId, Instant>>,
}

/// When others heard of this server, by a clock that goes on while it stands still.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    /// Since when it was heard of without a gap. `None`: it is not now.
    pub(super) since_ms: Option<u64>,
    pub(super) last_ms: u64,
}

/// Marks a project as one that is deleted here just now.
pub(crate) struct Leaving<'a> {
    of: &'a Servers,
    id: ProjectId,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.of.leaving_now().remove(&self.id);
    }
}

/// This server as it tells others of itself. `secret` is derived from the master key: what is shared is compared by
/// digests under it, which tell nobody else anything.
pub(crate) fn me(
    id: String,
    data_dir: &Path,
    url: String,
    version: String,
    secret: &[u8],
    agent_key: Option<&str>,
) -> NewServer {
    let line = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let folder = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let mut shares = Sha256::new();
    shares.update(secret);
    shares.update(agent_key.unwrap_or_default());
    NewServer {
        id,
        place: format!("{} {} {}", line(BOOT_ID), line(HOST_NAME), folder.display()),
        url,
        version,
        shares: hex(&shares.finalize()),
    }
}

/// Becomes one of the servers, unless something is not as it must be.
pub(crate) async fn join(
    store: &dyn Store,
    me: NewServer,
    data_dir: &Path,
    now_ms: u64,
) -> Result<Servers, ServerError> {
    match store.join(&me, now_ms).await? {
        Joined::Yes => {}
        Joined::Taken(url) => {
            return Err(ServerError::SameServer { path: data_dir.join("server.id"), url });
        }
        Joined::Differs(url) => return Err(ServerError::OtherAgentKey { url }),
    }
    let known = store.servers(now_ms).await?;
    Ok(Servers::new(me, known))
}

impl Servers {
    fn new(me: NewServer, known: Vec<Server>) -> Self {
        let heard = Heard { since_ms: None, last_ms: since_boot_ms() };
        Self {
            me,
            known: RwLock::new(known),
            leaving: Mutex::default(),
            heard: Mutex::new(heard),
            turn: Arc::default(),
            unreached: Mutex::default(),
        }
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether those that are silent are gone. After the database was away all others seem to be: they are given the
    /// time to say otherwise.
    pub(super) fn is_sure(&self) -> bool {
        let Heard { since_ms, last_ms } = *self.heard();
        since_ms.is_some_and(|since_ms| last_ms.saturating_sub(since_ms) >= GONE_MS)
    }

    /// Whether this one was silent for so long that others may have taken it for gone.
    pub(super) fn was_away(&self) -> bool {
        since_boot_ms().saturating_sub(self.heard().last_ms) >= GONE_MS / 2
    }

    /// Whether a machine of that host is none of this server's.
    pub(crate) fn elsewhere(&self, host: Option<&str>) -> Option<Elsewhere> {
        let host = host.filter(|host| *host != self.me.id)?;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let server = known.iter().find(|server| server.id == host);
        Some(Elsewhere {
            url: server.map(|server| server.url.clone()),
            is_alive: server.is_some_and(Server::is_alive),
        })
    }

    /// A project whose machine is another server's, as far as it is known here.
    pub(crate) fn machine_of_other(&self, project: &Project) -> Option<Machine> {
        let elsewhere = self.elsewhere(project.host.as_deref())?;
        Some(Machine::of_other(project, elsewhere))
    }

    /// Addresses of the other servers that answer.
    pub(crate) fn others(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let others = known.iter().filter(|server| server.id != self.me.id && server.is_alive());
        others.map(|server| server.url.clone()).collect()
    }

    pub(super) fn leaving_now(&self) -> MutexGuard<'_, HashSet<ProjectId>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a project is deleted here.
    pub(crate) fn leaving(&self, id: &ProjectId) -> Leaving<'_> {
        self.leaving_now().insert(id.clone());
        Leaving { of: self, id: id.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_error::Code;

    fn servers(known: Vec<Server>) -> Servers {
        let me = me("me".into(), Path::new("/tmp"), "http://a".into(), "1".into(), b"k", None);
        Servers::new(me, known)
    }

    #[test]
    fn one_that_was_silent_itself_says_nothing_of_others_and_takes_nothing_for_its_own() {
        let servers = servers(Vec::new());
        let now = since_boot_ms();
        let check = |since_ms, last_ms, sure, away| {
            *servers.heard() = Heard { since_ms, last_ms };
            assert_eq!(
                (servers.is_sure(), servers.was_away()),
                (sure, away),
                "{since_ms:?} {last_ms}"
            );
        };
        let long = GONE_MS + 1_000;
        assert!(now > 2 * long, "a host that has just started");
        check(None, now, false, false);
        check(Some(now), now, false, false);
        check(Some(now - long), now, true, false);
        check(Some(now - 2 * long), now - long, true, true);
        check(None, now - long, false, true);
    }

    #[test]
    fn a_machine_of_another_server_is_refused_with_that_servers_address() {
        let other = |id: &str, silent_ms| Server {
            id: id.into(),
            url: format!("http://{id}:1"),
            version: "1".into(),
            silent_ms,
        };
        let servers = servers(vec![other("near", 100), other("gone", toft_store::GONE_MS)]);
        assert_eq!(servers.elsewhere(None), None);
        assert_eq!(servers.elsewhere(Some("me")), None);
        let near = servers.elsewhere(Some("near")).unwrap().refusal();
        assert!(near.code == Code::OtherHost && near.message.contains("http://near:1"), "{near:?}");
        let gone = servers.elsewhere(Some("gone")).unwrap().refusal();
        assert!(
            gone.code == Code::WaitingHost && gone.message.contains("http://gone:1"),
            "{gone:?}"
        );
        assert_eq!(servers.others(), ["http://near:1"]);
    }

    #[test]
    fn what_servers_share_is_compared_and_not_told() {
        let shares = |key: Option<&str>, secret: &[u8]| {
            let url = "http://a".to_owned();
            me("a".into(), Path::new("/tmp"), url, "1".into(), secret, key).shares
        };
        assert_eq!(shares(Some("canary"), b"k"), shares(Some("canary"), b"k"));
        assert_ne!(shares(Some("canary"), b"k"), shares(None, b"k"));
        assert_ne!(shares(Some("canary"), b"k"), shares(Some("canary"), b"other"));
        assert!(!shares(Some("canary"), b"k").contains("canary"));
    }
}
