//! What can be typed about what a machine may reach.

use clap::{Args, ValueEnum};
use toft_model::machine::EgressName;

#[derive(Debug, Args)]
pub(crate) struct EgressOf {
    /// Id, alias or name.
    pub(crate) project: String,
    /// How much it may reach.
    pub(crate) level: Option<Level>,
    /// Add to the allow-list: a host, `*.domain` or address, with `:port` for that port only.
    #[arg(long, value_name = "RULE")]
    pub(crate) allow: Vec<String>,
    /// Take off the allow-list.
    #[arg(long, value_name = "RULE")]
    pub(crate) remove: Vec<String>,
    /// The widest level that it may have, or `default` for the server's. Takes an admin's key.
    #[arg(long, value_name = "LEVEL|default")]
    pub(crate) ceiling: Option<Ceiling>,
    /// Show what went out and what was refused.
    #[arg(long, conflicts_with_all = ["level", "allow", "remove", "ceiling"])]
    pub(crate) log: bool,
    /// Go on with what comes.
    #[arg(long, short, requires = "log")]
    pub(crate) follow: bool,
}

/// How much a machine may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// Nothing but models.
    None,
    /// The hosts of the allow-list.
    AllowList,
    /// Every public host.
    Open,
}

/// What a project's ceiling is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ceiling {
    /// The server's.
    Default,
    /// One of its own.
    Own(Level),
}

impl std::str::FromStr for Ceiling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self::Default),
            text => Level::from_str(text, false)
                .map(Self::Own)
                .map_err(|_| "write none, allow-list, open or default".to_owned()),
        }
    }
}

impl From<Level> for EgressName {
    fn from(level: Level) -> Self {
        match level {
            Level::None => Self::None,
            Level::AllowList => Self::AllowList,
            Level::Open => Self::Open,
        }
    }
}
