//! The places of machines in a data folder, and sockets there whatever the length of their path.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::AsRawFd as _,
        unix::{fs::DirBuilderExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
};
use toft_model::id::ProjectId;
use tokio::net::UnixStream;

/// Listening socket of a machine's init.
pub(crate) const INIT_SOCKET: &str = "init.sock";
/// Listening socket of a machine's bridge.
pub(crate) const BRIDGE_SOCKET: &str = "bridge.sock";
/// What its first processes said on standard error.
const INIT_LOG: &str = "init.log";
/// How much of that is quoted when a machine does not start.
const LOG_TAIL_BYTES: u64 = 4 << 10;

/// A data folder as machines use it. Everything in it is for the owner only: files of machines
/// lie there with the ids that they have inside, root's too.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    data: PathBuf,
}

impl Folders {
    /// Makes what is missing.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(data)?;
        let data = fs::canonicalize(data)?;
        for name in ["run", "run/m", "store", "store/slots", "logs"] {
            private.create(data.join(name))?;
        }
        for name in ["store", "run", "logs"] {
            rustix::fs::chmod(data.join(name), rustix::fs::Mode::RWXU)?;
        }
        Ok(Self { data })
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    pub(crate) fn slots(&self) -> PathBuf {
        self.data.join("store/slots")
    }

    /// Folder of every machine's sockets and state.
    pub(crate) fn runs(&self) -> PathBuf {
        self.data.join("run/m")
    }

    pub(crate) fn run(&self, project: &ProjectId) -> PathBuf {
        self.runs().join(project.as_str())
    }

    pub(crate) fn log(&self, project: &ProjectId) -> PathBuf {
        self.data.join("logs").join(project.as_str())
    }

    /// The name that a data folder keeps wherever it is moved, for whoever keeps machines of many such.
    pub(crate) fn identity(&self, file: &str) -> io::Result<String> {
        let path = self.store().join(file);
        match fs::read_to_string(&path) {
            Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let name = rand_name();
        let new = path.with_extension("new");
        fs::write(&new, &name)?;
        fs::rename(new, path)?;
        Ok(name)
    }
}

/// Makes a folder for the owner only; there already: done.
pub(crate) fn private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Listens on `folder/name`, in place of what is there.
pub(crate) fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    match fs::remove_file(folder.join(name)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let held = File::open(folder)?;
    UnixListener::bind(through(&held, name))
}

/// Connects to `folder/name`.
pub(crate) async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let held = File::open(folder)?;
    UnixStream::connect(through(&held, name)).await
}

/// A short path to a socket: addresses hold 107 bytes, data folders may be deeper.
fn through(folder: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

/// A new, empty `init.log` in a folder that the machine can write to: whatever it put there under
/// this name is moved away, and never followed or opened.
pub(crate) fn new_log(folder: &Path) -> io::Result<File> {
    let path = folder.join(INIT_LOG);
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        // A folder.
        Err(_) => fs::rename(&path, folder.join(format!("{INIT_LOG}.{}", rand_name())))?,
    }
    File::options().append(true).create_new(true).open(path)
}

/// The end of `init.log`, for people.
pub(crate) fn log_tail(folder: &Path) -> String {
    use rustix::fs::{Mode, OFlags};
    use std::io::{Read as _, Seek as _, SeekFrom};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::open(folder.join(INIT_LOG), flags, Mode::empty()) else {
        return String::new();
    };
    let mut file = File::from(fd);
    let mut bytes = Vec::new();
    let read = file.metadata().and_then(|meta| {
        file.seek(SeekFrom::Start(meta.len().saturating_sub(LOG_TAIL_BYTES)))?;
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(e) => format!("(its log cannot be read: {e})"),
    }
}

/// A name that nobody guesses.
pub(crate) fn rand_name() -> String {
    toft_model::id::random_hex(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[tokio::test]
    async fn a_socket_is_reached_below_a_path_longer_than_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        private(&deep).unwrap();
        let listener = listen(&deep, INIT_SOCKET).unwrap();
        drop(listener);
        let _again = listen(&deep, INIT_SOCKET).unwrap();
        connect(&deep, INIT_SOCKET).await.unwrap();
    }

    #[test]
    fn a_planted_log_is_neither_followed_nor_written() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(INIT_LOG)).unwrap();
        assert_eq!(log_tail(dir.path()), "");
        new_log(dir.path()).unwrap().write_all(b"said").unwrap();
        assert_eq!(log_tail(dir.path()), "said");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        fs::remove_file(dir.path().join(INIT_LOG)).unwrap();
        fs::create_dir_all(dir.path().join(INIT_LOG).join("full")).unwrap();
        new_log(dir.path()).unwrap();
        assert_eq!(log_tail(dir.path()), "");
    }
}
