//! Attacks on what a machine may reach, each with its control: the same request passes where it may.

use super::World;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{net::Ipv4Addr, time::Duration};
use toft_stories::{
    internet::{Asked, HOSTS, Internet, OURS, ok},
    lane,
    toft::{Start, Toft},
};

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses_that_lie_lead_nowhere() -> Result<()> {
    let Some(net) = Internet::enter("way_out::attacks::names_and_addresses_that_lie_lead_nowhere")?
    else {
        return Ok(());
    };
    let meta = Ipv4Addr::new(169, 254, 169, 254);
    net.name("allowed.test", &[&[HOSTS[0]]]);
    net.name("evil.test", &[&[HOSTS[1]]]);
    net.name("meta.test", &[&[meta]]);
    net.name("mixed.test", &[&[HOSTS[0], Ipv4Addr::LOCALHOST]]);
    net.name("own.test", &[&[OURS]]);
    net.name("flip.test", &[&[HOSTS[0]], &[Ipv4Addr::LOCALHOST]]);
    let server = Toft::start(Start { address: Some(OURS), ..Start::default() }).await?;
    let (port, base) = (server.port, server.base.clone());
    let landed = net.web(HOSTS[0], 80, move |head| {
        let to = match head.split(' ').nth(1) {
            Some("/loop") => format!("http://127.0.0.1:{port}/health"),
            Some("/own") => format!("{base}/health"),
            Some("/meta") => "http://169.254.169.254/latest/meta-data/".to_owned(),
            Some("/next") => "http://allowed.test/end".to_owned(),
            _ => return ok("landed"),
        };
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
    })?;
    let evil = net.web(HOSTS[1], 80, |_| ok("evil"))?;
    let project = server.new_project("Shop").await?;
    let peer = server.new_project("Peer").await?;
    let world = World { net, toft: server, project };
    let seen = |asked: &Asked| asked.lock().expect("no holder panics").len();

    // A name that turns to a private address: the answer that was checked is the one that is dialled,
    // and the next connection asks again.
    assert_eq!(world.curl("http://flip.test/").await?, "landed");
    assert_eq!(world.net.asked("flip.test"), 1);
    let flipped = world.curl("http://flip.test/").await?;
    assert!(flipped.contains("flip.test resolves to 127.0.0.1"), "{flipped}");
    for name in ["meta.test", "mixed.test", "own.test"] {
        let answer = world.curl(&format!("http://{name}/")).await?;
        assert!(answer.contains(&format!("{name} resolves to")), "{answer}");
    }

    // The control plane at the host's own public address, as a number and on the way of a redirect.
    let health = world.toft.call("GET", "/health", None).await?;
    assert_eq!(health["status"], "ok", "the control: it is there");
    for url in [format!("http://{OURS}:{port}/health"), format!("http://own.test:{port}/health")] {
        assert!(world.curl(&url).await?.contains("address of this host"), "{url}");
    }
    assert_eq!(world.curl("-L http://allowed.test/next").await?, "landed", "redirects work");
    for path in ["loop", "own", "meta"] {
        let answer = world.curl(&format!("-L http://allowed.test/{path}")).await?;
        assert!(answer.contains("Toft did not connect"), "{path}: {answer}");
    }
    // Another project, by every address that it has.
    let addresses = world.toft.exec(&peer, "cat /proc/net/fib_trie").await?;
    let addresses = addresses["stdout"].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<&str> =
        addresses.split_whitespace().filter(|word| word.parse::<Ipv4Addr>().is_ok()).collect();
    found.sort_unstable();
    found.dedup();
    ensure!(found.contains(&"127.0.0.1"), "{addresses}");
    for address in found {
        let answer = world.curl(&format!("http://{address}:8080/")).await?;
        assert!(answer.contains("Toft did not connect"), "{address}: {answer}");
    }

    // What two parsers could read differently: said to the proxy byte by byte.
    world.allow(&["allowed.test", "*.allowed.test"]).await?;
    let before = seen(&landed);
    let (_, control) =
        proxy(&world, "GET http://allowed.test/ HTTP/1.1\\r\\nHost: x\\r\\n").await?;
    assert!(control.contains("landed"), "the control: {control}");
    assert_eq!(seen(&landed), before + 1);
    for host in [
        "evil.test\\0.allowed.test",
        "evil.test%00.allowed.test",
        "evil.test#.allowed.test",
        "evil.test\\t.allowed.test",
        "allowed.test.",
        "allowed.test.evil.test",
        "allowed.test@evil.test",
        "user:word@allowed.test",
        "allowed.test\\\\@evil.test",
        "\\xd0\\xb0llowed.test",
        "allowed\\xe3\\x80\\x82test",
        "xn--llowed-6ve.test",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "0xa9.0xfe.0xa9.0xfe",
        "169.254.43518",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[64:ff9b::a9fe:a9fe]",
        "[::1]",
        "metadata.google.internal",
        "metadata",
        "localhost",
        "gateway.internal",
    ] {
        for request in [
            format!("CONNECT {host}:80 HTTP/1.1\\r\\nHost: allowed.test:80\\r\\n"),
            format!("GET http://{host}/ HTTP/1.1\\r\\nHost: allowed.test\\r\\n"),
        ] {
            // A fragment is no part of what is asked for: the rest of this one is evil.test. Of a head that
            // is none the connection ends, and the answer may be lost with what was not read.
            let (status, answer) = proxy(&world, &request).await?;
            let refused = matches!(status, 400 | 403) || answer.is_empty();
            assert!(refused, "{host}: {answer}");
        }
    }
    // A second request in the first: a head that ends early.
    let smuggled = "GET http://allowed.test/ HTTP/1.1\\r\\nHost: allowed.test\\r\\nX: \\r\\n\\r\\n\
        GET http://evil.test/ HTTP/1.1\\r\\nHost: allowed.test\\r\\n";
    let (_, answer) = proxy(&world, smuggled).await?;
    assert!(answer.contains("403"), "each is judged by itself: {answer}");
    assert_eq!(seen(&evil), 0, "nothing came there");
    assert_eq!(world.net.asked("evil.test"), 0, "nor was it looked up");
    world.set(json!({"level": "open"})).await?;
    assert_eq!(world.curl("http://evil.test/").await?, "evil", "the control: it is there");
    world.toft.down()
}

/// What the proxy answers to a request, byte by byte; the end of the head is added.
async fn proxy(world: &World, request: &str) -> Result<(u16, String)> {
    let command = format!(
        "exec 3<>/dev/tcp/gateway.internal/3128; printf '{request}Connection: close\\r\\n\\r\\n' >&3; \
         timeout 10 cat <&3"
    );
    let (_, answer) = world.sh(&command).await?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((status, answer))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_inside_a_connection_must_be_for_the_host_it_was_opened_for() -> Result<()> {
    let Some(net) = Internet::enter(
        "way_out::attacks::what_is_said_inside_a_connection_must_be_for_the_host_it_was_opened_for",
    )?
    else {
        return Ok(());
    };
    // One address serves both, as the networks of large hosts do.
    net.name("allowed.test", &[&[HOSTS[0]]]);
    let asked = net.web(HOSTS[0], 80, |head| {
        let host = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("host: ").map(str::to_owned));
        ok(&host.unwrap_or_default())
    })?;
    let keys = tempfile::tempdir()?;
    let place = |name: &str| keys.path().join(name).display().to_string();
    let (key, cert) = (place("key"), place("cert"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=allowed.test"])
        .args(["-keyout", &key, "-out", &cert])
        .output();
    let tls = match made {
        Ok(made) if made.status.success() => {
            let at = format!("{}:443", HOSTS[0]);
            let serve =
                ["openssl", "s_server", "-www", "-accept", &at, "-key", &key, "-cert", &cert];
            Some(net.program(&serve)?)
        }
        _ => {
            lane::skip("TLS for another host", "openssl is not installed");
            None
        }
    };
    let world = World::open(net).await?;
    let tunnel = |headers: &str| format!("--proxytunnel {headers} http://allowed.test/");
    // Where everything is open, a name within is nobody's business.
    assert_eq!(world.curl(&tunnel("-H 'Host: evil.test'")).await?, "evil.test");
    world.allow(&["allowed.test"]).await?;
    assert_eq!(world.curl(&tunnel("")).await?, "allowed.test");
    assert_eq!(world.curl("-H 'Host: evil.test' http://allowed.test/").await?, "allowed.test");
    for header in
        ["-H 'Host: evil.test'", "-H 'Host: allowed.test.'", "-H 'Host: allowed.test@evil.test'"]
    {
        let answer = world.curl(&tunnel(header)).await?;
        assert!(answer.contains("Toft did not connect"), "{header}: {answer}");
    }
    // Nor in the second request of a connection whose first was right.
    let two = "--proxytunnel http://allowed.test/one -: -sS --proxytunnel -H 'Host: evil.test' \
        http://allowed.test/two";
    let answer = world.curl(two).await?;
    assert!(
        answer.starts_with("allowed.test") && answer.contains("Toft did not connect"),
        "{answer}"
    );
    let asked = asked.lock().expect("no holder panics").clone();
    assert_eq!(asked.iter().filter(|head| head.contains("evil.test")).count(), 1, "the control's");

    if let Some(mut server) = tls {
        let handshake = |name: &str| {
            format!(
                "openssl s_client -proxy gateway.internal:3128 -connect allowed.test:443 \
                 -servername {name} < /dev/null 2>&1 | grep -c 'BEGIN CERTIFICATE'"
            )
        };
        let mut right = (0, String::new());
        for _ in 0..50 {
            // The TLS host takes a moment to listen.
            right = world.sh(&handshake("allowed.test")).await?;
            if right.1 == "1\n" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(right.1, "1\n", "the control");
        assert_eq!(world.sh(&handshake("evil.test")).await?.1, "0\n");
        let lines = world.log().await?;
        let refused = |line: &&Value| line["verdict"] == "deny" && line["rule"] == "sni-mismatch";
        assert_eq!(lines.iter().filter(refused).count(), 1, "{lines:?}");
        world.set(json!({"level": "open"})).await?;
        assert_eq!(world.sh(&handshake("evil.test")).await?.1, "1\n", "the control");
        server.kill()?;
        server.wait()?;
    }
    world.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_inside_changes_what_a_machine_may_reach() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Shop").await?;
    let path = format!("/v1/projects/{project}/egress");
    toft.call("PUT", &path, Some(json!({"level": "none"}))).await?;
    let level = async || anyhow::Ok(toft.call("GET", &path, None).await?["level"].clone());
    let wish = r#"{"level":"open"}"#;
    // The gateway and the bridge know no such thing; the server is not reached.
    for base in [
        "http://gateway.internal".to_owned(),
        "http://127.0.0.1:8080".to_owned(),
        "http://127.0.0.1:8080/toft".to_owned(),
        format!("http://127.0.0.1:{}", toft.port),
        toft.base.replace("127.0.0.1", "localhost"),
    ] {
        let tried = toft
            .exec(
                &project,
                &format!(
                    "for how in \"--noproxy *\" \"-x http://gateway.internal:3128\"; do \
                     curl -s --max-time 10 $how -X PUT -H 'content-type: application/json' \
                     -H \"authorization: Bearer $(env | grep -m1 -o 'tp_[A-Za-z0-9_-]*')\" \
                     -o /dev/null -w '%{{http_code}} ' -d '{wish}' {base}{path}; done"
                ),
            )
            .await?;
        let codes = tried["stdout"].as_str().unwrap_or_default().to_owned();
        assert!(codes.split_whitespace().all(|code| !code.starts_with('2')), "{base}: {codes}");
        assert_eq!(level().await?, "none", "{base}");
    }
    // The machine's own token says nothing to the server, and a page of its app sends a foreign origin.
    let token = toft.exec(&project, "env | grep -i token | head -1 | cut -d= -f2-").await?;
    let token = token["stdout"].as_str().unwrap_or_default().trim().to_owned();
    let send = async |request: reqwest::RequestBuilder| {
        let request = request.header("content-type", "application/json").body(wish);
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    let put = || toft.http().put(format!("{}{path}", toft.base));
    assert_eq!(send(put().bearer_auth(if token.is_empty() { "none" } else { &token })).await?, 401);
    let stays = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let signed_in = stays.no_proxy().build()?.get(&toft.link).send().await?;
    let cookie = signed_in
        .headers()
        .get_all("set-cookie")
        .iter()
        .find_map(|value| value.to_str().ok()?.split(';').next().map(str::to_owned))
        .unwrap_or_default();
    let origin = format!("http://{project}.localhost:{}", toft.port);
    for request in [put().header("origin", origin), put()] {
        assert_eq!(send(request.header("cookie", &cookie)).await?, 403);
    }
    let own = put().header("origin", &toft.base).header("cookie", &cookie);
    assert_eq!(send(own).await?, 200, "the control: a page of the server's own may");
    toft.call("PUT", &path, Some(json!({"level": "none"}))).await?;
    // Files that say so are files.
    toft.exec(&project, "mkdir -p .toft && echo 'egress = \"open\"' | tee toft.toml .toft/egress")
        .await?;
    toft.call("POST", &format!("/v1/projects/{project}/sleep"), Some(json!({}))).await?;
    toft.exec(&project, "true").await?;
    assert_eq!(level().await?, "none");
    // The control: people can.
    toft.call("PUT", &path, Some(json!({"level": "open"}))).await?;
    assert_eq!(level().await?, "open");
    toft.down()
}
