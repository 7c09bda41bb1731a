//! What a project carries into its sandbox and out of it: through the tunnel, piece by piece, and summed at both ends.
//! Nothing of it ever lies beside the project, here or there. Who calls holds the project's turn.

use super::{Inner, life::GONE, tunnel::Tunnel};
use crate::{
    backend::{MachineError, Part},
    error::step,
    tunnel::{
        parcel::{self, Sum},
        wire::{self, Answer, Ask},
    },
};
use rustix::fs::statvfs;
use std::{io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};
use toft_model::id::ProjectId;
use tokio::{net::unix::pipe, time::timeout};

const PACKING: &str = "taking what the project carries out of its sandbox";
const UNPACKING: &str = "taking what the project carries into its sandbox";
/// What runs in a sandbox that was paused with it ends at once.
const AT_ONCE_MS: u64 = 0;
/// A line on which nothing more can be sent may still hold the reason.
const REASON_TIMEOUT: Duration = Duration::from_secs(5);
/// Stays free on this host's disk: some large builds of other projects.
const FREE_BYTES_MIN: u64 = 1 << 30;

fn gone() -> MachineError {
    MachineError::Unable { what: "reaching its files", why: GONE.to_owned() }
}

impl Inner {
    /// Whether the project has a sandbox. One that is gone at E2B is no answer, but an error.
    pub(super) async fn is_made(&self, project: &ProjectId) -> Result<bool, MachineError> {
        let had_one = self.sandbox(project).is_some();
        match self.find(project).await? {
            Some(_) => Ok(true),
            None if had_one => Err(gone()),
            None => Ok(false),
        }
    }

    /// Its sandbox, awake until it rests again, with nothing of the machine running in it.
    pub(super) async fn still(&self, project: &ProjectId) -> Result<Arc<Tunnel>, MachineError> {
        let live = self.live(project).await?.ok_or_else(gone)?;
        live.rouse();
        let still = async {
            let tunnel = live.tunnel().await?;
            tunnel.ask(&Ask::Stop { grace_ms: AT_ONCE_MS }, project).await?;
            Ok(tunnel)
        };
        match still.await {
            Ok(tunnel) => {
                live.keep();
                Ok(tunnel)
            }
            Err(MachineError::NotRunning(_)) => {
                self.forget(project).await;
                Err(gone())
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes a part as it comes. It was all, and as it went, when this is `Ok`.
pub(super) async fn pack(
    inner: &Inner,
    project: &ProjectId,
    part: Part,
    to: OwnedFd,
) -> Result<(), MachineError> {
    let tunnel = inner.still(project).await?;
    let data = inner.folders.data();
    let taking = async {
        let mut to = pipe::Sender::from_owned_fd(to)?;
        let mut channel = tunnel.opener.open().await?;
        wire::send(&mut channel, &Ask::Pack(part)).await?;
        let came = parcel::receive(&mut channel, &mut to, || has_room(data)).await?;
        judged(&came, wire::receive(&mut channel).await?)
    };
    whole(&tunnel, taking).await.map_err(step(project, PACKING))
}

/// Sends a part as it is read. It lies there, and all of it, when this is `Ok`.
pub(super) async fn unpack(
    inner: &Inner,
    project: &ProjectId,
    part: Part,
    from: OwnedFd,
) -> Result<(), MachineError> {
    let tunnel = inner.still(project).await?;
    let giving = async {
        let mut from = pipe::Receiver::from_owned_fd(from)?;
        let mut channel = tunnel.opener.open().await?;
        wire::send(&mut channel, &Ask::Unpack(part)).await?;
        let (mut answers, mut line) = tokio::io::split(channel);
        let sending = async {
            let sum = parcel::send(&mut from, &mut line).await?;
            wire::send(&mut line, &sum).await?;
            Ok::<_, io::Error>(sum)
        };
        let answered = wire::receive::<Answer>(&mut answers);
        tokio::pin!(answered);
        let sent = tokio::select! {
            biased;
            // Before all was sent: it cannot be taken.
            early = &mut answered => return judged(&Sum::default(), early?),
            sent = sending => sent,
        };
        match sent {
            Ok(sum) => judged(&sum, answered.await?),
            Err(error) => match timeout(REASON_TIMEOUT, answered).await {
                Ok(Ok(answer @ Answer::Refused(_))) => judged(&Sum::default(), answer),
                _ => Err(error),
            },
        }
    };
    whole(&tunnel, giving).await.map_err(step(project, UNPACKING))
}

/// What a sandbox sends may have no end, and programs in it are root's there: the disk of this host is not filled by it.
fn has_room(data: &Path) -> io::Result<()> {
    let disk = statvfs(data)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) > FREE_BYTES_MIN {
        return Ok(());
    }
    Err(io::ErrorKind::StorageFull.into())
}

/// Whether the other end has the same sum.
fn judged(here: &Sum, there: Answer) -> io::Result<()> {
    let wrong = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    match there {
        Answer::Carried(sum) if sum == *here => Ok(()),
        Answer::Carried(_) => wrong("what came is not what was sent"),
        Answer::Refused(why) => Err(io::Error::other(why)),
        Answer::Done | Answer::Found(_) | Answer::Uses { .. } | Answer::NotRunning => {
            wrong("an answer to something else")
        }
    }
}

async fn whole<T>(tunnel: &Tunnel, carrying: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let carried = tunnel.ended.run_until_cancelled(carrying).await;
    let broke =
        || io::Error::new(io::ErrorKind::BrokenPipe, "the line to the sandbox broke meanwhile");
    carried.unwrap_or_else(|| Err(broke()))
}
