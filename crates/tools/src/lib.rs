//! The tools of the agent, one file each: its spec and what it does together. Knows nothing of
//! models, sessions or HTTP; runs programs only through [`host::Shell`].

pub mod host;
