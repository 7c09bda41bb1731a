//! The words of the system: ids, messages, events, states and the shapes that cross process
//! boundaries. Pure: no IO, no async, no clock of its own but [`id`]'s random source.
//!
//! ```
//! use toft_model::id::ProjectId;
//! let id: ProjectId = "a23456789bcd".parse().unwrap();
//! assert_eq!(id.as_str(), "a23456789bcd");
//! assert!("Not-an-id".parse::<ProjectId>().is_err());
//! ```

pub mod binding;
pub mod boot;
pub mod budget;
pub mod checkpoint;
pub mod event;
pub mod files;
pub mod frame;
pub mod hash;
pub mod http;
pub mod id;
pub mod init;
pub mod inspect;
pub mod machine;
pub mod mask;
pub mod mcp;
pub mod message;
pub mod misfit;
pub mod permission;
pub mod plan;
pub mod provider;
pub mod receipt;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod text;
pub mod time;
pub mod tool;
