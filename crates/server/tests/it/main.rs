//! The server over real HTTP, with real SQLite and a backend whose machines are unix sockets served
//! in this process: what a machine answers is under the tests' control.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod auth;
mod backend;
mod backends;
mod box_bridge;
mod box_init;
mod box_runs;
mod checkpoints;
mod client;
mod egress;
mod events;
mod exec;
mod files;
mod forks;
mod hosts;
mod kept;
mod keys;
mod llm;
mod machine;
mod pause;
mod preview;
mod preview_ports;
mod projects;
mod resting;
mod runs;
mod schedules;
mod secrets;
mod settings;
mod start;
mod usage;
mod world;
