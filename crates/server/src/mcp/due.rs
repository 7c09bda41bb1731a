//! When the sign-ins of projects are to be looked at: at a time, or because something has changed. In memory.

use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use toft_model::{id::ProjectId, mcp::McpState};
use tokio::sync::Notify;

/// Servers of one project that are remembered between two looks.
const REFUSED_MAX: usize = 32;

/// Bytes of a server's name.
const NAME_BYTES_MAX: usize = 32;

/// When sign-ins are to be looked at.
#[derive(Default)]
pub(crate) struct Due {
    /// Unix milliseconds. None: not known yet.
    at: Mutex<HashMap<ProjectId, u64>>,
    /// Servers that take no token.
    refused: Mutex<HashSet<(ProjectId, String)>>,
    news: Notify,
}

#[derive(Deserialize)]
struct Change {
    name: String,
    state: McpState,
}

impl Due {
    /// Something of a project's sign-ins has changed.
    pub(super) fn look(&self, project: &ProjectId) {
        lock(&self.at).remove(project);
        self.news.notify_one();
    }

    /// A machine tells of one of its servers.
    pub(crate) fn heard(&self, project: &ProjectId, data: &str) {
        let Ok(change) = serde_json::from_str::<Change>(data) else { return };
        if change.state == McpState::Ready {
            self.serves(project, &change.name);
        }
        if change.state != McpState::NeedsSignIn || change.name.len() > NAME_BYTES_MAX {
            return;
        }
        {
            let mut refused = lock(&self.refused);
            if refused.iter().filter(|(of, _)| of == project).count() >= REFUSED_MAX {
                return;
            }
            refused.insert((project.clone(), change.name));
        }
        self.look(project);
    }

    /// Until something has changed.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Whether a project's sign-ins are to be looked at now.
    pub(super) fn is_now(&self, project: &ProjectId, now: u64) -> bool {
        lock(&self.at).get(project).is_none_or(|at| *at <= now)
    }

    /// They are looked at: whoever changes something from here on has it looked at again.
    pub(super) fn begin(&self, project: &ProjectId) {
        lock(&self.at).insert(project.clone(), u64::MAX);
    }

    /// They were looked at, and are at that time again, unless something has changed meanwhile.
    pub(super) fn next(&self, project: &ProjectId, next: u64) {
        if let Some(at) = lock(&self.at).get_mut(project) {
            *at = (*at).min(next);
        }
    }

    /// Forgets all other projects.
    pub(super) fn keep(&self, projects: &HashSet<ProjectId>) {
        lock(&self.at).retain(|id, _| projects.contains(id));
        lock(&self.refused).retain(|(id, _)| projects.contains(id));
    }

    /// A server takes its token, or has another: what was heard of it before counts no more.
    pub(super) fn serves(&self, project: &ProjectId, server: &str) {
        lock(&self.refused).retain(|(of, name)| of != project || name != server);
    }

    /// Whether it was told to take none since.
    pub(super) fn is_refused(&self, project: &ProjectId, server: &str) -> bool {
        lock(&self.refused).iter().any(|(of, name)| of == project && name == server)
    }

    /// Forgets what was heard of servers for which there is nothing to renew.
    pub(super) fn only(&self, project: &ProjectId, servers: &HashSet<&str>) {
        lock(&self.refused).retain(|(of, name)| of != project || servers.contains(&**name));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_takes_its_token_after_all_is_not_held_for_one_that_refuses_it() {
        let due = Due::default();
        let (project, other) = (ProjectId::random(), ProjectId::random());
        let heard = |of: &ProjectId, name: &str, state: &str| {
            due.heard(of, &format!(r#"{{"name":"{name}","state":"{state}"}}"#));
        };
        heard(&project, "tracker", "needs_sign_in");
        heard(&project, "mail", "needs_sign_in");
        heard(&other, "tracker", "needs_sign_in");
        heard(&project, "tracker", "starting");
        assert!(due.is_refused(&project, "tracker"));
        heard(&project, "tracker", "ready");
        assert!(!due.is_refused(&project, "tracker"));
        assert!(due.is_refused(&project, "mail") && due.is_refused(&other, "tracker"));
        due.only(&project, &HashSet::from(["tracker"]));
        assert!(!due.is_refused(&project, "mail") && due.is_refused(&other, "tracker"));
    }
}
