//! What can be typed after `toft key`.

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key for a program and print it, this once. An admin's.
    New {
        /// What it is for.
        name: String,
        /// What it opens; more than one by commas, or given more than once.
        #[arg(long, required = true, value_delimiter = ',')]
        scope: Vec<Scope>,
        /// Id, alias or name of the only project that it opens, and that its model calls are booked on.
        #[arg(long)]
        project: Option<String>,
        /// When it ends: a time from now (12h, 90d) or a day (2027-01-31, at its end in UTC) [default:
        /// never].
        #[arg(long, value_name = "TIME|DAY")]
        expires: Option<String>,
    },
    /// List keys: how they begin, what they open, when they were used. The keys themselves are kept nowhere.
    #[command(visible_alias = "ls")]
    List,
    /// Take a key back: it opens nothing more, and what was begun with it ends.
    #[command(visible_alias = "rm")]
    Revoke {
        /// Its name, how it begins, or its id.
        key: String,
    },
}

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// Model calls, below /llm.
    Models,
    /// Looking at everything but keys.
    Read,
    /// Everything.
    Admin,
}

impl Scope {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}
