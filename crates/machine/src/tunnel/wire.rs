//! What is said on a tunnel's channels: one frame that says what a channel is, and frames that answer.
//! A frame is its length in four bytes and JSON. Both ends are the same program (a server uses the tunnel
//! of its own version only), so there is no version to agree on.

use super::parcel::Sum;
use crate::backend::{MachineError, Part, StartSpec, Stats};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io;
use toft_model::{id::ProjectId, machine::Limits};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest frame: a start with its environment, or the names of all logs, with a wide margin.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// What a channel is for; said first, by who opens it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// The machine's init. Answered, then its bytes.
    Init,
    /// The machine's bridge. Answered, then its bytes.
    Bridge,
    /// A door of the gateway, by its number. Not answered: its bytes follow.
    Gateway(usize),
    /// Starts the machine; runs already: finds it. Answered with what runs.
    Start(Box<Order>),
    /// Finds the machine.
    Adopt,
    /// Ends its processes.
    Stop { grace_ms: u64 },
    /// What it uses.
    Stats,
    /// Changes its limits.
    SetLimits(Limits),
    /// Sends what its log folder holds beyond this, and whatever comes ([`super::logs`]).
    Logs(Vec<super::logs::Have>),
    /// Sends a part of the project as an archive, in pieces ([`super::parcel`]); then their sum, or why it cannot be.
    Pack(Part),
    /// Takes such a part: pieces and their sum follow. Answered with the sum of what came, once it lies on disk.
    Unpack(Part),
    /// Each byte is sent back: both ends see that the other lives.
    Alive,
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done, or its bytes follow.
    Done,
    /// A machine that runs, or none.
    Found(Option<Found>),
    /// What it uses.
    Uses { memory_bytes: Option<u64>, pids: Option<u64> },
    /// So much of a part came or went, and it was all.
    Carried(Sum),
    /// It does not run.
    NotRunning,
    /// It cannot be done: why, and what to do.
    Refused(String),
}

/// See [`StartSpec`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    name: String,
    limits: Limits,
    app_url: String,
    env: Vec<(String, String)>,
    awaits_environment: bool,
}

impl Order {
    pub(crate) fn of(spec: StartSpec) -> Self {
        let StartSpec { name, limits, app_url, env, awaits_environment, .. } = spec;
        Self { name, limits, app_url, env, awaits_environment }
    }

    pub(crate) fn into_spec(self, project: ProjectId) -> StartSpec {
        let Self { name, limits, app_url, env, awaits_environment } = self;
        StartSpec { project, name, limits, app_url, env, awaits_environment }
    }
}

/// A machine that runs, as far as it is known outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Its project token.
    pub(crate) token: String,
    /// Inside.
    pub(crate) init_pid: u32,
    /// Unix milliseconds, by the clock there.
    pub(crate) started_at: u64,
    /// Whether it ran already.
    pub(crate) adopted: bool,
}

impl Answer {
    pub(crate) fn uses(stats: Stats) -> Self {
        Self::Uses { memory_bytes: stats.memory_bytes, pids: stats.pids }
    }

    pub(crate) fn refused(error: &MachineError) -> Self {
        match error {
            MachineError::NotRunning(_) => Self::NotRunning,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Sends a frame.
pub(crate) async fn send<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    said: &T,
) -> io::Result<()> {
    let body = serde_json::to_vec(said).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| bad("a frame of the tunnel would be too long"))?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&body);
    to.write_all(&frame).await?;
    to.flush().await
}

/// The next frame.
pub(crate) async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<T> {
    let length = from.read_u32().await?;
    if length > FRAME_BYTES_MAX {
        return Err(bad("a frame of the tunnel is too long"));
    }
    let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    from.read_exact(&mut body).await?;
    serde_json::from_slice(&body).map_err(|_| bad("a frame of the tunnel cannot be read"))
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_comes_as_it_went_and_one_that_is_too_long_is_not_read() {
        let mut line = Vec::new();
        send(&mut line, &Ask::Stop { grace_ms: 7 }).await.unwrap();
        let got: Ask = receive(&mut line.as_slice()).await.unwrap();
        assert!(matches!(got, Ask::Stop { grace_ms: 7 }));
        for bytes in [&b"\xff\xff\xff\xff{}"[..], b"\0\0\0\x02{", b"\0\0\0\x02[]"] {
            assert!(receive::<Ask>(&mut &*bytes).await.is_err());
        }
        assert!(send(&mut Vec::new(), &"x".repeat(300_000)).await.is_err());
    }
}
