//! The data folder: made, locked for one server, and the file by which the CLI finds it.

use crate::error::ServerError;
use serde::Serialize;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use toft_model::id::random_hex;

/// Bytes of the name of a server.
const SERVER_ID_BYTES: usize = 12;

/// A data folder that this process owns until it is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    /// Holds the lock.
    lock: File,
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // A child that this process is just starting has a copy of the file for a moment. Closing ours
        // alone would leave the lock to it.
        let _ = self.lock.unlock();
    }
}

#[derive(Serialize)]
struct ServerFile<'a> {
    addr: SocketAddr,
    token: &'a str,
    pid: u32,
}

impl DataFolder {
    /// Makes the folder if need be and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, ServerError> {
        let failed = |at: &Path| {
            let path = at.to_owned();
            move |source| ServerError::DataDir { path, source }
        };
        for dir in [path.to_owned(), path.join("run"), path.join("logs")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed(&dir))?;
        }
        let unrestored = path.join(crate::backup::UNRESTORED);
        if unrestored.exists() {
            return Err(ServerError::Unrestored { path: path.to_owned() });
        }
        let lock_path = path.join("run/server.lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Only for the message.
                let _ = lock.read_to_string(&mut text);
                return Err(ServerError::Running {
                    path: path.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(e)) => return Err(failed(&lock_path)(e)),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed(&lock_path))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// What names this server among those on its database, for as long as its folder is there.
    pub(crate) fn server_id(&self) -> Result<String, ServerError> {
        let path = self.path.join("server.id");
        let failed = |source| ServerError::DataDir { path: path.clone(), source };
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        let id = random_hex(SERVER_ID_BYTES);
        let beside = self.path.join("server.id.part");
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(id.as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&beside, &path)).map_err(failed)?;
        Ok(id)
    }

    fn server_file(&self) -> PathBuf {
        self.path.join("run/server.json")
    }

    /// Tells the CLI where the server is and how to speak to it. Readable by the owner only.
    pub(crate) fn announce(&self, addr: SocketAddr, token: &str) -> Result<(), ServerError> {
        let path = self.server_file();
        let beside = path.with_extension("json.new");
        let file = ServerFile { addr: reachable(addr), token, pid: std::process::id() };
        let write = || -> io::Result<()> {
            match fs::remove_file(&beside) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            let mut out =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            out.write_all(&serde_json::to_vec(&file)?)?;
            fs::rename(&beside, &path)
        };
        write().map_err(|source| ServerError::DataDir { path: path.clone(), source })
    }

    /// Takes the announcement back at a regular end.
    pub(crate) fn retract(&self) {
        // A file that is gone already is as good.
        let _ = fs::remove_file(self.server_file());
    }
}

/// An address that a program on this computer can connect to.
pub(crate) fn reachable(addr: SocketAddr) -> SocketAddr {
    let mut out = addr;
    if addr.ip().is_unspecified() {
        out.set_ip(if addr.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_has_one_server_and_the_second_is_told_which() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("deep/data");
        let first = DataFolder::open(&data).unwrap();
        let second = DataFolder::open(&data).unwrap_err();
        let ServerError::Running { pid, .. } = &second else { panic!("{second}") };
        assert_eq!(*pid, Some(std::process::id()));
        assert!(second.to_string().contains("toft down"));
        // A child that is just starting would hold such a copy.
        let copy = first.lock.try_clone().unwrap();
        drop(first);
        DataFolder::open(&data).unwrap();
        drop(copy);
    }

    #[test]
    fn the_token_is_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path()).unwrap();
        folder.announce("0.0.0.0:4000".parse().unwrap(), "secret").unwrap();
        let path = dir.path().join("run/server.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().contains("127.0.0.1:4000"));
        folder.retract();
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = DataFolder::open(Path::new("/proc/toft")).unwrap_err();
        assert!(error.to_string().contains("/proc/toft") && error.to_string().contains("--data"));
    }
}
