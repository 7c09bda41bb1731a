//! The image that containers are made from: only the top folders and links of a disk, as good as
//! empty. All that a machine sees of them is bound over from its disk, so that the disk lies whole on
//! Toft's own storage and the engine keeps a few kilobytes.

use super::engine::{Engine, as_io, words};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListImagesOptions, RemoveImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use toft_model::id;

/// Filled by the engine, or kept in memory: not bound from a disk.
const ENGINES: &[&str] = &["dev", "proc", "run", "sys"];
/// Folders and links at the top of a disk; a usual one has twenty.
const TOP_MAX: usize = 256;
/// Accounts of the user that containers begin as. Never seen; without them Podman shows files of its
/// own over those of the disk, which could then not be written.
const ACCOUNTS: &[(&str, &str)] =
    &[("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n")];
/// Image names may not look like those of a registry.
const NAME: &str = "localhost/toft-frame-";

/// What a disk has at its top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    folders: Vec<String>,
    links: Vec<(String, PathBuf)>,
}

impl Frame {
    /// Looks at the root folder of a disk. Its top cannot be changed from inside.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let (mut folders, mut links) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(root)?.take(TOP_MAX) {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                links.push((name, fs::read_link(entry.path())?));
            } else if kind.is_dir() && !ENGINES.contains(&name.as_str()) {
                folders.push(name);
            }
        }
        folders.sort();
        links.sort();
        Ok(Self { folders, links })
    }

    /// Names of what is bound from the disk.
    pub(super) fn folders(&self) -> &[String] {
        &self.folders
    }

    /// As a tar archive; the same for the same frame.
    fn archive(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        let header = |kind, mode| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(0);
            header
        };
        for name in self.folders.iter().map(String::as_str).chain(ENGINES.iter().copied()) {
            let mut header = header(tar::EntryType::Directory, 0o755);
            archive.append_data(&mut header, format!("{name}/"), io::empty())?;
        }
        for (name, text) in ACCOUNTS {
            let mut header = header(tar::EntryType::Regular, 0o644);
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, name, text.as_bytes())?;
        }
        for (name, target) in &self.links {
            let mut header = header(tar::EntryType::Symlink, 0o777);
            archive.append_link(&mut header, name, target)?;
        }
        archive.into_inner()
    }

    /// Sees to it that the engine has the image; answers its name.
    pub(super) async fn ensure(&self, engine: &Engine) -> io::Result<String> {
        let archive = self.archive()?;
        let name = format!("{NAME}{}", hex(&archive));
        if engine.docker.inspect_image(&name).await.is_ok() {
            return Ok(name);
        }
        let archive = futures_util::stream::once(async { Ok(Bytes::from(archive)) });
        import(engine, &name, archive).await?;
        Ok(name)
    }
}

/// Removes all such images that no container is made of; another server makes anew what it lacks.
pub(super) async fn forget(engine: &Engine) {
    let found = engine.docker.list_images(None::<ListImagesOptions>).await;
    let tags = found.unwrap_or_default().into_iter().flat_map(|image| image.repo_tags);
    for tag in tags.filter(|tag| tag.starts_with(NAME)) {
        let options = RemoveImageOptionsBuilder::new().force(false).build();
        if let Err(e) = engine.docker.remove_image(&tag, Some(options), None).await {
            tracing::debug!("the image {tag} stays: {}", words(&e));
        }
    }
}

/// Makes an image of a root tarball.
async fn import(
    engine: &Engine,
    name: &str,
    archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> io::Result<()> {
    let options = CreateImageOptionsBuilder::new().from_src("-").repo(name).tag("latest").build();
    let patient = engine.patient();
    let body = bollard::body_try_stream(archive);
    let mut said = std::pin::pin!(patient.create_image(Some(options), Some(body), None));
    while let Some(line) = said.next().await {
        if let Some(why) = line.map_err(as_io)?.error_detail.and_then(|e| e.message) {
            return Err(io::Error::other(why));
        }
    }
    Ok(())
}

/// The first half of what names these bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    id::hex(&Sha256::digest(bytes)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_top_of_a_disk_without_its_content() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["usr", "etc", "proc", "run"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("usr/big"), "x").unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("usr/bin", dir.path().join("bin")).unwrap();
        let frame = Frame::of(dir.path()).unwrap();
        assert_eq!(frame.folders(), ["etc", "usr"]);
        let archive = frame.archive().unwrap();
        assert_eq!(archive, Frame::of(dir.path()).unwrap().archive().unwrap());
        let mut read = tar::Archive::new(archive.as_slice());
        let names: Vec<String> = read
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            names,
            ["etc/", "usr/", "dev/", "proc/", "run/", "sys/", "etc/passwd", "etc/group", "bin"]
        );
    }
}
