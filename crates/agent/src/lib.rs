//! The agent: sessions as files, the loop (prompt → context → model → tool calls → results),
//! waiting messages, compaction, and going on after a crash. Its outside is
//! [`surroundings::Surroundings`]; it knows no HTTP server, no SQL, no provider.

pub mod actor;
mod asking;
mod catch_up;
mod close;
pub mod command;
mod compaction;
mod conversation;
mod deliver;
pub mod extensions;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handle;
mod navigate;
mod need;
mod outbox;
mod pause;
mod people;
mod permission;
pub mod plan;
mod prompt;
mod purse;
mod queue;
mod run;
pub mod session;
pub mod shown;
pub mod skills;
pub mod surroundings;
mod tally;
mod task;
mod telling;
#[cfg(test)]
mod tests;

pub use actor::spawn;
pub use command::{Approved, Command, Prompted, Refused, Reply, Setting};
pub use compaction::Compacted;
pub use conversation::Conversation;
pub use handle::{Child, Handle, Sessions};
pub use navigate::Arrived;
pub use permission::Bounds;
pub use prompt::PromptFacts;
