//! Which TCP ports have a listener in this network namespace, from `/proc/net/tcp` and `tcp6`
//! (proc(5)). A look, not a subscription.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
};
use toft_jail::spec::GATEWAY_ADDRESS;

/// The smallest page that the kernel gathers lines in.
const PAGE_BYTES_MIN: usize = 4_096;
/// A line is no longer (150 bytes, and more where addresses are).
const LINE_BYTES_MAX: usize = 512;
/// Read at once.
const PIECE_BYTES: usize = 64 << 10;

/// Ports with a listener.
pub(crate) type Ports = HashSet<u16>;

/// State of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Every port that has a listener now, on whatever address.
pub(crate) fn ports() -> Ports {
    find(listening)
}

/// The same without the gateway's own listeners, which are there however little runs.
pub(crate) fn of_programs() -> Ports {
    find(of_program)
}

fn find(wanted: fn(&str) -> Option<u16>) -> Ports {
    let mut ports = Ports::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A namespace without IPv6 has no second table.
        if let Ok(text) = whole(table) {
            ports.extend(text.lines().skip(1).filter_map(wanted));
        }
    }
    ports
}

fn of_program(line: &str) -> Option<u16> {
    let port = listening(line)?;
    (address(line, port) != Some(GATEWAY_ADDRESS)).then_some(port)
}

/// The text of such a table. Every read of one, also that which finds its end, has the kernel walk the
/// host's table of all connections, which takes most of a millisecond: a piece that ends before a page
/// is full was the last, and no further one is asked for.
pub(crate) fn whole(table: &str) -> io::Result<String> {
    let mut file = File::open(table)?;
    let mut text = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        text.extend_from_slice(&piece[..read]);
        if read + LINE_BYTES_MAX < PAGE_BYTES_MIN {
            break;
        }
    }
    String::from_utf8(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// Port of a line, if it is a listener's: `sl local_address:PORT rem_address:PORT st …` in hex.
fn listening(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()
}

/// The IPv4 address that a line's listener has on that port, as its four bytes.
pub(crate) fn address(line: &str, port: u16) -> Option<[u8; 4]> {
    if listening(line)? != port {
        return None;
    }
    let local = line.split_ascii_whitespace().nth(1)?.rsplit_once(':')?.0;
    // The kernel prints the address as one number of the host's byte order.
    u32::from_str_radix(local, 16).ok().map(u32::to_ne_bytes)
}

/// Inode of the socket of a line, if it listens on that port: the tenth field.
pub(crate) fn inode(line: &str, port: u16) -> Option<u64> {
    if listening(line)? != port {
        return None;
    }
    line.split_ascii_whitespace().nth(9)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_count() {
        let listener = "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000";
        let connection = "   1: 0100007F:0BB8 0100007F:C350 01 00000000:00000000 00:00000000";
        assert_eq!(listening(listener), Some(3000));
        assert_eq!(listening(connection), None);
        assert_eq!(listening("nonsense"), None);
        let gateway = "   2: 01004D7F:0050 00000000:0000 0A 00000000:00000000 00:00000000";
        assert_eq!((listening(gateway), of_program(gateway)), (Some(80), None));
        assert_eq!((of_program(listener), of_program(connection)), (Some(3000), None));
        assert_eq!(address(listener, 3000), Some([127, 0, 0, 1]));
        assert_eq!((address(listener, 80), address(connection, 3000)), (None, None));
    }

    #[test]
    fn a_table_of_many_listeners_is_read_whole() {
        let many: Vec<_> = (0..200)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let open = ports();
        for listener in &many {
            assert!(open.contains(&listener.local_addr().unwrap().port()));
        }
    }

    #[test]
    fn a_real_listener_is_seen_on_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = std::net::TcpListener::bind(address) else { continue };
            let port = socket.local_addr().unwrap().port();
            assert!(ports().contains(&port), "{address}");
        }
    }
}
