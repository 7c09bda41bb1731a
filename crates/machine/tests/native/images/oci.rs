//! Container images: a layout, a saved one in an archive, one from a registry on loopback.

use super::{
    archives::{append, busybox, gzip, layers, layout},
    images, import, machine_of, resolve,
};
use crate::lab::Lab;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tar::Builder;
use toft_lane::skip;
use toft_machine::images::{ImageError, ImageKind, RegistrySource, Source};

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
