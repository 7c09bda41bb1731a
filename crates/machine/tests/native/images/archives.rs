//! What images are made of in these tests: root tarballs around a static busybox, layers, OCI layouts.

use serde_json::json;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};
use toft_lane::skip;

/// A program that needs nothing of the system it runs on.
pub(crate) fn busybox() -> Option<Vec<u8>> {
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

pub(crate) fn append(
    tar: &mut Builder<impl std::io::Write>,
    path: &str,
    mode: u32,
    content: &[u8],
) {
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
pub(crate) fn rootfs(busybox: &[u8]) -> Vec<u8> {
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

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Writes a layout of these layers, and answers its folder.
pub(crate) fn layout(dir: &Path, layers: &[Vec<u8>]) -> PathBuf {
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

pub(crate) fn layers(busybox: &[u8]) -> Vec<Vec<u8>> {
    let mut second = Builder::new(Vec::new());
    append(&mut second, "etc/.wh.drop-me", 0o644, b"");
    append(&mut second, "etc/added", 0o644, b"by the second layer\n");
    vec![gzip(&rootfs(busybox)), gzip(&second.into_inner().unwrap())]
}

/// A root of many small files, which takes its time where copies are made file by file.
pub(crate) fn of_many_files(dir: &Path) -> PathBuf {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, "bin/sh", 0o755, b"#!/none\n");
    for n in 0..MANY {
        append(&mut tar, &format!("data/{}/{n}", n % 40), 0o644, b"content\n");
    }
    let path = dir.join("many.tar");
    fs::write(&path, tar.into_inner().unwrap()).unwrap();
    path
}

/// Files of such a root.
pub(crate) const MANY: usize = 4000;
