//! The agent: sessions as files, the loop (prompt → context → model → tool calls → results),
//! waiting messages, compaction, and going on after a crash. Its outside is
//! [`surroundings::Surroundings`]; it knows no HTTP server, no SQL, no provider.

pub mod actor;
mod catch_up;
mod close;
pub mod command;
mod compaction;
mod conversation;
mod people;
mod prompt;
mod queue;
mod run;
pub mod session;
pub mod shown;
pub mod surroundings;
#[cfg(test)]
mod tests;

pub use actor::Handle;
pub use command::{Command, Prompted, Refused, Reply};
pub use compaction::Compacted;
pub use conversation::Conversation;
pub use prompt::PromptFacts;
