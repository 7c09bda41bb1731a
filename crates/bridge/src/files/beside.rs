//! A file in the making that replaces another as a whole. It has no name until it is complete, so a
//! crash leaves nothing; only on a file system without such files it has one.

use crate::answer::{Failure, Refused};
use rustix::fs::{AtFlags, CWD, linkat};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use toft_model::{files::quoted, id::random_hex};

/// Mode of a new file before the umask, as any editor makes it.
const NEW_FILE_MODE: u32 = 0o666;

/// See the module. Removed when it is dropped before it is finished.
pub(super) struct Beside {
    file: File,
    target: PathBuf,
    /// A name of our own in the target's folder.
    path: PathBuf,
    /// Whether there is a file of that name now.
    named: bool,
}

impl Beside {
    pub(super) fn make(command: &'static str, path: &Path) -> Result<Self, Refused> {
        let failed = |err| Failure::io(&quoted("writing", path), &err).of(command);
        // A link stays a link: what it leads to is written.
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(err) if err.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(err) => return Err(failed(err)),
        };
        let old = match fs::metadata(&target) {
            Ok(meta) if meta.is_file() => Some(meta.permissions()),
            Ok(meta) => {
                let what = if meta.is_dir() { "a folder" } else { "no regular file" };
                let message = format!("{} is {what}: choose another name", path.display());
                return Err(Failure::invalid(message).of(command));
            }
            Err(_) => None,
        };
        let (Some(dir), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Failure::invalid("name the file to write").of(command));
        };
        // A long name plus a suffix might be too long; a short one of our own never is.
        let start: String = name.to_string_lossy().chars().take(32).collect();
        let beside = dir.join(format!(".{start}.{}.new", random_hex(4)));
        let (file, named) = open(dir, &beside).map_err(|err| match err.kind() {
            io::ErrorKind::NotFound => {
                Failure::not_found(format!("there is no folder {}: make it first", dir.display()))
                    .of(command)
            }
            _ => failed(err),
        })?;
        let beside = Self { file, target, path: beside, named };
        if let Some(permissions) = old {
            beside.file.set_permissions(permissions).map_err(failed)?;
        }
        Ok(beside)
    }

    pub(super) fn append(mut self, bytes: &[u8]) -> io::Result<Self> {
        self.file.write_all(bytes)?;
        Ok(self)
    }

    /// Puts it in its place. A target that is there can only be replaced by a rename, so a file
    /// without a name gets one for that moment.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.named {
            let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let link = |to: &Path| {
                linkat(CWD, &open, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
            };
            match link(&self.target) {
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
            link(&self.path)?;
            self.named = true;
        }
        fs::rename(&self.path, &self.target)?;
        self.named = false;
        Ok(())
    }
}

/// A file without a name in a folder; with one where the file system has no others.
fn open(dir: &Path, named: &Path) -> io::Result<(File, bool)> {
    use rustix::{fs::OFlags, io::Errno};
    let flags = i32::try_from(OFlags::TMPFILE.bits()).map_err(io::Error::other)?;
    let mut options = File::options();
    options.write(true).mode(NEW_FILE_MODE);
    match options.clone().custom_flags(flags).open(dir) {
        // What old kernels and file systems without such files say (open(2)).
        Err(err)
            if [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL]
                .iter()
                .any(|no| err.raw_os_error() == Some(no.raw_os_error())) =>
        {
            Ok((options.create_new(true).open(named)?, true))
        }
        opened => Ok((opened?, false)),
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_a_name_is_removed_unless_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let made = |named: &str, target: &str| {
            let path = dir.path().join(named);
            let file = File::options().write(true).create_new(true).open(&path).unwrap();
            Beside { file, path, target: dir.path().join(target), named: true }
        };
        made(".a.1.new", "a").append(b"x").unwrap().finish().unwrap();
        drop(made(".b.2.new", "b").append(b"x").unwrap());
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
    }
}
