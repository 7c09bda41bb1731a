//! A pipe between two connections: bytes go through it without coming into this process (splice(2)).

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::{
    io::{self, Read as _},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::Interest,
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// What a pipe is asked to hold. Each piece of a packet takes a page of it, however short it is, so more
/// than is moved at once.
const PIPE_BYTES: usize = 256 * 1024;

/// Bytes moved at once: what is left of them in a buffer when the receiver stalls.
const MOVE_BYTES: usize = 64 * 1024;

/// A sender or receiver that pauses so long needs no pipe meanwhile.
const PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    _places: [OwnedSemaphorePermit; 2],
}

/// Places for pipes: those of all machines, and the machine's own.
pub(super) struct Pipes {
    pub(super) all: Arc<Semaphore>,
    pub(super) own: Arc<Semaphore>,
}

impl Pipes {
    /// An empty pipe; `None` without a place or a descriptor: then it goes without one.
    pub(super) fn open(&self) -> Option<Pipe> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let any = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Pipe::new([own, any]).ok()
    }
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
    fn new(places: [OwnedSemaphorePermit; 2]) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Its usual size does, too.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read, write, held: 0, _places: places })
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

    /// Gives some of it; how much. `None`: the receiver stalls.
    pub(super) async fn drain(&mut self, to: &TcpStream) -> io::Result<Option<usize>> {
        loop {
            match timeout(PAUSE, to.writable()).await {
                Ok(ready) => ready?,
                Err(_) => return Ok(None),
            }
            let gave = to.try_io(Interest::WRITABLE, || {
                let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                Ok(splice(&self.read, None, to, None, self.held, flags)?)
            });
            match gave {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.held -= n;
                    return Ok(Some(n));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Gives its place and its descriptors back; what it still held.
    pub(super) fn close(self) -> io::Result<Vec<u8>> {
        let mut left = vec![0; self.held];
        std::fs::File::from(self.read).read_exact(&mut left)?;
        Ok(left)
    }
}
