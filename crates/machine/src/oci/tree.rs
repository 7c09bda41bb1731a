//! From an image of the engine, or a root tarball, to the disk that new machines are copies of. The
//! layers of an image are merged by the engine, whose export is laid out here like a tarball.

use super::{
    OciImage,
    engine::{Engine, as_io},
    frame::hex,
};
use crate::{
    backend::MachineError,
    blocking::blocking,
    images::{
        Below, Definition, ImageError, Progress, Room, Root, compressed, environment, finish,
        unpack_tree,
    },
    inside::ROOT,
};
use bollard::models::ContainerCreateBody;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;
use std::{collections::HashMap, fs, io, os::unix::fs::MetadataExt as _, path::Path};
use tokio::sync::mpsc;

/// Pieces of an export that wait to be written: some megabytes.
const PIECES_MAX: usize = 64;
/// Files that Toft shows from outside: something must lie under them.
pub(super) const SHOWN: &[&str] = &["hosts", "hostname", "resolv.conf"];

/// Variables that an image sets.
type Env = Vec<(String, String)>;

/// More than such files have.
const SHOWN_BYTES_MAX: u64 = 1 << 20;

/// Names what an image holds: the same as long as it is not made anew.
pub(super) async fn key(engine: &Engine, image: &OciImage) -> Result<String, MachineError> {
    // The number changes with what is made of an image.
    match image {
        OciImage::Name(name) => match engine.docker.inspect_image(name).await {
            Ok(found) => {
                let id = found.id.unwrap_or_default();
                Ok(format!("oci-2-{}", hex(id.as_bytes())))
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
            Ok(format!("oci-2-tar-{}", hex(&named)))
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

/// Lays the image out in the folder `disk`, which is there and empty. `bytes`: what it may take.
pub(super) async fn lay_out(
    engine: &Engine,
    image: &OciImage,
    labels: HashMap<String, String>,
    disk: &Path,
    bytes: u64,
) -> Result<(), MachineError> {
    let laid = match image {
        OciImage::Name(name) => export(engine, name, labels, disk, bytes).await,
        OciImage::Tarball(path) => {
            let (path, disk) = (path.clone(), disk.to_owned());
            blocking(move || {
                let archive = compressed::open(fs::File::open(path)?)?;
                unpack(archive, &disk, bytes, Vec::new())
            })
            .await
        }
    };
    laid.map_err(|e| match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            MachineError::DiskFull { step: "laying out the image" }
        }
        _ => unusable(image, &e),
    })
}

async fn export(
    engine: &Engine,
    image: &str,
    labels: HashMap<String, String>,
    disk: &Path,
    bytes: u64,
) -> io::Result<()> {
    let found = engine.docker.inspect_image(image).await.map_err(as_io)?;
    let env = found.config.and_then(|config| config.env).unwrap_or_default();
    let config = json!({
        "os": found.os.unwrap_or_default(),
        "architecture": found.architecture.unwrap_or_default(),
        "config": {"Env": env},
    });
    let env = environment(&serde_json::to_vec(&config)?).map_err(io::Error::other)?;
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
    let exported = pour(engine, &name, disk, bytes, env).await;
    if let Err(e) = engine.remove(&name).await {
        tracing::warn!("the container {name} stays until the next start: {e}");
    }
    exported
}

async fn pour(
    engine: &Engine,
    container: &str,
    disk: &Path,
    bytes: u64,
    env: Env,
) -> io::Result<()> {
    let (pieces, waiting) = mpsc::channel(PIECES_MAX);
    let disk = disk.to_owned();
    let writing = blocking(move || unpack(Pieces::new(waiting), &disk, bytes, env));
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

/// Puts a root file system onto a disk, bounded and confined like that of any image, then what every
/// machine has.
fn unpack(archive: impl io::Read, disk: &Path, bytes: u64, env: Env) -> io::Result<()> {
    let top = disk.join(ROOT);
    fs::create_dir(&top)?;
    let root = Root::open(&top)?;
    let _ = unpack_tree(&root, archive, false, &mut Room::of(bytes), &Progress::default())?;
    let shell = complete(&root).map_err(io::Error::other)?;
    let definition = Definition { whole: true, env, shell: Some(shell), ..Definition::default() };
    definition.write(disk)
}

/// What a root needs to be that of a container; answers the shell of terminals.
pub(super) fn complete(root: &Root) -> Result<String, ImageError> {
    let shell = finish(root)?;
    let showing = ImageError::step("making room for what Toft shows");
    let made = SHOWN.iter().try_for_each(|name| {
        let path = Below::parse(format!("etc/{name}").as_bytes())?;
        // Something must lie there that a file can be bound over.
        let text = root.read(&path, SHOWN_BYTES_MAX).unwrap_or_default();
        root.put(&path, &text, 0o644)
    });
    made.map_err(showing)?;
    Ok(shell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::EntryType;

    struct Made(tar::Builder<Vec<u8>>);

    impl Made {
        /// With a shell, without which nothing is a system.
        fn new() -> Self {
            let mut made = Self(tar::Builder::new(Vec::new()));
            made.add("bin/sh", EntryType::Regular, "", 0);
            made
        }

        fn add(&mut self, path: &str, kind: EntryType, link: &str, uid: u64) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o755);
            header.set_size(0);
            header.set_uid(uid);
            header.set_gid(uid);
            if link.is_empty() {
                self.0.append_data(&mut header, path, io::empty()).unwrap();
            } else {
                self.0.append_link(&mut header, path, link).unwrap();
            }
        }

        fn unpack(self, disk: &Path, bytes: u64) -> io::Result<()> {
            let env = vec![("PATH".to_owned(), "/only".to_owned())];
            unpack(self.0.into_inner().unwrap().as_slice(), disk, bytes, env)
        }
    }

    #[test]
    fn an_image_lands_below_its_folder_and_every_machine_has_its_places() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let mut made = Made::new();
        made.add("etc/", EntryType::Directory, "", 0);
        made.add("etc/resolv.conf", EntryType::Symlink, "/run/elsewhere", 0);
        made.add("pipe", EntryType::Fifo, "", 0);
        made.add("odd", EntryType::Regular, "", 4_000_000_000);
        made.add("leak", EntryType::Symlink, "../../outside", 0);
        made.add("leak/planted", EntryType::Regular, "", 0);
        made.unpack(&disk, 1 << 20).unwrap();
        let root = disk.join(ROOT);
        // What a link leads to lies inside, whatever it says.
        assert!(!dir.path().join("outside").exists() && root.join("outside/planted").is_file());
        assert!(root.join("home/project").is_dir() && !root.join("pipe").exists());
        for name in SHOWN {
            assert!(fs::symlink_metadata(root.join("etc").join(name)).unwrap().is_file(), "{name}");
        }
        assert_eq!(fs::metadata(root.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
        if rustix::process::geteuid().is_root() {
            // Ids that no machine has are nobody's.
            assert_eq!(fs::metadata(root.join("odd")).unwrap().uid(), 65_534);
        }
        let image = Definition::read(&disk).unwrap().unwrap();
        assert_eq!(image.env, [("PATH".to_owned(), "/only".to_owned())]);
        assert_eq!(image.shell.as_deref(), Some("/bin/sh"));
    }

    #[test]
    fn an_archive_that_takes_more_than_there_is_is_refused_before_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut made = Made::new();
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(2000);
        made.0.append_data(&mut header, "big", &[1; 2000][..]).unwrap();
        let e = made.unpack(dir.path(), 1000).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull, "{e}");
        assert!(!dir.path().join(ROOT).join("big").exists());
        assert!(Made(tar::Builder::new(Vec::new())).unpack(&dir.path().join("n"), 9).is_err());
    }
}
