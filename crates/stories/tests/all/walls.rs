//! What a machine cannot see or reach.

use anyhow::Result;
use serde_json::json;
use std::fs;
use toft_stories::toft::{Start, Toft};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_sees_nothing_of_the_host_but_usr() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Inside").await?;
    let other = toft.new_project("Other").await?;
    toft.exec(&other, "echo secret-of-other > /home/project/only-here").await?;
    let marker = tempfile::Builder::new().prefix("toft-host-marker").tempfile()?;
    let sh = |command: String| {
        let toft = &toft;
        let project = &project;
        async move {
            let ran = toft.exec(project, &command).await?;
            anyhow::Ok((
                ran["exitCode"].as_i64().unwrap_or(-1),
                ran["stdout"].as_str().unwrap_or_default().to_owned(),
            ))
        }
    };

    let (_, shadow) = sh("cat /etc/shadow".into()).await?;
    let host_shadow = fs::read_to_string("/etc/shadow").unwrap_or_default();
    let host_hash = host_shadow.lines().find_map(|l| l.split(':').nth(1).filter(|h| h.len() > 10));
    assert!(host_hash.is_none_or(|hash| !shadow.contains(hash)));
    assert_ne!(shadow, host_shadow);

    let (code, _) = sh(format!("test -e {}", marker.path().display())).await?;
    assert_eq!(code, 1, "the host's /tmp is not there");
    let (code, _) = sh(format!("test -e {}", toft.data.display())).await?;
    assert_eq!(code, 1, "the data folder is not there");
    let (_, found) =
        sh("find / -xdev -name only-here 2>/dev/null; ls /proc | grep -c '^[0-9]'".into()).await?;
    assert!(!found.contains("only-here"), "{found}");
    let (_, mounts) = sh("cat /proc/self/mountinfo".into()).await?;
    assert!(!mounts.contains(&other), "another machine's folder is mounted: {mounts}");

    // Writing to /usr changes the project's own layer only.
    let probe = format!("/usr/toft-probe-{}", std::process::id());
    sh(format!("touch {probe}")).await?;
    assert!(!std::path::Path::new(&probe).exists());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_reaches_no_port_of_the_host_and_no_other_machine() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Net").await?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    listener.set_nonblocking(true)?;
    let reach = |target: String| {
        let toft = &toft;
        let project = &project;
        async move {
            // Whoever is refused was connected to the gateway, and hears that from it.
            let ask = "printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; case $(head -c 12 <&3) in \"\"|*403) exit 1;; esac";
            let command =
                format!("timeout 3 bash -c 'exec 3<>/dev/tcp/{target}; {ask}' 2>/dev/null");
            anyhow::Ok(toft.exec(project, &command).await?["exitCode"] == 0)
        }
    };
    assert!(!reach(format!("127.0.0.1/{port}")).await?, "a port of the host");
    assert!(!reach(format!("127.0.0.1/{}", toft.port)).await?, "the control plane");
    assert!(!reach("169.254.169.254/80".into()).await?, "cloud metadata");
    assert!(reach("127.77.0.1/80".into()).await?, "the gateway's model API");
    assert!(listener.accept().is_err(), "nobody called");

    // Nor through the proxy, under any of its names.
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1]:{port}"),
        format!("2130706433:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
    ] {
        let command = format!(
            "exec 3<>/dev/tcp/127.77.0.1/3128; printf 'CONNECT {host} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n' >&3; head -1 <&3"
        );
        let ran = toft.exec(&project, &command).await?;
        let line = ran["stdout"].as_str().unwrap_or_default();
        assert!(line.contains(" 403") || line.contains(" 400"), "{host}: {line:?}");
    }
    assert!(listener.accept().is_err(), "nobody called through the proxy");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_api_inside_wants_the_token_and_outside_no_cookie() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Api").await?;
    let inside = "curl -s -o /dev/null -w '%{http_code}' http://localhost:8080/toft/state";
    let have_curl = toft.exec(&project, "command -v curl").await?["exitCode"] == 0;
    if have_curl {
        assert_eq!(toft.exec(&project, inside).await?["stdout"], "401");
        let with = format!("{inside} -H \"Authorization: Bearer $TOFT_TOKEN\"");
        assert_eq!(toft.exec(&project, &with).await?["stdout"], "200");
    } else {
        toft_stories::lane::skip("inside api", "no curl on this host");
    }
    let host = format!("{project}.localhost:{}", toft.port);
    let state = |header: (&'static str, String)| {
        toft.http()
            .get(format!("{}/toft/state", toft.base))
            .header("host", host.clone())
            .header(header.0, header.1)
            .send()
    };
    let entry =
        toft.call("POST", &format!("/v1/projects/{project}/preview"), Some(json!({}))).await?;
    let path = entry["url"]
        .as_str()
        .unwrap_or_default()
        .split_once(&host)
        .map(|(_, p)| p.to_owned())
        .unwrap_or_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let entered =
        client.get(format!("{}{path}", toft.base)).header("host", host.clone()).send().await?;
    let cookie =
        entered.headers()["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
    assert!(cookie.starts_with("toft_preview="), "{cookie}");
    assert_eq!(
        state(("cookie", cookie)).await?.status(),
        401,
        "a cookie never opens the agent's API"
    );
    assert_eq!(state(("authorization", format!("Bearer {}", toft.token))).await?.status(), 200);
    toft.down()
}
