//! What can be typed after `toft sessions`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Sessions {
    /// Id, alias or name.
    pub(crate) project: String,
    #[command(subcommand)]
    pub(crate) ask: Option<Ask>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ask {
    /// Make a conversation the current one.
    Switch {
        /// Its id.
        session: String,
    },
    /// Show all entries of a conversation, of every branch; `*` is where it stands.
    Tree {
        #[command(flatten)]
        of: Of,
    },
    /// Copy the branch that ends at an entry into a conversation of its own.
    ///
    /// At what a person said it ends before that, and prints it: say it anew.
    Fork {
        /// The entry; where the conversation stands when absent.
        entry: Option<String>,
        /// Name of the copy.
        #[arg(long)]
        name: Option<String>,
        /// Do not make it the current conversation.
        #[arg(long)]
        beside: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Go to an entry: what is said next hangs on it. Everything else stays.
    ///
    /// At what a person said it goes before that, and prints it: say it anew.
    Navigate {
        /// The entry.
        entry: String,
        /// Have the model summarise what is left behind.
        #[arg(long)]
        summarize: bool,
        /// What the summary should look at.
        #[arg(long, requires = "summarize")]
        instructions: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Name an entry; without a name, take it away.
    Label {
        /// The entry.
        entry: String,
        /// Its name.
        label: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Name a conversation.
    Rename {
        /// Its name; an empty one takes it away.
        name: String,
        #[command(flatten)]
        of: Of,
    },
    /// Have the model summarise old history now.
    Compact {
        /// What the summary should look at.
        #[arg(long)]
        instructions: Option<String>,
        #[command(flatten)]
        of: Of,
    },
    /// Print a conversation as one HTML page that needs nothing else.
    Export {
        /// Write it to this file.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        of: Of,
    },
}

/// Which conversation.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Id of the conversation; the current one when absent.
    #[arg(long)]
    pub(crate) session: Option<String>,
}
