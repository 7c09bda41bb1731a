//! How runs are worked on, where nobody says otherwise.

use std::time::Duration;
use toft_model::run::{PROJECT_TOOLS, RUN_CODE, RunRules, Signature};

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
    /// Whether tools for projects may install, build, check types and run code where there is no sandbox.
    pub host_installs: bool,
    /// What the `AGENTS.md` of a new project says, where its image has none.
    pub agents_md: Option<String>,
}

/// The backend without walls.
const HOST: &str = "host";

impl RunSettings {
    /// Whether agents of runs have a tool.
    pub(crate) fn has_tool(&self, tool: &str) -> bool {
        let is_projects = PROJECT_TOOLS.contains(&tool);
        self.rules.allows(tool) && !(is_projects && self.rules.project_tools == Some(false))
    }

    /// Whether they run what they like.
    pub(crate) fn has_shell(&self) -> bool {
        ["bash", RUN_CODE].iter().any(|tool| self.has_tool(tool))
    }

    /// Whether files like `.env` are read by nobody in machines of a backend: where no machine is, tools for files keep
    /// off them, and a shell does not.
    pub(crate) fn keeps_off_secrets(&self, backend: &str) -> bool {
        backend == HOST && !self.has_shell()
    }

    /// Whether tools for projects may install, build, check types and run code in machines of a backend: what they fetch
    /// and run has the whole host where there are no walls.
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

    #[test]
    fn secrets_in_files_are_kept_from_agents_where_tools_for_files_are_all_they_have() {
        let with = |tools: &[&str], project_tools: Option<bool>| {
            let allowed_tools = Some(tools.iter().map(|tool| (*tool).to_owned()).collect());
            let rules = RunRules { allowed_tools, project_tools, ..RunRules::default() };
            RunSettings { rules, ..RunSettings::default() }
        };
        assert!(RunSettings::default().has_shell());
        assert!(with(&["read", "sandbox_cmd"], None).keeps_off_secrets("host"));
        assert!(!with(&["read"], None).keeps_off_secrets("native"));
        assert!(!with(&["bash"], None).keeps_off_secrets("host"));
        let code = |project_tools| with(&["run_code"], project_tools);
        assert!(!code(None).keeps_off_secrets("host"));
        assert!(code(Some(false)).keeps_off_secrets("host"));
    }
}
