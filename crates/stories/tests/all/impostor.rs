//! A machine whose libraries were changed so that its own bridge is somebody else's program: what it
//! says is data to the server, and reaches nobody but its own project.

use super::attacks::sh;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{fs, path::Path};
use toft_stories::{
    lane,
    toft::{Start, Toft},
};

async fn restart(toft: &Toft, project: &str) -> Result<()> {
    toft.call("POST", &format!("/v1/projects/{project}/stop"), Some(json!({}))).await?;
    toft.call("POST", &format!("/v1/projects/{project}/start"), Some(json!({}))).await?;
    Ok(())
}

/// Becomes every bridge of the machine it is preloaded in: answers each connection on the inherited
/// socket with what lies in `/root/answer`, after the path's last part.
const FAKE_BRIDGE: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <fcntl.h>
static void serve(int fd) {
    for (;;) {
        int c = accept(fd, 0, 0);
        if (c < 0) { usleep(10000); continue; }
        fcntl(c, F_SETFL, 0);
        if (fork()) { close(c); continue; }
        char buf[65536]; int n = read(c, buf, sizeof buf - 1); if (n < 0) n = 0; buf[n] = 0;
        const char *file = strstr(buf, "GET /toft/events") == buf ? "/root/events" : "/root/answer";
        int f = open(file, O_RDONLY); long r;
        while ((r = read(f, buf, sizeof buf)) > 0) { long w = 0; while (w < r) { long k = write(c, buf + w, r - w); if (k <= 0) _exit(0); w += k; } }
        if (file[6] == 'e') pause();
        _exit(0);
    }
}
__attribute__((constructor)) static void begin(void) {
    char cmd[256] = {0}; int f = open("/proc/self/cmdline", O_RDONLY); int n = read(f, cmd, 255); close(f);
    if (n < 8 || strcmp(cmd + n - 7, "bridge")) return;
    for (int fd = 3; fd < 64; fd++) {
        int on = 0, domain = 0; socklen_t l = sizeof on, m = sizeof domain;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &l) || !on) continue;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &m) || domain != AF_UNIX) continue;
        fcntl(fd, F_SETFL, 0);
        serve(fd);
    }
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_replaced_its_own_bridge_gains_nothing_outside() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Impostor").await?;
    let other = toft.new_project("Honest").await?;
    if sh(&toft, &project, "command -v gcc").await?.0 != 0 {
        lane::skip("a replaced bridge", "no C compiler on this host");
        return toft.down();
    }
    let put = |path: &'static str, text: Vec<u8>| {
        let url = format!("{}/v1/projects/{project}/toft/files/content?path={path}", toft.base);
        toft.http().put(url).bearer_auth(&toft.token).body(text).send()
    };
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\
        Set-Cookie: toft_session=planted; Path=/\r\nSet-Cookie: x=1\r\nClear-Site-Data: \"*\"\r\n\
        Refresh: 0; url=http://evil.test\r\nLocation: http://evil.test\r\nLink: <http://evil.test>; rel=preload\r\n\
        Access-Control-Allow-Origin: *\r\nAlt-Svc: h3=\":1\"\r\nService-Worker-Allowed: /\r\n\
        Content-Security-Policy: default-src *\r\nX-Toft-Port: 1\r\nWWW-Authenticate: Basic\r\n\r\n\
        <script>1</script>\r\n";
    let (_, state) =
        toft.request("GET", &format!("/v1/projects/{project}/toft/messages"), None).await?;
    let head = state["data"]["seq"].as_u64().context("a number")?;
    // Names of conversations are kept in memory: long ones would fill it.
    let events = format!(
        r#"$| = 1; my $n = {head}; sub add {{ $n++; print "event: $_[0]\nid: $n\ndata: $_[1]\n\n" }}
print "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: hello\ndata: {{\"seq\":0}}\n\n";
add("agent_start", "{{\"sessionId\":\"" . $_ . ("s" x (3 << 20)) . "\"}}") for 1..{FORGED};
add("notify", "no json"); add("notify", "{{\"message\":\"forged but whole\"}}");
print "event: notify\nid: 18446744073709551615\ndata: {{}}\n\nevent: notify\nid: -1\ndata: {{}}\n\nid: 1\nevent: agent_start\ndata: {{\"x\":";"#
    );
    let seq = head + FORGED + 2;
    for (path, text) in [
        ("/root/answer", answer.as_bytes().to_vec()),
        ("/root/events.pl", events.into_bytes()),
        ("/root/fake.c", FAKE_BRIDGE.as_bytes().to_vec()),
    ] {
        ensure!(put(path, text).await?.status().is_success(), "writing {path}");
    }
    let build = "perl /root/events.pl > /root/events && gcc -shared -fPIC -o /root/fake.so /root/fake.c && echo /root/fake.so > /etc/ld.so.preload";
    let built = toft.exec(&project, build).await?;
    assert_eq!(built["exitCode"], 0, "{built}");
    let server = toft.server_pid().context("it runs")?;
    let listening = toft.http().get(format!("{}/v1/projects/{project}/toft/events", toft.base));
    let _listening = listening.bearer_auth(&toft.token).send().await?;
    let before = resident_kib(server)?;
    restart(&toft, &project).await?;

    let url = format!("{}/v1/projects/{project}/toft/files/content?path=x", toft.base);
    let answer = toft.http().get(url).bearer_auth(&toft.token).send().await?;
    let headers = answer.headers().clone();
    assert!(answer.text().await?.contains("<script>"), "the impostor answers");
    for name in [
        "set-cookie",
        "clear-site-data",
        "refresh",
        "location",
        "link",
        "alt-svc",
        "x-toft-port",
        "access-control-allow-origin",
        "service-worker-allowed",
        "www-authenticate",
    ] {
        assert!(!headers.contains_key(name), "{name} reached the dashboard's origin: {headers:?}");
    }
    let policy = headers["content-security-policy"].to_str()?;
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");

    // What it says about its conversations is taken in order, bounded, and hurts nobody else.
    let path = format!("/v1/projects/{project}/toft/events");
    let taken = async {
        // `hello` says how far the copy is.
        loop {
            let mut events = toft
                .http()
                .get(format!("{}{path}", toft.base))
                .bearer_auth(&toft.token)
                .send()
                .await?;
            let hello = events.chunk().await?.context("hello")?;
            if String::from_utf8_lossy(&hello).contains(&format!("\"seq\":{seq}")) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(toft_stories::toft::STEP_TIMEOUT, taken)
        .await
        .context("it is taken in")??;
    let mut follow = toft_stories::session::Follow::from(&toft, &project, seq - 1).await?;
    let last = follow.next().await?;
    assert_eq!(last.data["message"], "forged but whole");
    let grown = resident_kib(server)?.saturating_sub(before);
    assert!(grown < 100 << 10, "the server grew by {grown} KiB");
    assert_eq!(sh(&toft, &other, "echo alive").await?.1, "alive\n");
    let (status, list) = toft.request("GET", "/v1/projects", None).await?;
    assert!(status == 200 && list["data"].as_array().is_some_and(|l| l.len() == 2), "{list}");
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    toft.down()
}

/// Events with a name of 3 MiB each: together more than the server may grow by.
const FORGED: u64 = 60;

fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("a size")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
