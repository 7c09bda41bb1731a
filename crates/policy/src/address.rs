//! Which addresses are public. Everything that IANA's special-purpose registries (RFC 6890, as of
//! 2026) do not call globally reachable is refused, and so are forms that carry another address
//! inside when that one is refused. Not a decision about names.

use crate::host::unmapped;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused: which range it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what}, which a machine may never reach")]
pub struct Refusal {
    /// The address, unmapped.
    pub address: IpAddr,
    /// The kind of address, in words.
    pub what: &'static str,
    /// Stable name of the kind, for logs and tests.
    pub rule: &'static str,
}

/// Refused IPv4 ranges: network, prefix length, rule, words.
const V4: &[(Ipv4Addr, u32, &str, &str)] = &[
    (Ipv4Addr::UNSPECIFIED, 8, "unspecified", "an unspecified address"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private", "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "cgnat", "a carrier's shared address"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback", "a loopback address"),
    // Azure's platform agent and DNS: public by number only.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "metadata", "a cloud platform's own address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local", "a link-local (or metadata) address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private", "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol", "a protocol assignment"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation", "a documentation address"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4", "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private", "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmark", "a benchmark address"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation", "a documentation address"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation", "a documentation address"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast", "a multicast address"),
    (Ipv4Addr::BROADCAST, 32, "broadcast", "the broadcast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved", "a reserved address"),
];

/// Refused IPv6 ranges within and outside of 2000::/3; what lies in neither list nor 2000::/3 is
/// `reserved`.
const V6: &[(Ipv6Addr, u32, &str, &str)] = &[
    (v6(0, 0, 0, 0, 0, 0, 0, 0), 128, "unspecified", "an unspecified address"),
    (v6(0, 0, 0, 0, 0, 0, 0, 1), 128, "loopback", "a loopback address"),
    (v6(0, 0, 0, 0, 0, 0, 0, 0), 96, "v4-compatible", "an old form of an IPv4 address"),
    (v6(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, "v4-translated", "a form of an IPv4 address"),
    (v6(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "nat64", "a local NAT64 address"),
    (v6(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard", "a discard address"),
    // Teredo, ORCHID, benchmarks and other protocol assignments.
    (v6(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol", "a protocol assignment"),
    (v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation", "a documentation address"),
    (v6(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation", "a documentation address"),
    (v6(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique-local", "a unique local address"),
    (v6(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local", "a link-local address"),
    (v6(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local", "a site-local address"),
    (v6(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast", "a multicast address"),
];

#[expect(clippy::too_many_arguments, reason = "an address has eight parts")]
#[expect(clippy::many_single_char_names, reason = "an address has eight parts without names")]
const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16, g: u16, h: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// Whether an address may be dialled for a machine.
pub fn is_public(address: IpAddr) -> Result<(), Refusal> {
    match unmapped(address) {
        IpAddr::V4(v4) => check_v4(v4, IpAddr::V4(v4)),
        IpAddr::V6(v6) => check_v6(v6),
    }
}

fn check_v4(v4: Ipv4Addr, address: IpAddr) -> Result<(), Refusal> {
    let bits = v4.to_bits();
    for (network, length, rule, what) in V4 {
        if (bits ^ network.to_bits()) >> (32 - length) == 0 {
            return Err(Refusal { address, what, rule });
        }
    }
    Ok(())
}

fn check_v6(v6: Ipv6Addr) -> Result<(), Refusal> {
    let address = IpAddr::V6(v6);
    let bits = v6.to_bits();
    for (network, length, rule, what) in V6 {
        if (bits ^ network.to_bits()) >> (128 - length) == 0 {
            return Err(Refusal { address, what, rule });
        }
    }
    let segments = v6.segments();
    let v4_at = |shift: u32| {
        Ipv4Addr::from_bits(u32::try_from((bits >> shift) & 0xffff_ffff).expect("32 bits are kept"))
    };
    match segments {
        // NAT64 (RFC 6052): the last 32 bits; 6to4 (RFC 3056): those after the prefix. The refusal
        // names the whole address, the rule that of the one inside.
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => check_v4(v4_at(0), address),
        [0x2002, ..] => check_v4(v4_at(80), address),
        [first, ..] if first & 0xe000 == 0x2000 => Ok(()),
        _ => Err(Refusal { address, what: "a reserved address", rule: "reserved" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let address: IpAddr = text.parse().unwrap();
        assert_eq!(is_public(address).map_err(|r| r.rule), expected, "{text}");
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "168.63.129.15",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.114.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
            "2001:db9::1",
        ] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn every_special_range_is_refused_at_both_ends() {
        for (text, rule) in [
            ("0.0.0.0", "unspecified"),
            ("0.255.255.255", "unspecified"),
            ("10.0.0.0", "private"),
            ("10.255.255.255", "private"),
            ("100.64.0.0", "cgnat"),
            ("100.127.255.255", "cgnat"),
            ("100.100.100.200", "cgnat"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.255", "loopback"),
            ("168.63.129.16", "metadata"),
            ("169.254.0.0", "link-local"),
            ("169.254.169.254", "link-local"),
            ("169.254.170.2", "link-local"),
            ("172.16.0.0", "private"),
            ("172.31.255.255", "private"),
            ("192.0.0.192", "protocol"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "6to4"),
            ("192.168.255.255", "private"),
            ("198.18.0.0", "benchmark"),
            ("198.19.255.255", "benchmark"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.255", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.250", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.254", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::2", "v4-compatible"),
            ("::127.0.0.1", "v4-compatible"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::ffff:0:127.0.0.1", "v4-translated"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::169.254.169.254", "link-local"),
            ("64:ff9b:1::8.8.8.8", "nat64"),
            ("64:ff9b:2::1", "reserved"),
            ("100::1", "discard"),
            ("2001::1", "protocol"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "protocol"),
            ("2001:1ff:ffff::1", "protocol"),
            ("2001:20::1", "protocol"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::", "loopback"),
            ("2002:a9fe:a9fe::1", "link-local"),
            ("2002:c0a8:101::1", "private"),
            ("3fff:fff::1", "documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fc00::1", "unique-local"),
            ("fd00:ec2::254", "unique-local"),
            ("fdff::1", "unique-local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ] {
            check(text, Err(rule));
        }
        check("255.255.255.255", Err("broadcast"));
    }

    proptest! {
        #[test]
        fn no_wrapping_makes_a_refused_address_public(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            let plain = is_public(IpAddr::V4(v4)).map_err(|r| r.rule);
            let b = u128::from(bits);
            let nat64 = (0x64_ff9b_u128 << 96) | b;
            let six_to_four = (0x2002_u128 << 112) | (b << 80) | 1;
            let mapped = (0xffff_u128 << 32) | b;
            for wrapped in [nat64, six_to_four, mapped] {
                let got = is_public(IpAddr::V6(Ipv6Addr::from_bits(wrapped))).map_err(|r| r.rule);
                prop_assert_eq!(got, plain);
            }
        }

        #[test]
        fn the_standard_library_calls_nothing_local_that_passes(bits in any::<u128>(), small in any::<u32>()) {
            let v4 = Ipv4Addr::from_bits(small);
            if is_public(IpAddr::V4(v4)).is_ok() {
                prop_assert!(!(v4.is_private() || v4.is_loopback() || v4.is_link_local()
                    || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation()
                    || v4.is_unspecified()));
            }
            let v6 = Ipv6Addr::from_bits(bits);
            if is_public(IpAddr::V6(v6)).is_ok() {
                prop_assert!(!(v6.is_loopback() || v6.is_multicast() || v6.is_unspecified()
                    || v6.is_unique_local() || v6.is_unicast_link_local()));
            }
        }
    }
}
