//! What a server is told when it starts, and what it tells when it is ready. Reads nothing by
//! itself: the binary does.

use crate::{
    clock::Clock,
    runs::{ArtifactPlace, RunSettings},
    stop::Stop,
    traces::TraceSettings,
};
use std::{
    collections::BTreeMap, fmt, net::SocketAddr, ops::RangeInclusive, path::PathBuf, sync::Arc,
};
use toft_llm::catalogue::{self, Auth, local};
use toft_model::{
    machine::{EgressName, EgressSetting, IdleRule, Limits},
    provider::Fallbacks,
};
use toft_vault::Secret;

/// Right above the control plane's own, and a hundred: more than people keep open.
const PREVIEW_PORTS_DEFAULT: RangeInclusive<u16> = 4100..=4199;

/// How to run a server.
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The data folder, absolute. Made when missing.
    pub data_dir: PathBuf,
    /// The `toft` binary, for starting the gateway.
    pub exe: PathBuf,
    /// The gateway's whole environment (`SSL_CERT_FILE`, `SSL_CERT_DIR` are useful to it).
    pub gateway_env: Vec<(String, String)>,
    /// Host of the control plane: `toft.example.org`, `https://…` assumed; may have a scheme and a
    /// port.
    pub domain: Option<String>,
    /// Domain below which previews get hosts; another site than `domain`. Same form.
    pub preview_domain: Option<String>,
    /// Ports for previews when people come by a bare address and there is no `preview_domain`.
    pub preview_ports: RangeInclusive<u16>,
    /// The admin key of the documents.
    pub agent_api_key: Option<Secret>,
    /// Values of [`provider_env_names`] that are set. Holds keys.
    pub provider_env: BTreeMap<String, String>,
    /// Value of a variable that the file of models names for a key of a provider of its own.
    pub variables: Variables,
    /// Whether servers of models are looked for on this machine, where Settings say nothing.
    pub local_models: bool,
    /// The same from a file, which the environment and Settings win over.
    pub keys_file: Option<KeysFile>,
    /// Looks whether that one has changed; asked every few seconds. `None`: it never does.
    pub keys_again: Option<LookAgain>,
    /// Models that stand in for others, where people have set none.
    pub fallbacks: Fallbacks,
    /// Where traces go. `None`: nothing is said of it, and what is known of places stays as it is.
    pub traces: Option<TraceSettings>,
    /// Address of a PostgreSQL database that servers share; `None`: a file in the data folder.
    pub database: Option<Secret>,
    /// Where other servers on that database tell people to find this one; its own address when absent.
    pub advertise: Option<String>,
    /// Where files that runs leave are kept. `None`: in the data folder.
    pub artifacts: Option<ArtifactPlace>,
    /// How runs are worked on.
    pub runs: RunSettings,
    /// MCP servers of all projects that declare none in their variable `MCP_SERVERS`. May hold secrets.
    pub mcp_servers: Option<Secret>,
    /// Name of the backend that this data folder's machines were of while a server had one; the backend's own when
    /// absent.
    pub first_backend: Option<String>,
    /// Version of the binary.
    pub version: String,
    /// How many files this process may have open; most of them are for connections.
    pub open_files: u64,
    /// Limits of every machine.
    pub limits: Limits,
    /// When machines that nobody uses are put away, where a project has no rule of its own.
    pub idle: IdleRule,
    /// What machines may reach, where a project has nothing of its own.
    pub egress: EgressSetting,
    /// The widest level that a project may have, where none of its own is set for it.
    pub egress_ceiling: EgressName,
    /// The time.
    pub clock: Clock,
}

/// The usual limit.
const OPEN_FILES: u64 = 1_024;

impl ServerConfig {
    /// Defaults for everything that has one.
    pub fn new(listen: SocketAddr, data_dir: PathBuf, exe: PathBuf, version: String) -> Self {
        Self {
            listen,
            data_dir,
            exe,
            gateway_env: Vec::new(),
            domain: None,
            preview_domain: None,
            preview_ports: PREVIEW_PORTS_DEFAULT,
            agent_api_key: None,
            provider_env: BTreeMap::new(),
            variables: Arc::new(|_| None),
            local_models: false,
            keys_file: None,
            keys_again: None,
            fallbacks: Fallbacks::default(),
            traces: None,
            database: None,
            advertise: None,
            artifacts: None,
            runs: RunSettings::default(),
            mcp_servers: None,
            first_backend: None,
            version,
            open_files: OPEN_FILES,
            limits: Limits::default(),
            idle: IdleRule::default(),
            egress: EgressSetting::default(),
            egress_ceiling: EgressName::Open,
            clock: Clock::system(),
        }
    }
}

/// `None`: the file is as it was when it was read last, or is just being written. Else what it holds now, with
/// `None` where there is none any more; or why it cannot be read, for people, without a value of it.
pub type LookAgain = Box<dyn FnMut() -> Option<Result<Option<KeysFile>, String>> + Send>;

/// A variable of the environment by its name.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A file of keys, read by the binary. Holds keys.
#[derive(Clone)]
pub struct KeysFile {
    /// Where it is, for people.
    pub path: PathBuf,
    /// Values by the names of [`provider_env_names`].
    pub values: BTreeMap<String, String>,
}

impl fmt::Debug for KeysFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("domain", &self.domain)
            .field("preview_domain", &self.preview_domain)
            .field("preview_ports", &self.preview_ports)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Names of the environment variables that hold provider keys, base URLs and default models.
pub fn provider_env_names() -> impl Iterator<Item = &'static str> {
    let of_provider = |p: &'static catalogue::ProviderSpec| {
        let parts = p.url_parts.iter().flat_map(|part| part.env);
        let headers = p.header_env.iter().map(|(_, name)| name);
        let account = match &p.auth {
            Auth::Aws(keys) => {
                [keys.access_key_env, keys.secret_key_env, keys.session_token_env].concat()
            }
            Auth::Bearer | Auth::XApiKey | Auth::ApiKey | Auth::Google => Vec::new(),
        };
        let switch = p.base_url_switch.iter().map(|(name, _)| name);
        let own =
            p.key_env.iter().chain(p.base_url_env).chain(switch).chain(parts).chain(p.model_env);
        own.chain(headers).copied().chain(account)
    };
    let local = local::SERVERS.iter().map(|server| &server.spec);
    let all = catalogue::providers().iter().chain(local).flat_map(of_provider);
    all.chain([FORCED_PROVIDER, FORCED_MODEL])
}

/// Names the provider of sessions for which nobody chose one.
pub(crate) const FORCED_PROVIDER: &str = "AGENT_PROVIDER";

/// Names the model of such sessions, whatever their provider's own variable says.
pub(crate) const FORCED_MODEL: &str = "AGENT_MODEL";

/// A server that serves.
#[derive(Debug)]
pub struct Ready {
    /// The address that it really listens on.
    pub addr: SocketAddr,
    /// Where people open it.
    pub url: String,
    /// Signs the first admin in: once, for 15 minutes.
    pub sign_in_url: String,
    /// Ends it from inside the process.
    pub stop: Stop,
}
