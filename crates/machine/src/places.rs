//! Where things are as the machine's own processes see them. Not where they lie on the host.

use toft_jail::spec::EGRESS_PORT;

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    /// Base URL of the model API.
    pub(crate) gateway_url: String,
    /// URL of the egress proxy.
    pub(crate) proxy_url: String,
    /// Whether there is a listener for the machine's own port.
    pub(crate) has_app_listener: bool,
    /// `PATH`.
    pub(crate) path: String,
    /// What the image sets of programs' environment; what comes from here wins.
    pub(crate) env: Vec<(String, String)>,
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
            gateway_url: "http://gateway.internal".to_owned(),
            proxy_url: format!("http://gateway.internal:{EGRESS_PORT}"),
            has_app_listener: true,
            path: PATH.to_owned(),
            env: Vec::new(),
            shell: None,
        }
    }

    /// Runs the binary with these arguments.
    pub(crate) fn command_with(&self, arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(|a| (*a).to_owned());
        self.command.iter().cloned().chain(arguments).collect()
    }
}
