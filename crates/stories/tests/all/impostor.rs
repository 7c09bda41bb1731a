//! Somebody else in the place of a machine's own bridge. A project has no way to do that any more (`own_code`), so
//! the host's root does it: what is said there is data to the server all the same, and reaches nobody but
//! its own project.

use super::attacks::sh;
use anyhow::{Context as _, Result};
use rustix::{
    net::{AddressFamily, sockopt},
    process::{
        ForeignRawFd, Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd,
        pidfd_open,
    },
};
use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use toft_stories::{
    lane, processes,
    toft::{Start, Toft},
};

/// Descriptors of a bridge that are looked at.
const BRIDGE_FDS: ForeignRawFd = 64;

/// Answers on the bridge's own socket. Init stands still meanwhile, so that no other bridge begins.
struct Impostor {
    init: Pid,
    ends: Arc<AtomicBool>,
}

impl Impostor {
    /// Takes the socket over, and ends the bridge. `events` answers who asks for them, `answer` all others.
    async fn begin(toft: &Toft, project: &str, events: String, answer: String) -> Result<Self> {
        let pid = |raw: u32| Pid::from_raw(i32::try_from(raw).ok()?);
        let bridge = toft.bridge(project).await?;
        let init = toft.init_pid(project).and_then(pid).context("an init")?;
        let of = pidfd_open(pid(bridge).context("a pid")?, PidfdFlags::empty())?;
        let listens = |n: &ForeignRawFd| {
            let fd = pidfd_getfd(&of, *n, PidfdGetfdFlags::empty()).ok()?;
            let listens = sockopt::socket_acceptconn(&fd) == Ok(true);
            (listens && sockopt::socket_domain(&fd) == Ok(AddressFamily::UNIX)).then_some(fd)
        };
        let socket = (3..BRIDGE_FDS).find_map(|n| listens(&n)).context("its socket")?;
        kill_process(init, Signal::STOP)?;
        let impostor = Self { init, ends: Arc::default() };
        processes::kill9(bridge);
        let listener = UnixListener::from(socket);
        let (ends, said) = (Arc::clone(&impostor.ends), Arc::new((events, answer)));
        thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                // It does not wait: bridges share this way of the socket.
                let Ok((stream, _)) = listener.accept() else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                let said = Arc::clone(&said);
                thread::spawn(move || serve(stream, &said.0, &said.1));
            }
        });
        Ok(impostor)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = kill_process(self.init, Signal::CONT);
    }
}

/// One connection; that of the events stays open until its asker goes.
fn serve(mut stream: UnixStream, events: &str, answer: &str) {
    let mut asked = vec![0; 64 << 10];
    let read = stream.read(&mut asked).unwrap_or(0);
    if asked[..read].starts_with(b"GET /toft/events") {
        let _ = stream.write_all(events.as_bytes());
        while stream.read(&mut asked).is_ok_and(|read| read > 0) {}
    } else {
        let _ = stream.write_all(answer.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stands_in_for_a_bridge_gains_nothing_outside() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    if !rustix::process::geteuid().is_root() {
        lane::skip("a replaced bridge", "only root takes a socket out of another's process");
        return toft.down();
    }
    let project = toft.new_project("Impostor").await?;
    let other = toft.new_project("Honest").await?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\
        Set-Cookie: toft_session=planted; Path=/\r\nSet-Cookie: x=1\r\nClear-Site-Data: \"*\"\r\n\
        Refresh: 0; url=http://evil.test\r\nLocation: http://evil.test\r\nLink: <http://evil.test>; rel=preload\r\n\
        Access-Control-Allow-Origin: *\r\nAlt-Svc: h3=\":1\"\r\nService-Worker-Allowed: /\r\n\
        Content-Security-Policy: default-src *\r\nX-Toft-Port: 1\r\nWWW-Authenticate: Basic\r\n\r\n\
        <script>1</script>\r\n";
    let (_, state) =
        toft.request("GET", &format!("/v1/projects/{project}/toft/messages"), None).await?;
    let head = state["data"]["seq"].as_u64().context("a number")?;
    let seq = head + FORGED + 2;
    let server = toft.server_pid().context("it runs")?;
    let listening = toft.http().get(format!("{}/v1/projects/{project}/toft/events", toft.base));
    let _listening = listening.bearer_auth(&toft.token).send().await?;
    let before = resident_kib(server)?;
    let impostor = Impostor::begin(&toft, &project, forged(head)?, answer.to_owned()).await?;

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
    drop(impostor);
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    toft.down()
}

/// Events with a name of 3 MiB each: together more than the server may grow by.
const FORGED: u64 = 60;

/// An answer with events after `head`, which claim more and more.
fn forged(head: u64) -> Result<String> {
    let mut said = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
                    event: hello\ndata: {\"seq\":0}\n\n"
        .to_owned();
    // Names of conversations are kept in memory: long ones would fill it.
    let long = "s".repeat(3 << 20);
    let names = (1..=FORGED).map(|n| ("agent_start", format!("{{\"sessionId\":\"{n}{long}\"}}")));
    let last = [("notify", "no json"), ("notify", "{\"message\":\"forged but whole\"}")];
    let last = last.map(|(kind, data)| (kind, data.to_owned()));
    for ((kind, data), id) in names.chain(last).zip(head + 1..) {
        write!(said, "event: {kind}\nid: {id}\ndata: {data}\n\n")?;
    }
    said.push_str(
        "event: notify\nid: 18446744073709551615\ndata: {}\n\nevent: notify\nid: -1\ndata: {}\n\n\
         id: 1\nevent: agent_start\ndata: {\"x\":",
    );
    Ok(said)
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("a size")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
