//! Files that should not be lost, machines that start again whatever was done to their folders, and
//! files that are read the same whether their machine runs, is paused or sleeps.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use toft_stories::{
    lane,
    podman::Podman,
    toft::{STEP_TIMEOUT, Start, Toft},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_request_never_removes_a_whole_project() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Dear").await?;
    toft.exec(&project, "echo kept > f").await?;
    let files = format!("/v1/projects/{project}/toft/files");
    for path in
        ["", "?path=", "?path=.", "?path=/", "?path=/home", "?path=/home/starter", "?path=/usr"]
    {
        let (status, answer) = toft.request("DELETE", &format!("{files}{path}"), None).await?;
        assert_eq!((status, answer["code"].as_str()), (400, Some("invalid_argument")), "{path}");
    }
    let body = json!({"from": "/", "to": "elsewhere"});
    let (status, answer) = toft.request("POST", &format!("{files}/move"), Some(body)).await?;
    ensure!((400..500).contains(&status), "{status} {answer}");
    assert_eq!(toft.exec(&project, "cat f").await?["stdout"], "kept\n");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_starts_whatever_became_of_its_folders() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    for harm in [
        "rm -rf /home",
        "rm -rf /home /etc /var /tmp /root",
        "rm -rf /home; ln -s /etc/passwd /home",
        "rm -rf /home/project; touch /home/project",
        "rm -rf /home/starter; ln -s nowhere /home/starter",
        "chmod 000 /home /home/starter /home/project",
    ] {
        let project = toft.new_project("Harmed").await?;
        let of = format!("/v1/projects/{project}");
        let body = json!({"command": harm, "cwd": "/"});
        toft.call("POST", &format!("{of}/exec"), Some(body)).await?;
        toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
        let started = toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
        assert_eq!(started["state"], "running", "{harm}");
        toft.call("GET", &format!("{of}/toft/terminals"), None).await?;
        let ran = toft.exec(&project, "pwd; echo works > f && cat f").await?;
        assert_eq!(ran["stdout"], "/home/project\nworks\n", "{harm}: {ran}");
        toft.call("DELETE", &of, None).await?;
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_folder_that_was_removed_is_there_for_the_next_command() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Empty").await?;
    toft.exec(&project, "rm -rf /home/project").await?;
    let ran = toft.exec(&project, "pwd").await?;
    assert_eq!((&ran["stdout"], &ran["exitCode"]), (&json!("/home/project\n"), &json!(0)), "{ran}");
    toft.down()
}

/// Files of every kind in the project, and links to and fro.
const KINDS: &str = r#"set -e
mkdir -p sub/deep; printf 0123456789 > plain.txt; : > empty; echo '<script>' > page.html
echo 'ä' > 'sub/ein Ümlaut.md'; head -c 5000000 /dev/urandom > big.bin; printf x > sub/deep/x
printf '\211PNG' > picture.png; printf secret > closed; chmod 600 closed
ln -s plain.txt near; ln -s "$PWD/sub/../plain.txt" far; ln -s loop loop; ln -s nowhere dangling
ln -s /proc/self/root/etc/passwd magic; mkfifo pipe
"#;
/// The same in the system: changed, added, taken away, made anew.
const SYSTEM: &str = r"
ln -s ../../etc/os-release out; ln -s ../../../../../../../../etc/passwd above; ln -s /usr/bin programs
mkdir -p /usr/local/bin; echo own > /usr/local/bin/own
ln -s ../local/bin/own /usr/bin/own; rm -f /usr/bin/yes
rm -rf /usr/share/doc && mkdir /usr/share/doc && echo x > /usr/share/doc/mine
true";

/// What is looked at: some of them only in their names, because what is in them changes.
const LOOKED_AT: &[&str] = &[
    "",
    ".",
    "sub",
    "sub/deep",
    "sub/ein%20%C3%9Cmlaut.md",
    "plain.txt",
    "empty",
    "near",
    "far",
    "out",
    "above",
    "loop",
    "dangling",
    "pipe",
    "programs",
    "programs/own",
    "no/such",
    "plain.txt/x",
    "/etc/passwd",
    "/etc/hosts",
    "/etc",
    "/bin/sh",
    "/usr",
    "/usr/bin",
    "/usr/bin/env",
    "/usr/bin/yes",
    "/usr/share/doc",
    "/usr/share/doc/mine",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg",
    "/tmp",
    "/root",
    "/home",
    "/opt",
    "a%00b",
    "/home/project/../project/plain.txt",
];
/// What is read as a whole.
const READ: &[&str] = &[
    "plain.txt",
    "empty",
    "page.html",
    "picture.png",
    "near",
    "far",
    "out",
    "above",
    "big.bin",
    "sub/ein%20%C3%9Cmlaut.md",
    "closed",
    "programs/own",
    "/usr/bin/env",
    "/usr/share/doc/mine",
    "/etc/os-release",
    "/var/lib/dpkg/status",
    "sub",
    "pipe",
    "loop",
    "dangling",
    "/usr/bin/yes",
];
/// Headers that ask for a part, or for another version.
const HEADERS: &[(&str, &str)] = &[
    ("range", "bytes=2-4"),
    ("range", "bytes=-3"),
    ("range", "bytes=4-"),
    ("range", "bytes=999999999-"),
    ("if-none-match", "\"other\""),
];

/// An answer as far as it must not depend on who gives it.
type Told = (u16, Vec<(String, String)>, Vec<u8>);

async fn ask(toft: &Toft, path: &str, header: Option<(&str, &str)>) -> Result<Told> {
    let mut request = toft.http().get(format!("{}{path}", toft.base)).bearer_auth(&toft.token);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let answer = request.timeout(STEP_TIMEOUT).send().await?;
    let status = answer.status().as_u16();
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in answer.headers() {
        // How a body is cut into frames says nothing of the file.
        if !["date", "transfer-encoding"].contains(&name.as_str()) {
            headers.push((name.to_string(), value.to_str()?.to_owned()));
        }
    }
    headers.sort();
    Ok((status, headers, answer.bytes().await?.to_vec()))
}

/// All that can be told of those files; without walls only of those in the project.
async fn told(toft: &Toft, project: &str, walled: bool) -> Result<BTreeMap<String, Told>> {
    let files = format!("/v1/projects/{project}/toft/files");
    let shown = |path: &&&str| walled || !path.starts_with('/');
    let mut all = BTreeMap::new();
    for path in LOOKED_AT.iter().filter(shown) {
        let mut told = ask(toft, &format!("{files}?path={path}"), None).await?;
        told.1.retain(|(name, _)| name != "content-length");
        all.insert(format!("look {path}"), told);
    }
    for path in READ.iter().filter(shown) {
        let url = format!("{files}/content?path={path}");
        let whole = ask(toft, &url, None).await?;
        let tag = whole.1.iter().find(|(name, _)| name == "etag").map(|(_, tag)| tag.clone());
        if let Some(tag) = tag {
            let again = ask(toft, &url, Some(("if-none-match", &tag))).await?;
            ensure!(again.0 == 304, "{path} with its own tag: {}", again.0);
            all.insert(format!("unchanged {path}"), again);
        }
        all.insert(format!("read {path}"), whole);
        for (name, value) in HEADERS {
            let part = ask(toft, &url, Some((name, value))).await?;
            all.insert(format!("read {path} {name}: {value}"), part);
        }
    }
    Ok(all)
}

/// Reads everything while the machine runs, and again in every way in which it rests.
async fn read_in_every_state(start: Start, walled: bool) -> Result<()> {
    let mut toft = Toft::start(start).await?;
    let project = toft.new_project("Reader").await?;
    for script in [Some(KINDS), walled.then_some(SYSTEM)].into_iter().flatten() {
        let ran = toft.exec(&project, script).await?;
        ensure!(ran["exitCode"] == 0, "{ran}");
    }
    let of = format!("/v1/projects/{project}");
    let running = told(&toft, &project, walled).await?;
    for (what, status) in [
        ("look ", 200),
        ("look loop", 400),
        ("read near", 200),
        ("read pipe", 400),
        ("read big.bin range: bytes=2-4", 206),
        ("read big.bin range: bytes=999999999-", 416),
    ] {
        ensure!(running[what].0 == status, "{what}: {}", running[what].0);
    }
    let machine = async |toft: &Toft| toft.call("GET", &format!("{of}/machine"), None).await;
    let can_freeze = machine(&toft).await?["can"]["freeze"] == true;
    for how in ["freeze", "sleep", "a new server", "stop"] {
        if how == "freeze" && !can_freeze {
            lane::skip("a paused machine", "this host cannot pause one (no cgroup freezer)");
            continue;
        }
        if how == "a new server" {
            toft.kill_server();
            toft.up().await?;
        } else {
            toft.call("POST", &format!("{of}/{how}"), Some(json!({}))).await?;
        }
        let before = machine(&toft).await?;
        let resting = told(&toft, &project, walled).await?;
        for (what, told) in &running {
            let now = &resting[what];
            let text = |(status, headers, body): &Told| {
                let body = String::from_utf8_lossy(&body[..body.len().min(3_000)]).into_owned();
                format!("{status} {headers:?} {body}")
            };
            ensure!(told == now, "{how}: {what}:\n{}\nand not\n{}", text(now), text(told));
        }
        // What a system has only while it runs is told apart from what is not there.
        let mut absent = vec!["/proc/version", "/run", "/dev/null", "magic"];
        if !walled {
            absent.extend(["/", "/etc/passwd", ".."]);
        }
        for path in absent {
            let (status, answer) =
                toft.request("GET", &format!("{of}/toft/files?path={path}"), None).await?;
            ensure!((status, &answer["code"]) == (409, &json!("unavailable")), "{path}: {answer}");
        }
        let after = machine(&toft).await?;
        ensure!(before["wakes"] == after["wakes"] && before["state"] == after["state"], "{after}");
    }
    // Changing one wakes it, once.
    toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    let slept = toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let url = format!("{}{of}/toft/files/content?path=plain.txt", toft.base);
    let put = toft.http().put(url).bearer_auth(&toft.token).body("new").send().await?;
    ensure!(put.status() == 200, "{}", put.status());
    let woken = machine(&toft).await?;
    let wakes = |machine: &Value| machine["wakes"].as_array().map_or(0, Vec::len);
    ensure!(wakes(&woken) == wakes(&slept) + 1, "{woken}");
    assert_eq!(woken["wakes"][0]["cause"], "PUT files/content");
    toft.call("DELETE", &of, None).await?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_the_same_whether_the_machine_runs_or_rests() -> Result<()> {
    read_in_every_state(Start::default(), true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_the_same_in_every_state_without_walls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let allowed = folder.path().join("allowed");
    std::fs::create_dir(&allowed)?;
    let args = ["--backend", "host", "--allow-host", &allowed.display().to_string()];
    let start = Start { args: args.map(str::to_owned).to_vec(), ..Start::default() };
    read_in_every_state(start, false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_the_same_in_every_state_of_a_container() -> Result<()> {
    let Some(podman) = Podman::start("files at rest on oci")? else { return Ok(()) };
    read_in_every_state(Start { args: podman.args(), ..Start::default() }, true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_read_while_its_project_goes_back_is_the_old_one_or_the_new_one()
-> Result<()> {
    const FILES: usize = 300;
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Back").await?;
    let of = format!("/v1/projects/{project}");
    let mut kept = Vec::new();
    for version in ["old", "new"] {
        let fill = format!(
            "rm -rf d; mkdir d; for i in $(seq {FILES}); do echo {version} > d/{version}-$i; done; \
             yes {version} | head -c 300000 > f"
        );
        let ran = toft.exec(&project, &fill).await?;
        ensure!(ran["exitCode"] == 0, "{ran}");
        let checkpoint = toft.call("POST", &format!("{of}/checkpoints"), Some(json!({}))).await?;
        kept.push(checkpoint["id"].as_str().context("an id")?.to_owned());
    }
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let ends = std::sync::atomic::AtomicBool::new(false);
    let looking = async || -> Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        while !ends.load(SeqCst) {
            let listed = ask(&toft, &format!("{of}/toft/files?path=d"), None).await?;
            ensure!(listed.0 == 200, "{}: {}", listed.0, String::from_utf8_lossy(&listed.2));
            let listed: Value = serde_json::from_slice(&listed.2)?;
            let entries = listed["data"]["entries"].as_array().context("a list")?;
            let count = |version: &str| {
                let names = entries.iter().filter_map(|entry| entry["name"].as_str());
                names.filter(|name| name.starts_with(version)).count()
            };
            let both = (count("old"), count("new"));
            ensure!([(FILES, 0), (0, FILES)].contains(&both), "a mixture: {both:?}");
            let read = ask(&toft, &format!("{of}/toft/files/content?path=f"), None).await?;
            ensure!(read.0 == 200 && read.2.len() == 300_000, "{} {}", read.0, read.2.len());
            let text = String::from_utf8(read.2)?;
            let whole = ["old\n", "new\n"].iter().any(|v| text == v.repeat(75_000));
            ensure!(whole, "a mixture: {:?}…", &text[..40]);
            looks.fetch_add(1, SeqCst);
        }
        Ok(())
    };
    let going_back = async {
        for round in 0..6 {
            let route = format!("{of}/checkpoints/{}/restore", kept[round % 2]);
            toft.call("POST", &route, Some(json!({}))).await?;
            toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
        }
        anyhow::Ok(())
    };
    let going_back = async {
        let done = going_back.await;
        ends.store(true, std::sync::atomic::Ordering::SeqCst);
        done
    };
    let (back, one, two) = tokio::join!(going_back, looking(), looking());
    back.and(one).and(two)?;
    ensure!(looks.into_inner() > 10, "too few looks to say anything");
    // Deleted meanwhile: what it was, or that there is no such project.
    let looking = async {
        loop {
            let told = ask(&toft, &format!("{of}/toft/files?path=d"), None).await?;
            match told.0 {
                200 => {
                    let listed: Value = serde_json::from_slice(&told.2)?;
                    let entries = listed["data"]["entries"].as_array().map_or(0, Vec::len);
                    ensure!(entries == FILES, "a part of it: {entries}");
                }
                404 => return anyhow::Ok(told),
                status => anyhow::bail!("{status}: {}", String::from_utf8_lossy(&told.2)),
            }
        }
    };
    let (gone, told) = tokio::join!(toft.call("DELETE", &of, None), looking);
    gone?;
    ensure!(String::from_utf8_lossy(&told?.2).contains("project not found"), "it says why");
    toft.down()
}
