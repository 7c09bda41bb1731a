//! Messages with descriptors between the launcher and the one who started it. A sequenced-packet
//! socket keeps the messages apart and ends when the last holder is gone.

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Largest message: a spec with a big work environment fits, and the kernel's default socket
/// buffer (208 KiB) takes it.
const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// Most descriptors in one message. The launcher sends one per mount; the kernel's limit is 253.
const DESCRIPTORS_MAX: usize = 64;

/// Two ends of a connection; neither survives an exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one value, and copies of descriptors.
pub fn send<T: Serialize>(
    socket: impl AsFd,
    value: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    if bytes.len() > MESSAGE_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "a message of {} bytes with {} descriptors is too large",
                bytes.len(),
                descriptors.len()
            ),
        ));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(fits, "the space was made for the most descriptors");
    }
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return other.map(|_| ()).map_err(io::Error::from),
        }
    }
}

/// Receives one value with its descriptors. `None`: the other end is gone.
pub fn recv<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0u8; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut iov = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let value = serde_json::from_slice(&bytes[..got.bytes])
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(Some((value, descriptors)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_message_carries_its_value_and_its_descriptors() {
        let (a, b) = pair().unwrap();
        let (mut read, mut write) = std::io::pipe().unwrap();
        send(&a, &vec!["x".repeat(60_000)], &[write.as_fd()]).unwrap();
        let (value, fds) = recv::<Vec<String>>(&b).unwrap().unwrap();
        assert_eq!(value[0].len(), 60_000);
        assert_eq!(fds.len(), 1);
        write.write_all(b"1").unwrap();
        std::fs::File::from(fds.into_iter().next().unwrap()).write_all(b"2").unwrap();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "12");
    }

    #[test]
    fn the_end_of_the_other_side_is_not_a_message() {
        let (a, b) = pair().unwrap();
        drop(a);
        assert!(recv::<String>(&b).unwrap().is_none());
    }

    #[test]
    fn too_large_a_message_is_refused_before_it_is_sent() {
        let (a, _b) = pair().unwrap();
        let refused = send(&a, &"x".repeat(MESSAGE_BYTES_MAX + 1), &[]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
