//! What runs inside a machine: `init` (pid 1, which may never fail) and the bridge (the server next
//! to the files: agent, terminals, files, processes, inspect database, the way to the app). Two
//! processes of one binary; the bridge is init's child and may end at any time.
//!
//! Not here: how a machine is made (`machine`, `jail`), how the agent thinks (`agent`), what its
//! tools do (`tools`).

mod activity;
pub mod agent_routes;
mod answer;
pub mod app_port;
mod asked;
mod body;
pub mod clock;
mod files;
mod in_time;
pub mod init;
pub mod init_link;
pub mod inspect;
pub mod log;
mod observed;
mod open_streams;
mod own_file;
mod placeholder;
mod processes;
mod proxy;
mod receipts;
pub mod runtime;
pub mod secrets;
pub mod serve;
pub mod serve_boot;
mod services;
pub mod shell;
mod state_file;
mod terminals;
