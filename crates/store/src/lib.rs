//! What the control plane remembers: people, projects, settings, sealed keys, and a copy of every
//! bridge event. Callers see the traits; SQLite (one server) or PostgreSQL (any number of them) is
//! behind them. Knows nothing of HTTP, machines or keys: a secret comes sealed or hashed.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use toft_store::{Projects as _, SqliteStore};
//! let dir = tempfile::tempdir().unwrap();
//! let store = SqliteStore::open(&dir.path().join("toft.db")).await.unwrap();
//! assert!(store.projects(50, 0).await.unwrap().is_empty());
//! # });
//! ```

mod api_keys;
mod chain;
mod checkpoints;
pub mod commits;
mod comparisons;
mod error;
mod events;
mod fallbacks;
mod firings;
mod forks;
mod heads;
mod images;
mod machine_settings;
mod people;
mod postgres;
mod preview_ports;
mod prices;
mod projects;
mod runs;
mod schedules;
mod secrets;
mod servers;
mod settings;
mod signals;
mod spending;
mod sqlite;
mod store;
mod takeover;
mod traces;
mod usage;
mod webhooks;

pub use api_keys::{ApiKey, ApiKeys, Scope};
pub use checkpoints::{CheckpointRule, Checkpoints, ConversationStep, Durable, TakenCheckpoint};
pub use comparisons::{
    Candidate, Compared, Comparison, ComparisonStatus, Comparisons, KeepBegun, NewCandidate,
    NewComparison,
};
pub use error::StoreError;
pub use events::{Appended, Conversation, EventRow, Events, Head, NewEvent, SnapshotKind, Tamper};
pub use fallbacks::ProjectFallbacks;
pub use firings::{Decided, Firing, Firings, Step};
pub use forks::Forks;
pub use images::{Image, ImageState, Images, NewImage, ProjectImage};
pub use machine_settings::{MachineRecords, MachineSettings};
pub use people::{NewSession, People, Role, SYSTEM_USER, Session, User, UserPatch};
pub use postgres::PostgresStore;
pub use preview_ports::{PreviewPort, PreviewPorts};
pub use prices::{ModelPrice, Prices};
pub use projects::{Created, NewProject, Project, Projects, Wake, Wanted};
pub use runs::{
    Accepted, Artifact, Cancelled, Claim, Left, NewRun, NewRunEvent, Reached, Run, RunCost,
    RunEvent, RunMessage, RunState, RunUsage, Runs, Wrote,
};
pub use schedules::{Schedule, Schedules};
pub use secrets::{
    AuthorityRow, BrokeredRow, ProjectKey, ProjectSecrets, SecretRow, Secrets, Wrapped,
};
pub use servers::{GONE_MS, Joined, NewServer, Server, Servers};
pub use settings::{ProviderKey, Settings};
pub use signals::{Listener, Signal, Signals, TOPIC_BYTES_MAX};
pub use spending::Spending;
pub use sqlite::SqliteStore;
pub use store::Store;
pub use takeover::TakeOver;
pub use traces::{EventPage, TraceCursor, Traces};
pub use usage::{UsageAsk, UsageBy, UsageEntry, UsageRecords, UsageRow, UsageSum};
pub use webhooks::{Claiming, Delivery, Webhook, Webhooks};
