//! A machine that means harm: what its programs try against init and bridge, the host that starts
//! and deletes it, its neighbour, and the server that reads what it says. Each attack has a control,
//! so that a tool that is missing does not pass for a wall.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{fs, path::Path};
use toft_stories::{
    lane,
    podman::Podman,
    toft::{Start, Toft},
};

pub(crate) async fn sh(toft: &Toft, project: &str, command: &str) -> Result<(i64, String)> {
    let ran = toft.exec(project, command).await?;
    let code = ran["exitCode"].as_i64().unwrap_or(-1);
    Ok((code, ran["stdout"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_cannot_rob_trace_or_read_init_and_bridge() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Robber").await?;
    // pidfd_open, then pidfd_getfd for every number: the sockets of init and bridge among them.
    let rob = |pid: &str| {
        format!(
            "perl -e 'my $p = syscall(434, {pid} + 0, 0); die if $p < 0; \
             print join \",\", grep {{ syscall(438, $p, $_, 0) >= 0 }} 0..40'"
        )
    };
    let (code, own) = sh(&toft, &project, &rob("$$")).await?;
    assert!(code == 0 && own.starts_with("0,1,2"), "a process may take its own: {code} {own}");
    let bridge =
        sh(&toft, &project, "grep -al '/[r]un/toft/toft.bridge' /proc/[0-9]*/cmdline").await?;
    let bridge = bridge.1.split('/').nth(2).context("the bridge shows in /proc")?.to_owned();
    for pid in ["1", &bridge] {
        assert_eq!(sh(&toft, &project, &rob(pid)).await?, (0, String::new()), "pid {pid}");
        for file in ["fd/2", "mem", "environ", "maps", "root/", "cwd/"] {
            let read = format!(
                "head -c 1 /proc/self/status && ls /proc/{pid}/{file}* >/dev/null && head -c 1 /proc/{pid}/{file}"
            );
            let (code, out) = sh(&toft, &project, &read).await?;
            assert!(code != 0 && out == "N", "pid {pid} {file}: {code} {out:?}");
        }
        if cfg!(target_arch = "x86_64") {
            // PTRACE_ATTACH: a stopped init would hang the machine.
            let trace = format!("perl -e 'exit(syscall(101, 16, {pid}, 0, 0) == 0 ? 0 : 1)'");
            assert_eq!(sh(&toft, &project, &trace).await?.0, 1, "pid {pid}");
        }
    }
    assert_eq!(sh(&toft, &project, "echo alive").await?.1, "alive\n");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_change_walls_or_reach_the_kernel_are_refused() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Escape").await?;
    calls_are_refused(&toft, &project).await?;
    let (_, status) = sh(&toft, &project, "cat /proc/self/status /proc/1/status").await?;
    let caps: Vec<&str> = status.lines().filter_map(|l| l.strip_prefix("CapBnd:\t")).collect();
    // Init's is one more: the one that closes it and the bridge to all others.
    assert_eq!(caps, ["00000000a00405fb", "00000008a00405fb"]);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_calls_are_refused_in_a_container() -> Result<()> {
    let Some(podman) = Podman::start("calls in a container")? else { return Ok(()) };
    let toft = Toft::start(Start { args: podman.args(), ..Start::default() }).await?;
    let project = toft.new_project("Boxed").await?;
    calls_are_refused(&toft, &project).await?;
    toft.down()
}

async fn calls_are_refused(toft: &Toft, project: &str) -> Result<()> {
    let tools = "perl -e 'exit(syscall(39) > 0 ? 0 : 1)' && \
                 for t in unshare mount umount mknod dmesg date mkdir; do command -v $t || exit 1; done";
    if cfg!(target_arch = "x86_64") {
        assert_eq!(sh(toft, project, tools).await?.0, 0, "the tools of this test are there");
    }
    let mut calls: Vec<(&str, String)> = vec![
        ("user namespace", "unshare --user true".into()),
        ("mount namespace", "unshare --mount true".into()),
        ("mount", "mount -t tmpfs x /mnt".into()),
        ("remount /usr", "mount -o remount,rw /run/toft/toft".into()),
        ("unmount", "umount /proc".into()),
        ("block device", "mknod /tmp/disk b 254 0".into()),
        ("character device", "mknod /tmp/mem c 1 1".into()),
        ("the host's log", "dmesg".into()),
        ("clock", "date -s 2020-01-01".into()),
        ("write the binary", "echo x >> /run/toft/toft".into()),
        ("sysrq", "test -w /proc/sysrq-trigger && echo h > /proc/sysrq-trigger".into()),
        ("core pattern", "echo '|/bin/sh' > /proc/sys/kernel/core_pattern".into()),
        ("control groups", "mkdir /sys/fs/cgroup && mount -t cgroup2 x /sys/fs/cgroup".into()),
        ("packet socket", "perl -e 'socket(my $s, 17, 3, 768) or exit 1'".into()),
        ("vsock", "perl -e 'socket(my $s, 40, 1, 0) or exit 1'".into()),
        ("netfilter", "perl -e 'socket(my $s, 16, 3, 12) or exit 1'".into()),
        ("raw socket", "perl -e 'socket(my $s, 2, 3, 1) or exit 1'".into()),
    ];
    if cfg!(target_arch = "x86_64") {
        for (name, number) in [
            ("keyctl", 250),
            ("add_key", 248),
            ("bpf", 321),
            ("perf", 298),
            ("userfaultfd", 323),
            ("io_uring", 425),
            ("open_by_handle_at", 304),
            ("setns", 308),
            ("fsopen", 430),
            ("kexec", 246),
            ("init_module", 175),
            ("clone3", 435),
        ] {
            // Refused before its arguments are looked at: EPERM (1) or ENOSYS (38), not EFAULT.
            let call = format!(
                "perl -e 'my $r = syscall({number}, -1, 0, 0, 0, 0); exit(($! == 1 || $! == 38) ? 1 : 0)'"
            );
            calls.push((name, call));
        }
    }
    for (name, call) in calls {
        let (code, out) = sh(toft, project, &format!("( {call} ) 2>/dev/null")).await?;
        // 126 and 127: the shell did not get as far as trying it.
        assert!(!matches!(code, 0 | 126 | 127), "{name} was not refused: {code} {out}");
    }
    let (_, status) = sh(toft, project, "cat /proc/self/status /proc/1/status").await?;
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert_eq!(status.matches(line).count(), 2, "{line} for work and for init: {status}");
    }
    Ok(())
}

/// Deeper than the server's stack, were it to follow.
const DEEP: usize = 15_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_project_of_any_shape_can_be_deleted_and_links_lead_nowhere() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Deep").await?;
    let other = toft.new_project("Bystander").await?;
    let outside = tempfile::Builder::new().prefix("toft-outside").tempdir()?;
    fs::write(outside.path().join("kept"), "x")?;
    let plant = format!(
        "ln -s {} link && mkfifo pipe && \
         perl -e 'for (1..{DEEP}) {{ mkdir q(a) or die; chdir q(a) or die }}'",
        outside.path().display()
    );
    assert_eq!(sh(&toft, &project, &format!("cd /home/project && {plant}")).await?.0, 0);
    // Last: so many folders among its logs may end the machine.
    toft.in_log_folder(&project, &plant)?;
    let server = toft.server_pid();
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    assert!(!toft.data.join("logs").join(&project).exists(), "its log is gone");
    assert_eq!(fs::read_to_string(outside.path().join("kept"))?, "x");
    assert_eq!(sh(&toft, &other, "echo alive").await?.1, "alive\n");
    assert_eq!(toft.server_pid(), server);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_place_of_the_logs_neither_hangs_nor_leads_the_server() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let marker = tempfile::Builder::new().prefix("toft-marker").tempfile()?;
    fs::write(
        marker.path(),
        "{\"seq\":1,\"ts\":1,\"kind\":\"notify\",\"data\":{\"m\":\"of-the-host\"}}\n",
    )?;
    let link = format!("ln -s {} ", marker.path().display());
    for plant in [
        "rm events.jsonl && mkfifo events.jsonl".to_owned(),
        format!("rm events.jsonl && {link} events.jsonl"),
        "truncate -s 1T events.jsonl".to_owned(),
        "rm events.jsonl && mkdir events.jsonl".to_owned(),
        "rm -r exec && mkfifo exec".to_owned(),
        format!("rm -f init.log && {link} init.log"),
        "rm -f init.log && mkdir init.log && touch init.log/x".to_owned(),
    ] {
        let project = toft.new_project("Planter").await?;
        let path = format!("/v1/projects/{project}");
        // The log's file may not hold a terabyte everywhere.
        let _ = toft.in_log_folder(&project, &plant);
        toft.call("POST", &format!("{path}/stop"), Some(json!({}))).await?;
        let (_, events) = toft.request("GET", &format!("{path}/toft/messages"), None).await?;
        assert!(!events.to_string().contains("of-the-host"), "{plant}: {events}");
        // It starts again, or says why not; then it can go.
        let (status, started) =
            toft.request("POST", &format!("{path}/start"), Some(json!({}))).await?;
        assert!(status == 200 || started["error"]["code"].is_string(), "{plant}: {started}");
        assert!(!started.to_string().contains("of-the-host"), "{plant}: {started}");
        toft.call("DELETE", &path, None).await?;
        assert!(fs::read_to_string(marker.path())?.starts_with("{\"seq\":1,"), "{plant}");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_project_is_called_its_machine_has_a_plain_host_name() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let long = "x".repeat(200);
    for name in [
        "a\n127.0.0.1 evil.test",
        "<img src=x onerror=alert(1)>",
        "\u{202e}gnp.exe",
        "",
        "../../x",
        "$(reboot)",
        "a\u{0}b",
        "-rf /",
        long.as_str(),
        "ﷺ",
        "a.b.c",
        "toft",
    ] {
        let (status, made) =
            toft.request("POST", "/v1/projects", Some(json!({"name": name}))).await?;
        if status != 200 {
            assert_eq!(made["error"]["code"], "invalid_argument", "{name:?}: {made}");
            continue;
        }
        let id = made["data"]["id"].as_str().context("an id")?.to_owned();
        let (code, out) =
            sh(&toft, &id, "hostname && wc -l < /etc/hosts && grep -c evil /etc/hosts").await?;
        let mut lines = out.lines();
        let host = lines.next().unwrap_or_default();
        let plain = host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        assert!(
            plain && (1..=63).contains(&host.len()) && !host.starts_with('-'),
            "{name:?}: {host}"
        );
        assert!(code == 1 || host.contains("evil"), "no line of its own in /etc/hosts: {out}");
        toft.call("DELETE", &format!("/v1/projects/{id}"), None).await?;
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_believes_one_token_and_its_proxy_reads_hosts_one_way() -> Result<()> {
    let key = "sk-test-of-attacks";
    let toft = Toft::start(Start {
        env: vec![
            ("ANTHROPIC_API_KEY".into(), key.into()),
            ("ANTHROPIC_BASE_URL".into(), "http://127.0.0.1:9/base".into()),
        ],
        ..Start::default()
    })
    .await?;
    let (a, b) = (toft.new_project("A").await?, toft.new_project("B").await?);
    let (_, token) = sh(&toft, &a, "printf %s $TOFT_TOKEN").await?;
    let (_, other) = sh(&toft, &b, "printf %s $TOFT_TOKEN").await?;
    assert!(token.len() >= 32 && token != other);
    // Raw bytes, because clients tidy up what an attacker would not.
    let ask = |port: u16, head: String| {
        let (toft, a) = (&toft, &a);
        async move {
            // The first line of the proxy is enough; it keeps its connections.
            let read = if port == 80 { "cat" } else { "head -n 1" };
            let command = format!(
                "exec 3<>/dev/tcp/127.77.0.1/{port}; printf '%b' '{head}' >&3; timeout 5 {read} <&3"
            );
            anyhow::Ok(sh(toft, a, &command).await?.1)
        }
    };
    let get = |path: &str, auth: &str| {
        format!(
            "GET {path} HTTP/1.1\\r\\nHost: gateway.internal\\r\\nConnection: close\\r\\n{auth}\\r\\n"
        )
    };
    let bearer = |t: &str| format!("Authorization: Bearer {t}\\r\\n");
    assert!(ask(80, get("/llm/models", &bearer(&token))).await?.starts_with("HTTP/1.1 200"));
    for auth in
        [String::new(), bearer(&other), bearer(""), bearer(&toft.token), bearer(&token[1..])]
    {
        for path in ["/llm/models", "/llm/anthropic/v1/messages", "/"] {
            let answer = ask(80, get(path, &auth)).await?;
            assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        }
    }
    let mine = bearer(&token);
    for path in [
        "/llm/anthropic/../../x",
        "/llm/anthropic/%2e%2e/x",
        "/llm/anthropic/v1/..%2f..%2fx",
        "/llm/anthropic/%5c..%5cx",
        "/llm/anthropic%2f../x",
        "/llm/../anthropic/x",
        "/llm//v1",
        "/llm/an%74hropic/v1",
        "/llm/127.0.0.1:9/x",
        "/llm/demo/x",
        "http://127.0.0.1:9/llm/anthropic/../x",
        "/llm/anthropic@evil.test/x",
    ] {
        let answer = ask(80, get(path, &mine)).await?;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(matches!(&*status, "400" | "404"), "{path}: {answer}");
        assert!(!answer.contains(key), "{path}");
    }
    // Two lengths: refused before anything is passed on.
    let smuggle = format!(
        "POST /llm/anthropic/v1/messages HTTP/1.1\\r\\nHost: x\\r\\n{mine}Content-Length: 4\\r\\nConnection: close\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET /llm/models HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
    );
    assert!(!ask(80, smuggle).await?.contains("HTTP/1.1 200"), "a second request hid in the first");

    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    for host in [
        "gateway.internal:80",
        "gateway.internal:3128",
        "127.77.0.1:80",
        "localhost.:80",
        "evil.test\\x00.example.com:80",
        "evil.test#.example.com:80",
        "example.com@127.0.0.1:80",
        "127.1:80",
        "0x7f.1:80",
        "0177.0.0.1:80",
        "127.0.0.1.:80",
        "[::ffff:7f00:1]:80",
        "[::127.0.0.1]:80",
        "[64:ff9b::7f00:1]:80",
        "[fe80::1%25lo]:80",
        "169.254.169.254:80",
        "[fd00:ec2::254]:80",
        "metadata.google.internal:80",
        "2852039166:80",
        "0:80",
        "10.0.0.1:22",
        "%6cocalhost:80",
        "ⓛocalhost:80",
        " 127.0.0.1:80",
        "127.0.0.1:80 x",
        "evil.test:80:80",
        "..:80",
    ] {
        let host = host.replace(":80", &format!(":{port}"));
        for line in [
            format!("CONNECT {host} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n"),
            format!(
                "GET http://{host}/ HTTP/1.1\\r\\nHost: example.com\\r\\nConnection: close\\r\\n\\r\\n"
            ),
        ] {
            let answer = ask(3128, line).await?;
            let first = answer.lines().next().unwrap_or_default().to_owned();
            // An empty answer: what came was no HTTP at all.
            let refused = [" 400", " 403", " 502"].iter().any(|s| first.contains(s));
            assert!(refused || first.is_empty(), "{host}: {answer}");
        }
    }
    // `Host` does not decide, and neither do two of them.
    let two = format!(
        "GET http://localhost:{port}/ HTTP/1.1\\r\\nHost: example.com\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n"
    );
    assert!(!ask(3128, two).await?.contains(" 200"));
    assert!(listener.accept().is_err(), "nobody called");

    // Outside, the project's token is nobody's.
    for (name, value) in [("authorization", format!("Bearer {token}")), ("x-agent-api-key", token)]
    {
        let answer = toft
            .http()
            .get(format!("{}/v1/projects", toft.base))
            .header(name, value)
            .send()
            .await?;
        assert_eq!(answer.status(), 401);
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn init_and_bridge_have_limits_too() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Limits").await?;
    let machine: Value = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    let in_force = machine["enforced"].as_array().is_some_and(|all| {
        all.iter().any(|a| a["name"] == "process limit" && a["enforced"] == true)
    });
    if !in_force {
        lane::skip("limits of init and bridge", "no process limit on this host");
        return toft.down();
    }
    let wanted = machine["limits"]["pids"].as_u64().context("a limit")?;
    // What of the groups is shown inside widens nothing that counts.
    let widen = "for f in $(find /run/toft/cg -name '*.max' -o -name '*limit_in_bytes'); do \
                 echo max > $f; echo -1 > $f; done 2>/dev/null; setsid sleep 4321 & echo";
    sh(&toft, &project, widen).await?;
    let processes = toft.machine_processes(&project);
    let work = processes.iter().find(|p| p.argv.iter().any(|a| a == "4321")).map(|p| p.pid);
    assert_eq!(pids_max(work.context("it sleeps")?)?, Some(wanted));
    for pid in [toft.init_pid(&project), Some(toft.bridge(&project).await?)] {
        let pid = pid.context("it runs")?;
        let max = pids_max(pid)?.context("its group has a limit")?;
        assert!((wanted..wanted + 1024).contains(&max), "pid {pid}: {max} of {wanted}");
    }
    toft.down()
}

/// The narrowest process limit of the groups that a process is in.
fn pids_max(pid: u32) -> Result<Option<u64>> {
    let mut narrowest = None;
    for line in fs::read_to_string(format!("/proc/{pid}/cgroup"))?.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mount = mounts.lines().find_map(|l| {
            let (left, right) = l.split_once(" - ")?;
            let options = right.rsplit(' ').next()?;
            let fits = if names.is_empty() {
                right.starts_with("cgroup2 ")
            } else {
                names == "pids"
                    && right.starts_with("cgroup ")
                    && options.split(',').any(|o| o == "pids")
            };
            fits.then(|| left.split(' ').nth(4).map(str::to_owned))?
        });
        let Some(mount) = mount else { continue };
        let mut at = Path::new(&mount).join(path.trim_start_matches('/'));
        while at.starts_with(&mount) && at != Path::new(&mount) {
            let max =
                fs::read_to_string(at.join("pids.max")).ok().and_then(|t| t.trim().parse().ok());
            narrowest = narrowest.into_iter().chain(max).min();
            if !at.pop() {
                break;
            }
        }
    }
    Ok(narrowest)
}
