//! What one program, one run, one project finds of another: no open file, no right, no port.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};
use toft_stories::{
    lane,
    session::{self, Follow},
    toft::{Start, Toft},
};

async fn says(toft: &Toft, project: &str, command: &str) -> Result<String> {
    let ran = toft.exec(project, command).await?;
    ensure!(ran["exitCode"] == 0, "{command}: {ran}");
    Ok(ran["stdout"].as_str().unwrap_or_default().trim().to_owned())
}

/// Writes down the descriptors that it was started with, and what they are, but for the one that the
/// interpreter reads the script by.
const LOOK: &str = r#"opendir(D, "/proc/self/fd"); my @n = sort { $a <=> $b } grep { /^\d/ } readdir D; closedir D;
my %f = map { ($_, readlink "/proc/self/fd/$_") } @n; my @l = map { "$_=$f{$_}" } grep { defined $f{$_} && $f{$_} !~ /look\.pl$/ } @n;
open(F, ">", "/root/$ARGV[0].new"); print F join(" ", @l); close F; rename "/root/$ARGV[0].new", "/root/$ARGV[0].fds";"#;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_starts_a_program_it_has_three_descriptors_and_no_more() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Descriptors").await?;
    let of = format!("/v1/projects/{project}");
    says(&toft, &project, &format!("cat > /root/look.pl <<'E'\n{LOOK}\nE")).await?;
    let look = |who: &str| format!("perl /root/look.pl {who}");
    // The script sees a fourth, where there is one.
    says(&toft, &project, &format!("exec 7< /etc/hostname; {}", look("control"))).await?;
    says(&toft, &project, &look("command")).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, &format!("run `{}`", look("agent"))).await?;
    follow.until_agent_end().await?;
    let terminal = json!({"cols": 80, "rows": 24, "command": look("terminal")});
    toft.call("POST", &format!("{of}/toft/terminals"), Some(terminal)).await?;
    let order = json!({"name": "look", "when": {"everyS": 1}, "do": {"command": look("schedule")}});
    toft.call("POST", &format!("{of}/schedules"), Some(order)).await?;
    let declare = format!(
        "python3 - <<'E'\nimport sqlite3\ndb = sqlite3.connect('/home/starter/inspect.db', timeout=5)\n\
         db.execute(\"INSERT INTO services(id,name,type,port,status,command) \
         VALUES('look','Look','app',3000,'running','{}; exec sleep 4322')\")\ndb.commit()\nE",
        look("service")
    );
    says(&toft, &project, &declare).await?;
    let whose = ["agent", "command", "schedule", "service", "terminal"];
    let mut found = String::new();
    for _ in 0..600 {
        let show = "cd /root && for f in *.fds; do echo \"${f%.fds} $(cat $f)\"; done";
        found = says(&toft, &project, show).await?;
        if found.lines().count() == whose.len() + 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let all: Vec<Vec<&str>> = found.lines().map(|l| l.split(' ').collect()).collect();
    let names: Vec<&str> = all.iter().map(|one| one[0]).filter(|n| *n != "control").collect();
    assert_eq!(names, whose, "{found}");
    for one in all {
        let (numbers, kinds): (Vec<&str>, Vec<&str>) =
            one[1..].iter().filter_map(|f| f.split_once('=')).unzip();
        if one[0] == "control" {
            assert_eq!(numbers, ["0", "1", "2", "7"], "{found}");
            continue;
        }
        assert_eq!(numbers, ["0", "1", "2"], "{found}");
        // No socket of the machine's own, no file of the host.
        let plain = |kind: &&str| {
            ["pipe:", "/dev/null", "/dev/pts/", "/dev/console"].iter().any(|k| kind.starts_with(k))
        };
        assert!(kinds.iter().all(plain), "{found}");
    }
    toft.down()
}

/// As an ordinary user inside: the program that the last run left.
const AS_SOMEBODY: &str =
    "cd / && perl -e '$( = $) = q(1000 1000); $< = $> = 1000; $< == 1000 or die; exec @ARGV' ";

#[tokio::test(flavor = "multi_thread")]
async fn what_one_run_leaves_gives_the_next_no_rights_and_the_host_none() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Heirloom").await?;
    let of = format!("/v1/projects/{project}");
    let leave = "mkdir -p /home/project/left && cd /home/project/left && cp /bin/sh s && \
                 chmod 6755 s && cp /bin/cat c && stat -c %a s";
    assert_eq!(says(&toft, &project, leave).await?, "6755");
    for node in ["b 7 0", "c 1 1"] {
        let made = toft.exec(&project, &format!("mknod /home/project/left/d {node}")).await?;
        let said = made["stderr"].as_str().unwrap_or_default();
        ensure!(made["exitCode"] == 1 && said.contains("not permitted"), "{node}: {made}");
    }
    let with_capabilities = if cfg!(target_arch = "x86_64") {
        // setxattr: the format of version 2 with the effective bit, and chown.
        let set = "perl -e 'my ($p, $n, $v) = (q(/home/project/left/c), q(security.capability), \
                   pack(q(V5), 0x02000001, 1, 0, 0, 0)); \
                   exit(syscall(188, $p, $n, $v, 20, 0) == 0 ? 0 : 1)'";
        toft.exec(&project, set).await?["exitCode"] == 0
    } else {
        false
    };
    if !with_capabilities {
        lane::skip("capabilities of a file", "none can be given to one here");
    }
    // Asleep it can be forked wherever disks lie.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let forks = toft.call("POST", &format!("{of}/fork"), Some(json!({}))).await?;
    let fork = forks["projects"][0]["id"].as_str().context("a fork")?.to_owned();
    for heir in [&project, &fork] {
        let bits = says(&toft, heir, "stat -c %a /home/project/left/s").await?;
        assert_eq!(bits, "6755", "the bits are kept");
        let ids = says(&toft, heir, "cat /proc/self/uid_map").await?;
        if ids.split_whitespace().last() == Some("1") {
            lane::skip("rights inside a machine", "its root is the only user that there can be");
            continue;
        }
        let shell = "/home/project/left/s -p -c 'id -u; id -g; grep CapEff /proc/self/status'";
        let got = says(&toft, heir, &format!("{AS_SOMEBODY} {shell}")).await?;
        assert_eq!(got, "1000\n1000\nCapEff:\t0000000000000000");
        let cat = "/home/project/left/c /proc/self/status";
        let got = says(&toft, heir, &format!("{AS_SOMEBODY} {cat} | grep CapEff")).await?;
        assert_eq!(got, "CapEff:\t0000000000000000");
    }
    // The file belongs to root on the host's disk too: no user of the host gets to it.
    if lane::root() {
        let parent = toft.data.parent().context("a parent")?;
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
        let left = toft.data.join("store/pool/p").join(&project).join("rootfs/home/project/left/s");
        let mode = fs::metadata(&left)?.permissions().mode();
        assert_eq!(mode & 0o6000, 0o6000, "it is there with its bits");
        let nobody = |argv: &[&Path]| {
            Command::new("setpriv")
                .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"])
                // `setpriv` itself still has root's rights when it starts its program.
                .args(["sh", "-c", "exec \"$@\"", "sh"])
                .args(argv)
                .output()
        };
        ensure!(nobody(&[Path::new("ls"), parent])?.status.success(), "the way there is open");
        let tried = nobody(&[&left, Path::new("-c"), Path::new("id -u")])?;
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        ensure!(!tried.status.success() && said.contains("ermission denied"), "{tried:?}");
    } else {
        lane::skip("a user of the host", "only root can be another one");
    }
    toft.down()
}

/// A port that nobody of the host should have: what listens there is this story's.
const PORT: u16 = 3456;

#[tokio::test(flavor = "multi_thread")]
async fn projects_and_the_host_may_have_the_same_port() -> Result<()> {
    // Whoever has it, it is taken.
    let host = std::net::TcpListener::bind(("127.0.0.1", PORT));
    if let Ok(host) = &host {
        host.set_nonblocking(true)?;
    }
    let toft = Toft::start(Start::default()).await?;
    let mut projects = Vec::new();
    for name in ["One", "Two"] {
        let project = toft.new_project(name).await?;
        let serve = format!(
            "mkdir -p /root/www && cd /root/www && printf %s {name} > name && \
             (setsid python3 -m http.server {PORT} --bind 127.0.0.1 >/dev/null 2>&1 &); \
             for i in $(seq 200); do (exec 3<>/dev/tcp/127.0.0.1/{PORT}) 2>/dev/null && exit 0; sleep 0.05; done; exit 1"
        );
        says(&toft, &project, &format!("bash -c '{serve}'")).await?;
        let path = format!("/v1/projects/{project}/preview");
        let preview = toft.call("POST", &path, Some(json!({"port": PORT}))).await?;
        let url = preview["url"].as_str().context("a URL")?;
        let origin = url.split('/').nth(2).context("a host")?.to_owned();
        projects.push((name, project, origin));
    }
    assert_ne!(projects[0].2, projects[1].2, "each has an address of its own");
    let ask = async |origin: &str| {
        let request = toft.http().get(format!("{}/name", toft.base)).header("host", origin);
        anyhow::Ok(request.bearer_auth(&toft.token).send().await?.text().await?)
    };
    for (name, _, origin) in &projects {
        assert_eq!(ask(origin).await?, *name);
    }
    // One goes, and its address leads nowhere else.
    let (_, first, gone) = &projects[0];
    toft.call("DELETE", &format!("/v1/projects/{first}"), None).await?;
    assert_ne!(ask(gone).await?, "Two");
    assert_eq!(ask(&projects[1].2).await?, "Two");
    if let Ok(host) = host {
        assert!(host.accept().is_err(), "a visit arrived at the host's port");
    }
    toft.down()
}
