//! Machines that are put away and come back: fifty requests at once find a machine that is paused, or
//! cold, and each is answered by the app after one wake; tabs that only look leave it alone; limits
//! change while it runs.

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use toft_stories::{
    lane, processes,
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Says how many bytes it was sent, and echoes one frame of a WebSocket. Each connection is a process
/// of its own. The answer to the handshake is RFC 6455's own example (section 1.3).
const APP: &str = r#"use IO::Socket; $SIG{CHLD} = 'IGNORE';
my $l = IO::Socket::INET->new(LocalAddr=>"127.0.0.1", LocalPort=>3000, Listen=>128, ReuseAddr=>1) or die;
while (1) { my $c = $l->accept or next; if (fork) { close $c; next }
my ($n, $ws) = (0, 0); while (my $line = <$c>) { $n = $1 if $line =~ /^content-length:\s*(\d+)/i;
$ws = 1 if $line =~ /^upgrade:\s*websocket/i; last if $line =~ /^\r?\n$/ }
if ($ws) { $c->autoflush(1); print $c "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
read($c, my $h, 6); my $len = ord(substr $h, 1) & 127; read($c, my $t, $len); print $c chr(129) . chr($len) . $t; sleep 1; exit }
my $body = ""; read($c, $body, $n) if $n; my $b = "got " . length $body;
print $c "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($b) . "\r\n\r\n$b"; exit }
"#;

/// Declares the app as a service, which Toft runs.
const DECLARE: &str = r#"printf %s "$APP" > /root/app.pl && python3 - <<'E'
import sqlite3
d = sqlite3.connect("/home/starter/inspect.db")
d.execute("INSERT INTO services(id,name,type,port,status,command) VALUES('app','App','app',3000,'running','exec perl /root/app.pl')")
d.commit()
E
for i in $(seq 400); do (exec 3<>/dev/tcp/127.0.0.1/3000) 2>/dev/null && exit 0; sleep 0.05; done; exit 1"#;

async fn with_app(toft: &Toft) -> Result<String> {
    let project = toft.new_project("App").await?;
    // The bridge has made the tables when it answers.
    toft.call("GET", &format!("/v1/projects/{project}/toft/state"), None).await?;
    let of = format!("/v1/projects/{project}/exec");
    let body = json!({"command": DECLARE, "env": {"APP": APP}});
    let ran = toft.call("POST", &of, Some(body)).await?;
    ensure!(ran["exitCode"] == 0, "the service does not listen: {ran}");
    Ok(project)
}

fn host(toft: &Toft, project: &str) -> String {
    format!("{project}.localhost:{}", toft.port)
}

/// Sends `bytes` to the app; what it said.
async fn submit(toft: &Toft, project: &str, bytes: usize) -> Result<String> {
    let answer = toft
        .http()
        .post(format!("{}/submit", toft.base))
        .header("host", host(toft, project))
        .bearer_auth(&toft.token)
        .body(vec![b'x'; bytes])
        .timeout(STEP_TIMEOUT)
        .send()
        .await?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == 200, "{status}: {text}");
    Ok(text)
}

/// Opens a WebSocket to the app, says a word and reads it back.
async fn speak(toft: &Toft, project: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", toft.port)).await?;
    let head = format!(
        "GET /live HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host(toft, project),
        toft.token
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(STEP_TIMEOUT, stream.read_u8()).await??);
    }
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    ensure!(answer.starts_with("http/1.1 101"), "{answer}");
    // A mask of zeros leaves the text as it is.
    stream.write_all(b"\x81\x85\0\0\0\0hello").await?;
    let mut frame = [0; 7];
    timeout(STEP_TIMEOUT, stream.read_exact(&mut frame)).await??;
    Ok(String::from_utf8_lossy(&frame[2..]).into_owned())
}

async fn machine(toft: &Toft, project: &str) -> Result<Value> {
    toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await
}

fn wakes(machine: &Value) -> usize {
    machine["wakes"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_at_once_wake_a_machine_once_and_the_app_answers_all() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = with_app(&toft).await?;
    ensure!(submit(&toft, &project, 5).await? == "got 5");
    let can = machine(&toft, &project).await?["can"]["freeze"] == true;
    let ways = [("freeze", "frozen"), ("sleep", "cold")];
    for (verb, was) in ways.into_iter().filter(|(verb, _)| can || *verb == "sleep") {
        let of = format!("/v1/projects/{project}/{verb}");
        let before = toft.call("POST", &of, Some(json!({}))).await?;
        assert_eq!(before["state"], was);
        let posts = (0..50_usize).map(|n| submit(&toft, &project, n * 997));
        let (said, word) = tokio::try_join!(try_join_all(posts), speak(&toft, &project))?;
        for (n, said) in said.iter().enumerate() {
            assert_eq!(*said, format!("got {}", n * 997));
        }
        assert_eq!(word, "hello");
        let after = machine(&toft, &project).await?;
        assert_eq!((&after["state"], wakes(&after)), (&json!("running"), wakes(&before) + 1));
        assert_eq!(after["wakes"][0]["was"], was, "{after}");
        let cause = after["wakes"][0]["cause"].as_str().context("a cause")?;
        assert_eq!(cause, format!("a visit to {project}"));
    }
    toft.down()
}

/// How long the threads of a machine have run, in nanoseconds.
fn ran(toft: &Toft, project: &str) -> Vec<(u32, u64)> {
    let of = |pid: u32| -> Option<u64> {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
        let ran = threads.map(|thread| {
            let told = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            told.split(' ').next()?.parse::<u64>().ok()
        });
        ran.sum()
    };
    toft.machine_processes(project).iter().filter_map(|p| Some((p.pid, of(p.pid)?))).collect()
}

/// All that a dashboard's tab asks for by itself.
const LOOKS: [&str; 13] = [
    "",
    "/machine",
    "/limits",
    "/idle",
    "/disk",
    "/toft/messages",
    "/toft/state",
    "/toft/inspect",
    "/toft/sessions",
    "/toft/terminals",
    "/toft/processes",
    "/toft/services",
    "/toft/activity",
];

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_only_look_leave_a_paused_machine_alone() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Looked at").await?;
    let of = format!("/v1/projects/{project}");
    if machine(&toft, &project).await?["can"]["freeze"] != true {
        lane::skip("a paused machine", "this host cannot pause one (no cgroup freezer)");
        return toft.down();
    }
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "run `echo hello`").await?;
    let last = follow.until_agent_end().await?.last().context("an event")?.seq;
    let rule = json!({"freezeAfterS": 1, "coldAfterS": null});
    toft.call("PUT", &format!("{of}/idle"), Some(rule)).await?;
    // An open stream of events all the while.
    let _tab = Follow::from(&toft, &project, last).await?;
    let frozen = toft.until(&format!("{of}/machine"), |m| m["state"] == "frozen").await?;
    assert!(frozen["frozenAt"].is_string(), "{frozen}");
    let before = ran(&toft, &project);
    assert!(before.len() >= 2, "init and bridge are there: {before:?}");
    for again in [false, true] {
        for _ in 0..5 {
            // As a tab that lost its connection: everything from the start.
            Follow::from(&toft, &project, 0).await?.until_agent_end().await?;
            for route in LOOKS {
                let (status, body) = toft.request("GET", &format!("{of}{route}"), None).await?;
                assert_eq!(status, 200, "{route}: {body}");
            }
            toft.call("GET", "/v1/projects", None).await?;
        }
        let now = machine(&toft, &project).await?;
        assert_eq!((&now["state"], &now["wakes"]), (&json!("frozen"), &frozen["wakes"]));
        assert_eq!(ran(&toft, &project), before, "nothing in it moved");
        if !again {
            toft.kill_server();
            toft.up().await?;
        }
    }
    // What is more than looking lets it go on, where it stood.
    let said = toft.exec(&project, "echo awake").await?;
    assert_eq!(said["stdout"], "awake\n");
    let now = machine(&toft, &project).await?;
    assert_eq!((wakes(&now), &now["wakes"][0]["was"]), (wakes(&frozen) + 1, &json!("frozen")));
    assert_eq!(now["wakes"][0]["cause"], "a command was run");
    session::prompt(&toft, &project, "run `echo again`").await?;
    let mut follow = Follow::from(&toft, &project, last).await?;
    let events = follow.until_agent_end().await?;
    assert!(events.iter().any(|e| e.kind == "tool_end" && e.data.to_string().contains("again")));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_machine_goes_cold_and_one_that_works_does_not() -> Result<()> {
    let toft = Toft::start(Start {
        args: ["--freeze-after", "never", "--cold-after", "1s"].map(str::to_owned).to_vec(),
        ..Start::default()
    })
    .await?;
    let project = toft.new_project("Idle").await?;
    let of = format!("/v1/projects/{project}");
    let rule = toft.call("GET", &format!("{of}/idle"), None).await?;
    assert_eq!(rule, json!({"freezeAfterS": null, "coldAfterS": 1}));
    let ran = toft.exec(&project, "sleep 3; echo done").await?;
    assert_eq!(ran["stdout"], "done\n", "a command is use for as long as it runs");
    session::prompt(&toft, &project, "run `sleep 3; echo finished`").await?;
    let events = Follow::from(&toft, &project, 0).await?.until_agent_end().await?;
    assert!(
        events.iter().any(|e| e.kind == "tool_end" && e.data.to_string().contains("finished")),
        "so is an agent's work"
    );
    toft.until(&format!("{of}/machine"), |m| m["state"] == "cold").await?;
    assert!(toft.init_pid(&project).is_none(), "no process of it is left");
    let never = json!({"coldAfterS": null});
    toft.call("PUT", &format!("{of}/idle"), Some(never)).await?;
    assert_eq!(toft.exec(&project, "echo back").await?["stdout"], "back\n");
    toft.down()
}

/// How many programs of forty could be started.
const FORTY: &str = "for i in $(seq 40); do sleep 5 >/dev/null 2>&1 & done 2>/dev/null; \
                     jobs -p | wc -l; kill $(jobs -p) 2>/dev/null; true";
/// Holds 200 MB in memory, and says how that ended.
const EAT: &str = "head -c 200000000 /dev/zero | tail -c 200000000 | wc -c; echo ${PIPESTATUS[1]}";

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_while_the_machine_runs_and_stay_for_its_next_start() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Limited").await?;
    let of = format!("/v1/projects/{project}");
    let found = toft.call("GET", &format!("{of}/limits"), None).await?;
    let enforced: Vec<&str> =
        found["enforced"].as_array().context("a list")?.iter().filter_map(Value::as_str).collect();
    if !enforced.contains(&"pids") || !enforced.contains(&"memory") {
        lane::skip("limits", format!("this host enforces only {enforced:?}"));
        return toft.down();
    }
    let init = toft.init_pid(&project).context("it runs")?;
    let bridge = toft.bridge(&project).await?;
    let fits = toft.exec(&project, EAT).await?;
    assert_eq!(fits["stdout"], "200000000\n0\n", "{fits}");
    let set = json!({"memoryBytes": 64 << 20});
    toft.call("PUT", &format!("{of}/limits"), Some(set)).await?;
    for again in [false, true] {
        let eaten = toft.exec(&project, EAT).await?;
        assert!(!eaten["stdout"].as_str().unwrap_or_default().ends_with("\n0\n"), "{eaten}");
        if !again {
            assert_eq!(toft.init_pid(&project), Some(init));
            assert_eq!(toft.bridge_pid(&project), Some(bridge), "the bridge is not limited");
            toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
        }
    }
    assert!(processes::one(init).is_none());
    let free = toft.exec(&project, FORTY).await?;
    assert_eq!(free["stdout"], "40\n", "{free}");
    let out = toft.cli(&["limits", "Limited", "--memory", "none", "--pids", "16"])?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let held = toft.exec(&project, FORTY).await?;
    assert_ne!(held["stdout"], "40\n", "{held}");
    let (status, body) =
        toft.request("PUT", &format!("{of}/limits"), Some(json!({"memoryBytes": 4096}))).await?;
    assert_eq!(status, 400, "{body}");
    let out = toft.cli(&["limits", "Limited", "none"])?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let free = toft.exec(&project, FORTY).await?;
    assert_eq!(free["stdout"], "40\n", "{free}");
    let fits = toft.exec(&project, EAT).await?;
    assert_eq!(fits["stdout"], "200000000\n0\n", "{fits}");
    // What the host saw is told by the machine's own events.
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let seen = follow.until(|e| e.kind == "limit" && e.data["kind"] == "memory").await?;
    let hit = seen.last().context("the kill is an event")?.data.clone();
    assert!(hit["command"].as_str().is_some_and(|command| command.contains("tail")), "{hit}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_stands_still_ends_at_its_time_all_the_same() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Paused").await?;
    let of = format!("/v1/projects/{project}");
    if machine(&toft, &project).await?["can"]["freeze"] != true {
        lane::skip("a paused machine", "this host cannot pause one (no cgroup freezer)");
        return toft.down();
    }
    let exec = format!("{of}/exec");
    let order = json!({"command": "echo begun; touch begun; sleep 600", "timeoutMs": 5000});
    let run = toft.call("POST", &exec, Some(order));
    let pause = async {
        let begun = json!({"command": "until test -e begun; do sleep 0.05; done"});
        toft.call("POST", &exec, Some(begun)).await?;
        toft.call("POST", &format!("{of}/freeze"), Some(json!({}))).await
    };
    let (ran, frozen) = tokio::try_join!(run, pause)?;
    assert_eq!(frozen["state"], "frozen", "a person's wish is done whatever runs");
    assert_eq!((&ran["timedOut"], &ran["stdout"]), (&json!(true), &json!("begun\n")));
    let now = machine(&toft, &project).await?;
    assert_eq!(now["wakes"][0]["cause"], "a command's time was over", "{now}");
    toft.down()
}
