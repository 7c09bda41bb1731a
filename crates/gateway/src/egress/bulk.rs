//! A pipe between two connections: bytes go through it without coming into this process (splice(2)).

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::{io, os::fd::OwnedFd, time::Duration};
use tokio::{io::Interest, net::TcpStream, time::timeout};

/// What a pipe holds; the kernel's own bound for ordinary users. With less it goes too, slower.
const PIPE_BYTES: usize = 1 << 20;

/// Bytes asked for at once.
const MOVE_BYTES: usize = 1 << 20;

/// A sender that pauses so long needs no pipe meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// Something: [`Pipe::held`] says how much.
    Some,
    /// The sender pauses.
    Pause,
    /// The sender is done.
    End,
}

impl Pipe {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Its usual size does, too.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read, write, held: 0 })
    }

    /// Bytes in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes what has come; waits a little for it. Call it when it is empty: then what would block is
    /// the connection.
    pub(super) async fn fill(&mut self, from: &TcpStream) -> io::Result<Filled> {
        debug_assert_eq!(self.held, 0, "only an empty one is filled");
        loop {
            match timeout(PAUSE, from.readable()).await {
                Ok(ready) => ready?,
                Err(_) => return Ok(Filled::Pause),
            }
            let took = from.try_io(Interest::READABLE, || {
                let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                Ok(splice(from, None, &self.write, None, MOVE_BYTES, flags)?)
            });
            match took {
                Ok(0) => return Ok(Filled::End),
                Ok(n) => {
                    self.held = n;
                    return Ok(Filled::Some);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Gives some of it; how much.
    pub(super) async fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        loop {
            to.writable().await?;
            let gave = to.try_io(Interest::WRITABLE, || {
                let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                Ok(splice(&self.read, None, to, None, self.held, flags)?)
            });
            match gave {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.held -= n;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}
