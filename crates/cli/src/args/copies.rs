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
        /// Delete this one: its id or label.
        #[arg(long, value_name = "CHECKPOINT")]
        rm: Option<String>,
        #[command(flatten)]
        rule: Rule,
    },
    /// Show what changed since a checkpoint.
    Diff {
        /// Id, alias or name.
        project: String,
        /// Id or label of a checkpoint.
        checkpoint: String,
        /// Another checkpoint, by id or label, instead of now.
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
        /// Id or label of a checkpoint.
        #[arg(required_unless_present = "message", conflicts_with_all = ["message", "session"])]
        checkpoint: Option<String>,
        #[command(flatten)]
        before: Before,
        /// Also when the system's programs have changed since.
        #[arg(long)]
        force: bool,
    },
    /// Make new projects from one, each with its own machine.
    Fork {
        /// Id, alias or name.
        project: String,
        /// Id or label of a checkpoint; without it, from how the project is now.
        #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["message", "session"])]
        from: Option<String>,
        #[command(flatten)]
        before: Before,
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

/// A message that a person said, instead of the checkpoint that was taken before it.
#[derive(Debug, clap::Args)]
pub(crate) struct Before {
    /// From before this message of yours: its id, as `toft checkpoints` shows it.
    #[arg(long, value_name = "MESSAGE")]
    pub(crate) message: Option<String>,
    /// The conversation that it was said in; without it, that of its checkpoint, else the current one.
    #[arg(long, requires = "message")]
    pub(crate) session: Option<String>,
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

#[cfg(test)]
mod tests {
    use crate::args::{Cli, Copies, Verb};
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn one_goes_back_to_a_checkpoint_or_before_a_message() {
        Cli::command().debug_assert();
        let parsed = |line: &str| Cli::try_parse_from(line.split(' '));
        for (line, fits) in [
            ("toft restore shop a1", true),
            ("toft restore shop --message e1", true),
            ("toft restore shop --message e1 --session s1 --force", true),
            ("toft restore shop", false),
            ("toft restore shop a1 --message e1", false),
            ("toft restore shop a1 --session s1", false),
            ("toft fork shop", true),
            ("toft fork shop --from a1", true),
            ("toft fork shop --message e1 --count 2", true),
            ("toft fork shop --from a1 --message e1", false),
            ("toft fork shop --session s1", false),
        ] {
            assert_eq!(parsed(line).is_ok(), fits, "{line}");
        }
        let verb = parsed("toft fork shop --message e1").unwrap().verb;
        assert!(matches!(verb, Verb::Copies(Copies::Fork { from: None, before, .. })
            if before.message.as_deref() == Some("e1")));
    }
}
