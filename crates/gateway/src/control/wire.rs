//! Frames and descriptors on one unix stream socket. Knows nothing of what they mean.
//!
//! The kernel ends a read after a message that carries descriptors: they arrive in the order of
//! their frames, and at the latest with the first byte of theirs.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};
use toft_model::frame::FRAME_BYTES_MAX;
use tokio::{io::Interest, net::UnixStream};
use zeroize::{Zeroize as _, Zeroizing};

/// Descriptors in one message, and unclaimed ones on one connection: a machine has four, and a
/// peer that sends more than a few is broken.
pub(crate) const DESCRIPTORS_MAX: usize = 8;

/// Bytes read at once: control frames are small.
const READ_BYTES: usize = 16 * 1024;

/// Bytes before the payload of a frame: length and kind.
const FRAME_HEAD: usize = 5;

/// Kind byte of a JSON frame, as in `toft_model::frame`.
const JSON_KIND: u8 = 0;

/// Sends one whole frame. Not safe to cancel: call it from a task that owns the sending side.
pub(crate) async fn send(stream: &UnixStream, frame: &[u8], fds: &[OwnedFd]) -> io::Result<()> {
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
    let mut sent = 0;
    while sent < frame.len() {
        stream.writable().await?;
        let with: &[BorrowedFd<'_>] = if sent == 0 { &borrowed } else { &[] };
        let step =
            stream.try_io(Interest::WRITABLE, || send_once(stream.as_fd(), &frame[sent..], with));
        match step {
            Ok(n) => sent += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn send_once(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags)?)
}

/// The receiving side of a connection. Wipes what it has held, because keys pass through it.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    buf: Zeroizing<Vec<u8>>,
    fds: VecDeque<OwnedFd>,
}

impl Receiver {
    /// The payload of the next frame; `None` when the peer closed between frames.
    pub(crate) async fn next(
        &mut self,
        stream: &UnixStream,
    ) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        loop {
            if let Some(payload) = self.take_frame()? {
                return Ok(Some(payload));
            }
            stream.readable().await?;
            let step = stream.try_io(Interest::READABLE, || self.read_once(stream.as_fd()));
            match step {
                Ok(0) if self.buf.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Descriptors that came, oldest first; fewer than `count` when fewer came.
    pub(crate) fn take_descriptors(&mut self, count: usize) -> Vec<OwnedFd> {
        let count = count.min(self.fds.len());
        self.fds.drain(..count).collect()
    }

    fn take_frame(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(head) = self.buf.first_chunk::<4>() else { return Ok(None) };
        let len = u32::from_be_bytes(*head) as usize;
        if len == 0 || len > FRAME_BYTES_MAX {
            return Err(invalid("a control frame of an impossible length"));
        }
        let whole = 4 + len;
        if self.buf.len() < whole {
            // One allocation for the whole frame: a buffer that grew would leave copies behind.
            self.grow(whole);
            return Ok(None);
        }
        if self.buf[4] != JSON_KIND {
            return Err(invalid("a control frame that is not JSON"));
        }
        let payload = Zeroizing::new(self.buf[FRAME_HEAD..whole].to_vec());
        let rest = self.buf.len() - whole;
        self.buf.copy_within(whole.., 0);
        self.buf[rest..].zeroize();
        self.buf.truncate(rest);
        Ok(Some(payload))
    }

    fn grow(&mut self, capacity: usize) {
        if self.buf.capacity() < capacity {
            let mut bigger = Vec::with_capacity(capacity);
            bigger.extend_from_slice(&self.buf);
            self.buf = Zeroizing::new(bigger);
        }
    }

    fn read_once(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut chunk = Zeroizing::new([0u8; READ_BYTES]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = recvmsg(socket, &mut [IoSliceMut::new(&mut chunk[..])], &mut ancillary, flags)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if self.fds.len() > DESCRIPTORS_MAX {
            return Err(invalid("more descriptors than any request takes"));
        }
        self.grow(self.buf.len() + got.bytes);
        self.buf.extend_from_slice(&chunk[..got.bytes]);
        Ok(got.bytes)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// One JSON frame, in memory that is wiped.
pub(crate) fn json_frame(value: &impl serde::Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut out = Zeroizing::new(Vec::with_capacity(READ_BYTES));
    out.extend_from_slice(&[0, 0, 0, 0, JSON_KIND]);
    serde_json::to_writer(&mut *out, value)?;
    let len = out.len() - 4;
    if len > FRAME_BYTES_MAX {
        return Err(invalid("a control frame is longer than the limit"));
    }
    let len = u32::try_from(len).expect("the limit is far below 4 GiB");
    out[..4].copy_from_slice(&len.to_be_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Read as _, Seek as _, Write as _};

    fn frames(chunks: impl Iterator<Item = impl AsRef<[u8]>>) -> io::Result<Vec<Vec<u8>>> {
        let mut receiver = Receiver::default();
        let mut found = Vec::new();
        for chunk in chunks {
            receiver.buf.extend_from_slice(chunk.as_ref());
            while let Some(payload) = receiver.take_frame()? {
                found.push(payload.to_vec());
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
            size in 1usize..40,
        ) {
            let mut bytes = Vec::new();
            for payload in &payloads {
                bytes.extend(u32::try_from(payload.len() + 1).unwrap().to_be_bytes());
                bytes.push(JSON_KIND);
                bytes.extend(payload);
            }
            prop_assert_eq!(frames(bytes.chunks(size)).unwrap(), payloads);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1usize..40) {
            // The length's first byte is small now and then: the rest is looked at as well.
            let _ = frames(bytes.chunks(size));
            let short: Vec<u8> = [0, 0, 0].into_iter().chain(bytes).collect();
            let _ = frames(short.chunks(size));
        }
    }

    #[tokio::test]
    async fn frames_and_their_descriptors_arrive_in_order() {
        let (a, b) = UnixStream::pair().unwrap();
        let long = "x".repeat(300_000);
        let sender = tokio::spawn(async move {
            for i in 0..5u8 {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[i]).unwrap();
                file.rewind().unwrap();
                let frame = json_frame(&format!("{i}{long}")).unwrap();
                send(&a, &frame, &[file.into()]).await.unwrap();
                send(&a, &json_frame(&"plain").unwrap(), &[]).await.unwrap();
            }
        });
        let mut receiver = Receiver::default();
        for i in 0..5u8 {
            let payload = receiver.next(&b).await.unwrap().unwrap();
            let text: String = serde_json::from_slice(&payload).unwrap();
            assert!(text.starts_with(&i.to_string()) && text.len() == 300_001);
            let fd = receiver.take_descriptors(1).pop().unwrap();
            let mut got = Vec::new();
            std::fs::File::from(fd).read_to_end(&mut got).unwrap();
            assert_eq!(got, [i]);
            assert_eq!(&receiver.next(&b).await.unwrap().unwrap()[..], b"\"plain\"");
        }
        sender.await.unwrap();
        assert!(receiver.take_descriptors(1).is_empty());
        assert!(receiver.next(&b).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn nonsense_ends_the_connection_instead_of_filling_memory() {
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0][..], &[0, 0, 0, 0, 0], &[0, 0, 0, 2, 9, 1]] {
            let (a, b) = UnixStream::pair().unwrap();
            send(&a, bytes, &[]).await.unwrap();
            let error = Receiver::default().next(&b).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
        let (a, b) = UnixStream::pair().unwrap();
        send(&a, &[0, 0, 0, 9, 0, b'"'], &[]).await.unwrap();
        drop(a);
        let error = Receiver::default().next(&b).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
