//! What can be typed after `toft services`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Services {
    /// Id, alias or name.
    pub(crate) project: String,
    #[command(subcommand)]
    pub(crate) ask: Option<Ask>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ask {
    /// Start one that has a command.
    Start(Which),
    /// Stop one; it stays stopped until it is started again.
    Stop(Which),
    /// Stop one and start it again.
    Restart(Which),
    /// Print what one printed.
    Log {
        #[command(flatten)]
        which: Which,
        /// From this byte on [default: the last 64 KiB].
        #[arg(long)]
        from: Option<u64>,
        /// Go on with what it prints.
        #[arg(long, short)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Id of the service.
    pub(crate) id: String,
}
