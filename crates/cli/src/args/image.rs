//! What can be typed about images.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Make an image that projects can be made of.
    Add(Box<ImageAdd>),
    /// List images.
    Ls,
    /// Delete an image. Projects made of it have copies and stay.
    Rm {
        /// Key or name.
        image: String,
    },
    /// Make new projects of this image when they name none.
    Default {
        /// Key or name; `host` for this host's own programs.
        image: String,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("of").required(true).args(["source", "from", "over"]))]
pub(crate) struct ImageAdd {
    /// A folder with one more toolchain (or several), a root tarball (.tar, .tar.gz, .tar.zst), a
    /// folder with an OCI layout (FOLDER or FOLDER:NAME), or the name of an image in a registry.
    /// Paths are the server's.
    pub(crate) source: Vec<String>,
    /// A template of this project: of a checkpoint, or of how it is now.
    #[arg(long, value_name = "PROJECT")]
    pub(crate) from: Option<String>,
    /// With `--from`: id or label of the checkpoint.
    #[arg(long, requires = "from", value_name = "CHECKPOINT")]
    pub(crate) checkpoint: Option<String>,
    /// This image (or `host`) with what the set-up script makes of it.
    #[arg(long, requires = "setup", value_name = "IMAGE")]
    pub(crate) over: Option<String>,
    /// What it is called; made from the source when absent.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A script that is run once in a machine of it, as root; projects get what it leaves.
    #[arg(long, value_name = "FILE")]
    pub(crate) setup: Option<PathBuf>,
    /// Ask the registry without TLS (never needed for one on the server's own loopback).
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// User of the registry; its password comes from `TOFT_REGISTRY_PASSWORD`.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Do not wait until it is ready.
    #[arg(long)]
    pub(crate) no_wait: bool,
}
