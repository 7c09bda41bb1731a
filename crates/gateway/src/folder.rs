//! The gateway's places in a data folder: socket, lock, log, journals. Paths only, and the two ways
//! to reach the socket whatever the length of its path.

use std::{
    fs::{self, DirBuilder},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};
use toft_model::{
    id::ProjectId,
    machine::{BACKENDS_DIR, NAMES_FILE},
};
use tokio::{
    io::AsyncReadExt as _,
    net::{UnixListener, UnixStream},
};

const SOCKET: &str = "gateway.sock";
const MODELS: &str = "models.sock";
/// The first byte on a connection to [`MODELS`]; HTTP follows.
pub(crate) const MODELS_TAKEN: u8 = b'+';

/// `<data>/logs/gateway.log`: what the gateway says, appended.
pub fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.join("logs/gateway.log")
}

/// `<data>/usage`: the journals.
pub fn usage_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("usage")
}

/// `<data>/usage/egress/<project>`: the log of its way out.
pub(crate) fn egress_dir(data_dir: &Path, project: &ProjectId) -> PathBuf {
    usage_dir(data_dir).join("egress").join(project.as_str())
}

/// `<data>/run/m/<project>/names`: names that a machine has looked up. The folder is the machine's,
/// and goes with it.
pub(crate) fn names_path(data_dir: &Path, project: &ProjectId) -> PathBuf {
    let of_run = |place: &Path| place.join("run/m").join(project.as_str());
    let own = of_run(data_dir);
    if own.is_dir() {
        return own.join(NAMES_FILE);
    }
    // Each backend of a server but the first has a folder like the server's own.
    let others = fs::read_dir(data_dir.join(BACKENDS_DIR)).into_iter().flatten().flatten();
    let other = others.map(|entry| of_run(&entry.path())).find(|path| path.is_dir());
    other.unwrap_or(own).join(NAMES_FILE)
}

/// `<data>/run/gateway.sock`.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join(SOCKET)
}

/// `<data>/run/models.sock`: HTTP for the server, which passes on what programs outside ask.
pub fn models_path(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join(MODELS)
}

/// `<data>/run/gateway.lock`: held by the one gateway of the folder, holds its pid.
pub fn lock_path(data_dir: &Path) -> PathBuf {
    data_dir.join("run/gateway.lock")
}

/// Makes the folders that are missing, for the owner only.
pub(crate) fn prepare(data_dir: &Path) -> io::Result<()> {
    for dir in [data_dir.join("run"), data_dir.join("logs"), usage_dir(data_dir)] {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    }
    Ok(())
}

/// The folder of the socket, open. A socket address holds 107 bytes; through the descriptor's own
/// path any folder fits.
fn run_dir(data_dir: &Path) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(data_dir.join("run"), flags, Mode::empty())?)
}

fn within(dir: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

/// A connection to the socket.
pub(crate) async fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let dir = run_dir(data_dir)?;
    UnixStream::connect(within(&dir, SOCKET)).await
}

/// A connection for model calls of programs outside: HTTP/1.1 as at `http://gateway.internal`,
/// without a credential. Only the server's user gets one. Waits until the gateway has taken it: what
/// waits in the queue of one that is just dying would be lost, nobody knowing how far it got.
pub async fn connect_models(data_dir: &Path) -> io::Result<UnixStream> {
    let mut stream = {
        let dir = run_dir(data_dir)?;
        UnixStream::connect(within(&dir, MODELS)).await?
    };
    match stream.read_u8().await? {
        MODELS_TAKEN => Ok(stream),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "another version's gateway")),
    }
}

/// Whether somebody listens on the socket.
pub(crate) fn answers(data_dir: &Path) -> bool {
    let connected = run_dir(data_dir)
        .and_then(|dir| std::os::unix::net::UnixStream::connect(within(&dir, SOCKET)));
    connected.is_ok()
}

/// The listening socket, for the owner only, put in place of a dead one in one step. Call it with
/// the lock held.
pub(crate) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    bind_as(data_dir, SOCKET)
}

/// The same for [`connect_models`].
pub(crate) fn bind_models(data_dir: &Path) -> io::Result<UnixListener> {
    bind_as(data_dir, MODELS)
}

fn bind_as(data_dir: &Path, name: &str) -> io::Result<UnixListener> {
    let dir = run_dir(data_dir)?;
    let (new, place) = (within(&dir, &format!("{name}.new")), within(&dir, name));
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, &place)?;
    Ok(listener)
}

/// Removes the sockets at a regular end.
pub(crate) fn unbind(data_dir: &Path) {
    // Whoever connects meanwhile is told that nobody listens: the same as no socket.
    let _ = fs::remove_file(socket_path(data_dir));
    let _ = fs::remove_file(models_path(data_dir));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_in_a_very_deep_folder_is_reachable_and_private() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("deep-".repeat(40)).join("deeper-".repeat(30));
        prepare(&deep).unwrap();
        assert!(socket_path(&deep).as_os_str().len() > 300);
        let _first = bind(&deep).unwrap();
        let listener = bind(&deep).unwrap();
        let mode = fs::metadata(socket_path(&deep)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (_client, accepted) = tokio::join!(connect(&deep), listener.accept());
        accepted.unwrap();
        unbind(&deep);
        assert!(connect(&deep).await.is_err());
    }
}
