//! What can be typed after `toft secret`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Set a secret: new processes of the machine find it, or with --broker a placeholder of it, in their
    /// environment. Its value is read from
    /// standard input, or asked for without showing it; never given as an argument.
    Set {
        /// Id, alias or name.
        project: String,
        /// Name of the variable.
        name: String,
        /// Keep the value out of the machine: programs find a placeholder, and the gateway puts the value
        /// into the requests that are named here. A brokered secret stays one when it is set anew.
        #[arg(long)]
        broker: bool,
        /// Where it goes: `api.example.com`, or `*.example.com` for all names below it. May be given more
        /// than once, as the following.
        #[arg(long, value_name = "HOST[:PORT]", requires = "broker")]
        host: Vec<String>,
        /// Only in requests with this method.
        #[arg(long, requires = "host")]
        method: Vec<String>,
        /// Only to this path; `/v1/*` means all that begin so.
        #[arg(long, requires = "host")]
        path: Vec<String>,
        /// The header that it stands in, instead of Authorization.
        #[arg(long, requires = "host")]
        header: Vec<String>,
        /// Put it into the environment of programs, also when it was brokered before.
        #[arg(long, conflicts_with = "broker")]
        environment: bool,
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
