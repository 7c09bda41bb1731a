//! Which TCP ports have a listener in this network namespace, from `/proc/net/tcp` and `tcp6`
//! (proc(5)). A look, not a subscription.

use std::collections::HashSet;

/// Ports with a listener.
pub(crate) type Ports = HashSet<u16>;

/// State of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Every port that has a listener now, on whatever address.
pub(crate) fn ports() -> Ports {
    let mut ports = Ports::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // A namespace without IPv6 has no second table.
        if let Ok(text) = std::fs::read_to_string(table) {
            ports.extend(text.lines().skip(1).filter_map(listening));
        }
    }
    ports
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
