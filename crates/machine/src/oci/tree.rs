//! From an image of the engine, or a root tarball, to the disk that new machines are copies of. The
//! layers of an image are merged by the engine, whose export is laid out here like a tarball.

use super::{
    OciImage,
    engine::{Engine, as_io},
    frame::hex,
};
use crate::{backend::MachineError, images::compressed, inside::ROOT, running::blocking};
use bollard::models::ContainerCreateBody;
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};
use tar::EntryType;
use toft_jail::spec::EGRESS_PORT;
use tokio::sync::mpsc;

/// Pieces of an export that wait to be written: some megabytes.
const PIECES_MAX: usize = 64;
/// Folders that every machine has. The mode of those that are made here.
const FOLDERS: &[(&str, u32)] = &[
    ("etc", 0o755),
    ("home", 0o755),
    ("home/project", 0o755),
    ("home/starter", 0o700),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("var/lib/toft", 0o700),
];
/// Files that Toft shows from outside: something must lie under them.
pub(super) const SHOWN: &[&str] = &["hosts", "hostname", "resolv.conf"];

/// Names what an image holds: the same as long as it is not made anew.
pub(super) async fn key(engine: &Engine, image: &OciImage) -> Result<String, MachineError> {
    match image {
        OciImage::Name(name) => match engine.docker.inspect_image(name).await {
            Ok(found) => {
                let id = found.id.unwrap_or_default();
                Ok(format!("oci-{}", hex(id.as_bytes())))
            }
            Err(e) if super::engine::status(&e) == Some(404) => Err(MachineError::Unsupported {
                missing: format!("{} has no image `{name}`", engine.name),
                remedy: format!(
                    "Fetch it with the engine (`podman pull {name}` or `docker pull {name}`), or \
                     name a root tarball instead: `--oci-image FILE.tar`."
                ),
            }),
            Err(e) => Err(unusable(image, &as_io(e))),
        },
        OciImage::Tarball(path) => {
            let meta = fs::metadata(path).map_err(|e| unusable(image, &e))?;
            if !meta.is_file() {
                return Err(unusable(image, &io::Error::other("it is no file")));
            }
            let marks = format!("{} {} {}", meta.size(), meta.mtime(), meta.mtime_nsec());
            let named = [path.as_os_str().as_encoded_bytes(), marks.as_bytes()].concat();
            Ok(format!("oci-tar-{}", hex(&named)))
        }
    }
}

fn unusable(image: &OciImage, e: &io::Error) -> MachineError {
    MachineError::Unsupported {
        missing: format!("the image {image} cannot be used: {e}"),
        remedy: "Name one that the engine has, or a tarball of a whole root file system, with \
                 `--oci-image`."
            .to_owned(),
    }
}

/// Lays the image out in the folder `disk`, which is there and empty.
pub(super) async fn lay_out(
    engine: &Engine,
    image: &OciImage,
    labels: HashMap<String, String>,
    disk: &Path,
) -> Result<(), MachineError> {
    let laid = match image {
        OciImage::Name(name) => export(engine, name, labels, disk).await,
        OciImage::Tarball(path) => {
            let (path, root) = (path.clone(), disk.join(ROOT));
            blocking(move || unpack(compressed::open(fs::File::open(path)?)?, &root)).await
        }
    };
    laid.map_err(|e| unusable(image, &e))
}

async fn export(
    engine: &Engine,
    image: &str,
    labels: HashMap<String, String>,
    disk: &Path,
) -> io::Result<()> {
    let name = format!("toft-export-{}", crate::folders::rand_name());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        // Never started; some images name no program, and engines want one.
        entrypoint: Some(vec!["/none".to_owned()]),
        network_disabled: Some(true),
        labels: Some(labels),
        ..ContainerCreateBody::default()
    };
    engine.create(&name, body).await?;
    let exported = pour(engine, &name, disk).await;
    if let Err(e) = engine.remove(&name).await {
        tracing::warn!("the container {name} stays until the next start: {e}");
    }
    exported
}

async fn pour(engine: &Engine, container: &str, disk: &Path) -> io::Result<()> {
    let (pieces, waiting) = mpsc::channel(PIECES_MAX);
    let root = disk.join(ROOT);
    let writing = blocking(move || unpack(Pieces::new(waiting), &root));
    let patient = engine.patient();
    let reading = async {
        let mut out = std::pin::pin!(patient.export_container(container));
        while let Some(piece) = out.next().await {
            // The other side failed, and says why.
            if pieces.send(piece.map_err(as_io)).await.is_err() {
                break;
            }
        }
        drop(pieces);
    };
    let ((), written) = tokio::join!(reading, writing);
    written
}

/// Reads what comes through a channel.
struct Pieces {
    waiting: mpsc::Receiver<io::Result<Bytes>>,
    now: Bytes,
}

impl Pieces {
    fn new(waiting: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { waiting, now: Bytes::new() }
    }
}

impl io::Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.waiting.blocking_recv() {
                Some(piece) => self.now = piece?,
                None => return Ok(0),
            }
        }
        let len = buf.len().min(self.now.len());
        buf[..len].copy_from_slice(&self.now.split_to(len));
        Ok(len)
    }
}

/// Writes a root file system below `root`, then what every machine has.
fn unpack(archive: impl io::Read, root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(rustix::process::geteuid().is_root());
    archive.set_overwrite(true);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let inside = path.strip_prefix("/").or_else(|_| path.strip_prefix("./")).unwrap_or(&path);
        if ["dev", "proc", "sys", "run"].iter().any(|top| inside.starts_with(top)) {
            continue;
        }
        match entry.header().entry_type() {
            // Devices and pipes belong to the engine's own /dev.
            EntryType::Char | EntryType::Block | EntryType::Fifo => continue,
            _ => {}
        }
        // Refuses what would lie outside, also by way of links.
        entry.unpack_in(root)?;
    }
    if !["usr", "bin"].iter().any(|name| root.join(name).is_dir()) {
        return Err(io::Error::other("it holds no system: there is neither /usr nor /bin in it"));
    }
    complete(root)
}

fn complete(root: &Path) -> io::Result<()> {
    for (name, mode) in FOLDERS {
        let path = root.join(name);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => continue,
            Ok(_) => {
                return Err(io::Error::other(format!("/{name} of the image is no plain folder")));
            }
            Err(_) => fs::create_dir(&path)?,
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
    }
    for name in SHOWN {
        let path = root.join("etc").join(name);
        if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
            let _ = fs::remove_file(&path);
            fs::File::create(&path)?;
        }
    }
    let apt = root.join("etc/apt/apt.conf.d");
    // No link of the image's leads anywhere: neither a folder on the way nor the file itself.
    let is_plain = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if ["etc", "etc/apt", "etc/apt/apt.conf.d"].iter().all(|way| is_plain(&root.join(way))) {
        let proxy = format!("http://gateway.internal:{EGRESS_PORT}");
        let text = format!(
            "Acquire::http::Proxy \"{proxy}\";\nAcquire::https::Proxy \"{proxy}\";\n\
             APT::Sandbox::User \"root\";\n"
        );
        let file = apt.join("99toft");
        if fs::symlink_metadata(&file).is_ok() {
            fs::remove_file(&file)?;
        }
        fs::File::create_new(&file)?.write_all(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_lands_below_its_folder_and_every_machine_has_its_places() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |path: &str, kind: EntryType, link: Option<&str>| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o755);
            header.set_size(0);
            let uid = rustix::process::geteuid().as_raw();
            header.set_uid(uid.into());
            header.set_gid(rustix::process::getegid().as_raw().into());
            match link {
                Some(target) => archive.append_link(&mut header, path, target).unwrap(),
                None => archive.append_data(&mut header, path, io::empty()).unwrap(),
            }
        };
        add("etc/", EntryType::Directory, None);
        add("usr/", EntryType::Directory, None);
        add("etc/resolv.conf", EntryType::Symlink, Some("/run/elsewhere"));
        add("dev/null", EntryType::Regular, None);
        add("pipe", EntryType::Fifo, None);
        add("leak", EntryType::Symlink, Some(dir.path().to_str().unwrap()));
        add("leak/planted", EntryType::Regular, None);
        let bytes = archive.into_inner().unwrap();
        // A member behind a link that leads out is refused, whatever is done then.
        let _ = unpack(bytes.as_slice(), &root);
        assert!(!dir.path().join("planted").exists());
        fs::remove_file(root.join("leak")).unwrap();
        complete(&root).unwrap();
        assert!(root.join("home/project").is_dir() && root.join("etc/resolv.conf").is_file());
        assert!(!root.join("dev").exists() && !root.join("pipe").exists());
        assert_eq!(fs::metadata(root.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    }
}
