//! Requests to the kernel by netlink, written by hand: a handful of messages, once per machine. Only
//! what a request needs; answers are looked at for errors and nothing else.

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send,
        socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use std::{io, os::fd::OwnedFd, time::Duration};

/// Flags of a message (`linux/netlink.h`): it asks, and wants to hear that it was done.
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
/// It makes something that must not be there, ...
pub(super) const CREATE: u16 = 0x600;
/// ... or comes after others of its kind.
pub(super) const APPEND: u16 = 0xC00;

/// The answer to one message: an error number, 0 when all is well.
const NLMSG_ERROR: u16 = 2;
/// Bytes of `struct nlmsghdr`; in an answer the error number follows.
const HEADER_BYTES: usize = 16;
/// An attribute that holds others (`NLA_F_NESTED`).
const NESTED: u16 = 0x8000;
/// The kernel answers at once, but may load a module first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// More than answers to our few messages take.
const ANSWER_BYTES: usize = 8 << 10;

/// Messages that go out together.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    messages: u32,
    answers: usize,
}

impl Batch {
    /// A message that is answered.
    pub(super) fn ask(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Body<'_>)) {
        self.answers += 1;
        self.message(kind, flags | ACK, body);
    }

    /// A message that is not answered unless it is wrong.
    pub(super) fn say(&mut self, kind: u16, body: impl FnOnce(&mut Body<'_>)) {
        self.message(kind, 0, body);
    }

    fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Body<'_>)) {
        let at = self.bytes.len();
        self.messages += 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(self.messages.to_ne_bytes());
        self.bytes.extend([0; 4]);
        body(&mut Body(&mut self.bytes));
        let length = u32::try_from(self.bytes.len() - at).expect("messages are short");
        self.bytes[at..at + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sends them, and waits until all are done; the first error otherwise. No protocol: that of
    /// routes.
    pub(super) fn done(self, protocol: Option<Protocol>) -> io::Result<()> {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        send(&socket, &self.bytes, SendFlags::empty())?;
        let mut missing = self.answers;
        while missing > 0 {
            missing = missing.saturating_sub(answers(&socket)?);
        }
        Ok(())
    }
}

/// Reads once; answers how many messages are done.
fn answers(socket: &OwnedFd) -> io::Result<usize> {
    let mut buffer = [0; ANSWER_BYTES];
    let read = match recv(socket, &mut buffer[..], RecvFlags::empty()) {
        Ok((read, _)) => read,
        Err(Errno::INTR) => return Ok(0),
        Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
        Err(e) => return Err(e.into()),
    };
    done_in(&buffer[..read])
}

fn done_in(mut answers: &[u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(header) = answers.first_chunk::<HEADER_BYTES>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if u16::from_ne_bytes([header[4], header[5]]) == NLMSG_ERROR {
            let number = answers[HEADER_BYTES..].first_chunk::<4>();
            match i32::from_ne_bytes(*number.ok_or(io::ErrorKind::InvalidData)?) {
                0 => done += 1,
                number => return Err(io::Error::from_raw_os_error(number.saturating_neg())),
            }
        }
        let next = length.max(HEADER_BYTES).next_multiple_of(4);
        answers = answers.get(next..).unwrap_or_default();
    }
    Ok(done)
}

/// What a message says.
pub(super) struct Body<'a>(&'a mut Vec<u8>);

impl Body<'_> {
    /// A header of the message's kind.
    pub(super) fn plain(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// An attribute. Attributes begin at multiples of four bytes.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).expect("attributes are short");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A name as the kernel takes it, with its end.
    pub(super) fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, &[text.as_bytes(), &[0]].concat());
    }

    /// An attribute of attributes.
    pub(super) fn nested(&mut self, kind: u16, inner: impl FnOnce(&mut Body<'_>)) {
        let at = self.0.len();
        self.attribute(kind | NESTED, &[]);
        inner(self);
        let length = u16::try_from(self.0.len() - at).expect("attributes are short");
        self.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: u16, number: i32) -> Vec<u8> {
        let mut bytes = 20u32.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(number.to_ne_bytes());
        bytes
    }

    #[test]
    fn answers_are_counted_and_the_first_error_is_the_answer() {
        let fine = answer(NLMSG_ERROR, 0);
        assert_eq!(done_in(&[fine.clone(), answer(3, 7), fine.clone()].concat()).unwrap(), 2);
        let wrong = [fine, answer(NLMSG_ERROR, -libc::EPERM)].concat();
        assert_eq!(done_in(&wrong).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(done_in(&[]).unwrap(), 0);
        assert!(done_in(&wrong[..36]).is_err());
    }

    #[test]
    fn lengths_hold_what_is_nested_and_no_padding() {
        let mut batch = Batch::default();
        batch.ask(1, 0, |body| {
            body.nested(4, |inner| inner.text(1, "abc"));
            body.attribute(2, &[9]);
        });
        let expected = [12u16.to_ne_bytes(), (4u16 | NESTED).to_ne_bytes()].concat();
        assert_eq!(batch.bytes[16..20], expected);
        assert_eq!(batch.bytes[20..24], [8u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
        assert_eq!(batch.bytes[24..28], *b"abc\0");
        assert_eq!(batch.bytes[28..30], 5u16.to_ne_bytes());
        assert_eq!(batch.bytes[..4], 36u32.to_ne_bytes());
    }
}
