//! Hosts that lack something: rights, namespaces, loop devices, room. Said in words, with what to do,
//! and nothing is lost.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};
use toft_stories::{
    lane,
    mounts::WITHOUT_OTHERS,
    provider::{Provider, Say},
    session::{self, Follow},
    toft::{Start, Toft, binary},
};

/// A copy of the binary and a folder, both open to every user: the build folder may lie where
/// another user cannot look.
struct Open {
    folder: tempfile::TempDir,
    exe: PathBuf,
}

impl Open {
    fn make() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let exe = folder.path().join("toft");
        fs::copy(binary(), &exe)?;
        fs::set_permissions(&exe, fs::Permissions::from_mode(0o755))?;
        Ok(Self { folder, exe })
    }
}

/// Runs something that must fail; answers what it said.
fn refused(before: &[&str], exe: &Path, args: &[&str]) -> Result<String> {
    let mut argv: Vec<&str> = before.to_vec();
    argv.push(exe.to_str().context("a plain path")?);
    argv.extend(args);
    let out = Command::new(argv[0]).args(&argv[1..]).env("HOME", "/nonexistent").output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(!out.status.success(), "it must fail: {argv:?}: {said}");
    Ok(said)
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() -> Result<()> {
    let open = Open::make()?;
    let locked = open.folder.path().join("locked");
    fs::create_dir(&locked)?;
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555))?;
    let data = locked.join("data").display().to_string();
    let nobody: &[&str] =
        &["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    let before = if lane::root() { nobody } else { &[] };
    let args = ["up", "--listen", "127.0.0.1:0", "--data", &data];
    let said = refused(before, &open.exe, &args)?;
    assert!(said.contains(&data) && said.contains("--data"), "{said}");
    assert!(said.to_lowercase().contains("permission denied"), "{said}");
    Ok(())
}

#[test]
fn a_data_folder_that_is_a_file_is_named() -> Result<()> {
    let open = Open::make()?;
    let file = open.folder.path().join("file");
    fs::write(&file, "mine")?;
    let data = file.display().to_string();
    let said = refused(&[], &open.exe, &["up", "--listen", "127.0.0.1:0", "--data", &data])?;
    assert!(said.contains(&data) && said.contains("--data"), "{said}");
    assert_eq!(fs::read_to_string(&file)?, "mine");
    Ok(())
}

/// A user namespace of its own in which no further one can be made.
const NO_NAMESPACES: [&str; 6] = [
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"",
];

#[tokio::test(flavor = "multi_thread")]
async fn without_user_namespaces_the_way_without_walls_is_offered_and_works() -> Result<()> {
    let mut before = NO_NAMESPACES.to_vec();
    before.push("sh");
    if !Command::new("unshare").args(["--user", "true"]).status()?.success() {
        lane::skip("no user namespaces", "this host has none at all; the message is the same");
        before.clear();
    }
    let open = Open::make()?;
    let data = open.folder.path().join("data").display().to_string();
    let args = ["up", "--listen", "127.0.0.1:0", "--data", &data];
    let said = refused(&before, &open.exe, &args)?;
    assert!(said.contains("--backend host --allow-host DIR"), "{said}");
    assert!(said.contains("user namespace") || said.contains("max_user_namespaces"), "{said}");

    // What it offers works there.
    let allowed = open.folder.path().join("allowed");
    fs::create_dir(&allowed)?;
    let toft = Toft::start(Start {
        before: before.iter().map(|&s| s.to_owned()).collect(),
        args: vec![
            "--backend".into(),
            "host".into(),
            "--allow-host".into(),
            allowed.display().to_string(),
        ],
        data: Some(data.into()),
        ..Start::default()
    })
    .await?;
    let project = toft.new_project("No walls").await?;
    assert_eq!(toft.exec(&project, "echo works").await?["stdout"], "works\n");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_loop_devices_disks_are_plain_copies_and_doctor_says_so() -> Result<()> {
    if !lane::root() {
        lane::skip("no loop devices", "only root has them anyway");
        return Ok(());
    }
    let hidden = format!("{WITHOUT_OTHERS}mount --bind /dev/null /dev/loop-control && exec \"$@\"");
    let before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &hidden, "sh"];
    let toft =
        Toft::start(Start { before: before.map(str::to_owned).to_vec(), ..Start::default() })
            .await?;
    let project = toft.new_project("Plain").await?;
    assert_eq!(toft.exec(&project, "echo works > f; cat f").await?["stdout"], "works\n");
    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    let storage = doctor["storage"].as_str().unwrap_or_default();
    assert!(matches!(storage, "plain copy" | "reflink copy"), "{doctor}");
    let ability = doctor["abilities"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|a| a["name"] == "storage")
        .context("an ability named storage")?;
    assert_eq!(ability["enforced"], false);
    assert!(ability["how"].as_str().is_some_and(|how| how.contains("loop")), "{ability}");
    let of = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    assert_eq!(toft.exec(&project, "cat f").await?["stdout"], "works\n");
    toft.down()
}

/// A small file system in memory, gone with the value.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    fn mount(bytes: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("toft-story-").tempdir()?;
        let size = format!("size={bytes},mode=0755");
        let out = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output()?;
        ensure!(out.status.success(), "mount: {}", String::from_utf8_lossy(&out.stderr));
        Ok(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room there is.
    fn fill(&self) -> Result<()> {
        let mut file = fs::File::create(self.path().join("ballast"))?;
        let block = vec![0; 1 << 20];
        for piece in [block.as_slice(), &block[..4096]] {
            let full = loop {
                if let Err(error) = file.write_all(piece) {
                    break error;
                }
            };
            ensure!(full.kind() == io::ErrorKind::StorageFull, "{full}");
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.path().join("ballast"))?)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

fn code(value: &Value) -> &str {
    value["error"]["code"].as_str().or(value["code"].as_str()).unwrap_or_default()
}

/// What a program that floods the disk is waited for.
const FLOOD_TIMEOUT: Duration = Duration::from_secs(8);

async fn full_disk(kind: &str) -> Result<()> {
    if !lane::root() {
        lane::skip("full disk", "mounting a small file system needs root");
        return Ok(());
    }
    let script = Arc::new(|_: &str, turn| match turn {
        0 => Say {
            text: "A file.".into(),
            tools: vec![("write".into(), json!({"path":"note.txt","content":"noted\n"}))],
        },
        _ => Say { text: "Written, or not.".into(), tools: vec![] },
    });
    let provider = Provider::start(Duration::ZERO, script).await?;
    let small = Small::mount("1500m")?;
    let data = small.path().join("data");
    if kind == "plain" {
        fs::create_dir_all(data.join("store"))?;
        fs::write(data.join("store/kind"), "plain")?;
    }
    let mut toft =
        Toft::start(Start { env: provider.env("sk-full"), data: Some(data), ..Start::default() })
            .await?;
    let project = toft.new_project("Full").await?;
    let of = format!("/v1/projects/{project}");
    toft.exec(&project, "echo before > before.txt; sync before.txt").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "first").await?;
    follow.until_agent_end().await?;
    let before = session::transcript(&toft, &project).await?;

    small.fill()?;
    let (status, body) =
        toft.request("POST", "/v1/projects", Some(json!({"name": "No room"}))).await?;
    ensure!((status, code(&body)) == (507, "disk_full"), "{kind}: create: {status} {body}");
    // A command that writes nothing works; one that writes says itself what is wrong.
    let ran = toft.exec(&project, "cat before.txt").await?;
    ensure!(ran["stdout"] == "before\n", "{kind}: {ran}");
    // Without the sync all of it may fit into memory, and fail when nobody looks.
    let flood = "head -c 1900000000 /dev/urandom > big && sync big";
    let path = format!("{of}/exec");
    let mut flooding = Box::pin(toft.request("POST", &path, Some(json!({"command": flood}))));
    // It fails, or is paused until there is room.
    let flooded = tokio::time::timeout(FLOOD_TIMEOUT, &mut flooding).await;
    let is_paused = flooded.is_err();
    let (status, ran) = flooded.unwrap_or_else(|_| Ok((0, Value::Null)))?;
    ensure!(matches!(status, 0 | 200) || code(&ran) == "disk_full", "{kind}: exec: {status} {ran}");
    if status == 200 {
        let ran = &ran["data"];
        ensure!(ran["exitCode"] != 0, "{kind}: {ran}");
        // The kernel stops writing to an image when the disk below it is full.
        let said = ran["stderr"].to_string();
        let full = said.contains("No space left");
        let image = ["Read-only", "Input/output error"].iter().any(|words| said.contains(words));
        ensure!(full || (kind == "image" && image), "{kind}: {ran}");
    }
    let (status, sent) = toft
        .request("POST", &format!("{of}/toft/prompt"), Some(json!({"message": "second"})))
        .await?;
    ensure!(
        status == 202 || (status, code(&sent)) == (507, "disk_full"),
        "{kind}: prompt: {status} {sent}"
    );
    let (status, _) = toft.request("GET", &of, None).await?;
    ensure!(status == 200, "{kind}: reading goes on");

    small.free()?;
    let clear = json!({"command": "pkill -9 -x head; rm -f big; sync"});
    let (cleared, said) = toft.request("POST", &path, Some(clear)).await?;
    // A kernel that has given up the image runs nothing from it before its machine starts anew.
    let given_up = kind == "image" && said.to_string().contains("Input/output error");
    ensure!(cleared == 200 || given_up, "{kind}: {cleared} {said}");
    if is_paused && !given_up {
        let (status, ran) = flooding.await?;
        ensure!(status == 200 && ran["data"]["exitCode"] != 0, "{kind}: {status} {ran}");
    } else {
        drop(flooding);
    }
    if status == 202 {
        toft.until(&format!("{of}/toft/state"), |s| s["status"] != "working").await?;
    }
    // All as before after a new start of everything.
    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    toft.kill_server();
    toft.up().await?;
    toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    toft.until(&format!("{of}/toft/state"), |s| s["status"] != "working").await?;
    let after = session::transcript(&toft, &project).await?;
    ensure!(after.starts_with(&before), "{kind}: {after:#?}");
    ensure!(toft.exec(&project, "cat before.txt").await?["stdout"] == "before\n");
    let state = toft.call("GET", &format!("{of}/toft/state"), None).await?;
    let seq = state["seq"].as_u64().context("a number")?;
    let mut follow = Follow::from(&toft, &project, seq).await?;
    session::prompt(&toft, &project, "third").await?;
    let events = follow.until_agent_end().await?;
    ensure!(events.last().is_some_and(|e| e.data["reason"] == "done"), "{kind}: {events:?}");
    // The whole log is there without a gap.
    let mut all = Follow::from(&toft, &project, 0).await?;
    while all.last < follow.last {
        all.next().await?;
    }
    toft.new_project("Room again").await?;
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_an_image_loses_nothing_and_heals() -> Result<()> {
    full_disk("image").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_plain_folders_loses_nothing_and_heals() -> Result<()> {
    full_disk("plain").await
}

#[test]
fn a_disk_with_too_little_room_to_start_is_named_at_every_fill() -> Result<()> {
    if !lane::root() {
        lane::skip("full disk", "mounting a small file system needs root");
        return Ok(());
    }
    let open = Open::make()?;
    for left_kib in [0, 4, 16, 32, 64, 128] {
        let small = Small::mount("8m")?;
        small.fill()?;
        let ballast = File::options().write(true).open(small.path().join("ballast"))?;
        ballast.set_len(ballast.metadata()?.len() - (left_kib << 10))?;
        let data = small.path().join("data").display().to_string();
        let args = ["up", "--listen", "127.0.0.1:0", "--data", &data];
        let said = refused(&[], &open.exe, &args)?;
        assert!(!said.contains("newer Toft"), "{left_kib} KiB: {said}");
        let said = said.to_lowercase();
        let is_plain = ["full", "no space left"].iter().any(|words| said.contains(words));
        assert!(is_plain, "{left_kib} KiB: {said}");
    }
    Ok(())
}
