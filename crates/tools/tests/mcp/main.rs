//! Tools of MCP servers, with the program that stands for them in a machine and with servers that are programs.

#![expect(
    clippy::unwrap_used,
    reason = "a test file; the lint sees only its #[test] functions as tests"
)]

mod hazards;
mod http;
mod place;
mod servers;
