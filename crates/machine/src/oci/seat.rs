//! How a container's first process becomes a machine's: it comes to a socket in a folder that it is
//! shown, gets its descriptors there, builds the last of its walls, and waits for the word to go on.

use super::{plan::Plan, tree::SHOWN};
use crate::folders;
use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{
        SocketFlags, accept_with,
        sockopt::{Timeout, set_socket_timeout, socket_peercred},
    },
};
use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::{fs::PermissionsExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
    time::Duration,
};
use toft_jail::{
    contained::{self, Seat},
    spec::{Commit, GATEWAY_ADDRESS, OWN_INSIDE, Report},
    wire,
};

/// A message between two processes of this host.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Folder of a machine's run folder that is shown inside, read-only, with empty files that the binary's
/// are shown over: a mount of its own, so that nothing inside takes their place.
pub(super) const SEAT_FOLDER: &str = "seat";
pub(super) const SEAT_SOCKET: &str = "seat.sock";
/// Where it is seen.
pub(super) const SEAT_INSIDE: &str = OWN_INSIDE;
/// Folder of a machine's run folder with the files that are shown in `/etc`.
pub(super) const ETC_FOLDER: &str = "etc";
/// Names are resolved by the proxy, not in the machine.
const RESOLV: &str = "nameserver 127.77.0.1\noptions timeout:1 attempts:1\n";

/// A place for one first process.
pub(super) struct Offer {
    listener: OwnedFd,
    path: PathBuf,
}

impl Drop for Offer {
    fn drop(&mut self) {
        // Left behind, nobody listens at it.
        let _ = fs::remove_file(&self.path);
    }
}

/// A first process that has come for its seat.
pub(super) struct Guest {
    socket: OwnedFd,
    pub(super) pid: u32,
}

/// The same with its seat: it waits for the word to go on.
pub(super) struct Seated {
    socket: OwnedFd,
    pub(super) listeners: Vec<OwnedFd>,
    pub(super) filtered: bool,
}

/// Makes the folders that a container is shown, and listens for its first process.
pub(super) fn offer(plan: &Plan<'_>) -> io::Result<Offer> {
    for name in [SEAT_FOLDER, ETC_FOLDER] {
        folders::private(&plan.run.join(name))?;
    }
    let etc = plan.run.join(ETC_FOLDER);
    let gateway = std::net::Ipv4Addr::from(GATEWAY_ADDRESS);
    let hosts = format!(
        "127.0.0.1\tlocalhost\n{gateway}\tgateway.internal\n::1\tip6-localhost ip6-loopback\n\
         127.0.1.1\t{}\n",
        plan.hostname
    );
    let hostname = format!("{}\n", plan.hostname);
    let texts = [hosts.as_str(), &hostname, RESOLV];
    for (name, text) in SHOWN.iter().zip(texts) {
        fs::write(etc.join(name), text)?;
    }
    let folder = plan.run.join(SEAT_FOLDER);
    // Only we come here from outside; inside, everybody may run the binary.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    for bind in &plan.binary.binds {
        if let Ok(name) = Path::new(&bind.target).strip_prefix(SEAT_INSIDE) {
            let place = folder.join(name);
            fs::create_dir_all(place.parent().unwrap_or(&folder))?;
            File::create(place)?;
        }
    }
    let path = folder.join(SEAT_SOCKET);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    // Addresses hold 107 bytes; data folders may be deeper.
    let held = File::open(&folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{SEAT_SOCKET}", held.as_raw_fd()));
    Ok(Offer { listener: contained::offer(&short)?, path })
}

impl Offer {
    /// Waits a while for somebody to come.
    pub(super) fn wait(&self, limit: Duration) -> io::Result<Option<OwnedFd>> {
        let timeout = rustix::time::Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
            Ok(_) => Ok(Some(accept_with(&self.listener, SocketFlags::CLOEXEC)?)),
            Err(e) => Err(e.into()),
        }
    }
}

impl Guest {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let pid = socket_peercred(&socket)?.pid.as_raw_nonzero().get();
        Ok(Self { socket, pid: u32::try_from(pid).map_err(io::Error::other)? })
    }

    /// Hands it what it needs, and hears that its walls stand.
    pub(super) fn seat(
        self,
        boot: String,
        init: &UnixListener,
        bridge: &UnixListener,
        said: &File,
        log: Option<&OwnedFd>,
        doors: &[File],
    ) -> io::Result<Seated> {
        let socket = self.socket;
        set_socket_timeout(&socket, Timeout::Recv, Some(MESSAGE_TIMEOUT))?;
        let mut given = vec![init.as_fd(), bridge.as_fd(), said.as_fd()];
        given.extend(log.map(|folder| folder.as_fd()));
        given.extend(doors.iter().map(|door| door.as_fd()));
        wire::send(&socket, &Seat { boot, handed: log.is_some() }, &given)?;
        match wire::recv::<Report>(&socket)? {
            Some((Report::Ready(facts), listeners)) => {
                Ok(Seated { socket, listeners, filtered: facts.seccomp })
            }
            Some((Report::Failed { step, why, .. }, _)) => {
                Err(io::Error::other(format!("could not {step}: {why}")))
            }
            Some((Report::Cloned { .. } | Report::Copied { .. }, _)) => {
                Err(io::ErrorKind::InvalidData.into())
            }
            None => Err(io::Error::other("its first process ended without a word")),
        }
    }
}

impl Seated {
    /// The word to go on.
    pub(super) fn commit(&self) -> io::Result<()> {
        wire::send(&self.socket, &Commit, &[])
    }
}
