//! The tools of the agent, one file each: its spec and what it does together. Knows nothing of
//! models, sessions or HTTP; runs programs only through [`host::Shell`].
//!
//! [`registry::Toolbox`] holds them. A call that is run again with the same run id after a crash
//! never takes effect twice: `write` and `edit` keep an intent in [`host::Journal`], `bash` relies on
//! the shell's ids.

mod arguments;
mod ask;
mod ask_secrets;
mod bash;
mod edit;
mod effect;
mod find;
mod grep;
pub mod host;
mod locks;
mod ls;
mod matching;
mod notify_dashboard;
mod outcome;
mod output;
mod paths;
mod process;
mod read;
pub mod registry;
pub mod testing;
mod walk;
mod write;

pub use host::{Tool, ToolContext};
pub use outcome::ToolOutcome;
pub use registry::Toolbox;
