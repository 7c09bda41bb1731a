//! What can be typed about checkpoints and forks.

use clap::Subcommand;

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
    /// List the checkpoints of a project, or delete one.
    Checkpoints {
        /// Id, alias or name.
        project: String,
        /// Delete this one.
        #[arg(long, value_name = "CHECKPOINT")]
        rm: Option<String>,
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
    },
}
