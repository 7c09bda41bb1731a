//! Images as people use them, by the command line: a root tarball with a set-up that runs once, a
//! template of a project, and a server that is killed while one is made.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};
use toft_stories::{
    abilities::rest_if_needed,
    lane,
    session::{self, Follow},
    toft::{Start, Toft},
};

/// What the set-up leaves: a number that no second run makes again.
const SETUP: &str = "#!/bin/sh\nset -e\nmkdir -p /opt/tool\n\
cat /proc/sys/kernel/random/uuid > /opt/tool/id\necho ran >> /opt/tool/runs\n\
echo left > /home/starter/left\n";

/// A root tarball around a static busybox; `None`, and says why, where there is none.
pub(crate) fn little(dir: &Path) -> Result<Option<PathBuf>> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| {
        let dynamic = |bytes: Vec<u8>| bytes.windows(9).any(|w| w == b"/ld-linux");
        fs::read(path).is_ok_and(|bytes| !dynamic(bytes))
    });
    let Some(busybox) = found else {
        lane::skip("images", "no static busybox here (package `busybox-static`)");
        return Ok(None);
    };
    let root = dir.join("rootfs");
    fs::create_dir_all(root.join("bin"))?;
    fs::create_dir_all(root.join("etc"))?;
    fs::copy(busybox, root.join("bin/busybox"))?;
    for name in ["sh", "cat", "chmod", "ls", "mkdir", "sleep", "touch", "echo", "wc", "id"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    fs::write(root.join("etc/os-release"), "ID=little\n")?;
    let tarball = dir.join("little.tar.gz");
    let packed =
        Command::new("tar").arg("-C").arg(&root).arg("-czf").arg(&tarball).arg(".").status()?;
    ensure!(packed.success(), "tar failed");
    Ok(Some(tarball))
}

fn say(toft: &Toft, args: &[&str]) -> Result<Value> {
    let out = toft.cli(&[args, &["--json"]].concat())?;
    ensure!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(serde_json::from_slice(&out.stdout)?)
}

fn id(value: &Value) -> Result<String> {
    Ok(value["id"].as_str().context("it has an id")?.to_owned())
}

async fn says(toft: &Toft, project: &str, command: &str) -> Result<String> {
    let done = toft.exec(project, command).await?;
    ensure!(done["exitCode"] == 0, "{command}: {done}");
    Ok(done["stdout"].as_str().unwrap_or_default().trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_project_of_an_image_is_a_copy_of_what_a_set_up_made_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(tarball) = little(dir.path())? else { return Ok(()) };
    let (tarball, setup) = (tarball.display().to_string(), dir.path().join("setup.sh"));
    fs::write(&setup, SETUP)?;
    let setup = setup.display().to_string();
    let toft = Toft::start(Start::default()).await?;
    let image = say(&toft, &["image", "add", &tarball, "--setup", &setup, "--name", "tools"])?;
    assert_eq!((&image["state"], &image["kind"]), (&json!("ready"), &json!("tarball")));
    let again = say(&toft, &["image", "add", &tarball, "--setup", &setup, "--name", "tools"])?;
    assert_eq!((&again["key"], &again["created"]), (&image["key"], &json!(false)));

    let one = id(&say(&toft, &["new", "One", "--image", "tools"])?)?;
    let two =
        id(&say(&toft, &["new", "Two", "--image", image["key"].as_str().context("a key")?])?)?;
    let made = says(&toft, &one, "cat /opt/tool/id /opt/tool/runs").await?;
    assert_eq!(made.lines().skip(1).collect::<Vec<_>>(), ["ran"]);
    assert_eq!(says(&toft, &two, "cat /opt/tool/id /opt/tool/runs").await?, made);
    assert_eq!(says(&toft, &two, "cat /etc/os-release").await?, "ID=little");
    assert_eq!(
        says(&toft, &two, "ls /home/starter | wc -l; ls /home/starter/left || true")
            .await?
            .lines()
            .count(),
        1
    );
    let machine = toft.call("GET", &format!("/v1/projects/{two}/machine"), None).await?;
    assert_eq!(machine["image"], "tools");
    let disk = toft.call("GET", &format!("/v1/projects/{two}/disk"), None).await?;
    if let Some(own) = disk["exclusiveBytes"].as_u64() {
        ensure!(own < 1 << 20, "{own} bytes are its own, and the image has two million");
    }

    // The agent works in it, although there is no bash.
    let mut follow = Follow::from(&toft, &one, 0).await?;
    session::prompt(&toft, &one, "run `cat /etc/os-release`").await?;
    follow.until_agent_end().await?;
    let transcript = session::transcript(&toft, &one).await?;
    ensure!(transcript.iter().any(|m| m.to_string().contains("ID=little")), "{transcript:?}");

    // A template of it starts clean, with the files.
    says(&toft, &one, "echo page > /home/project/index.html").await?;
    rest_if_needed(&toft, &one).await?;
    let template = say(&toft, &["image", "add", "--from", &one, "--name", "page"])?;
    assert_eq!(template["kind"], "template");
    let three = id(&say(&toft, &["new", "Three", "--image", "page"])?)?;
    assert_eq!(says(&toft, &three, "cat /home/project/index.html").await?, "page");
    assert!(session::transcript(&toft, &three).await?.is_empty());
    let sessions = says(&toft, &three, "cat /home/starter/sessions/*.jsonl").await?;
    ensure!(!sessions.contains("os-release"), "a conversation came along: {sessions}");

    // Without the images the projects go on.
    for name in ["tools", "page"] {
        say(&toft, &["image", "rm", name])?;
    }
    let images = say(&toft, &["image", "ls"])?;
    assert_eq!(images["images"].as_array().map(Vec::len), Some(1));
    toft.call("POST", &format!("/v1/projects/{two}/sleep"), Some(json!({}))).await?;
    assert_eq!(says(&toft, &two, "cat /opt/tool/runs").await?, "ran");
    let refused = toft.cli(&["new", "Four", "--image", "tools"])?;
    ensure!(!refused.status.success(), "its image is gone");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_an_image_is_made_leaves_nothing_of_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(tarball) = little(dir.path())? else { return Ok(()) };
    let tarball = tarball.display().to_string();
    let mut toft = Toft::start(Start::default()).await?;
    let order =
        json!({"source": tarball, "name": "slow", "setup": "touch /root/begun; sleep 1000"});
    let image = toft.call("POST", "/v1/images", Some(order.clone())).await?;
    let of = format!("/v1/images/{}", image["key"].as_str().context("a key")?);
    let in_set_up = |image: &Value| image["progress"]["stage"] == "set-up";
    toft.until(&of, in_set_up).await?;
    let builders = || {
        let runs = fs::read_dir(toft.data.join("run/m")).into_iter().flatten().flatten();
        runs.filter(|e| e.path().is_dir()).count()
    };
    // Until its machine is there.
    let until = std::time::Instant::now() + toft_stories::toft::STEP_TIMEOUT;
    while builders() == 0 {
        ensure!(std::time::Instant::now() < until, "no machine sets anything up");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let early = toft.request("POST", "/v1/projects", Some(json!({"image": "slow"}))).await?;
    assert_eq!((early.0, &early.1["error"]["code"]), (409, &json!("unavailable")));
    toft.kill_server();
    toft.up().await?;
    let failed = toft.until(&of, |image| image["state"] == "failed").await?;
    ensure!(failed["reason"].as_str().is_some_and(|r| r.contains("server ended")), "{failed}");
    let pool = toft.data.join("store/pool");
    let left = |folder: &str| {
        let entries = fs::read_dir(pool.join(folder)).into_iter().flatten().flatten();
        entries.map(|e| e.file_name()).filter(|n| !n.to_string_lossy().starts_with("spare")).count()
    };
    // What is not yet gone when the state is told goes within the same settling.
    toft.until("/v1/images", |_| left("img") == 0 && left("p") == 0 && left("tmp") == 0).await?;
    assert_eq!(
        fs::read_dir(toft.data.join("run/m"))?.flatten().filter(|e| e.path().is_dir()).count(),
        0
    );

    // Deleting one gives it up.
    let again = toft.call("POST", "/v1/images", Some(order)).await?;
    assert_eq!((&again["created"], &again["state"]), (&json!(true), &json!("making")));
    toft.until(&of, in_set_up).await?;
    toft.call("DELETE", &of, None).await?;
    assert_eq!((left("img"), left("p")), (0, 0));
    assert_eq!(toft.request("GET", &of, None).await?.0, 404);

    // Only so many at once; each is given up by deleting it.
    let slow = |n: u32| json!({"source": tarball, "setup": format!("sleep 100{n}")});
    for n in 0..4 {
        toft.call("POST", "/v1/images", Some(slow(n))).await?;
    }
    let (status, full) = toft.request("POST", "/v1/images", Some(slow(4))).await?;
    assert_eq!((status, &full["error"]["code"]), (409, &json!("unavailable")), "{full}");
    let all = toft.call("GET", "/v1/images", None).await?;
    for image in all["images"].as_array().into_iter().flatten().filter(|i| i["kind"] != "host") {
        let key = image["key"].as_str().context("a key")?;
        toft.call("DELETE", &format!("/v1/images/{key}"), None).await?;
    }
    assert_eq!((left("img"), left("p")), (0, 0));

    // What a script says when it fails is told.
    let order = json!({"source": tarball, "name": "bad", "setup": "echo no such tool; exit 7"});
    let bad = toft.call("POST", "/v1/images", Some(order)).await?;
    let of = format!("/v1/images/{}", bad["key"].as_str().context("a key")?);
    let bad = toft.until(&of, |image| image["state"] == "failed").await?;
    let reason = bad["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("exit code 7") && reason.contains("no such tool"), "{reason}");
    toft.down()
}

/// A tar archive of a folder.
fn packed(folder: &Path) -> Result<PathBuf> {
    let archive = folder.with_extension("tar");
    let packed =
        Command::new("tar").arg("-C").arg(folder).arg("-cf").arg(&archive).arg(".").status()?;
    ensure!(packed.success(), "tar failed");
    Ok(archive)
}

/// What is accepted, and then said not to be fit for an image.
async fn fails(toft: &Toft, source: &Path, said: &str) -> Result<()> {
    let begun = toft.call("POST", "/v1/images", Some(json!({"source": source}))).await?;
    let of = format!("/v1/images/{}", begun["key"].as_str().context("a key")?);
    let failed = toft.until(&of, |image| image["state"] != "making").await?;
    let reason = failed["reason"].as_str().unwrap_or_default();
    ensure!(failed["state"] == "failed" && reason.contains(said), "{failed}");
    toft.call("DELETE", &of, None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_waits_for_its_disk_gets_it_before_its_image_goes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(tarball) = little(dir.path())? else { return Ok(()) };
    let mut toft = Toft::start(Start::default()).await?;
    say(&toft, &["image", "add", &tarball.display().to_string(), "--name", "little"])?;
    toft.kill_server();
    // The row of the project is there, and its disk is not.
    toft.up_with("TOFT_KILL_AT", "create.recorded:1").await?;
    let asked = toft
        .http()
        .post(format!("{}/v1/projects", toft.base))
        .bearer_auth(&toft.token)
        .json(&json!({"id": "waits", "image": "little"}))
        .send();
    let asked = tokio::spawn(asked);
    toft.await_end()?;
    asked.abort();
    toft.up().await?;
    let project = id(&toft.call("GET", "/v1/projects/waits", None).await?)?;
    let pool = toft.data.join("store/pool");
    ensure!(!pool.join("p").join(&project).exists(), "its disk is there already");
    say(&toft, &["image", "rm", "little"])?;
    ensure!(fs::read_dir(pool.join("img"))?.next().is_none(), "the image's files stay");
    assert_eq!(says(&toft, &project, "cat /etc/os-release").await?, "ID=little");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_are_made_over_the_same_one_do_not_disturb_each_other() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(tarball) = little(dir.path())? else { return Ok(()) };
    let tarball = tarball.display().to_string();
    let toft = Toft::start(Start::default()).await?;
    let mut made = Vec::new();
    // Two end at once, one way and the other, while the others still need what lies below.
    for script in
        ["echo 0 > /root/n", "exit 3", "sleep 1; echo 2 > /root/n", "sleep 2; echo 3 > /root/n"]
    {
        let order = json!({"source": tarball, "setup": script});
        made.push(toft.call("POST", "/v1/images", Some(order)).await?);
    }
    for (n, image) in made.iter().enumerate() {
        let of = format!("/v1/images/{}", image["key"].as_str().context("a key")?);
        let image = toft.until(&of, |image| image["state"] != "making").await?;
        if n == 1 {
            ensure!(image["reason"].as_str().is_some_and(|r| r.contains("exit code 3")), "{image}");
            continue;
        }
        ensure!(image["state"] == "ready", "{image}");
        let project =
            toft.call("POST", "/v1/projects", Some(json!({"image": image["key"]}))).await?;
        assert_eq!(says(&toft, &id(&project)?, "cat /root/n").await?, n.to_string());
    }
    // What they were made over is no image of its own.
    let kept = fs::read_dir(toft.data.join("store/pool/img"))?.count();
    assert_eq!(kept, 3);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_become_an_image_is_refused_at_once_with_a_word_on_what_to_do() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let toft = Toft::start(Start::default()).await?;
    let [xz, empty, folder] = ["text.tar.xz", "empty.tar", "folder"].map(|n| dir.path().join(n));
    fs::write(&xz, b"\xfd7zXZ\0and so on")?;
    fs::write(&empty, "")?;
    fs::create_dir(&folder)?;
    for (order, status, said) in [
        (json!({}), 400, "exactly one"),
        (json!({"source": "/no/such.tar"}), 400, "No such file"),
        (json!({"source": "/etc"}), 400, "cannot show in machines"),
        (json!({"source": "/etc/passwd"}), 400, "Give the tar archive of a root file system"),
        (json!({"source": xz}), 400, "gzip or zstd"),
        (json!({"source": empty}), 400, "it is empty"),
        (json!({"source": folder}), 400, "has no programs"),
        (json!({"source": "not/ A name"}), 400, "neither a path"),
        (json!({"source": "127.0.0.1:1/a:b"}), 502, "127.0.0.1:1"),
        (json!({"fromImage": "host"}), 400, "set-up script"),
        (json!({"fromImage": "none", "setup": "true"}), 404, "image not found"),
        (json!({"source": "/etc", "name": "host"}), 400, "name must"),
        (json!({"source": "/etc", "nonsense": 1}), 400, "does not fit"),
    ] {
        let (got, body) = toft.request("POST", "/v1/images", Some(order.clone())).await?;
        let told = body["error"]["message"].as_str().unwrap_or_default();
        ensure!(got == status && told.contains(said), "{order}: {got} {body}");
    }
    // What shows only when it is unpacked.
    if let Some(whole) = little(dir.path())? {
        let bytes = fs::read(whole)?;
        let cut = dir.path().join("cut.tar.gz");
        fs::write(&cut, &bytes[..bytes.len() / 2])?;
        fails(&toft, &cut, "cannot be unpacked").await?;
    }
    let round = dir.path().join("round");
    fs::create_dir_all(round.join("etc"))?;
    symlink("/usr", round.join("usr"))?;
    symlink("usr/bin", round.join("bin"))?;
    fails(&toft, &packed(&round)?, "`/usr` is a link to `/usr`, which leads in a circle").await?;
    fs::remove_file(round.join("usr"))?;
    fails(&toft, &packed(&round)?, "pack it again").await?;
    fails(&toft, &packed(&folder)?, "there is no /bin/sh in it").await?;
    let pool = toft.data.join("store/pool");
    for place in ["img", "tmp"] {
        let entries = fs::read_dir(pool.join(place)).into_iter().flatten().flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
        // The pool's own, for the next project.
        let of_pool = |name: &String| name.starts_with("spare") || name.starts_with("template");
        let left: Vec<String> = names.filter(|name| !of_pool(name)).collect();
        ensure!(left.is_empty(), "{place}: {left:?}");
    }
    // A path that climbs out, by the server's own rights.
    let inner = dir.path().join("inner");
    fs::create_dir(&inner)?;
    fs::write(dir.path().join("victim"), "evil")?;
    let evil = dir.path().join("evil.tar");
    let mut tar = Command::new("tar");
    let packed = tar.current_dir(&inner).arg("-Pcf").arg(&evil).arg("../victim").output()?;
    ensure!(packed.status.success(), "tar failed");
    let evil = toft.call("POST", "/v1/images", Some(json!({"source": evil}))).await?;
    let of = format!("/v1/images/{}", evil["key"].as_str().context("a key")?);
    let failed = toft.until(&of, |image| image["state"] == "failed").await?;
    ensure!(failed["reason"].as_str().is_some_and(|r| r.contains("`..`")), "{failed}");
    let escaped = toft.data.join("store/pool/tmp/victim");
    ensure!(!escaped.exists(), "it climbed to {}", escaped.display());
    assert_eq!(toft.request("DELETE", "/v1/images/host", None).await?.0, 400);
    let unknown = toft.request("POST", "/v1/projects", Some(json!({"image": "none"}))).await?;
    assert_eq!((unknown.0, &unknown.1["error"]["code"]), (404, &json!("not_found")));
    assert!(toft.call("GET", "/v1/projects", None).await?.as_array().is_some_and(Vec::is_empty));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_distribution_becomes_machines_with_its_own_programs_and_users() -> Result<()> {
    let name = "a_whole_distribution_becomes_machines_with_its_own_programs_and_users";
    if !lane::deep() || !lane::root() {
        lane::skip(name, "takes a minute and root: only in the deep lane");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let archive = dir.path().join("debian.tar.zst");
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let made = Command::new("mmdebstrap")
        .args(["--variant=minbase", suite.unwrap_or("stable")])
        .arg(&archive)
        .output();
    match made {
        Ok(out) if out.status.success() => {}
        Ok(out) => {
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            lane::skip(name, said.lines().last().unwrap_or("mmdebstrap failed"));
            return Ok(());
        }
        Err(error) => {
            lane::skip(name, format!("no mmdebstrap: {error}"));
            return Ok(());
        }
    }
    let toft = Toft::start(Start::default()).await?;
    let archive = archive.display().to_string();
    say(&toft, &["image", "add", &archive, "--name", "debian"])?;
    let project = id(&say(&toft, &["new", "Debian", "--image", "debian"])?)?;
    assert_eq!(says(&toft, &project, "echo $0 $BASH_VERSION | cut -c1-4").await?, "bash");
    ensure!(says(&toft, &project, "dpkg --audit && dpkg -s bash").await?.contains("install ok"));
    ensure!(says(&toft, &project, "getent hosts gateway.internal").await?.contains("127.77.0.1"));
    if lane::as_user() {
        lane::skip("users of a distribution", "machines of an ordinary user have one id here");
    } else {
        let uid = "runuser -u nobody -- id -u 2>/dev/null || setpriv --reuid 65534 id -u";
        assert_eq!(says(&toft, &project, uid).await?, "65534");
    }
    // Rights that a program carries have no effect in a machine, and its own files are its own.
    ensure!(says(&toft, &project, "stat -c %a:%u /usr/bin/passwd").await? == "4755:0");
    says(&toft, &project, "touch /etc/mine && rm -r /usr/share/doc && ldconfig").await?;
    toft.down()
}
