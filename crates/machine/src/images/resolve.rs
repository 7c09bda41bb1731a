//! Looks at what somebody wants an image of: whether it is fit for one, what is in it (the key says
//! that), and what people call it. Makes nothing.

use super::{
    archive::Archive,
    compressed, digest,
    oci::{self, Manifest},
    registry as fetch,
    root::Root,
    words::{ImageError, ImageKey, ImageKind, RegistrySource, Source},
};
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Places inside that a folder of the host may not cover, with all below them.
const TAKEN: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home/project",
    "/home/starter",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/var/lib",
];
/// Folders in one image.
const FOLDERS_MAX: usize = 16;
/// Longest name that is suggested.
const NAME_CHARS_MAX: usize = 60;

/// A source that was looked at.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Names what is in it.
    pub key: ImageKey,
    /// What it is.
    pub kind: ImageKind,
    /// Where it comes from, for people: no password.
    pub source: String,
    /// What it may be called.
    pub name: String,
    pub(crate) what: What,
}

/// What there is to do.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Folders to show.
    Folders(Vec<PathBuf>),
    /// An archive of a root.
    Tarball { path: PathBuf, sha256: String, bytes: u64 },
    /// A layout on this host.
    Layout { folder: PathBuf, manifest: Manifest },
    /// In a registry.
    Registry { from: RegistrySource, manifest: Manifest },
}

/// Looks at an image in a registry.
pub(crate) async fn registry(from: &RegistrySource) -> Result<Resolved, ImageError> {
    let (manifest, digest) = fetch::manifest(from).await?;
    Ok(Resolved {
        key: ImageKey::of("oci", &[digest.as_bytes()]),
        kind: ImageKind::Oci,
        name: suggested(from.reference.rsplit('/').next().unwrap_or_default()),
        source: from.reference.clone(),
        what: What::Registry { from: from.clone(), manifest },
    })
}

/// Looks at something on this host; reads all of a tarball. `data`: the data folder, of which nothing
/// may show in a machine.
pub(crate) fn on_this_host(source: &Source, data: &Path) -> Result<Resolved, ImageError> {
    match source {
        Source::Folders(folders) => resolve_folders(folders, data),
        Source::Path(path) => resolve_path(path, data),
        Source::Registry(from) => {
            Err(ImageError::refused(format!("{} is not on this host", from.reference)))
        }
    }
}

fn resolve_path(path: &Path, data: &Path) -> Result<Resolved, ImageError> {
    let cannot = |e: std::io::Error| ImageError::refused(format!("{}: {e}", path.display()));
    if !path.is_absolute() {
        return Err(ImageError::refused("give the whole path, from `/` on"));
    }
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        // As other programs name an image of several in a layout.
        Err(e) => {
            let named = path.to_str().and_then(|text| text.rsplit_once(':'));
            let found = named.filter(|(folder, _)| Path::new(folder).join("oci-layout").is_file());
            return match found {
                Some((folder, name)) => layout(Path::new(folder), Some(name)),
                None => Err(cannot(e)),
            };
        }
    };
    if meta.is_dir() {
        if path.join("oci-layout").is_file() {
            return layout(path, None);
        }
        return resolve_folders(&[path.to_owned()], data);
    }
    if !meta.is_file() {
        return Err(ImageError::refused(format!(
            "{} is neither a file nor a folder",
            path.display()
        )));
    }
    check_archive(path)?;
    let (sha256, bytes) = File::open(path).and_then(digest::of_file).map_err(cannot)?;
    Ok(Resolved {
        key: ImageKey::of("tarball", &[sha256.as_bytes()]),
        kind: ImageKind::Tarball,
        source: path.display().to_string(),
        name: suggested(&stem(path)),
        what: What::Tarball { path: path.to_owned(), sha256, bytes },
    })
}

/// Refuses a file that does not even begin as an archive. The rest is read when it is unpacked.
fn check_archive(path: &Path) -> Result<(), ImageError> {
    let shown = path.display();
    let refused = |e: std::io::Error| ImageError::refused(format!("{shown}: {e}"));
    let from = File::open(path).and_then(compressed::open).map_err(refused)?;
    let why = match Archive::new(from).next() {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => "it is empty".to_owned(),
        Err(e) => e.to_string(),
    };
    Err(ImageError::refused(format!(
        "{shown} cannot become an image: {why}. Give the tar archive of a root file system (plain, or \
         compressed with gzip or zstd), of a saved container image, or a folder"
    )))
}

fn layout(folder: &Path, name: Option<&str>) -> Result<Resolved, ImageError> {
    let cannot = |e: std::io::Error| ImageError::refused(format!("{}: {e}", folder.display()));
    let folder = &fs::canonicalize(folder).map_err(cannot)?;
    let root = Root::open(folder).map_err(cannot)?;
    let (manifest, digest) = oci::open_layout(&root, name)?;
    oci::check_parts(&root, &manifest)?;
    let told = name.map_or_else(String::new, |name| format!(":{name}"));
    Ok(Resolved {
        key: ImageKey::of("oci", &[digest.as_bytes()]),
        kind: ImageKind::Oci,
        source: format!("{}{told}", folder.display()),
        name: suggested(&format!("{}{told}", stem(folder))),
        what: What::Layout { folder: folder.to_owned(), manifest },
    })
}

fn resolve_folders(folders: &[PathBuf], data: &Path) -> Result<Resolved, ImageError> {
    if folders.is_empty() || folders.len() > FOLDERS_MAX {
        return Err(ImageError::refused(format!("give 1 to {FOLDERS_MAX} folders")));
    }
    let mut found = Vec::new();
    for folder in folders {
        let path = fs::canonicalize(folder)
            .map_err(|e| ImageError::refused(format!("{}: {e}", folder.display())))?;
        check_folder(&path, data)?;
        if !found.contains(&path) {
            found.push(path);
        }
    }
    let told: Vec<String> = found.iter().map(|f| f.display().to_string()).collect();
    let parts: Vec<&[u8]> = told.iter().map(String::as_bytes).collect();
    Ok(Resolved {
        key: ImageKey::of("folders", &parts),
        kind: ImageKind::Folder,
        source: told.join(", "),
        name: suggested(&found.iter().map(|f| stem(f)).collect::<Vec<_>>().join("-")),
        what: What::Folders(found),
    })
}

/// A folder shows inside at its own place, for that is where its programs expect themselves. So it
/// must not be one that a machine has itself.
fn check_folder(path: &Path, data: &Path) -> Result<(), ImageError> {
    let shown = path.display();
    if !path.is_dir() || path.to_str().is_none() {
        return Err(ImageError::refused(format!("{shown} is no folder with a readable name")));
    }
    let shallow = path.components().count() < 3;
    if shallow || TAKEN.iter().any(|t| path.starts_with(t) || Path::new(t).starts_with(path)) {
        return Err(ImageError::refused(format!(
            "{shown} cannot show in machines: they have a folder of their own there. Put the \
             toolchain below /opt, or below /usr/local, where machines see it anyway"
        )));
    }
    if path.starts_with(data) || data.starts_with(path) {
        return Err(ImageError::refused(format!(
            "{shown} cannot show in machines: Toft keeps its data there"
        )));
    }
    if path.join("bin/sh").exists() && path.join("etc").is_dir() {
        return Err(ImageError::refused(format!(
            "{shown} looks like a whole root file system: pack it (`tar -C {shown} -c . > root.tar`) and \
             give the archive"
        )));
    }
    if !has_programs(path) {
        return Err(ImageError::refused(format!(
            "{shown} has no programs, neither in `bin` nor itself: give the folder of a toolchain (or \
             several: each is shown)"
        )));
    }
    Ok(())
}

/// Whether anything in the folder that machines get into their `PATH` can be run.
fn has_programs(folder: &Path) -> bool {
    let bin = folder.join("bin");
    let programs = if bin.is_dir() { &bin } else { folder };
    fs::read_dir(programs).into_iter().flatten().flatten().any(|entry| {
        // By whatever links: many are.
        fs::metadata(entry.path()).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    })
}

fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for ending in [".tar.gz", ".tar.zst", ".tgz", ".tzst", ".tar"] {
        if let Some(stem) = name.strip_suffix(ending) {
            return stem.to_owned();
        }
    }
    name
}

/// A name in the letters that names have.
fn suggested(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    let name: String = text.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    let name = name.split("-sha256:").next().unwrap_or_default();
    let name: String = name
        .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
        .chars()
        .take(NAME_CHARS_MAX)
        .collect();
    if name.is_empty() { "image".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_would_cover_a_machines_own_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir_all(data.join("inner")).unwrap();
        let tools = dir.path().join("tools");
        fs::create_dir_all(tools.join("bin")).unwrap();
        let look = |path: &Path| {
            on_this_host(&Source::Path(path.to_owned()), &data).map_err(|e| e.to_string())
        };
        for path in ["/", "/usr", "/etc", "/etc/ssl", "/var", "/proc/self", "/home", "/opt"] {
            let path = Path::new(path);
            if path.exists() {
                assert!(look(path).unwrap_err().contains("cannot show"), "{}", path.display());
            }
        }
        for path in [&data, &data.join("inner"), &dir.path().to_owned()] {
            assert!(look(path).unwrap_err().contains("Toft keeps its data"));
        }
        // Nothing that can be run, or a whole system.
        fs::write(tools.join("readme"), "").unwrap();
        fs::write(tools.join("bin/tool"), "").unwrap();
        assert!(look(&tools).unwrap_err().contains("has no programs"));
        let may_run = |path: &str| {
            fs::set_permissions(tools.join(path), fs::Permissions::from_mode(0o755)).unwrap();
        };
        may_run("readme");
        assert!(look(&tools).unwrap_err().contains("has no programs"), "`bin` is what counts");
        may_run("bin/tool");
        fs::write(tools.join("bin/sh"), "").unwrap();
        fs::create_dir(tools.join("etc")).unwrap();
        assert!(look(&tools).unwrap_err().contains("pack it"));
        fs::remove_dir(tools.join("etc")).unwrap();
        let found = look(&tools).unwrap();
        assert_eq!((found.kind, found.name.as_str()), (ImageKind::Folder, "tools"));
        assert_eq!(found.key, look(&tools).unwrap().key);
        // A link to a folder is that folder.
        std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
        assert!(look(&dir.path().join("link")).unwrap_err().contains("cannot show"));
        assert!(look(&dir.path().join("none")).unwrap_err().contains("No such file"));
    }

    #[test]
    fn the_key_of_a_tarball_is_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let look = |name: &str, content: &str| {
            let path = dir.path().join(name);
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, "f", content.as_bytes()).unwrap();
            fs::write(&path, tar.into_inner().unwrap()).unwrap();
            on_this_host(&Source::Path(path), Path::new("/nowhere")).unwrap()
        };
        let (one, same, other) =
            (look("alpine-3.20.tar.gz", "x"), look("b.tar", "x"), look("c.tar", "y"));
        assert_eq!(one.name, "alpine-3.20");
        assert_eq!(one.key, same.key);
        assert_ne!(one.key, other.key);
        assert_eq!(one.key.as_str().parse(), Ok(one.key.clone()));
    }

    #[test]
    fn what_is_no_archive_is_refused_before_it_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let text = "root:x:0:0:root:/root:/bin/sh\n".repeat(100);
        for (content, said) in [
            (&b""[..], "it is empty"),
            (&[0; 10_240], "it is empty"),
            (text.as_bytes(), "a header's checksum is wrong"),
            (b"short", "it ends within a header"),
            (b"\xfd7zXZ\0rest", "gzip or zstd"),
            (b"BZh91AY&SY", "gzip or zstd"),
            (b"PK\x03\x04rest", "gzip or zstd"),
            (b"\x1f\x8brest of no gzip", "cannot become an image"),
            (b"\x28\xb5\x2f\xfd\xff\xff", "compression is damaged"),
        ] {
            fs::write(&path, content).unwrap();
            let told = on_this_host(&Source::Path(path.clone()), Path::new("/nowhere"));
            let told = told.unwrap_err();
            assert!(matches!(&told, ImageError::Refused(why) if why.contains(said)), "{told}");
        }
    }

    #[test]
    fn a_layout_that_lacks_a_part_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = dir.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| {
            fs::write(blobs.join(digest::of(bytes)), bytes).unwrap();
            serde_json::json!({"digest": format!("sha256:{}", digest::of(bytes)),
                "size": bytes.len(), "mediaType": "application/vnd.oci.image.layer.v1.tar"})
        };
        let layer = b"a layer";
        let manifest = serde_json::json!({"config": put(b"{}"), "layers": [put(layer)]});
        let manifest = put(manifest.to_string().as_bytes());
        let index = serde_json::json!({"manifests": [manifest]}).to_string();
        fs::write(dir.path().join("oci-layout"), "{}").unwrap();
        let look = || {
            let source = Source::Path(dir.path().to_owned());
            on_this_host(&source, Path::new("/nowhere")).map(|_| ()).map_err(|e| e.to_string())
        };
        assert!(look().unwrap_err().contains("index.json"));
        fs::write(dir.path().join("index.json"), index).unwrap();
        assert_eq!(look(), Ok(()));
        let path = blobs.join(digest::of(layer));
        fs::write(&path, b"a lay").unwrap();
        assert!(look().unwrap_err().contains("not complete"));
        fs::remove_file(&path).unwrap();
        // A part that a link brings from outside is none of the layout.
        fs::write(dir.path().with_extension("outside"), layer).unwrap();
        std::os::unix::fs::symlink(dir.path().with_extension("outside"), &path).unwrap();
        assert!(look().unwrap_err().contains("not complete"));
        fs::remove_file(dir.path().with_extension("outside")).unwrap();
    }

    #[test]
    fn names_are_made_of_plain_letters() {
        for (given, expected) in [
            ("alpine:3.20", "alpine:3.20"),
            ("alpine@sha256:00", "alpine"),
            ("--x y", "x-y"),
            ("é", "image"),
        ] {
            assert_eq!(suggested(given), expected);
        }
    }
}
