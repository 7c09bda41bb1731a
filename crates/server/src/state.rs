//! What all requests share. Made once by `run`; no logic of its own.
//!
//! What it holds never knows it: those types stand below this file, and are handed the one or two parts that
//! they need. Whoever takes the whole [`App`] stands above.

use crate::{
    auth::Auth, bridge_client::BridgeClient, checkpoints::Checkpoints, clock::Clock,
    comparisons::turns::Comparisons, gateway_link::GatewayLink, hosts::Hosts, images::Images,
    keyring::Keyring, machines::Machines, mcp::Mcp, preview::ports::Ports, preview::sign::Signer,
    providers::Providers, runs::Runs, schedules::Schedules, servers::known::Servers, stop::Stop,
    traces::Traces, usage::Intake,
};
use std::{path::PathBuf, sync::Arc};
use toft_machine::backend::Backend;
use toft_model::machine::{EgressName, EgressSetting, IdleRule, Limits};
use toft_store::Store;
use toft_vault::Secret;
use tokio_util::task::TaskTracker;

/// Shared by all requests.
pub(crate) type App = Arc<Inner>;

pub(crate) struct Inner {
    pub(crate) version: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) idle: IdleRule,
    pub(crate) egress: EgressSetting,
    pub(crate) egress_ceiling: EgressName,
    pub(crate) clock: Clock,
    pub(crate) hosts: Hosts,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) bridge: BridgeClient,
    pub(crate) machines: Machines,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) images: Images,
    pub(crate) gateway: GatewayLink,
    pub(crate) providers: Providers,
    pub(crate) auth: Auth,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) signer: Signer,
    pub(crate) ports: Ports,
    pub(crate) runs: Runs,
    pub(crate) servers: Servers,
    pub(crate) comparisons: Comparisons,
    pub(crate) schedules: Schedules,
    pub(crate) usage: Intake,
    pub(crate) mcp: Mcp,
    /// MCP servers of projects that declare none in their own variable.
    pub(crate) mcp_servers: Option<Secret>,
    pub(crate) traces: Traces,
    /// One backup at a time is made.
    pub(crate) backup: Arc<tokio::sync::Mutex<()>>,
    pub(crate) stop: Stop,
    /// Everything that runs beside requests; `run` waits for it.
    pub(crate) tasks: TaskTracker,
}
