//! What can be typed about checkpoints and forks.

use clap::Subcommand;
use serde_json::{Map, Value};

#[derive(Debug, Subcommand)]
pub(crate) enum Copies {
    /// Take a checkpoint of a project: its files, conversations and inspect database as they are now.
    Checkpoint {
        /// Id, alias or name.
        project: String,
        /// A name for it; those with one stay until they are deleted.
        #[arg(long)]
        label: Option<String>,
    },
    /// List the checkpoints of a project, delete one, or change which are kept.
    Checkpoints {
        /// Id, alias or name.
        project: String,
        /// Delete this one.
        #[arg(long, value_name = "CHECKPOINT")]
        rm: Option<String>,
        #[command(flatten)]
        rule: Rule,
    },
    /// Show what changed since a checkpoint.
    Diff {
        /// Id, alias or name.
        project: String,
        /// Id of a checkpoint.
        checkpoint: String,
        /// Another checkpoint instead of now.
        #[arg(long, value_name = "CHECKPOINT")]
        to: Option<String>,
        /// One text file, line by line: its path inside the machine.
        #[arg(long)]
        path: Option<String>,
    },
    /// Go back to a checkpoint. How it is now is kept as a checkpoint first.
    Restore {
        /// Id, alias or name.
        project: String,
        /// Id of a checkpoint.
        checkpoint: String,
        /// Also when the system's programs have changed since.
        #[arg(long)]
        force: bool,
    },
    /// Make new projects from one, each with its own machine.
    Fork {
        /// Id, alias or name.
        project: String,
        /// Id of a checkpoint; without it, from how the project is now.
        #[arg(long, value_name = "CHECKPOINT")]
        from: Option<String>,
        /// How many, at most 20.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
        count: u8,
        /// Name of the first; the others are numbered.
        #[arg(long)]
        name: Option<String>,
        /// Secrets whose values they get, too: names with commas between, or all. Of the others they get
        /// the names alone.
        #[arg(long, value_name = "NAMES|all", value_delimiter = ',')]
        secrets: Vec<String>,
    },
}

/// Which of those that are taken by themselves are kept. What is left out stays as it is.
#[derive(Debug, clap::Args)]
#[group(id = "rule", multiple = true, conflicts_with = "rm")]
pub(crate) struct Rule {
    /// Of those taken by themselves, keep the newest so many.
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<u32>,
    /// Keep one an hour of so many hours.
    #[arg(long, value_name = "HOURS")]
    pub(crate) keep_hourly: Option<u32>,
    /// Keep one a day of so many days.
    #[arg(long, value_name = "DAYS")]
    pub(crate) keep_daily: Option<u32>,
    /// Whether one is taken before every prompt.
    #[arg(long, value_name = "YES|NO")]
    pub(crate) automatic: Option<YesNo>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum YesNo {
    Yes,
    No,
}

impl Rule {
    /// What is given, as the API has it.
    pub(crate) fn change(&self) -> Map<String, Value> {
        let Self { keep_last, keep_hourly, keep_daily, automatic } = self;
        let numbers = [("last", keep_last), ("hourly", keep_hourly), ("daily", keep_daily)];
        let mut change = Map::new();
        change
            .extend(numbers.into_iter().filter_map(|(name, n)| Some((name.into(), (*n)?.into()))));
        change.extend(automatic.map(|yes| ("automatic".into(), matches!(yes, YesNo::Yes).into())));
        change
    }
}
