//! Names as a way out: what is asked of DNS inside carries nothing away, and no name leads to an address
//! that a machine may not reach, in whatever protocol or record.

use super::World;
use anyhow::{Result, ensure};
use serde_json::json;
use std::net::Ipv6Addr;
use toft_stories::{
    internet::{HOST_6, HOSTS, Internet, OURS_6, ok},
    lane,
};

/// Sends one question of DNS as its bytes are given, by datagram and by connection, and prints the code
/// of each answer and how many records it has.
const ASK: &str = r"
use Socket; my ($name, $kind) = @ARGV; $name =~ s/\\x(..)/chr hex $1/ge;
my $labels = join q(), map { chr(length) . $_ } split /\|/, $name;
my $message = pack(q(n6), 7, 0x0100, 1, 0, 0, 0) . $labels . pack(q(Cnn), 0, $kind, 1);
my $to = sockaddr_in(53, inet_aton(q(127.77.0.1)));
my ($udp, $tcp); alarm 10;
socket($udp, AF_INET, SOCK_DGRAM, 0) && connect($udp, $to) or die qq($!);
syswrite $udp, $message; sysread $udp, my $answer, 4096 or die q(no answer);
socket($tcp, AF_INET, SOCK_STREAM, 0) && connect($tcp, $to) or die qq($!);
syswrite $tcp, pack(q(n), length $message) . $message; sysread $tcp, my $other, 4096 or die q(no answer);
for ($answer, substr($other, 2)) { my @f = unpack q(n6), $_; printf q(%d/%d ), $f[1] & 15, $f[3] }";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_names_carries_nothing_out() -> Result<()> {
    let Some(net) = Internet::enter("way_out::names::what_is_asked_of_names_carries_nothing_out")?
    else {
        return Ok(());
    };
    net.name("allowed.test", &[&[HOSTS[0]]]);
    net.web(HOSTS[0], 80, |_| ok("landed"))?;
    let world = World::open(net).await?;
    let ask = async |name: &str, kind: u16| {
        anyhow::Ok(world.sh(&format!("perl -e '{ASK}' '{name}' {kind}")).await?.1)
    };
    // A (1), TXT (16), AAAA (28), NULL (10), CNAME (5), MX (15), SVCB (64), HTTPS (65), ANY (255).
    let kinds = [1, 16, 28, 10, 5, 15, 64, 65, 255];
    for level in ["open", "allow-list", "none"] {
        world.set(json!({"level": level, "rules": ["allowed.test", "*.tunnel.test"]})).await?;
        for kind in kinds {
            let said = ask(&format!("6465616462656566-{kind}|x|tunnel|test"), kind).await?;
            // An address that stands for the name in this machine, and nothing else.
            let own = if matches!(kind, 1 | 255) { "0/1 0/1 " } else { "0/0 0/0 " };
            assert_eq!(said, own, "{level} {kind}");
        }
        // Labels that hold dots, nulls, line ends: names for one reader, and others for the next.
        for name in [
            r"allowed.test",
            r"evil\x00|allowed|test",
            r"evil\x0d\x0a|allowed|test",
            r"evil.test\x00.allowed|test",
            r"\xd0\xb0llowed|test",
            "127|0|0|1",
            "2852039166",
            "metadata|google|internal",
        ] {
            let said = ask(name, 1).await?;
            ensure!(!said.contains("/1"), "{level} {name}: {said}");
        }
    }
    // None of it was asked outside. Who connects does ask, for the name that is allowed: the control.
    let questions = world.net.questions();
    ensure!(questions.iter().all(|name| !name.contains("test")), "{questions:?}");
    world.set(json!({"level": "open"})).await?;
    assert_eq!(world.curl("--noproxy '*' http://allowed.test/").await?, "landed");
    ensure!(world.net.questions().iter().any(|name| name == "allowed.test"), "the control");
    // Other name servers than the machine's own are not there.
    for to in ["11.0.0.2", "8.8.8.8", "127.0.0.53"] {
        let other = ASK.replace("127.77.0.1", to).replace("alarm 10", "alarm 2");
        let (_, said) =
            world.sh(&format!("perl -e '{other}' secret\\|tunnel\\|test 1 2>&1")).await?;
        ensure!(!said.contains("0/"), "{to}: {said}");
    }
    let questions = world.net.questions();
    ensure!(questions.iter().all(|name| !name.contains("tunnel")), "{questions:?}");
    world.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_addresses_of_the_newer_protocol_leads_to_public_ones_only() -> Result<()> {
    let Some(net) = Internet::enter(
        "way_out::names::a_name_with_addresses_of_the_newer_protocol_leads_to_public_ones_only",
    )?
    else {
        return Ok(());
    };
    if !net.six {
        lane::skip("IPv6", "this host does not know it");
        return Ok(());
    }
    net.name_6("six.test", &[HOST_6]);
    net.web(HOST_6, 80, |_| ok("landed"))?;
    let refused: Vec<(String, Ipv6Addr)> = [
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:5601:5601",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::a9fe:a9fe",
        "fec0::1",
        "ff02::1",
        "::",
    ]
    .iter()
    .enumerate()
    .map(|(n, text)| Ok((format!("lie{n}.test"), text.parse()?)))
    .collect::<Result<_>>()?;
    for (name, address) in &refused {
        net.name_6(name, &[*address]);
        net.name_6(&format!("mixed-{name}"), &[HOST_6, *address]);
    }
    net.name_6("own.test", &[OURS_6]);
    let world = World::open(net).await?;
    // With and without the proxy.
    for way in ["--noproxy ''", "--noproxy '*'"] {
        let get = async |host: &str| {
            let command = format!("curl -sS {way} --max-time 20 http://{host}/ 2>&1");
            anyhow::Ok(world.sh(&command).await?.1)
        };
        assert_eq!(get("six.test").await?, "landed", "the control");
        for (name, address) in &refused {
            for name in [name.clone(), format!("mixed-{name}")] {
                let said = get(&name).await?;
                assert!(said.contains("resolves to"), "{way} {name} {address}: {said}");
            }
        }
        assert!(get("own.test").await?.contains("address of this host"), "{way}");
    }
    for (_, address) in &refused {
        let said = world.curl(&format!("-g http://[{address}]/")).await?;
        assert!(said.contains("Toft did not connect"), "{address}: {said}");
    }
    world.toft.down()
}
