//! The tools of the Platform Agent for a project: `sandbox_cmd`, some programs without a shell, `project_actions`, set
//! pieces of work, and `run_code`, pieces of code. Runs have them, conversations do not: they cost prompt. What they may touch is decided in
//! `toft_policy` (`workspace`, `command`); a refusal of theirs is an answer and no failure.

mod actions;
mod files;
mod program;
mod project_actions;
mod run_code;
mod sandbox_cmd;
#[cfg(test)]
mod tests;

use crate::host::Tool;
use project_actions::ProjectActions;
use run_code::RunCode;
use sandbox_cmd::SandboxCmd;
use std::{sync::Arc, time::Duration};
use toft_model::run::{PROJECT_ACTIONS, RUN_CODE, RunRules, SANDBOX_CMD};

/// Longest time that a program may ask for: what building a run may take.
const TIMEOUT_MAX: Duration = Duration::from_hours(10);

/// Why what a project's packages hold is not run.
const NO_INSTALLS: &str = "installing, building and checking types is not allowed here: machines of this server have \
                           no sandbox. An admin may allow it with ALLOW_HOST_INSTALLS=true";

/// How far programs of these tools may go.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Where the call says nothing.
    timeout: Duration,
    /// Of each output stream.
    chars_max: usize,
    /// Whether they may install, build and check types.
    installs: bool,
}

/// All, as a server's settings have them.
pub fn tools(rules: &RunRules) -> [Arc<dyn Tool>; 3] {
    let bounds = Bounds {
        timeout: Duration::from_millis(rules.cmd_timeout_ms).min(TIMEOUT_MAX),
        chars_max: usize::try_from(rules.output_chars_max).unwrap_or(usize::MAX),
        installs: rules.installs,
    };
    [Arc::new(SandboxCmd(bounds)), Arc::new(ProjectActions(bounds)), Arc::new(RunCode(bounds))]
}
