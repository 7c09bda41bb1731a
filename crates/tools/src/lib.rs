//! The tools of the agent, one file each: its spec and what it does together. Knows nothing of
//! models, sessions or HTTP; runs programs only through [`host::Shell`].
//!
//! [`registry::Toolbox`] holds them. A call that is run again with the same run id after a crash
//! never takes effect twice: `write`, `edit` and `apply_patch` keep an intent in [`host::Journal`], `bash` relies on
//! the shell's ids.

mod about;
mod apply_patch;
mod arguments;
pub mod aside;
mod ask;
mod ask_secrets;
mod bash;
mod blocking;
pub mod checks;
mod edit;
mod effect;
mod find;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grep;
pub mod host;
mod locks;
mod ls;
mod matching;
pub mod mcp;
mod notify_dashboard;
mod outcome;
mod output;
mod paths;
mod process;
mod program;
mod read;
pub mod registry;
mod seen;
mod task;
pub mod testing;
mod todo;
pub mod tree;
mod walk;
mod web_fetch;
pub mod workspace;
mod write;

pub use about::{About, Again};
pub use blocking::blocking;
pub use host::{Tool, ToolContext, Update};
pub use outcome::{STOPPED, ToolOutcome};
pub use paths::absolute;
pub use program::Program;
pub use registry::Toolbox;
pub use seen::Seen;
