//! The bridge's private way to init: a socket pair over which the bridge hands init one end of a
//! new socket pair for every operation. There is no path to it, so nothing that runs in the
//! machine can reach init, not even as root. A new bridge gets a new link.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};
use tokio::{io::Interest, net::UnixStream, time::timeout};

/// How long init may take to take a connection; it never blocks for long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The bridge's end of the link.
#[derive(Debug)]
pub struct InitLink(UnixStream);

impl InitLink {
    /// Takes the descriptor that init passed. Needs a running event loop.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        toft_jail::child::set_nonblocking(&fd)?;
        Ok(Self(UnixStream::from_std(fd.into())?))
    }

    /// A connection to init, for one operation. Fails when init is gone.
    pub async fn connect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let hand_over = self.0.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let ends = [theirs.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&ends));
            // One byte carries one end: the kernel never joins bytes that carry descriptors.
            sendmsg(&self.0, &[io::IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        });
        timeout(CONNECT_TIMEOUT, hand_over).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(ours)
    }
}

/// Init's side: the next connection; `None` when the bridge closed the link.
pub(crate) async fn take(link: &UnixStream) -> io::Result<Option<UnixStream>> {
    let end = link
        .async_io(Interest::READABLE, || {
            let mut byte = [0u8; 1];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            let got = recvmsg(link, &mut [io::IoSliceMut::new(&mut byte)], &mut control, flags)?;
            if got.bytes == 0 {
                return Ok(None);
            }
            let end = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut ends) => ends.next(),
                _ => None,
            });
            end.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
        })
        .await?;
    let Some(end) = end else { return Ok(None) };
    toft_jail::child::set_nonblocking(&end)?;
    UnixStream::from_std(end.into()).map(Some)
}
