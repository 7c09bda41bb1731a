//! Where things are as the machine's own processes see them. Not where they lie on the host.

use std::net::Ipv4Addr;
use toft_jail::spec::{EGRESS_PORT, FD_DIRECT, FD_DNS, FD_EGRESS, FD_MODEL, GATEWAY_ADDRESS};

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Ability: programs that know no proxy get out. A machine that was started by an earlier version has it not,
/// whatever the host can: its network was made without.
pub const DIRECT: &str = "connections without proxy";

/// Ability: programs that can change no file, as plan mode runs them. A machine that was started by an
/// earlier version has it not.
pub(crate) const READ_ONLY: &str = "read-only programs";

/// What of plan mode is left without it.
pub(crate) const READ_ONLY_LEFT: &str =
    "plan mode reads, searches and fetches, and runs no programs";

/// Descriptors of the gateway's sockets: model API and proxy; with a way for connections that go
/// through no proxy, theirs and that of DNS too.
pub(crate) fn gateway_fds(direct: bool) -> Vec<i32> {
    let mut all = vec![FD_MODEL, FD_EGRESS];
    if direct {
        all.extend([FD_DIRECT, FD_DNS]);
    }
    all
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// What runs the `toft` binary: its path, or its loader with arguments and then its path.
    pub(crate) command: Vec<String>,
    /// Where the agent works.
    pub(crate) cwd: String,
    /// Sessions and the inspect database.
    pub(crate) home: String,
    /// `HOME` of programs.
    pub(crate) user_home: String,
    /// `USER` of programs.
    pub(crate) user: String,
    /// Event log and kept output.
    pub(crate) log: String,
    /// Descriptor that init and bridge write there by, when nobody can by the path.
    pub(crate) log_fd: Option<i32>,
    /// Descriptor of the mount namespace for programs that only read, where there is one.
    pub(crate) read_only_fd: Option<i32>,
    /// Base URL of the model API, for programs.
    pub(crate) gateway_url: String,
    /// The same by address, for the bridge: what a look-up of a name loads is the machine's.
    pub(crate) gateway_at: String,
    /// URL of the egress proxy.
    pub(crate) proxy_url: String,
    /// Descriptors of the gateway's sockets, in init.
    pub(crate) gateway_fds: Vec<i32>,
    /// Whether there is a listener for the machine's own port.
    pub(crate) has_app_listener: bool,
    /// `PATH`.
    pub(crate) path: String,
    /// What the image sets of programs' environment; what comes from here wins.
    pub(crate) env: Vec<(String, String)>,
    /// Whether programs are kept from what is not the machine's.
    pub(crate) has_walls: bool,
    /// Shell of terminals; the host's when absent.
    pub(crate) shell: Option<String>,
}

impl Places {
    /// Those of a confined machine.
    pub(crate) fn confined(command: Vec<String>) -> Self {
        Self {
            command,
            cwd: "/home/project".to_owned(),
            home: "/home/starter".to_owned(),
            user_home: "/root".to_owned(),
            user: "root".to_owned(),
            log: "/var/lib/toft".to_owned(),
            log_fd: None,
            read_only_fd: None,
            gateway_url: "http://gateway.internal".to_owned(),
            gateway_at: format!("http://{}", Ipv4Addr::from(GATEWAY_ADDRESS)),
            proxy_url: format!("http://gateway.internal:{EGRESS_PORT}"),
            gateway_fds: gateway_fds(false),
            has_app_listener: true,
            path: PATH.to_owned(),
            env: Vec::new(),
            has_walls: true,
            shell: None,
        }
    }

    /// Runs the binary with these arguments.
    pub(crate) fn command_with(&self, arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(|a| (*a).to_owned());
        self.command.iter().cloned().chain(arguments).collect()
    }
}
