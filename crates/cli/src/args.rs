//! What can be typed. Not what it means: that is in `config` and `verbs`.

pub(crate) mod backup;
mod copies;
pub(crate) mod egress;
pub(crate) mod fallback;
mod image;
pub(crate) mod key;
pub(crate) mod mcp;
pub(crate) mod receipts;
pub(crate) mod rest;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod services;
pub(crate) mod sessions;
pub(crate) mod usage;

pub(crate) use copies::{Before, Copies};
pub(crate) use image::{ImageAdd, ImageVerb};
pub(crate) use rest::Rest;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A self-hosted agent OS: every project gets its own Linux machine and an agent inside it.
#[derive(Debug, Parser)]
#[command(name = "toft", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// Print JSON instead of text, errors too (on standard error): one document, or one per line for
    /// what goes on (chat, logs).
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) at: At,
}

/// Which server is meant.
#[derive(Debug, Args, Clone)]
pub(crate) struct At {
    /// Data folder of the local server [default: ~/.local/share/toft].
    #[arg(long, global = true, env = "TOFT_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A server somewhere else, with `TOFT_API_KEY` for it.
    #[arg(long, global = true, env = "TOFT_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the server and print a sign-in link.
    Up(Box<Up>),
    /// Stop the server, and every machine with it.
    Down(Down),
    /// Create a project.
    New {
        /// Its name.
        name: String,
        /// Key or name of the image that it is made of; the default one when absent.
        #[arg(long)]
        image: Option<String>,
        /// What is to make its machine, as far as the server offers it; its own when absent.
        #[arg(long)]
        backend: Option<BackendName>,
        /// How much its machine may reach, from its first process on; the server's default when absent.
        #[arg(long, value_name = "LEVEL")]
        egress: Option<egress::Level>,
        /// With `--egress allow-list`: a host, `*.domain` or address, with `:port` for that port only.
        #[arg(long, value_name = "RULE", value_delimiter = ',')]
        egress_allow: Vec<String>,
    },
    /// Add, list and delete images: what projects are made of.
    #[command(subcommand)]
    Image(ImageVerb),
    /// Talk to the agent of a project.
    Chat {
        /// Id, alias or name.
        project: String,
        /// What to say; without it, each line you type is a message.
        message: Option<String>,
        /// Which conversation; the current one when absent.
        #[arg(long)]
        session: Option<String>,
        /// Names the message, 1 to 200 characters: sent again under the same name it is not said again.
        #[arg(long, requires = "message")]
        key: Option<String>,
        /// Plan first: the agent looks, changes nothing, and puts a plan before you.
        #[arg(long)]
        plan: bool,
        /// Have the newest plan carried out.
        #[arg(long, conflicts_with_all = ["message", "plan", "key"])]
        approve: bool,
    },
    /// Run a command in a project's machine; standard input, output, signals and exit code are its own.
    ///
    /// Exit codes of Toft's own: 124 it took too long, 125 Toft failed, 127 there is no such program.
    Exec {
        /// Id, alias or name.
        project: String,
        /// Folder to run it in.
        #[arg(long)]
        cwd: Option<String>,
        /// Seconds it may take.
        #[arg(long, default_value_t = 120, value_name = "SECONDS")]
        timeout: u64,
        /// Give it no standard input (in loops that read their own).
        #[arg(long, short)]
        no_stdin: bool,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// List projects and the state of their machines.
    Ps,
    /// Show what happened in a project.
    Logs {
        /// Id, alias or name.
        project: String,
        /// Go on with what happens.
        #[arg(long, short)]
        follow: bool,
        /// Only events after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Print a link that opens a project's app.
    Open {
        /// Id, alias or name.
        project: String,
        /// Another port than the app's.
        #[arg(long)]
        port: Option<u16>,
    },
    /// Start a project's machine.
    Start(One),
    /// Stop a project's machine; only a person starts it again.
    Stop(One),
    /// Wake a project's machine if it sleeps.
    Wake(One),
    /// Put a project's machine to sleep: its processes end, files and conversations stay.
    Sleep(One),
    /// Delete a project: its machine, files and conversations.
    Rm {
        /// Id, alias or name.
        project: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    #[command(flatten)]
    Copies(Copies),
    #[command(flatten)]
    Rest(Rest),
    /// Let a command or a prompt run at set times; a sleeping machine is woken for it.
    Schedule(schedule::Schedule),
    /// List a project's conversations; copy, name and export them, and go to any entry of them.
    Sessions(sessions::Sessions),
    /// List what the agent ran, with exit codes, and whether the files it ran on are still the same.
    Receipts(receipts::Receipts),
    /// List what a project's machine keeps running; start, stop, read logs.
    Services(services::Services),
    /// Show what models were asked, in tokens and money.
    Usage(usage::Usage),
    /// Show or change what may be spent on models; in force at once.
    Budget(usage::Budget),
    /// Show or change which models are asked while the provider of another is down; in force at once.
    Fallback(fallback::Fallback),
    /// Show or change how often the programs of a project may ask models; in force at once.
    ModelLimits(usage::ModelLimits),
    /// Set, list and delete a project's secrets: variables that programs in its machine find.
    #[command(subcommand)]
    Secret(secret::Secret),
    /// List a project's MCP servers, sign in at them, and start them again.
    #[command(subcommand)]
    Mcp(mcp::Mcp),
    /// Make, list and revoke keys for programs outside, each with what it opens.
    #[command(subcommand)]
    Key(key::Key),
    /// Have work done that nobody watches: planned, built, checked, committed.
    Run(run::Run),
    /// List a project's runs; show, follow, end one, and get what it left.
    Runs(run::Runs),
    /// List a project's comparisons of runs; show one side by side, keep a candidate, drop all.
    Compare(run::Compare),
    /// Check a server by using its runs API as a client would: every step, and where it fails.
    Check(run::Check),
    /// Make a backup of all that the running server holds, encrypted with a passphrase: one file, which `age` opens,
    /// too.
    Backup(backup::Backup),
    /// Make a data folder of a backup: a new or empty one, named with --data.
    RestoreBackup(backup::Restore),
    /// Print a new sign-in link for the running server.
    Link,
    /// Say what this host can enforce, and what is missing.
    Doctor,
    /// Print the HTTP API as an OpenAPI 3.1 document; needs no server.
    Openapi {
        /// Write it as TypeScript types into this folder instead, as the dashboard is built with.
        #[arg(long, value_name = "FOLDER")]
        typescript: Option<PathBuf>,
    },
    /// Measure what a user feels, on this machine.
    Bench(Bench),
}

/// A project.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Id, alias or name.
    pub(crate) project: String,
}

#[derive(Debug, Args, Clone, Default)]
pub(crate) struct Up {
    /// Address to listen on [default: 127.0.0.1:4000].
    #[arg(long, env = "TOFT_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Host name of the control plane, when it has one of its own.
    #[arg(long, env = "TOFT_DOMAIN", value_name = "HOST")]
    pub(crate) domain: Option<String>,
    /// Domain below which previews get their own hosts; another site than `--domain`.
    #[arg(long, env = "TOFT_PREVIEW_DOMAIN", value_name = "HOST")]
    pub(crate) preview_domain: Option<String>,
    /// Ports for previews when the dashboard is opened by a bare address and there is no
    /// `--preview-domain` [default: 4100-4199].
    #[arg(long, env = "TOFT_PREVIEW_PORTS", value_name = "FIRST-LAST")]
    pub(crate) preview_ports: Option<String>,
    /// How machines are made of projects that name nothing else [default: native].
    #[arg(long, env = "TOFT_BACKEND")]
    pub(crate) backend: Option<BackendName>,
    /// All that projects and runs may name as `workspaceBackend` [default: that of `--backend`, and native]. One that
    /// has no walls (host) is there only when it is named.
    #[arg(long, env = "TOFT_BACKENDS", value_name = "NAMES", value_delimiter = ',')]
    pub(crate) backends: Vec<BackendName>,
    /// With the backend `host`: the folder in which projects may live, without any sandbox.
    #[arg(long, env = "TOFT_ALLOW_HOST", value_name = "DIR")]
    pub(crate) allow_host: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) oci: Oci,
    /// What all projects and their checkpoints may take on disk together, for example 200G [default:
    /// as much as the host has, but for 1G]. Takes a disk image of Toft's own (`toft doctor`).
    #[arg(long, env = "TOFT_DISK_MAX", value_name = "SIZE")]
    pub(crate) disk_max: Option<String>,
    /// Pause the machine of a project that nobody used for this long, for example 10m; or never
    /// [default: 5m]. A project may have its own rule.
    #[arg(long, env = "TOFT_FREEZE_AFTER", value_name = "TIME")]
    pub(crate) freeze_after: Option<String>,
    /// End the processes of the machine of a project that nobody used for this long; or never
    /// [default: 1h].
    #[arg(long, env = "TOFT_COLD_AFTER", value_name = "TIME")]
    pub(crate) cold_after: Option<String>,
    /// Default: what machines may reach, where a project has nothing of its own [default: open, or the
    /// ceiling].
    #[arg(long, env = "TOFT_EGRESS", value_name = "LEVEL")]
    pub(crate) egress: Option<egress::Level>,
    /// With `--egress allow-list`: a host, `*.domain` or address, with `:port` for that port only.
    #[arg(long, env = "TOFT_EGRESS_ALLOW", value_name = "RULE", value_delimiter = ',')]
    pub(crate) egress_allow: Vec<String>,
    /// Ceiling: the widest level that any project may have; only an admin raises it for one. Projects that
    /// are set wider keep their setting, and the ceiling holds [default: open].
    #[arg(long, env = "TOFT_EGRESS_CEILING", value_name = "LEVEL")]
    pub(crate) egress_ceiling: Option<egress::Level>,
    /// File of provider keys, lines NAME=value, which only its owner may read [default: keys.env in the
    /// data folder, if there is one]. Read at the start; the environment and Settings win over it.
    #[arg(long, env = "TOFT_KEYS", value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Look for servers of models on this machine (Ollama, LM Studio, vLLM, llama.cpp) at the addresses that
    /// they have by default, where Settings say nothing of it.
    #[arg(long, env = "TOFT_LOCAL_MODELS", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) local_models: bool,
    /// Models to ask in another's place while its provider is down, where people have set none.
    #[arg(long, env = "TOFT_FALLBACK", value_name = "MODEL=OTHER,…", value_delimiter = ';')]
    pub(crate) fallback: Vec<String>,
    /// How long the first byte of a streamed answer may take before the next model is asked; or never
    /// [default: 60s].
    #[arg(long, env = "TOFT_FALLBACK_FIRST_BYTE", value_name = "TIME")]
    pub(crate) fallback_first_byte: Option<String>,
    /// PostgreSQL database that this server and others share, postgres://…; in place of the file in the data
    /// folder. `DATABASE_URL` says the same.
    #[arg(long, env = "TOFT_DATABASE", value_name = "URL", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// With `--database`: the address at which people reach this server, which others tell them when a project's
    /// machine is here [default: its own address, or `--domain`].
    #[arg(long, env = "TOFT_ADVERTISE", value_name = "URL")]
    pub(crate) advertise: Option<String>,
    /// Where files that runs leave are kept: a folder, or a bucket s3://NAME/PREFIX with AWS's own variables
    /// [default: artifacts in the data folder].
    #[arg(long, env = "TOFT_ARTIFACTS", value_name = "FOLDER|URL")]
    pub(crate) artifacts: Option<String>,
    /// File of configuration [default: toft.toml in the data folder, if there is one].
    #[arg(long, env = "TOFT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What the backend `oci` is told.
#[derive(Debug, Args, Clone, Default, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Oci {
    /// With the backend `oci`: socket of Podman or Docker [default: `DOCKER_HOST`, else Podman's and
    /// Docker's usual places].
    #[arg(long = "oci-socket", env = "TOFT_OCI_SOCKET", value_name = "PATH")]
    #[serde(rename = "oci_socket")]
    pub(crate) socket: Option<PathBuf>,
    /// With the backend `oci`: what machines are made of: an image that the engine has, or the path of
    /// a tarball with a whole root file system (`./root.tar`).
    #[arg(long = "oci-image", env = "TOFT_OCI_IMAGE", value_name = "NAME|FILE")]
    #[serde(rename = "oci_image")]
    pub(crate) image: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BackendName {
    /// Namespaces: nothing to install.
    Native,
    /// No sandbox at all; needs --allow-host.
    Host,
    /// Containers of Podman or Docker; needs --oci-image.
    Oci,
    /// Sandboxes at E2B; needs the variables E2B_API_KEY and E2B_TEMPLATE.
    E2b,
}

impl BackendName {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Native, Self::Host, Self::Oci, Self::E2b];

    /// As people and the API say it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Host => "host",
            Self::Oci => "oci",
            Self::E2b => "e2b",
        }
    }
}

impl std::fmt::Display for BackendName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Leave the machines running.
    #[arg(long)]
    pub(crate) keep_machines: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Only these rows, by name.
    #[arg(long, value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
    /// Rounds per row.
    #[arg(long, default_value_t = 30, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000))]
    pub(crate) rounds: usize,
    /// Also run peers that are installed (bubblewrap, crun, Podman, btrfs, socat, Pi, Codex), alternating with ours.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Also run each row as this user of the host (a name or a number), for a column of its own; needs
    /// root.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Measure the servers of this program, another build of Toft, instead of this one's.
    #[arg(long, value_name = "PATH", conflicts_with = "user")]
    pub(crate) program: Option<std::path::PathBuf>,
}
