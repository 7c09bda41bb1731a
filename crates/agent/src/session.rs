//! Conversations as files: Pi's session format (JSONL, version 3) behind our own types. The file
//! is the truth and is only ever appended to; lines of unknown kinds stay where they are.
//! Not the loop, and not the queues beside a session.

mod check;
mod context;
mod entry;
mod file;
mod fork;
mod html;
mod index;
mod line;
mod plan;
mod step;
#[cfg(test)]
mod tests;
mod tree;
mod went_back;
mod whole;

pub(crate) use check::{CheckDue, REPAIRS_MAX};
pub use context::message_tokens;
pub(crate) use context::task_usage;
pub use entry::{Body, BranchSummary, Compaction, Entry, Extra, QueuedAs, custom};
#[cfg(test)]
pub(crate) use file::TestDisk;
pub use file::{Header, Session, SessionError, TaskOf};
pub use fork::{Branch, Copy};
pub use html::Page;
pub use index::{Index, Listed};
pub use plan::Settles;
pub(crate) use plan::{proposed, rejected};
pub use step::Step;
pub use tree::{Node, Place};
pub use went_back::WentBack;
