//! What can be typed after `toft mcp`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Mcp {
    /// List a project's MCP servers, what became of each, and who is signed in where.
    #[command(visible_alias = "ls")]
    List {
        /// Id, alias or name.
        project: String,
    },
    /// Sign in at an MCP server: prints the address that you open in the browser in which you are signed in to
    /// Toft. The token stays outside of the machine.
    Connect {
        /// Id, alias or name.
        project: String,
        /// The server's name in its declaration.
        server: String,
        /// A client that was made there by hand, where none can register by itself.
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        /// It has a secret: read from standard input, or asked for without showing it.
        #[arg(long, requires = "client_id")]
        client_secret: bool,
        /// What the token is for, instead of what the server asks for. May be given more than once.
        #[arg(long)]
        scope: Vec<String>,
    },
    /// Give a sign-in up: its token is taken back where that is possible, and deleted.
    Disconnect {
        /// Id, alias or name.
        project: String,
        /// The server's name.
        server: String,
    },
    /// Start a server now, and end it first if it runs.
    Restart {
        /// Id, alias or name.
        project: String,
        /// The server's name.
        server: String,
    },
}
