//! How runs are worked on, where nobody says otherwise.

use std::time::Duration;
use toft_model::run::{RunRules, Signature};

/// Settings of a server's runs.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// How many this server works on at once; 0: it only accepts and tells, and others on its database work.
    pub at_once: u32,
    /// How many of a team all servers work on at once.
    pub per_team: u32,
    /// How long a run belongs to a server that does not say so again.
    pub lease: Duration,
    /// How long planning may take.
    pub plan_timeout: Duration,
    /// How long building may take.
    pub build_timeout: Duration,
    /// How often a run is tried.
    pub attempts_max: u32,
    /// The longest pause before another try.
    pub backoff_max: Duration,
    /// Whether what a run changed is committed.
    pub commit: bool,
    /// Author of its commits; git's own settings when absent.
    pub author: Option<Signature>,
    /// Of how many runs of a project the workspaces are kept: of the newest that left one.
    pub workspaces_kept: u32,
    /// Bytes of files in a workspace's archive.
    pub archive_bytes_max: u64,
    /// Files in it.
    pub archive_files_max: u64,
    /// Committer; the author when absent.
    pub committer: Option<Signature>,
    /// What agents have for them.
    pub rules: RunRules,
    /// Whether `project_actions` may install, build and check types where there is no sandbox.
    pub host_installs: bool,
    /// What the `AGENTS.md` of a new project says, where its image has none.
    pub agents_md: Option<String>,
}

/// The backend without walls.
const HOST: &str = "host";

impl RunSettings {
    /// Whether `project_actions` may install, build and check types in machines of a backend: what they fetch and run
    /// has the whole host where there are no walls.
    pub(crate) fn installs_with(&self, backend: &str) -> bool {
        self.rules.installs && (backend != HOST || self.host_installs)
    }
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            at_once: 16,
            per_team: 64,
            lease: Duration::from_secs(30),
            plan_timeout: Duration::from_hours(1),
            build_timeout: Duration::from_hours(10),
            attempts_max: 3,
            backoff_max: Duration::from_secs(30),
            commit: true,
            workspaces_kept: 500,
            archive_bytes_max: 250_000_000,
            archive_files_max: 20_000,
            author: None,
            committer: None,
            rules: RunRules::default(),
            host_installs: false,
            agents_md: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_without_walls_must_be_allowed() {
        let allowed = |backend: &str, host_installs: bool| {
            RunSettings { host_installs, ..RunSettings::default() }.installs_with(backend)
        };
        assert!(allowed("native", false) && allowed("oci", false) && allowed("host", true));
        assert!(!allowed("host", false));
    }
}
