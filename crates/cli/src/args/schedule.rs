//! What can be typed about schedules.

use crate::amounts::{self, Bound};
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Schedule {
    /// Id, alias or name of the project.
    pub(crate) project: String,
    #[command(subcommand)]
    pub(crate) ask: Ask,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ask {
    /// Add a schedule: a command, or a prompt for the agent, that runs at its times.
    Add(Box<Add>),
    /// List the schedules of the project.
    List,
    /// Delete a schedule, with what became of its slots.
    Rm(Which),
    /// Let a disabled schedule go on from now.
    Enable(Which),
    /// Keep a schedule without running it.
    Disable(Which),
    /// Run it once now.
    Run {
        #[command(flatten)]
        which: Which,
        /// Wait for its end; a command's output and exit code are then its own.
        #[arg(long)]
        wait: bool,
    },
    /// Show what became of its slots, newest first.
    Firings {
        #[command(flatten)]
        which: Which,
        /// So many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Id or name of the schedule.
    pub(crate) schedule: String,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) when: When,
    /// Time zone of --cron [default: UTC] or --at [default: this computer's], for example Europe/Berlin.
    #[arg(long, value_name = "ZONE", conflicts_with = "every")]
    pub(crate) timezone: Option<String>,
    /// What the agent is asked to do.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "command",
        required_unless_present = "command"
    )]
    pub(crate) prompt: Option<String>,
    /// Which conversation; a new one each time when absent.
    #[arg(long, requires = "prompt")]
    pub(crate) session: Option<String>,
    /// What becomes of times that passed while nobody could start it.
    #[arg(long, value_enum, default_value_t = CatchUp::Latest)]
    pub(crate) catch_up: CatchUp,
    /// How many of them with `--catch-up all`, the latest [default: 10].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) catch_up_max: Option<u32>,
    /// What becomes of a time that comes while the one before still runs.
    #[arg(long, value_enum, default_value_t = Overlap::Skip)]
    pub(crate) overlap: Overlap,
    /// How long one may take, for example 10m [default: 1h; 24h for a prompt].
    #[arg(long, value_name = "TIME", value_parser = amounts::time)]
    pub(crate) timeout: Option<Bound<u64>>,
    /// Do not run it yet.
    #[arg(long)]
    pub(crate) disabled: bool,
    /// The command: one shell line, or a program and its arguments.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct When {
    /// A cron line: minute, hour, day of the month, month, day of the week.
    #[arg(long, value_name = "LINE")]
    pub(crate) cron: Option<String>,
    /// Again and again, for example 15m.
    #[arg(long, value_name = "TIME", value_parser = amounts::time)]
    pub(crate) every: Option<Bound<u64>>,
    /// Once, for example `2026-12-24 18:00`.
    #[arg(long, value_name = "MOMENT")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CatchUp {
    /// The latest is started late, those before it are skipped.
    Latest,
    /// All are skipped.
    None,
    /// The latest ones are started, one after the other; see --catch-up-max.
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Overlap {
    /// It is not started.
    Skip,
    /// One waits for the other's end.
    Queue,
    /// The other is ended, and it starts then.
    Cancel,
    /// It starts beside the other; ten at most run at once.
    Allow,
}
