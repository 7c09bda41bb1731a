//! Conversations as files: Pi's session format (JSONL, version 3) behind our own types. The file
//! is the truth and is only ever appended to; lines of unknown kinds stay where they are.
//! Not the loop, and not the queues beside a session.

mod context;
mod entry;
mod file;
mod index;
mod step;
#[cfg(test)]
mod tests;
mod went_back;

pub(crate) use context::add_usage;
pub use context::message_tokens;
pub use entry::{Body, Compaction, Entry, Extra, QueuedAs, custom};
pub use file::{Header, Session, SessionError};
pub use index::{Index, Listed};
pub use step::Step;
pub use went_back::WentBack;
