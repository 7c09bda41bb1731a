//! Paths below a root, as archives and images write them. Names only: whether something is there,
//! and where links lead, is the root's to say.

use super::DEPTH_MAX;
use std::{
    ffi::{CString, OsStr},
    io,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

/// Longest path of a whole entry (`PATH_MAX` of linux/limits.h).
const PATH_BYTES_MAX: usize = 4096;

/// A path below a root: plain names, the first one below the top.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Below(pub(super) Vec<CString>);

impl Below {
    /// From the bytes of an archive. A leading `/` means the root itself; `..` is refused, whatever
    /// it would lead to.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let refuse = |why: &str| {
            let shown: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
            io::Error::new(io::ErrorKind::InvalidData, format!("the path {shown:?} {why}"))
        };
        if bytes.len() > PATH_BYTES_MAX {
            return Err(refuse("is longer than any path may be"));
        }
        let mut names = Vec::new();
        for name in bytes.split(|b| *b == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(refuse("leads out of its folder (`..`)")),
                name => {
                    let name = CString::new(name);
                    names.push(name.map_err(|_| refuse("has a zero byte in a name"))?);
                }
            }
        }
        if names.len() > DEPTH_MAX {
            return Err(refuse(&format!("lies deeper than {DEPTH_MAX} folders")));
        }
        Ok(Self(names))
    }

    /// One of ours.
    pub(crate) fn fixed(path: &'static str) -> Self {
        Self::parse(path.as_bytes()).expect("our own paths are plain")
    }

    /// The folder that it lies in, and its name. `None`: it is the top.
    pub(crate) fn split(&self) -> Option<(Self, &CString)> {
        let (name, folder) = self.0.split_last()?;
        Some((Self(folder.to_vec()), name))
    }

    /// A name in this folder.
    pub(crate) fn with(&self, name: &[u8]) -> io::Result<Self> {
        let mut names = self.0.clone();
        names.extend(Self::parse(name)?.0);
        Ok(Self(names))
    }

    /// Its first names as the kernel is given them, relative to the top.
    pub(super) fn path(&self, count: usize) -> PathBuf {
        let mut path = PathBuf::from(".");
        path.extend(self.0[..count].iter().map(|n| OsStr::from_bytes(n.to_bytes())));
        path
    }
}
