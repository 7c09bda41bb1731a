//! Control protocol, version 6: JSON frames of `toft_model::frame` on a unix socket, requests and
//! replies matched by `id`, several under way at once. Listeners of `add_machine` travel with its
//! frame as `SCM_RIGHTS`. `hello` and `shutdown` keep their shape in every version, so that a
//! newer server can always recognise and replace an older gateway.

use crate::{
    brokered::Brokered,
    config::GatewayConfig,
    control::fetch::{Fetch, Fetched},
    records::egress_log::OpenConnection,
    secret_text,
};
use serde::{Deserialize, Serialize};
use toft_model::{id::ProjectId, machine::EgressLevel, provider::ModelList};
use toft_vault::Secret;

/// Version of this protocol.
pub const CONTROL_PROTOCOL: u32 = 6;

/// Sockets of a machine: the listening ones of the model API and of the egress proxy.
pub const LISTENERS_PER_MACHINE: usize = 2;

/// The same where connections without a proxy come to the gateway too: also the listening one of
/// those and the UDP one of DNS.
pub const LISTENERS_PER_MACHINE_MAX: usize = 4;

/// What a machine may reach, and with what.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Hosts.
    pub egress: EgressLevel,
    /// Secrets that are put into its requests.
    pub brokered: Brokered,
}

impl From<EgressLevel> for Reach {
    fn from(egress: EgressLevel) -> Self {
        Self { egress, brokered: Brokered::default() }
    }
}

/// One request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) request: Request,
}

/// What can be asked. Tagged from outside: serde then never buffers a key on the way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Hello,
    SetConfig(Box<GatewayConfig>),
    AddMachine {
        project: ProjectId,
        #[serde(with = "secret_text")]
        token: Secret,
        egress: EgressLevel,
        #[serde(default)]
        brokered: Brokered,
        /// How many sockets come with it.
        listeners: usize,
    },
    RemoveMachine {
        project: ProjectId,
    },
    SetEgress {
        project: ProjectId,
        egress: EgressLevel,
    },
    SetBrokered {
        project: ProjectId,
        brokered: Brokered,
    },
    Machines,
    /// Connections of a machine that are open.
    OpenConnections {
        project: ProjectId,
    },
    TestProvider {
        provider: String,
    },
    Fetch {
        project: ProjectId,
        fetch: Fetch,
    },
    Models,
    UsagePosition,
    Shutdown,
}

/// One answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    pub(crate) reply: Reply,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Hello(Hello),
    Done,
    /// So many open connections are no longer allowed, and end.
    EgressSet {
        cut: usize,
    },
    OpenConnections(Vec<OpenConnection>),
    Machines(Vec<MachineEntry>),
    Tested(ProviderTest),
    Fetched(Fetched),
    Models(ModelList),
    UsagePosition(u64),
    Failed {
        code: String,
        message: String,
    },
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`CONTROL_PROTOCOL`] of that gateway.
    pub protocol: u32,
    /// Version of its binary.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Machines that it serves.
    pub machines: usize,
}

/// A machine that the gateway serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineEntry {
    /// Which project's.
    pub project: ProjectId,
    /// What it may reach.
    pub egress: EgressLevel,
    /// Model calls under way.
    pub model_calls: usize,
    /// Egress connections open.
    pub egress_connections: usize,
}

/// What came of asking a provider with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderTest {
    /// Whether the provider took the key.
    pub ok: bool,
    /// The provider's own words where there are any.
    pub message: String,
    /// Milliseconds until its answer.
    pub latency_ms: u64,
}
