//! What can be typed after `toft secret`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Set a secret: new processes of the machine find it in their environment. Its value is read from
    /// standard input, or asked for without showing it; never given as an argument.
    Set {
        /// Id, alias or name.
        project: String,
        /// Name of the variable.
        name: String,
    },
    /// List names, and when and by whom they were set. Values are never shown.
    #[command(visible_alias = "ls")]
    List {
        /// Id, alias or name.
        project: String,
    },
    /// Delete a secret.
    Rm {
        /// Id, alias or name.
        project: String,
        /// Its name.
        name: String,
    },
    /// Seal a project's secrets with a new key; without a project, put everything under a new master
    /// key.
    Rotate {
        /// Id, alias or name.
        project: Option<String>,
    },
}
