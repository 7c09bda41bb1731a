//! The server name in a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3), read from the first bytes
//! of a connection. Reads only; nothing is decrypted. Not a TLS implementation.

use crate::host::Host;

/// Bytes of a first message that are looked at: a ClientHello with post-quantum key shares takes
/// about 2 KiB, with a session ticket some more.
pub const CLIENT_HELLO_BYTES_MAX: usize = 16 * 1024;

const RECORD_CHANGE_CIPHER_SPEC: u8 = 20;
const RECORD_ALERT: u8 = 21;
const RECORD_HANDSHAKE: u8 = 22;
const RECORD_HEARTBEAT: u8 = 24;
/// What every TLS version so far says first of its version.
const MAJOR: u8 = 3;
/// Go's servers take a first record of any version below 16.0.
const MAJOR_LENIENT_END: u8 = 16;
/// A message of SSLv2 begins with its length and this bit.
const SSLV2: u8 = 0x80;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_TYPE_HOST: u8 = 0;
/// Records carry at most 2^14 bytes (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientHello {
    /// Another protocol.
    NotTls,
    /// More bytes are needed to tell.
    Incomplete,
    /// TLS that cannot be understood, or is longer than [`CLIENT_HELLO_BYTES_MAX`].
    Malformed,
    /// TLS without a server name.
    Nameless,
    /// TLS for this host.
    Named(Host),
}

/// Looks at the first bytes of a connection. No client begins with another record than a handshake's, but
/// servers pass over a warning before the hello: so that is TLS too, of the kind that is not understood.
pub fn client_hello(bytes: &[u8]) -> ClientHello {
    match *bytes {
        [RECORD_ALERT | RECORD_HANDSHAKE, major, ..] if major != MAJOR => odd_version(bytes),
        [RECORD_HANDSHAKE, ..] => match handshake_bytes(bytes) {
            Records::Malformed => ClientHello::Malformed,
            Records::Whole(hello) => server_name(&hello).unwrap_or(ClientHello::Malformed),
            Records::Incomplete if bytes.len() >= CLIENT_HELLO_BYTES_MAX => ClientHello::Malformed,
            Records::Incomplete => ClientHello::Incomplete,
        },
        [] | [RECORD_CHANGE_CIPHER_SPEC..=RECORD_HEARTBEAT] => ClientHello::Incomplete,
        [RECORD_CHANGE_CIPHER_SPEC..=RECORD_HEARTBEAT, MAJOR, ..] => ClientHello::Malformed,
        [SSLV2..=u8::MAX, ref rest @ ..] => sslv2(rest),
        _ => ClientHello::NotTls,
    }
}

/// An alert or a handshake of a version that does not exist: not every server minds.
fn odd_version(bytes: &[u8]) -> ClientHello {
    match *bytes {
        [_, MAJOR_LENIENT_END..=u8::MAX, ..] => ClientHello::NotTls,
        [RECORD_HANDSHAKE, _, _, _, _, HANDSHAKE_CLIENT_HELLO, ..]
        | [RECORD_ALERT, _, _, 0, 2, ..] => ClientHello::Malformed,
        [_, _, _, _, _, _, ..] => ClientHello::NotTls,
        _ => ClientHello::Incomplete,
    }
}

/// A hello in the format of SSLv2 (RFC 5246 §E.2), after its first byte: it has no place for a name.
fn sslv2(rest: &[u8]) -> ClientHello {
    match *rest {
        [] | [_] | [_, HANDSHAKE_CLIENT_HELLO] | [_, HANDSHAKE_CLIENT_HELLO, 0] => {
            ClientHello::Incomplete
        }
        [_, HANDSHAKE_CLIENT_HELLO, MAJOR, ..] | [_, HANDSHAKE_CLIENT_HELLO, 0, 2, ..] => {
            ClientHello::Malformed
        }
        _ => ClientHello::NotTls,
    }
}

enum Records {
    Incomplete,
    Malformed,
    Whole(Vec<u8>),
}

/// The body of the ClientHello, put together from as many records as it was cut into.
fn handshake_bytes(mut bytes: &[u8]) -> Records {
    let mut message = Vec::new();
    loop {
        if bytes.get(1).is_some_and(|&major| major != MAJOR) {
            return Records::Malformed;
        }
        let Some(&[kind, _, _, hi, lo]) = bytes.first_chunk::<5>() else {
            return Records::Incomplete;
        };
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        if kind != RECORD_HANDSHAKE || len == 0 || len > RECORD_BYTES_MAX {
            return Records::Malformed;
        }
        let rest = &bytes[5..];
        message.extend_from_slice(&rest[..len.min(rest.len())]);
        if message.first().is_some_and(|&kind| kind != HANDSHAKE_CLIENT_HELLO) {
            return Records::Malformed;
        }
        if let Some(&[_, a, b, c]) = message.first_chunk::<4>() {
            let whole = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if whole > CLIENT_HELLO_BYTES_MAX {
                return Records::Malformed;
            }
            if message.len() >= 4 + whole {
                message.truncate(4 + whole);
                message.drain(..4);
                return Records::Whole(message);
            }
        }
        if rest.len() < len {
            return Records::Incomplete;
        }
        bytes = &rest[len..];
    }
}

/// `Named` or `Nameless`; `None` when it is malformed.
fn server_name(hello: &[u8]) -> Option<ClientHello> {
    let mut at = Cursor(hello);
    at.take(2 + 32)?; // legacy version, random
    at.vec8()?; // session id
    at.vec16()?; // cipher suites
    at.vec8()?; // compression methods
    if at.0.is_empty() {
        return Some(ClientHello::Nameless);
    }
    let mut extensions = Cursor(at.vec16()?);
    if !at.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let body = extensions.vec16()?;
        if kind == EXTENSION_SERVER_NAME {
            // A second one would let two readers see two names.
            if found.is_some() {
                return None;
            }
            found = Some(host_name(body)?);
        }
    }
    Some(found.map_or(ClientHello::Nameless, ClientHello::Named))
}

fn host_name(body: &[u8]) -> Option<Host> {
    let mut outer = Cursor(body);
    let mut list = Cursor(outer.vec16()?);
    if list.take(1)? != [NAME_TYPE_HOST] {
        return None;
    }
    let name = list.vec16()?;
    // One name of one type is all that exists.
    if !list.0.is_empty() || !outer.0.is_empty() {
        return None;
    }
    Host::parse(std::str::from_utf8(name).ok()?).ok()
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    fn vec8(&mut self) -> Option<&'a [u8]> {
        let len = self.take(1)?[0];
        self.take(usize::from(len))
    }

    fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello with these server names, cut into records of `record` bytes.
    fn hello(names: &[&str], record: usize) -> Vec<u8> {
        let vec16 = |body: Vec<u8>| {
            let mut out = u16::try_from(body.len()).unwrap().to_be_bytes().to_vec();
            out.extend(body);
            out
        };
        let mut extensions = vec![0, 43, 0, 3, 2, 3, 4];
        for name in names {
            let mut entry = vec![NAME_TYPE_HOST];
            entry.extend(vec16(name.as_bytes().to_vec()));
            extensions.extend([0, 0]);
            extensions.extend(vec16(vec16(entry)));
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(vec16(extensions));
        let mut message = vec![HANDSHAKE_CLIENT_HELLO];
        message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        message.extend(body);
        message
            .chunks(record)
            .flat_map(|chunk| {
                let mut out = vec![RECORD_HANDSHAKE, 3, 1];
                out.extend(vec16(chunk.to_vec()));
                out
            })
            .collect()
    }

    fn named(name: &str) -> ClientHello {
        ClientHello::Named(Host::Name(name.into()))
    }

    #[test]
    fn the_server_name_is_found_however_the_hello_is_cut() {
        for record in [1, 7, 64, 4096] {
            let bytes = hello(&["API.example.com"], record);
            assert_eq!(client_hello(&bytes), named("api.example.com"));
            for cut in 0..bytes.len() {
                assert_eq!(client_hello(&bytes[..cut]), ClientHello::Incomplete, "{record} {cut}");
            }
        }
        let mut early = hello(&["a.test"], 4096);
        early.extend([23, 3, 3, 0, 1, 0]);
        assert_eq!(client_hello(&early), named("a.test"));
    }

    #[test]
    fn what_is_no_client_hello_is_told_apart() {
        assert_eq!(client_hello(b"SSH-2.0-x"), ClientHello::NotTls);
        assert_eq!(client_hello(b"GET / HTTP/1.1"), ClientHello::NotTls);
        assert_eq!(client_hello(&hello(&[], 4096)), ClientHello::Nameless);
        assert_eq!(client_hello(&hello(&["a.test", "b.test"], 99)), ClientHello::Malformed);
        for odd in ["evil.test\0.a.test", "a.test.", "", "a b"] {
            assert_eq!(client_hello(&hello(&[odd], 99)), ClientHello::Malformed, "{odd:?}");
        }
        assert_eq!(client_hello(&[22, 3, 1, 0, 1, 2]), ClientHello::Malformed);
        assert_eq!(client_hello(&[22, 3, 1, 0, 4, 1, 1, 0, 0]), ClientHello::Malformed);
        assert_eq!(client_hello(&[22, 3, 1, 0, 0]), ClientHello::Malformed);
    }

    #[test]
    fn what_servers_take_for_tls_all_the_same_is_malformed() {
        let check = |bytes: &[u8], expected: ClientHello| {
            assert_eq!(client_hello(bytes), expected, "{bytes:?}");
            let told = |cut: &usize| client_hello(&bytes[..*cut]) != ClientHello::Incomplete;
            // It is told once, and stays so.
            for cut in (0..bytes.len()).filter(told) {
                assert_eq!(client_hello(&bytes[..cut]), expected, "{bytes:?} until {cut}");
            }
        };
        let real = hello(&["evil.test"], 4096);
        let after = |first: &[u8]| [first, &real].concat();
        for before in [
            &[20, 3, 1, 0, 1, 1][..],
            &[21, 3, 1, 0, 2, 1, 0],
            &[21, 3, 3, 0, 2, 1, 90],
            &[21, 9, 0, 0, 2, 1, 90],
            &[23, 3, 3, 0, 1, 0],
            &[24, 3, 3, 0, 3, 1, 0, 0],
        ] {
            check(&after(before), ClientHello::Malformed);
        }
        let mut odd = real.clone();
        odd[1] = 9;
        check(&odd, ClientHello::Malformed);
        // A second record of such a version.
        let mut cut = hello(&["evil.test"], 9);
        cut[5 + 9 + 1] = 9;
        check(&cut, ClientHello::Malformed);
        check(&[0x80, 46, 1, 3, 1, 0, 21, 0, 0, 0, 16], ClientHello::Malformed);
        check(&[0x81, 3, 1, 0, 2, 0, 21], ClientHello::Malformed);
        for other in [
            &[21, 0, 0, 0, 7, 0, 0][..],
            &[22, 0, 0, 0, 7, 0, 0],
            &[22, 77, 1],
            &[20, 4, 1],
            &[0xf9, 0xbe, 0xb4, 0xd9],
            &[0x80, 0, 1, 7],
            &[0x80, 0, 1, 0, 3],
        ] {
            check(other, ClientHello::NotTls);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), flip in any::<prop::sample::Index>(), to in any::<u8>()) {
            let _ = client_hello(&bytes);
            bytes.splice(0..0, [22, 3, 1]);
            let _ = client_hello(&bytes);
            let mut real = hello(&["a.test"], 50);
            let at = flip.index(real.len());
            real[at] = to;
            let _ = client_hello(&real);
        }
    }
}
