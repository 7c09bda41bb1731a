//! The control plane: routes, sign-in, machines and the copy of what their bridges tell, preview
//! origins, the dashboard's files. Runs no agent and holds no machine: it may be killed at any time.
//!
//! [`run`] is all that the binary needs: give it a [`ServerConfig`] and a machine backend.

mod agent_api;
mod answer;
mod api_error;
mod assets;
mod auth;
mod backends;
mod backup;
mod bridge_client;
mod checkpoints;
mod clock;
mod comparisons;
mod config;
mod envelope;
mod error;
mod event_stream;
mod fallbacks;
mod folder;
#[cfg(test)]
mod fuzz;
mod gate;
mod gateway_link;
mod headers;
mod hosts;
mod images;
mod keyring;
mod line;
mod listen;
mod machines;
mod mcp;
mod openapi;
mod outward;
mod page;
mod preview;
mod project;
mod providers;
mod proxy;
mod routes;
mod run;
mod runs;
mod schedules;
mod secrets;
mod servers;
mod stalled;
mod state;
mod stop;
mod tasks;
mod traces;
mod usage;
mod variables;
mod watched;

pub use backup::{
    About, As as RestoredAs, Disks, KnownBackup, RestoreError, remember_backup, restore,
};
pub use clock::Clock;
pub use config::{KeysFile, LookAgain, Ready, ServerConfig, Variables, provider_env_names};
pub use error::ServerError;
pub use routes::{openapi, typescript};
pub use run::run;
pub use runs::{ArtifactError, ArtifactPlace, RunSettings};
pub use stop::Stop;
pub use toft_vault::Secret;
pub use traces::{TraceSettingError, TraceSettings};
pub use variables::{ReadBy, VARIABLES, Variable};
pub use watched::WatchedFile;
