//! Images other than `host`, from real sources to machines that run: a root tarball around a static
//! busybox, an OCI layout with layers, a registry on loopback, a toolchain's folder, a template.

use super::lab::{GRACE, Lab, spec};
use serde_json::json;
use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tar::{Builder, EntryType, Header};
use toft_lane::skip;
use toft_machine::{
    backend::{Backend as _, MachineError},
    images::{ImageError, ImageKey, ImageKind, Images, Progress, RegistrySource, Resolved, Source},
};
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
};

/// A program that needs nothing of the system it runs on.
fn busybox() -> Option<Vec<u8>> {
    let found = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| {
        let bytes = fs::read(path).ok()?;
        let dynamic = bytes.windows(10).any(|w| w == b"/ld-linux-" || w == b"/ld-linux.");
        (!dynamic).then_some(bytes)
    });
    if found.is_none() {
        skip("images", "no statically linked busybox here (package `busybox-static`)");
    }
    found
}

fn append(tar: &mut Builder<impl std::io::Write>, path: &str, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_mtime(1_700_000_000);
    if path.ends_with('/') {
        header.set_entry_type(EntryType::Directory);
    }
    tar.append_data(&mut header, path, content).unwrap();
}

fn link(tar: &mut Builder<impl std::io::Write>, path: &str, target: &str) {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, path, target).unwrap();
}

/// A root file system of four megabytes: busybox and something to see.
fn rootfs(busybox: &[u8]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for folder in ["bin/", "etc/", "usr/bin/"] {
        append(&mut tar, folder, 0o755, b"");
    }
    append(&mut tar, "bin/busybox", 0o755, busybox);
    for name in ["sh", "cat", "ls", "id", "mkdir", "rm", "sleep", "touch", "echo", "stat", "wc"] {
        link(&mut tar, &format!("bin/{name}"), "/bin/busybox");
    }
    append(&mut tar, "etc/os-release", 0o644, b"ID=little\n");
    append(&mut tar, "etc/drop-me", 0o644, b"old\n");
    let noise: Vec<u8> =
        (0..2_000_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    append(&mut tar, "usr/share-of-noise", 0o644, &noise[..2 << 20]);
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn images(lab: &Lab) -> &dyn Images {
    lab.native.images().unwrap()
}

async fn resolve(lab: &Lab, path: &Path) -> Resolved {
    images(lab).resolve(&Source::Path(path.to_owned())).await.unwrap()
}

async fn import(lab: &Lab, path: &Path) -> ImageKey {
    let found = resolve(lab, path).await;
    images(lab).import(&found, Arc::default()).await.unwrap();
    found.key
}

async fn machine_of(lab: &Lab, key: &ImageKey) -> ProjectId {
    let project = ProjectId::random();
    images(lab).create_from(&project, key).await.unwrap();
    lab.native.start(spec(&project)).await.unwrap();
    project
}

#[tokio::test]
async fn a_root_tarball_becomes_machines_that_have_nothing_of_the_hosts_programs() {
    let (Some(lab), Some(busybox)) = (Lab::open().await, busybox()) else { return };
    let path = lab.dir.path().join("little.tar.gz");
    fs::write(&path, gzip(&rootfs(&busybox))).unwrap();
    let found = resolve(&lab, &path).await;
    assert_eq!((found.kind, found.name.as_str()), (ImageKind::Tarball, "little"));
    let progress = Arc::new(Progress::default());
    let bytes = images(&lab).import(&found, Arc::clone(&progress)).await.unwrap();
    assert!(bytes > 2 << 20, "{bytes}");
    let seen = progress.seen();
    assert_eq!((seen.stage, seen.done_bytes), ("unpacking", seen.total_bytes));
    assert_eq!(images(&lab).kept().await.unwrap(), std::slice::from_ref(&found.key));

    let one = machine_of(&lab, &found.key).await;
    assert_eq!(lab.says(&one, "cat /etc/os-release").await, "ID=little");
    assert_eq!(lab.says(&one, "id -u").await, "0");
    assert_eq!(lab.says(&one, "ls /usr").await, "bin\nlocal\nshare-of-noise");
    assert_eq!(lab.says(&one, "echo $SHELL").await, "/bin/sh");
    // Whoever asks for bash gets the image's own shell.
    let (out, exit) = lab.exec(&one, &["/usr/local/bin/bash", "-lc", "echo $((6*7)) $0"]).await;
    assert_eq!((out.trim().split(' ').next(), exit.code), (Some("42"), Some(0)), "{out}");
    assert!(lab.says(&one, "cat /etc/hosts").await.contains("gateway.internal"));
    assert!(lab.says(&one, "cat /etc/passwd").await.starts_with("root:x:0:0:"));
    for path in ["/proc/self", "/dev/null", "/sys", "/run/toft/toft", "/home/project"] {
        lab.says(&one, &format!("ls -d {path}")).await;
    }

    // The second one is a copy that has cost nothing, and knows nothing of the first.
    lab.says(&one, "touch /etc/mine && rm /etc/drop-me").await;
    let two = machine_of(&lab, &found.key).await;
    assert_eq!(lab.says(&two, "cat /etc/drop-me").await, "old");
    assert_ne!(lab.shell(&two, "ls /etc/mine").await.1.code, Some(0));
    let used = lab.native.disk(&two).await.unwrap().exclusive_bytes;
    match used {
        Some(used) => assert!(used < 1 << 20, "its {used} bytes are not shared"),
        None => println!("not tried: nothing counts disks here"),
    }

    // A checkpoint is stamped with the image, and compares without any folder of the host.
    let id = CheckpointId::random();
    lab.native.stop(&one, GRACE).await.unwrap();
    let taken = lab.native.checkpoint(&one, &id).await.unwrap();
    assert_eq!(taken.base, found.key.as_str());
    lab.native.start(spec(&one)).await.unwrap();
    lab.says(&one, "echo new > /usr/bin/added").await;
    let diff = lab.native.diff(&one, &id, None, 100).await.unwrap();
    let changed: Vec<&str> = diff.changes.iter().map(|c| c.path.as_str()).collect();
    assert!(changed.contains(&"/usr/bin/added"), "{changed:?}");
    let read = lab.native.read(&one, None, "/usr/bin/added", 100).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"new\n"[..]));

    // Without the image the projects stay what they are: restored, forked, started again.
    images(&lab).drop_image(&found.key).await.unwrap();
    images(&lab).drop_image(&found.key).await.unwrap();
    assert_eq!(images(&lab).kept().await.unwrap(), []);
    lab.native.stop(&one, GRACE).await.unwrap();
    let ticket =
        Ticket::Restore { checkpoint_id: id.clone(), label: None, at: 1, taken_at: 1, place: None };
    lab.native.restore(&one, &id, &ticket, false).await.unwrap();
    lab.native.start(spec(&one)).await.unwrap();
    assert_ne!(lab.shell(&one, "ls /usr/bin/added").await.1.code, Some(0));
    let fork = ProjectId::random();
    let ticket =
        Ticket::Fork { from: one.clone(), seq: 1, checkpoint_id: None, at: 1, place: None };
    lab.native.fork(&one, Some(&id), &fork, &ticket).await.unwrap();
    lab.native.start(spec(&fork)).await.unwrap();
    assert_eq!(lab.says(&fork, "cat /etc/os-release").await, "ID=little");
    let gone = images(&lab).create_from(&ProjectId::random(), &found.key).await;
    assert!(matches!(gone, Err(ImageError::Missing(_))), "{gone:?}");
    lab.close(&[&one, &two, &fork]).await;
}

#[tokio::test]
async fn an_image_is_there_whole_or_not_at_all() {
    let (Some(lab), Some(busybox)) = (Lab::open().await, busybox()) else { return };
    let dir = lab.dir.path();
    let whole = gzip(&rootfs(&busybox));
    let path = dir.join("cut.tar.gz");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let refused = |path: PathBuf, progress: Arc<Progress>| {
        let lab = &lab;
        async move {
            let found = resolve(lab, &path).await;
            images(lab).import(&found, progress).await.unwrap_err()
        }
    };
    let cut = refused(path.clone(), Arc::default()).await;
    assert!(matches!(cut, ImageError::Refused(_)), "{cut}");
    // Changed between the look and the making.
    fs::write(&path, &whole).unwrap();
    let found = resolve(&lab, &path).await;
    let mut other = Builder::new(Vec::new());
    append(&mut other, "bin/sh", 0o755, &vec![b'x'; whole.len()]);
    fs::write(&path, &other.into_inner().unwrap()[..whole.len()]).unwrap();
    let changed = images(&lab).import(&found, Arc::default()).await.unwrap_err();
    assert!(changed.to_string().contains("cannot be unpacked"), "{changed}");
    // Given up.
    fs::write(&path, &whole).unwrap();
    let progress = Arc::new(Progress::default());
    progress.cancel();
    let given_up = refused(path.clone(), progress).await;
    assert!(matches!(given_up, ImageError::Cancelled), "{given_up}");
    let data = lab.data();
    let left = |name: &str| {
        let entries = fs::read_dir(data.join("store/pool").join(name)).into_iter().flatten();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("image") || name.len() == 32).count()
    };
    assert_eq!((left("img"), left("tmp")), (0, 0));
    // What a killed server has left half made.
    fs::create_dir_all(data.join("store/pool/tmp/image-half/rootfs/etc")).unwrap();
    let again = lab.reopen().await;
    assert_eq!((left("img"), left("tmp")), (0, 0));
    drop(again);
    lab.close(&[]).await;
}

/// Writes a layout of these layers, and answers its folder.
fn layout(dir: &Path, layers: &[Vec<u8>]) -> PathBuf {
    let folder = dir.join("layout");
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let name = sha256(bytes);
        fs::write(blobs.join(&name), bytes).unwrap();
        json!({"digest": format!("sha256:{name}"), "size": bytes.len()})
    };
    let with = |mut d: serde_json::Value, kind: &str| {
        d["mediaType"] = kind.into();
        d
    };
    let layers: Vec<_> = layers
        .iter()
        .map(|l| with(put(l), "application/vnd.oci.image.layer.v1.tar+gzip"))
        .collect();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Env": ["PATH=/bin:/usr/bin", "GREETING=good day"]}});
    let config = put(&serde_json::to_vec(&config).unwrap());
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": with(config, "application/vnd.oci.image.config.v1+json"), "layers": layers});
    let mut manifest = put(&serde_json::to_vec(&manifest).unwrap());
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let manifest = with(manifest, "application/vnd.oci.image.manifest.v1+json");
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    folder
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut out, byte| {
        let _ = std::fmt::Write::write_fmt(&mut out, format_args!("{byte:02x}"));
        out
    })
}

fn layers(busybox: &[u8]) -> Vec<Vec<u8>> {
    let mut second = Builder::new(Vec::new());
    append(&mut second, "etc/.wh.drop-me", 0o644, b"");
    append(&mut second, "etc/added", 0o644, b"by the second layer\n");
    vec![gzip(&rootfs(busybox)), gzip(&second.into_inner().unwrap())]
}

#[tokio::test]
async fn an_oci_layout_becomes_a_machine_with_its_layers_and_environment() {
    let (Some(lab), Some(busybox)) = (Lab::open().await, busybox()) else { return };
    let folder = layout(lab.dir.path(), &layers(&busybox));
    let key = import(&lab, &folder).await;
    let one = machine_of(&lab, &key).await;
    assert_eq!(lab.says(&one, "cat /etc/added").await, "by the second layer");
    assert_ne!(lab.shell(&one, "ls /etc/drop-me").await.1.code, Some(0));
    assert_eq!(lab.says(&one, "echo $GREETING").await, "good day");
    assert_eq!(lab.says(&one, "echo $PATH").await, "/bin:/usr/bin:/usr/local/bin");
    let named = PathBuf::from(format!("{}:latest", folder.display()));
    assert_eq!(resolve(&lab, &named).await.key, key);
    // A layer that is not what its digest says: refused, and nothing of it stays.
    images(&lab).drop_image(&key).await.unwrap();
    let layer = fs::read_dir(folder.join("blobs/sha256"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .max_by_key(|p| fs::metadata(p).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&layer).unwrap();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    fs::write(&layer, bytes).unwrap();
    let found = resolve(&lab, &folder).await;
    let damaged = images(&lab).import(&found, Arc::default()).await.unwrap_err();
    assert!(matches!(damaged, ImageError::Refused(_)), "{damaged}");
    assert_eq!(images(&lab).kept().await.unwrap(), []);
    lab.close(&[&one]).await;
}

/// Who may use the registry.
const LOGIN: (&str, &str) = ("ann", "pw");
/// The same for its file of users: the password by bcrypt, at its lowest cost.
const USERS: &str = "ann:$2b$04$7K5mjOpATE4BnlmGGgsXQOuImanxiAeKOqApIuTEQS866YtbrKWSW\n";

/// A registry of Debian's package on a port of loopback, ended with the test.
struct Registry {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Registry {
    fn start() -> Option<Self> {
        let program = Path::new("/usr/bin/docker-registry");
        if !program.exists() || !Path::new("/usr/bin/skopeo").exists() {
            skip("a registry", "needs the packages `docker-registry` and `skopeo`");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let users = dir.path().join("users");
        fs::write(&users, USERS).unwrap();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             auth:\n  htpasswd:\n    realm: test\n    path: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            dir.path().join("store").display(),
            users.display()
        );
        let file = dir.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let child = Command::new(program)
            .arg("serve")
            .arg(&file)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { child, port, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "the registry does not answer");
            std::thread::yield_now();
        }
        Some(registry)
    }

    fn push(&self, layout: &Path, name: &str) {
        let pushed = Command::new("/usr/bin/skopeo")
            .args(["--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false"])
            .args(["--dest-creds", &format!("{}:{}", LOGIN.0, LOGIN.1)])
            .arg(format!("oci:{}:latest", layout.display()))
            .arg(format!("docker://127.0.0.1:{}/{name}", self.port))
            .env_remove("HTTP_PROXY")
            .output()
            .unwrap();
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn an_image_is_pulled_from_a_registry_and_is_the_same_as_its_layout() {
    let (Some(lab), Some(busybox)) = (Lab::open().await, busybox()) else { return };
    let Some(registry) = Registry::start() else {
        lab.close(&[]).await;
        return;
    };
    let folder = layout(lab.dir.path(), &layers(&busybox));
    registry.push(&folder, "little/one:v1");
    let of = |reference: String, login: Option<(&str, &str)>| {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Source::Registry(RegistrySource { reference, plain_http: false, login })
    };
    let from = |reference: String| of(reference, Some(LOGIN));
    let reference = format!("127.0.0.1:{}/little/one:v1", registry.port);
    let found = images(&lab).resolve(&from(reference)).await.unwrap();
    assert_eq!((found.kind, found.name.as_str()), (ImageKind::Oci, "one:v1"));
    assert_eq!(found.key, resolve(&lab, &folder).await.key);
    let bytes = images(&lab).import(&found, Arc::default()).await.unwrap();
    assert!(bytes > 2 << 20);
    let one = machine_of(&lab, &found.key).await;
    assert_eq!(lab.says(&one, "cat /etc/added").await, "by the second layer");
    for login in [None, Some(("ann", "wrong"))] {
        let reference = format!("127.0.0.1:{}/little/one:v1", registry.port);
        let error = images(&lab).resolve(&of(reference, login)).await.unwrap_err().to_string();
        assert!(error.contains("login") && !error.contains("wrong"), "{error}");
    }
    for (name, expected) in [("little/none:v1", "127.0.0.1"), ("little/one:v9", "127.0.0.1")] {
        let reference = format!("127.0.0.1:{}/{name}", registry.port);
        let error = images(&lab).resolve(&from(reference)).await.unwrap_err();
        assert!(matches!(error, ImageError::Registry(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let nobody = images(&lab).resolve(&from("127.0.0.1:1/x:y".to_owned())).await.unwrap_err();
    assert!(matches!(nobody, ImageError::Registry(_)), "{nobody}");
    lab.close(&[&one]).await;
}

#[tokio::test]
async fn a_toolchains_folder_shows_beside_the_hosts_programs_and_cannot_be_changed() {
    let Some(lab) = Lab::open().await else { return };
    let tools = lab.dir.path().join("tools");
    fs::create_dir_all(tools.join("bin")).unwrap();
    let open = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    fs::write(tools.join("bin/greet"), "#!/bin/sh\necho hello from the tools\n").unwrap();
    open(&tools.join("bin/greet"));
    let key = import(&lab, &tools).await;
    let one = machine_of(&lab, &key).await;
    let tools = fs::canonicalize(&tools).unwrap();
    assert_eq!(lab.says(&one, "greet").await, "hello from the tools");
    assert_eq!(
        lab.says(&one, "command -v greet").await,
        tools.join("bin/greet").display().to_string()
    );
    assert_ne!(lab.shell(&one, &format!("touch {}/x", tools.display())).await.1.code, Some(0));
    assert!(!tools.join("x").exists());
    lab.says(&one, "test -x /usr/bin/env").await;
    lab.native.stop(&one, GRACE).await.unwrap();
    let taken = lab.native.checkpoint(&one, &CheckpointId::random()).await.unwrap();
    assert!(taken.base.ends_with(&format!("+{key}")), "{}", taken.base);
    // Machines of `host` see nothing of it.
    let (other, _) = lab.machine().await;
    assert_ne!(lab.shell(&other, &format!("ls {}", tools.display())).await.1.code, Some(0));
    // A toolchain that is gone is missed by its programs only.
    fs::remove_dir_all(&tools).unwrap();
    lab.native.start(spec(&one)).await.unwrap();
    assert_ne!(lab.shell(&one, "greet").await.1.code, Some(0));
    lab.close(&[&one, &other]).await;
}

#[tokio::test]
async fn a_template_has_the_files_of_a_checkpoint_and_none_of_its_conversations() {
    let Some(lab) = Lab::open().await else { return };
    let (origin, _) = lab.machine().await;
    lab.says(
        &origin,
        "echo site > /home/project/index.html && mkdir -p /home/starter/sessions && \
         echo secret talk > /home/starter/sessions/s1.jsonl && echo x > /home/starter/inspect.db && \
         mkdir -p /usr/local/bin && echo tool > /usr/local/bin/mine",
    )
    .await;
    let id = CheckpointId::random();
    lab.native.checkpoint(&origin, &id).await.unwrap();
    lab.says(&origin, "echo later > /home/project/index.html").await;
    let key = ImageKey::of_checkpoint(&origin, &id);
    let running = images(&lab).keep(&origin, None, &key).await.unwrap_err();
    assert!(matches!(running, ImageError::Machine(MachineError::Unable { .. })), "{running}");
    assert!(images(&lab).keep(&origin, Some(&id), &key).await.unwrap() > 0);
    lab.native.destroy(&origin).await.unwrap();
    let one = machine_of(&lab, &key).await;
    assert_eq!(lab.says(&one, "cat /home/project/index.html").await, "site");
    assert_eq!(lab.says(&one, "cat /usr/local/bin/mine").await, "tool");
    assert_eq!(lab.says(&one, "ls -A /home/starter").await, "");
    let taken = lab.native.checkpoint(&one, &CheckpointId::random()).await.unwrap();
    assert!(taken.base.ends_with(&format!("+{key}")), "{}", taken.base);
    lab.close(&[&origin, &one]).await;
}

/// A root of many small files, which takes its time where copies are made file by file.
fn of_many_files(dir: &Path) -> PathBuf {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, "bin/sh", 0o755, b"#!/none\n");
    for n in 0..MANY {
        append(&mut tar, &format!("data/{}/{n}", n % 40), 0o644, b"content\n");
    }
    let path = dir.join("many.tar");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    path
}

const MANY: usize = 4000;

/// How many of them a root has.
fn many_in(root: &Path) -> usize {
    let folders = fs::read_dir(root.join("data")).into_iter().flatten().flatten();
    folders.map(|f| fs::read_dir(f.path()).into_iter().flatten().count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_goes_while_a_project_is_made_of_it_leaves_that_one_whole() {
    let Some(lab) = Lab::open_plain().await else { return };
    let path = of_many_files(lab.dir.path());
    let key = import(&lab, &path).await;
    let project = ProjectId::random();
    let making = {
        let (native, project, key) = (lab.native.clone(), project.clone(), key.clone());
        tokio::spawn(async move { Images::create_from(&native, &project, &key).await })
    };
    // Until the copy has begun.
    let scratch = lab.data().join("store/pool/tmp");
    let begun = || {
        let halves = fs::read_dir(&scratch).unwrap().flatten();
        let mut ours =
            halves.filter(|e| e.file_name().to_string_lossy().starts_with(project.as_str()));
        ours.any(|e| e.path().join("rootfs/data").exists())
    };
    while !begun() && !making.is_finished() {
        tokio::task::yield_now().await;
    }
    images(&lab).drop_image(&key).await.unwrap();
    making.await.unwrap().unwrap();
    let disk = lab.data().join("store/pool/p").join(project.as_str());
    assert_eq!(many_in(&disk.join("rootfs")), MANY);
    assert_eq!(images(&lab).kept().await.unwrap(), []);
    let late = images(&lab).create_from(&ProjectId::random(), &key).await;
    assert!(matches!(late, Err(ImageError::Missing(_))), "{late:?}");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_the_same_image_waits_for_the_first_and_may_give_up() {
    let Some(lab) = Lab::open().await else { return };
    let found = resolve(&lab, &of_many_files(lab.dir.path())).await;
    let begin = |progress: &Arc<Progress>| {
        let (native, found, progress) = (lab.native.clone(), found.clone(), Arc::clone(progress));
        tokio::spawn(async move { Images::import(&native, &found, progress).await })
    };
    let given_up = Arc::new(Progress::default());
    let all: Vec<_> = (0..3).map(|_| begin(&Arc::default())).collect();
    let other = begin(&given_up);
    given_up.cancel();
    for one in all {
        assert!(one.await.unwrap().unwrap() > 0);
    }
    let other = other.await.unwrap();
    assert!(matches!(other, Ok(_) | Err(ImageError::Cancelled)), "{other:?}");
    assert_eq!(images(&lab).kept().await.unwrap(), std::slice::from_ref(&found.key));
    // Half of what one left does not keep the next from it.
    images(&lab).drop_image(&found.key).await.unwrap();
    assert!(begin(&Arc::default()).await.unwrap().unwrap() > 0);
    lab.close(&[]).await;
}

#[tokio::test]
async fn a_saved_container_image_becomes_a_machine() {
    let (Some(lab), Some(busybox)) = (Lab::open().await, busybox()) else { return };
    let mut tar = Builder::new(Vec::new());
    for (name, layer) in ["one/layer.tar", "two/layer.tar"].iter().zip(layers(&busybox)) {
        append(&mut tar, name, 0o644, &layer);
    }
    append(
        &mut tar,
        "config.json",
        0o644,
        br#"{"os":"linux","config":{"Env":["GREETING=saved"]}}"#,
    );
    let manifest = br#"[{"Config":"config.json","Layers":["one/layer.tar","two/layer.tar"]}]"#;
    append(&mut tar, "manifest.json", 0o644, manifest);
    let path = lab.dir.path().join("saved.tar.gz");
    fs::write(&path, gzip(&tar.into_inner().unwrap())).unwrap();
    let key = import(&lab, &path).await;
    let disk = lab.data().join("store/pool/img").join(key.as_str());
    let mut left: Vec<_> = fs::read_dir(&disk)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["image.json", "rootfs"], "the parts are gone");
    let one = machine_of(&lab, &key).await;
    assert_eq!(lab.says(&one, "cat /etc/added").await, "by the second layer");
    assert_eq!(lab.says(&one, "echo $GREETING").await, "saved");
    lab.close(&[&one]).await;
    // The same as a layout in an archive.
    let Some(lab) = Lab::open().await else { return };
    let folder = layout(lab.dir.path(), &layers(&busybox));
    let mut tar = Builder::new(Vec::new());
    tar.append_dir_all(".", &folder).unwrap();
    let path = lab.dir.path().join("layout.tar");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    let key = import(&lab, &path).await;
    let one = machine_of(&lab, &key).await;
    assert_eq!(lab.says(&one, "echo $GREETING").await, "good day");
    lab.close(&[&one]).await;
}
