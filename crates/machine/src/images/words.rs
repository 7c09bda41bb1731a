//! What images are called, come from and fail with. Does nothing.

use super::{digest, progress::Progress};
use crate::error::MachineError;
use std::{fmt, io, path::PathBuf, str::FromStr};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};

/// Hexadecimal digits of a key: half of a SHA-256, more than can be made to collide.
const KEY_CHARS: usize = 32;

/// Names an image by what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageKey(String);

impl ImageKey {
    /// Of parts that together say what is in it.
    pub(super) fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let all: Vec<&[u8]> = [kind.as_bytes()].into_iter().chain(parts.iter().copied()).collect();
        let mut key = digest::of_parts(&all);
        key.truncate(KEY_CHARS);
        Self(key)
    }

    /// What becomes of an image (`None`: `host`) by a set-up script.
    pub fn with_setup(base: Option<&Self>, script: &str) -> Self {
        let base = base.map_or("host", Self::as_str);
        Self::of("setup", &[base.as_bytes(), script.as_bytes()])
    }

    /// The template of a checkpoint: both never change.
    pub fn of_checkpoint(project: &ProjectId, id: &CheckpointId) -> Self {
        Self::of("checkpoint", &[project.as_str().as_bytes(), id.as_str().as_bytes()])
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ImageKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = text.len() == KEY_CHARS && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned())).ok_or(())
    }
}

/// What an image is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Something on this host: a root tarball, an OCI layout, or a folder of a toolchain.
    Path(PathBuf),
    /// Folders of this host that show beside its own programs.
    Folders(Vec<PathBuf>),
    /// An image in a registry.
    Registry(RegistrySource),
}

/// An image in a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrySource {
    /// `alpine:3.20`, `host:port/name:tag`, `name@sha256:…`.
    pub reference: String,
    /// Without TLS; always so on this host's loopback.
    pub plain_http: bool,
    /// Name and password, when the registry wants them. Not kept.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for RegistrySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySource")
            .field("reference", &self.reference)
            .field("plain_http", &self.plain_http)
            .finish_non_exhaustive()
    }
}

/// Kinds of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// The host's programs.
    Host,
    /// The same with more folders.
    Folder,
    /// A root tarball.
    Tarball,
    /// An OCI image.
    Oci,
    /// Made from a project, or by a set-up script over `host`.
    Template,
}

impl ImageKind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Folder => "folder",
            Self::Tarball => "tarball",
            Self::Oci => "oci",
            Self::Template => "template",
        }
    }
}

/// Why an image is not made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// What it was to be made from is not fit for it.
    #[error("{0}")]
    Refused(String),
    /// The registry did not give it.
    #[error("{0}")]
    Registry(String),
    /// Somebody wanted an end.
    #[error("it was deleted while it was made")]
    Cancelled,
    /// The storage is full.
    #[error("{0}")]
    NoRoom(String),
    /// There is no such image.
    #[error("the image {0} is not there any more: add it again, or choose another one")]
    Missing(ImageKey),
    /// A machine was needed, and failed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A step failed.
    #[error("{step} failed: {source}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl ImageError {
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }

    pub(crate) fn step(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoRoom(format!("{step} failed: the disk of the data folder is full"))
            }
            _ => Self::Step { step, source },
        }
    }

    /// What reading an archive or writing what is in it has led to.
    pub(crate) fn unpacking(what: &str, progress: &Progress, e: &io::Error) -> Self {
        if progress.is_cancelled() {
            return Self::Cancelled;
        }
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoRoom(format!("{what}: {e}"))
            }
            _ => Self::Refused(format!("{what} cannot be unpacked: {e}")),
        }
    }
}
