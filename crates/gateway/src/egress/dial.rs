//! From a decided target to a connection: resolve, check every address, dial a checked one. The
//! address that is dialled is a value that was checked, never a name.

use super::{log::Log, refused::denied};
use crate::{
    api_error::{ApiError, Code},
    resolve::Resolver,
};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};
use toft_policy::{Host, HostPort, Verdict, host::unmapped, is_public};
use tokio::{net::TcpStream, time::timeout};

/// All addresses together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Before the next address is tried beside the one that does not answer (RFC 8305 §5).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refused {
    /// An address may not be dialled.
    Denied(Verdict),
    /// It did not work.
    Failed(ApiError),
}

impl Refused {
    /// Notes it in the log and gives the answer for the machine.
    pub(super) fn told(self, log: &mut Log) -> ApiError {
        match self {
            Self::Denied(verdict) => {
                log.overrule(&verdict);
                denied(&verdict)
            }
            Self::Failed(error) => {
                log.fail(error.code.as_str());
                error
            }
        }
    }
}

pub(super) async fn dial(
    resolver: &dyn Resolver,
    allow_private: &[SocketAddr],
    target: &HostPort,
) -> Result<TcpStream, Refused> {
    let addresses = checked_addresses(resolver, allow_private, target).await?;
    match timeout(DIAL_TIMEOUT, connect_first(&addresses)).await {
        Ok(Ok(stream)) => {
            // It fails on dead sockets only.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(e)) => {
            let message = format!("{target} does not take connections ({e}).");
            Err(Refused::Failed(ApiError::new(Code::UpstreamUnreachable, message)))
        }
        Err(_) => {
            let message = format!("{target} did not answer within 15 s.");
            Err(Refused::Failed(ApiError::new(Code::UpstreamTimeout, message)))
        }
    }
}

async fn checked_addresses(
    resolver: &dyn Resolver,
    allow_private: &[SocketAddr],
    target: &HostPort,
) -> Result<Vec<SocketAddr>, Refused> {
    let found = match &target.host {
        Host::Address(ip) => vec![*ip],
        Host::Name(name) => match resolver.resolve(name).await {
            Ok(found) if !found.is_empty() => found,
            Ok(_) => return Err(no_such_name(name, "it has no address")),
            Err(e) => return Err(no_such_name(name, &e.to_string())),
        },
    };
    let mut addresses = Vec::with_capacity(found.len());
    for ip in found.into_iter().map(unmapped) {
        let address = SocketAddr::new(ip, target.port);
        if !allow_private.contains(&address) {
            // One refused address refuses the name: it is a trick or a mistake, and the next
            // answer may hold nothing else.
            check(ip).map_err(|(rule, reason)| {
                let reason = format!("{} resolves to {ip}: {reason}", target.host);
                Refused::Denied(Verdict::deny(rule, reason))
            })?;
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn check(ip: IpAddr) -> Result<(), (&'static str, String)> {
    is_public(ip).map_err(|refusal| (refusal.rule, refusal.to_string()))?;
    if is_own(ip) {
        return Err(("own-address", format!("{ip} is an address of this host")));
    }
    Ok(())
}

/// Whether the address is one of this host's: then the kernel would send from it to it. Connecting
/// a datagram socket asks the routing table and sends nothing.
fn is_own(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    match source() {
        Ok(source) => source == ip,
        // No route: then it is not ours, and dialling fails by itself.
        Err(error) => !is_known(&error),
    }
}

/// Whether it was the routing table that said no. Without a descriptor or memory nobody knows whose the
/// address is, and whoever can bring that about must not gain by it.
fn is_known(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let none_left = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    !Errno::from_io_error(error).is_some_and(|errno| none_left.contains(&errno))
}

fn no_such_name(name: &str, why: &str) -> Refused {
    let message = format!("{name} cannot be resolved ({why}).");
    Refused::Failed(ApiError::new(Code::NameNotFound, message))
}

/// The first connection that comes about; a further address is tried when the earlier ones failed
/// or keep silent.
async fn connect_first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter().copied().peekable();
    let mut trying = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    trying.extend(waiting.next().map(TcpStream::connect));
    while !trying.is_empty() {
        let more = waiting.peek().is_some();
        tokio::select! {
            Some(done) = trying.next() => match done {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            },
            () = tokio::time::sleep(NEXT_ADDRESS_DELAY), if more => {}
        }
        trying.extend(waiting.next().map(TcpStream::connect));
    }
    Err(last)
}

#[cfg(test)]
mod disguises;
#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    #[test]
    fn where_it_is_not_known_whose_an_address_is_it_counts_as_the_hosts() {
        use rustix::io::Errno;
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(!is_known(&errno.into()), "{errno}");
        }
        for errno in [Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::AFNOSUPPORT] {
            assert!(is_known(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn the_hosts_own_addresses_are_known_as_such() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own(Ipv4Addr::new(192, 0, 2, 1).into()));
    }

    /// Addresses that look public and such as only look so.
    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<Ipv4Addr>().prop_map(IpAddr::V4),
            any::<Ipv6Addr>().prop_map(IpAddr::V6),
            any::<u32>().prop_map(|v4| Ipv4Addr::from(v4 & 0x0fff_ffff).to_ipv6_mapped().into()),
            any::<u32>().prop_map(|v4| Ipv6Addr::from((0x64_ff9b << 96) | u128::from(v4)).into()),
            any::<u128>().prop_map(|v6| Ipv6Addr::from((v6 >> 3) | (0x2000 << 112)).into()),
        ]
    }

    proptest! {
        #[test]
        fn what_is_dialled_was_resolved_and_checked_and_nothing_else(
            answer in prop::collection::vec(address(), 1..4),
            name in "[a-z0-9.-]{1,12}|\\[[0-9a-f:]{2,10}\\]|([0-9]{1,3}\\.){3}[0-9]{1,3}",
        ) {
            let Ok(target) = HostPort::parse(&format!("{name}:443"), None) else { return Ok(()) };
            let names = crate::testing::Names::default();
            names.answer(&name, vec![answer.clone()]);
            let found = checked_addresses(&names, &[], &target).now_or_never();
            let said = match target.host {
                Host::Name(_) => answer,
                Host::Address(ip) => vec![ip],
            };
            let checked: Vec<_> = said.iter().map(|ip| SocketAddr::new(unmapped(*ip), 443)).collect();
            match found.expect("nothing here waits") {
                Ok(addresses) => {
                    prop_assert!(said.iter().all(|ip| is_public(*ip).is_ok()));
                    prop_assert_eq!(addresses, checked);
                }
                Err(Refused::Denied(_)) => {
                    prop_assert!(said.iter().any(|ip| is_public(*ip).is_err() || is_own(*ip)));
                }
                Err(Refused::Failed(e)) => prop_assert!(false, "{:?}", e),
            }
        }
    }

    /// How the C library reads numbers as an address: one to four parts, decimal, octal or hexadecimal, the
    /// last one filling what is left (inet_aton(3)).
    fn as_others_read(text: &str) -> Option<Ipv4Addr> {
        let parts: Vec<&str> = text.split('.').collect();
        let number = |part: &str| {
            let lower = part.to_ascii_lowercase();
            match lower.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16),
                None if lower.len() > 1 && lower.starts_with('0') => u32::from_str_radix(&lower, 8),
                None => lower.parse(),
            }
        };
        let numbers: Vec<u32> =
            parts.iter().map(|part| number(part)).collect::<Result<_, _>>().ok()?;
        let (last, first) = numbers.split_last()?;
        let mut address = *last;
        for (n, part) in first.iter().enumerate() {
            if *part > 255 || n > 2 {
                return None;
            }
            address |= part << (24 - 8 * n);
        }
        let room = 8 * u32::try_from(4 - first.len()).ok()?;
        (room == 32 || *last < 1 << room).then_some(address.into())
    }

    /// Pieces of which a host is made that two readers could read differently.
    fn disguised() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "allowed.test",
            "evil.test",
            "Allowed.Test",
            "xn--",
            ".",
            "@",
            "%00",
            "\0",
            "\r\n",
            " ",
            "#",
            "/",
            "\\",
            "?",
            ":",
            ":80",
            "[",
            "]",
            "::1",
            "127.0.0.1",
            "0x7f",
            "а",
            "。",
            "\u{200b}",
            "-",
            "_",
        ]);
        prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn only_the_name_that_was_allowed_is_ever_asked_for(text in disguised()) {
            let names = crate::testing::Names::default();
            names.answer("allowed.test", vec![vec![Ipv4Addr::new(1, 1, 1, 1).into()]]);
            names.answer("evil.test", vec![vec![Ipv4Addr::new(2, 2, 2, 2).into()]]);
            let list = toft_model::machine::EgressLevel::AllowList(vec!["allowed.test".into()]);
            let egress = toft_policy::Egress::new(&list).unwrap();
            let dialled = HostPort::parse(&text, Some(443))
                .ok()
                .filter(|target| egress.decide(&target.host, target.port).allowed())
                .map(|target| {
                    checked_addresses(&names, &[], &target).now_or_never().unwrap().unwrap()
                });
            let plain = text.strip_suffix(":80").unwrap_or(&text);
            prop_assert_eq!(dialled.is_some(), plain.eq_ignore_ascii_case("allowed.test"), "{:?}", text);
            if let Some(dialled) = dialled {
                prop_assert!(dialled.iter().all(|a| a.ip() == Ipv4Addr::new(1, 1, 1, 1)));
            }
            prop_assert_eq!(names.asked("evil.test"), 0);
        }

        #[test]
        fn a_form_that_other_readers_take_for_an_address_is_that_address_or_nothing(
            text in "((0x)?[0-9a-f]{1,10}|[0-9]{1,3}|0[0-7]{1,11})(\\.((0x)?[0-9a-f]{1,4}|[0-9]{1,3}|0[0-7]{1,4})){0,4}",
        ) {
            if let (Some(theirs), Ok(ours)) = (as_others_read(&text), Host::parse(&text)) {
                prop_assert_eq!(&ours, &Host::Address(theirs.into()), "{}", &text);
                prop_assert_eq!(text, theirs.to_string());
            }
        }
    }

    #[test]
    fn other_readers_are_played_right() {
        for (text, address) in [
            ("2852039166", "169.254.169.254"),
            ("0xa9fea9fe", "169.254.169.254"),
            ("0251.0376.43518", "169.254.169.254"),
            ("127.1", "127.0.0.1"),
        ] {
            assert_eq!(as_others_read(text), Some(address.parse().unwrap()), "{text}");
            assert!(Host::parse(text).is_err(), "{text}");
        }
        assert_eq!(as_others_read("1.2.3.4.5"), None);
        assert_eq!(as_others_read("1.2.3.256"), None);
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let living = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_dead, dead) = crate::testing::refusing();
        let living = living.local_addr().unwrap();
        let stream = connect_first(&[dead, dead, living]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), living);
        assert!(connect_first(&[dead]).await.is_err());
        assert!(connect_first(&[]).await.is_err());
    }
}
