//! A host as text becomes a typed value once, here; everything after works on the value. So no two
//! places can read the same text differently. Not a resolver.
//!
//! Strict on purpose: what a resolver, a URL parser or a certificate check could read in another
//! way (other number forms, escapes, trailing dots, non-ASCII) is refused, not repaired.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Bytes of a name at most (RFC 1035 §2.3.4, without the root's dot).
pub const NAME_BYTES_MAX: usize = 253;
/// Bytes of a label at most (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;

/// A host that was understood.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name of letters, digits and hyphens, lower case, without a trailing dot.
    Name(String),
    /// An address. IPv6 forms of an IPv4 address (`::ffff:a.b.c.d`) are the IPv4 address.
    Address(IpAddr),
}

/// A host and a port, from `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// Never 0.
    pub port: u16,
}

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// Nothing there.
    #[error("the host is empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("the host name is longer than 253 bytes")]
    TooLong,
    /// A label longer than [`LABEL_BYTES_MAX`], empty, or with a hyphen at an end.
    #[error("a part of the host name is empty, longer than 63 bytes, or begins or ends with `-`")]
    Label,
    /// Ends with a dot.
    #[error("the host name ends with a dot: leave the dot out")]
    TrailingDot,
    /// Not ASCII.
    #[error("the host name is not ASCII: use its `xn--` form")]
    NotAscii,
    /// A control character, a null byte or white space.
    #[error("the host has a control character or white space in it")]
    Control,
    /// `@`.
    #[error("the host has a user name in it")]
    UserInfo,
    /// `%`.
    #[error("the host has an escape or a zone in it")]
    Escape,
    /// Another character that no host name has.
    #[error("the host has the character {0:?} in it, which no host name has")]
    Character(char),
    /// A number form that is not four plain decimal parts.
    #[error("the host is an address in an unusual form: write it as four decimal numbers")]
    AddressForm,
    /// Brackets around something that is no IPv6 address, or an IPv6 address without brackets.
    #[error(
        "the host is no IPv6 address in brackets: write it as [2a11::1], with a port as [2a11::1]:443"
    )]
    Brackets,
    /// No port, port 0, or no number in plain decimal form.
    #[error("the port is missing or no number from 1 to 65535")]
    Port,
}

impl Host {
    /// Understands a host, or says why not. IPv6 addresses stand in brackets.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        if text.is_empty() {
            return Err(InvalidHost::Empty);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(InvalidHost::Brackets)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| InvalidHost::Brackets)?;
            return Ok(Self::Address(unmapped(IpAddr::V6(address))));
        }
        refuse_odd_bytes(text)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(InvalidHost::TooLong);
        }
        if text.ends_with('.') {
            return Err(InvalidHost::TrailingDot);
        }
        for label in text.split('.') {
            let ends = label.starts_with('-') || label.ends_with('-');
            if label.is_empty() || label.len() > LABEL_BYTES_MAX || ends {
                return Err(InvalidHost::Label);
            }
        }
        if ends_in_a_number(text) {
            let address: Ipv4Addr = text.parse().map_err(|_| InvalidHost::AddressForm)?;
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }

    /// The address, when it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl HostPort {
    /// Understands `host:port`; with `default_port` the port may be left out.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, InvalidHost> {
        // In brackets there are colons of the address; after them at most one.
        let after_host = text.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match text[after_host..].find(':') {
            Some(at) => {
                let at = after_host + at;
                // The host first: its refusal says more than that of the rest.
                (Host::parse(&text[..at])?, parse_port(&text[at + 1..])?)
            }
            None => (Host::parse(text)?, default_port.ok_or(InvalidHost::Port)?),
        };
        Ok(Self { host, port })
    }
}

/// As in a URL's authority: brackets around IPv6.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// An IPv4 address that travels as IPv6 is the IPv4 address.
pub fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn refuse_odd_bytes(text: &str) -> Result<(), InvalidHost> {
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' => {}
            '@' => return Err(InvalidHost::UserInfo),
            '%' => return Err(InvalidHost::Escape),
            ':' | '[' | ']' => return Err(InvalidHost::Brackets),
            c if c.is_ascii_control() || c == ' ' => return Err(InvalidHost::Control),
            c if !c.is_ascii() => return Err(InvalidHost::NotAscii),
            c => return Err(InvalidHost::Character(c)),
        }
    }
    Ok(())
}

/// WHATWG URL, "ends in a number": such a host is an address to some parser, so it is one or it
/// is refused. A last label of digits, or `0x` with hex digits (or none).
fn ends_in_a_number(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or(text);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn parse_port(text: &str) -> Result<u16, InvalidHost> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().map_err(|_| InvalidHost::Port) } else { Err(InvalidHost::Port) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &str, expected: Result<&str, InvalidHost>) {
        let got = Host::parse(input).map(|host| host.to_string());
        assert_eq!(got, expected.map(str::to_owned), "{input:?}");
    }

    #[test]
    fn names_are_lower_cased_and_nothing_else() {
        check("Example.COM", Ok("example.com"));
        check("localhost", Ok("localhost"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("a-b.c1", Ok("a-b.c1"));
        check("1.example", Ok("1.example"));
        check("a.".repeat(126).trim_end_matches('.'), Ok(&"a.".repeat(126)[..251]));
    }

    #[test]
    fn every_trick_that_two_parsers_could_read_differently_is_refused() {
        use InvalidHost as E;
        for (input, expected) in [
            ("", E::Empty),
            ("evil.test\0.allowed.test", E::Control),
            ("evil.test\r\nHost: allowed.test", E::Control),
            ("evil.test\n", E::Control),
            ("evil.test .allowed.test", E::Control),
            ("evil.test\t", E::Control),
            ("evil.test\x7f", E::Control),
            ("evil.test#.allowed.test", E::Character('#')),
            ("evil.test/.allowed.test", E::Character('/')),
            ("evil.test\\.allowed.test", E::Character('\\')),
            ("evil.test?.allowed.test", E::Character('?')),
            ("evil_host.test", E::Character('_')),
            ("*.test", E::Character('*')),
            ("allowed.test@evil.test", E::UserInfo),
            ("allowed.test%00.evil.test", E::Escape),
            ("fe80::1%eth0", E::Brackets),
            ("allowed.test.", E::TrailingDot),
            (".", E::TrailingDot),
            ("allowed..test", E::Label),
            (".allowed.test", E::Label),
            ("-a.test", E::Label),
            ("a-.test", E::Label),
            ("bücher.example", E::NotAscii),
            ("аllowed.test", E::NotAscii),
            ("allowed。test", E::NotAscii),
            ("allowed.test\u{200b}", E::NotAscii),
            ("１２７.0.0.1", E::NotAscii),
            ("a:b", E::Brackets),
            ("::1", E::Brackets),
            ("[::1", E::Brackets),
            ("[::1]x", E::Brackets),
            ("[127.0.0.1]", E::Brackets),
            ("[fe80::1%25eth0]", E::Brackets),
            ("[fe80::1%eth0]", E::Brackets),
            ("[::1\0]", E::Brackets),
            ("[[::1]]", E::Brackets),
            ("[v1.x]", E::Brackets),
        ] {
            check(input, Err(expected));
        }
        check(&format!("{}.test", "a".repeat(64)), Err(E::Label));
        check(&"a.".repeat(127).trim_end_matches('.').replace("a.a", "aa.a"), Err(E::TooLong));
    }

    #[test]
    fn an_address_has_one_form_only() {
        check("127.0.0.1", Ok("127.0.0.1"));
        check("[::1]", Ok("[::1]"));
        check("[::FFFF:169.254.169.254]", Ok("169.254.169.254"));
        check("[::ffff:a9fe:a9fe]", Ok("169.254.169.254"));
        check("[2001:DB8::1]", Ok("[2001:db8::1]"));
        for odd in [
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "127.1",
            "127.0.1",
            "127.0.0.01",
            "0127.0.0.1",
            "127.0.0.0x1",
            "256.0.0.1",
            "1.2.3.4.5",
            "0",
            "0x",
            "1.2.3",
            "127.0.0.1e",
        ] {
            let got = Host::parse(odd);
            if odd == "127.0.0.1e" {
                // A last label that is no number makes it a name.
                assert_eq!(got, Ok(Host::Name(odd.into())));
            } else {
                assert_eq!(got, Err(InvalidHost::AddressForm), "{odd}");
            }
        }
    }

    #[test]
    fn a_port_is_plain_decimal_and_follows_one_colon() {
        let check = |input: &str, expected: Result<&str, InvalidHost>| {
            let got = HostPort::parse(input, Some(80)).map(|h| h.to_string());
            assert_eq!(got, expected.map(str::to_owned), "{input:?}");
        };
        check("a.test", Ok("a.test:80"));
        check("A.test:443", Ok("a.test:443"));
        check("[::1]:65535", Ok("[::1]:65535"));
        check("[::1]", Ok("[::1]:80"));
        for bad in [
            "a.test:",
            "a.test:0",
            "a.test:080",
            "a.test:+80",
            "a.test:65536",
            "a.test:8 0",
            "a.test:80:90",
            "a.test:80\0",
            "a.test:٣",
        ] {
            check(bad, Err(InvalidHost::Port));
        }
        check("user:pass@a.test:80", Err(InvalidHost::Port));
        check("user@a.test:80", Err(InvalidHost::UserInfo));
        check("::1:80", Err(InvalidHost::Empty));
        check("fe80::1", Err(InvalidHost::Port));
        check("[::1]x:80", Err(InvalidHost::Brackets));
        check("x[::1]:80", Err(InvalidHost::Brackets));
        assert_eq!(HostPort::parse("a.test", None), Err(InvalidHost::Port));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_written_back_the_same(text in "[ -~]{0,40}|[a-c0-9.x:\\[\\]-]{0,24}") {
            if let Ok(host) = Host::parse(&text) {
                let again = Host::parse(&host.to_string());
                prop_assert_eq!(again, Ok(host.clone()));
                if let Host::Name(name) = &host {
                    prop_assert!(name.parse::<IpAddr>().is_err());
                    prop_assert_eq!(name, &text.to_ascii_lowercase());
                }
            }
        }

        #[test]
        fn every_address_survives_its_own_form(bits in any::<u128>(), small in any::<u32>()) {
            for address in [IpAddr::V6(Ipv6Addr::from(bits)), IpAddr::V4(Ipv4Addr::from(small))] {
                let host = Host::Address(unmapped(address));
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }

        #[test]
        fn no_input_panics(text in any::<String>()) {
            let _ = Host::parse(&text);
            let _ = HostPort::parse(&text, None);
        }
    }
}
