//! Whatever a host is written as, the text, what is judged, what is asked for and what is dialled mean the same
//! host, or nothing is dialled. Other readers stand beside ours: the C library's numbers, the ways in which
//! IPv6 carries an IPv4 address, and the authority of a URL.

use super::*;
use crate::testing::Names;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use toft_model::machine::EgressLevel;
use toft_policy::Egress;

/// What would be dialled for a text at a level, and the names that were asked for.
fn dialled(text: &str, egress: &Egress, names: &Names) -> Option<(HostPort, Vec<SocketAddr>)> {
    let target = HostPort::parse(text, Some(443)).ok()?;
    if !egress.decide(&target.host, target.port).allowed() {
        return None;
    }
    let found = checked_addresses(names, &[], &target).now_or_never().expect("nothing here waits");
    Some((target, found.ok()?))
}

/// Every way to write an IPv4 address that some reader takes for it.
fn forms(v4: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = v4.octets();
    let all = u32::from(v4);
    let (three, two) = (all & 0xff_ffff, all & 0xffff);
    let (high, low) = (all >> 16, all & 0xffff);
    let plain = v4.to_string();
    let wide = plain.chars().map(|digit| match digit.to_digit(10) {
        Some(value) => char::from_u32(0xff10 + value).unwrap(),
        None => '。',
    });
    let escaped = plain.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}"));
    let six = [
        format!("::ffff:{plain}"),
        format!("::FFFF:{high:X}:{low:X}"),
        format!("0:0:0:0:0:ffff:{high:x}:{low:x}"),
        format!("::{plain}"),
        format!("::ffff:0:{plain}"),
        format!("64:ff9b::{plain}"),
        format!("64:ff9b::{high:x}:{low:x}"),
        format!("64:ff9b:1::{plain}"),
        format!("2002:{high:x}:{low:x}::"),
        format!("2002:{high:x}:{low:x}::1"),
        format!("2001:0:102:304::{:x}:{:x}", !high & 0xffff, !low & 0xffff),
        format!("fe80::5efe:{plain}"),
    ];
    let mut forms = vec![
        plain.clone(),
        format!("{all}"),
        format!("{all:#x}"),
        format!("0X{all:X}"),
        format!("0{all:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("{a}.{b:#x}.0{c:o}.{d}"),
        format!("{a}.{three}"),
        format!("{a}.{b}.{two}"),
        format!("{a}.{b}.{c}.0{d}"),
        format!("{a:03}.{b:03}.{c:03}.{d:03}"),
        format!("{plain}."),
        format!("{plain}.."),
        wide.collect(),
        escaped,
        format!("{plain}%00"),
        format!("{plain}\0.allowed.test"),
        format!("{plain}\r\nHost: allowed.test"),
        format!("allowed.test@{plain}"),
        format!("allowed.test:80@{plain}"),
        format!("{plain}#@allowed.test"),
        format!("{plain}/allowed.test"),
        format!("[{plain}]"),
    ];
    for six in six {
        forms.push(six.clone());
        forms.push(format!("[{six}%eth0]"));
        forms.push(format!("[{six}%25eth0]"));
        forms.push(format!("[{six}%0]"));
        forms.push(format!("[{six}]"));
    }
    forms
}

/// The IPv4 address that an address stands for (RFC 4291 §2.5.5, RFC 6052, RFC 3056), as others read it.
fn inner(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else {
        return match ip {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        };
    };
    let last = Ipv4Addr::from_bits(u32::try_from(v6.to_bits() & 0xffff_ffff).unwrap());
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(last),
        [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

/// Addresses that matter, and any.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        any::<u32>().prop_map(Ipv4Addr::from),
        prop::sample::select(vec![
            Ipv4Addr::LOCALHOST,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::new(127, 77, 0, 1),
            Ipv4Addr::new(169, 254, 169, 254),
            Ipv4Addr::new(10, 0, 0, 1),
            Ipv4Addr::new(100, 100, 100, 200),
            Ipv4Addr::new(192, 168, 1, 1),
            Ipv4Addr::new(198, 18, 0, 1),
            Ipv4Addr::new(8, 8, 8, 8),
        ]),
    ]
}

/// What is put into a name, or around it, so that readers may see another one.
fn tricked(name: &'static str) -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "\0", "\r\n", "\n", "\t", " ", "%", "%00", "%2e", "%61", "@", "/", "\\", "?", "#", ":",
        "_", "*", "\"", "<", "[", "]", "..", ".", "-", "。", "．", "｡", "\u{200b}", "\u{ad}",
        "\u{feff}", "а", "ａ", "ß", "İ", "ſ", "K", "\u{301}", "xn--", "XN--", "\u{7f}",
    ]);
    let at = 0..=name.len();
    prop_oneof![
        Just(name.to_owned()),
        Just(name.to_ascii_uppercase()),
        Just(format!("{name}.")),
        Just(format!("{name}..")),
        Just(format!(".{name}")),
        Just(format!("xn--{name}")),
        Just(format!("{}.{name}", "a".repeat(64))),
        Just(format!("{}{name}", "a.".repeat(122))),
        Just(format!("{}{name}", "a.".repeat(125))),
        Just(name.replace('.', "%2E")),
        Just(name.replace('.', "。")),
        Just(format!("{name}:80:443")),
        Just(format!("allowed.test@{name}")),
        Just(format!("allowed.test:80@{name}")),
        Just(format!("{name}\u{0}.allowed.test")),
        (at, odd).prop_map(move |(at, odd)| format!("{}{odd}{}", &name[..at], &name[at..])),
    ]
}

proptest! {
    #[test]
    fn an_address_in_any_form_is_that_address_or_nothing(v4 in v4()) {
        for form in forms(v4) {
            for text in [form.clone(), format!("{form}:443")] {
                let names = Names::default();
                let found = dialled(&text, &Egress::new(&EgressLevel::Open).unwrap(), &names);
                prop_assert_eq!(names.asked_at_all(), 0, "{:?} is no name", text);
                let Some((target, addresses)) = found else { continue };
                prop_assert_eq!(addresses.len(), 1);
                prop_assert_eq!(inner(addresses[0].ip()), Some(v4), "{:?}", text);
                prop_assert!(is_public(v4.into()).is_ok(), "{:?} leads to {}", text, v4);
                // What is shown of it reads as what is dialled.
                prop_assert_eq!(target.to_string().parse::<SocketAddr>().unwrap(), addresses[0]);
            }
        }
        let plain = is_public(v4.into()).is_ok() && !is_own(v4.into());
        let found = dialled(&v4.to_string(), &Egress::new(&EgressLevel::Open).unwrap(), &Names::default());
        prop_assert_eq!(found.is_some(), plain, "{}", v4);
    }

    #[test]
    fn a_name_is_the_name_that_was_written_to_every_reader_or_nothing(
        text in prop_oneof![tricked("allowed.test"), tricked("evil.test")],
        port in prop::option::of(1..=65_535_u16),
    ) {
        let with_port = port.map_or_else(|| text.clone(), |port| format!("{text}:{port}"));
        let Ok(target) = HostPort::parse(&with_port, Some(443)) else { return Ok(()) };
        let Host::Name(name) = &target.host else {
            return Err(TestCaseError::fail(format!("{text:?} is no address")));
        };
        // Nothing was taken away, added or turned into something else, but for the case of letters.
        let suffix = format!(":{}", target.port);
        let written = with_port.strip_suffix(&suffix).unwrap_or(&with_port);
        prop_assert_eq!(name, &written.to_ascii_lowercase());
        prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.'));
        prop_assert!(name.len() <= 253 && name.split('.').all(|l| (1..=63).contains(&l.len())));
        if let Ok(authority) = with_port.parse::<http::uri::Authority>() {
            prop_assert!(authority.host().eq_ignore_ascii_case(name), "{:?}", authority);
            prop_assert_eq!(authority.port_u16().unwrap_or(443), target.port);
        }
        // Only that name is asked for, and only its address is dialled.
        let names = Names::default();
        let (own, other) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        for each in ["allowed.test", "evil.test"] {
            names.answer(each, vec![vec![other]]);
        }
        names.answer(name, vec![vec![own]]);
        let found = dialled(&with_port, &Egress::new(&EgressLevel::Open).unwrap(), &names);
        let expected = vec![SocketAddr::new(own, target.port)];
        prop_assert_eq!(found.map(|(_, addresses)| addresses), Some(expected));
        prop_assert_eq!((names.asked(name), names.asked_at_all()), (1, 1));
        let list = EgressLevel::AllowList(vec!["allowed.test".into()]);
        let listed = dialled(&with_port, &Egress::new(&list).unwrap(), &names);
        prop_assert_eq!(listed.is_some(), name == "allowed.test", "{:?}", with_port);
    }
}

/// Of all of them, only those are no error that have one meaning.
#[test]
fn few_forms_of_an_address_are_taken_at_all() {
    let taken = |v4: Ipv4Addr| -> Vec<String> {
        forms(v4).into_iter().filter(|form| Host::parse(form).is_ok()).collect()
    };
    let public = taken(Ipv4Addr::new(8, 8, 4, 4));
    assert_eq!(
        public,
        [
            "8.8.4.4",
            "[::ffff:8.8.4.4]",
            "[::FFFF:808:404]",
            "[0:0:0:0:0:ffff:808:404]",
            "[::8.8.4.4]",
            "[::ffff:0:8.8.4.4]",
            "[64:ff9b::8.8.4.4]",
            "[64:ff9b::808:404]",
            "[64:ff9b:1::8.8.4.4]",
            "[2002:808:404::]",
            "[2002:808:404::1]",
            "[2001:0:102:304::f7f7:fbfb]",
            "[fe80::5efe:8.8.4.4]",
        ]
    );
    let open = Egress::new(&EgressLevel::Open).unwrap();
    let allowed = public.iter().filter(|form| dialled(form, &open, &Names::default()).is_some());
    assert_eq!(allowed.count(), 8, "plain, mapped, NAT64 and 6to4");
}
