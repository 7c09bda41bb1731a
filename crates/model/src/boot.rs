//! What a machine's first processes are told when they start. Passed by descriptor, never by a
//! path inside the machine. Holds the project token and no other secret.

use crate::id::ProjectId;
use serde::{Deserialize, Serialize};

/// Folders in a project's folder that are Toft's own, where a machine is a plain folder (backend `host`): what is
/// [`BridgeBoot::home`] and [`BridgeBoot::log_dir`] then.
pub const HOST_OWN: [&str; 2] = [".toft/home", ".toft/log"];

/// For `toft init`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InitBoot {
    /// Listening unix socket for [`crate::init::InitRequest`]s from the host: descriptor number.
    pub init_fd: i32,
    /// Listening unix socket that the bridge serves HTTP on: descriptor number.
    pub bridge_fd: i32,
    /// Listening TCP socket for `:8080` in the machine, if there is one: descriptor number.
    pub app_fd: Option<i32>,
    /// Listening TCP sockets that belong to the gateway (model API, egress proxy). Init keeps them
    /// open, so that a connection made while no gateway lives waits instead of being refused, and
    /// hands copies to the server on request.
    pub gateway_fds: Vec<i32>,
    /// Program and arguments of the bridge; init appends nothing.
    pub bridge_argv: Vec<String>,
    /// Whole environment of every work process, before what a request adds.
    pub work_env: Vec<(String, String)>,
    /// Whether the bridge is started only when init was told an environment, so that no service runs
    /// without the project's secrets.
    #[serde(default)]
    pub awaits_environment: bool,
    /// Where init keeps the output of what it runs: a folder outside the checkpointed tree.
    pub exec_dir: String,
    /// Descriptor of the folder [`BridgeBoot::log_dir`] by which init and bridge write there, where what runs
    /// in the machine can only read. Else they write by the path.
    #[serde(default)]
    pub log_fd: Option<i32>,
    /// Descriptor of the mount namespace that init starts programs in which only read
    /// ([`crate::init::ExecSpec::read_only`]). None where there can be none.
    #[serde(default)]
    pub read_only_fd: Option<i32>,
    /// Files (`cgroup.procs` or `tasks`) that work processes join their control groups by, as seen
    /// inside the machine. Beside one of them may lie empty groups for single programs
    /// (`toft_jail::spec::PROGRAM_GROUP`). Empty when there are none.
    pub work_cgroup_procs: Vec<String>,
    /// For the bridge, passed on.
    pub bridge: BridgeBoot,
}

/// For `toft bridge`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BridgeBoot {
    /// Which project this is.
    pub project: ProjectId,
    /// The project's name, for the prompt.
    pub name: String,
    /// The project token: authenticates the bridge to the gateway, and machine processes to
    /// `/toft/*` on TCP. Worth nothing outside this machine.
    pub token: String,
    /// Base URL of the gateway as reached from here, by address (`http://127.77.0.1`): the bridge looks
    /// up no name.
    pub gateway_url: String,
    /// Where the agent works (`/home/project`).
    pub cwd: String,
    /// Where sessions and the inspect database live (`/home/starter`), inside the checkpointed tree.
    pub home: String,
    /// Where the event log lives, outside the checkpointed tree.
    pub log_dir: String,
    /// App port until one is detected or set.
    pub app_port: u16,
    /// How the app is reached from a browser, for the agent's prompt
    /// (`http://{project}.localhost:4000`).
    pub app_url: String,
    /// Whether tools for files keep to the project's folder, since there are no walls around it.
    #[serde(default)]
    pub path_policy: bool,
}
