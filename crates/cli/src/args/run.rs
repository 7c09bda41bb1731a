//! Arguments of `toft run`, `toft runs` and `toft check`.

use clap::{Args, ValueEnum};

/// Have work done that nobody watches.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Id, alias or name.
    pub(crate) project: String,
    /// What is to be done.
    pub(crate) prompt: String,
    /// Show what happens until it is over; exit code 1 if it does not complete.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Go on in the conversation of the run before.
    #[arg(long = "continue")]
    pub(crate) goes_on: bool,
    /// Who answers, as PROVIDER/MODEL; the project's choice when absent.
    #[arg(long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: Option<String>,
    /// Which backend its work is to be done with, as far as the server offers it; the project moves there first.
    #[arg(long)]
    pub(crate) backend: Option<super::BackendName>,
    /// So many runs of the same prompt, 2 to 8, each in a fork of its own; `toft compare` shows them side by side.
    #[arg(long, conflicts_with_all = ["goes_on", "models"], value_parser = clap::value_parser!(u8).range(2..=8))]
    pub(crate) n: Option<u8>,
    /// One run for each of these, as PROVIDER/MODEL,PROVIDER/MODEL, each in a fork of its own.
    #[arg(long, conflicts_with_all = ["goes_on", "model"], value_delimiter = ',', value_name = "PROVIDER/MODEL")]
    pub(crate) models: Vec<String>,
    /// Let a person decide on the plan before anything is built.
    #[arg(long)]
    pub(crate) approval: bool,
    /// Larger ones go first.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Names the request, 1 to 200 characters: sent again under the same name it is the same run.
    #[arg(long)]
    pub(crate) key: Option<String>,
}

/// List a project's runs, or show one.
#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Id, alias or name.
    pub(crate) project: String,
    /// Id or number of a run; all when absent.
    pub(crate) run: Option<String>,
    /// End it.
    #[arg(long, requires = "run")]
    pub(crate) cancel: bool,
    /// Take the project back to how it was before it: files, conversations, services. How it is now is kept as a
    /// checkpoint.
    #[arg(long, requires = "run", conflicts_with_all = ["cancel", "follow", "download"])]
    pub(crate) restore: bool,
    /// Also over other system programs than those of that time.
    #[arg(long, requires = "restore")]
    pub(crate) force: bool,
    /// Show what it told, and what it tells until it is over.
    #[arg(long, short, requires = "run", conflicts_with = "cancel")]
    pub(crate) follow: bool,
    /// Write what the project's folder held at its end to this file, a ZIP archive.
    #[arg(long, requires = "run", conflicts_with_all = ["cancel", "follow"], value_name = "FILE")]
    pub(crate) download: Option<std::path::PathBuf>,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

/// List a project's comparisons, or show one: several runs of one prompt, side by side.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Id, alias or name.
    pub(crate) project: String,
    /// Id of a comparison; all when absent.
    pub(crate) comparison: Option<String>,
    /// Wait until every candidate's run is over.
    #[arg(long, short, requires = "comparison")]
    pub(crate) follow: bool,
    /// Show the files that this candidate changed, or one of them with `--path`.
    #[arg(long, requires = "comparison", value_name = "NUMBER", conflicts_with = "follow")]
    pub(crate) diff: Option<u64>,
    /// Which file, absolute as inside the machine.
    #[arg(long, requires = "diff")]
    pub(crate) path: Option<String>,
    /// The project takes over this candidate's state, with a checkpoint of how it was before; all candidates go.
    #[arg(long, requires = "comparison", value_name = "NUMBER", conflicts_with_all = ["follow", "diff"])]
    pub(crate) keep: Option<u64>,
    /// Delete all candidates; the project stays as it is.
    #[arg(long, requires = "comparison", conflicts_with_all = ["follow", "diff", "keep"])]
    pub(crate) drop: bool,
}

/// Check a server by using its runs API as a client would.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// How much of it.
    pub(crate) depth: Depth,
    /// The server [default: the local one].
    #[arg(long, env = "API_BASE", value_name = "URL")]
    pub(crate) base: Option<String>,
}

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Depth {
    /// Health, capabilities, a project, a run that completes.
    Smoke,
    /// Also its stream and the replay of it, the workspace, a message that goes on, and what was said.
    Deep,
}
