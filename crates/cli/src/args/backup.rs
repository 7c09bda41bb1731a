//! What can be typed after `toft backup` and `toft restore-backup`.

use clap::Args;
use std::path::PathBuf;

/// A backup.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where it goes: a new file, or a folder in which it gets a name with the time.
    pub(crate) to: PathBuf,
    /// A project whose files stay out of it, by its id: one whose backend cannot be reached, say.
    #[arg(long = "leave-out", value_name = "PROJECT")]
    pub(crate) leave_out: Vec<String>,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
}

/// What is made of one.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup.
    pub(crate) backup: PathBuf,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// A new, empty PostgreSQL database, for a backup of one.
    #[arg(long, env = "TOFT_DATABASE", value_name = "URL", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// The server that it was made from is gone for good: its sandboxes at E2B become this one's. Without it they are
    /// left alone.
    #[arg(long)]
    pub(crate) take_over: bool,
}

/// What it is encrypted with.
#[derive(Debug, Args)]
pub(crate) struct Passphrase {
    /// File whose first line is the passphrase [default: `TOFT_BACKUP_PASSPHRASE`, else it is asked for].
    #[arg(long = "passphrase-file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}
