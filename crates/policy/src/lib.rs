//! Decides allow or deny, with the reason. Pure: no IO, no clock, no names resolved; whoever
//! enforces a decision dials exactly what was decided about.
//!
//! ```
//! use toft_policy::{Egress, Host};
//! use toft_model::machine::EgressLevel;
//! let egress = Egress::new(&EgressLevel::AllowList(vec!["*.example.com".into()])).unwrap();
//! assert!(egress.decide(&Host::parse("api.example.com").unwrap(), 443).allowed());
//! assert!(!egress.decide(&Host::parse("example.com.evil.org").unwrap(), 443).allowed());
//! assert!(Host::parse("evil.org\0.example.com").is_err());
//! ```

pub mod address;
pub mod binding;
pub mod command;
pub mod egress;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod host;
pub mod sni;
pub mod workspace;

pub use address::{Refusal, is_public};
pub use binding::{Bound, InvalidBinding, WrongEntry};
pub use command::CommandDenied;
pub use egress::{Decision, Egress, InvalidRule, Verdict, decide};
pub use host::{Host, HostPort, InvalidHost};
pub use sni::{ClientHello, client_hello};
pub use workspace::PathDenied;
