//! Puts the entries of archives into a root, one layer over the other. Removals that a layer of an
//! OCI image asks for (`.wh.name`, `.wh..wh..opq`; image-spec, "Layer Filesystem Changeset") touch
//! only what earlier layers have put there. Bounded in entries and bytes.

use super::{
    archive::{Archive, Entry, Kind},
    compressed,
    digest::Checked,
    progress::Progress,
    root::{Below, Root},
    words::ImageError,
};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Write as _},
    path::Path,
};

/// Entries of all layers together: a large Linux system has half a million.
const ENTRIES_MAX: u64 = 4_000_000;
/// What an entry takes besides its content, roughly: names and owners are not free, and an archive of
/// empty files must not fill a disk either.
const ENTRY_BYTES: u64 = 1 << 10;
/// Written at once.
const PIECE_BYTES: usize = 256 << 10;
/// What the name of a removal begins with.
const REMOVAL: &[u8] = b".wh.";
/// The name that removes all that earlier layers have put into a folder.
const REMOVE_ALL: &[u8] = b".wh..wh..opq";

/// How much may still be unpacked.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: u64,
    entries: u64,
    /// What was unpacked.
    pub(crate) taken: u64,
}

impl Room {
    /// For so many bytes.
    pub(crate) fn of(bytes: u64) -> Self {
        Self { bytes, entries: ENTRIES_MAX, taken: 0 }
    }

    fn take(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes = bytes
            .checked_add(ENTRY_BYTES)
            .and_then(|all| self.bytes.checked_sub(all))
            .ok_or_else(|| {
                let told = "what is in it needs more room than the data folder's storage has: free \
                            some space, or take a smaller image";
                io::Error::new(io::ErrorKind::StorageFull, told)
            })?;
        self.taken += bytes;
        Ok(())
    }
}

/// Unpacks a root archive of this host, which must still be what it was when it was looked at.
pub(crate) fn unpack_archive(
    path: &Path,
    sha256: &str,
    bytes: u64,
    root: &Root,
    room: &mut Room,
    progress: &Progress,
) -> Result<(), ImageError> {
    progress.begin("unpacking", bytes);
    let done = File::open(path).and_then(|file| {
        let mut checked = Checked::new(file, bytes, progress);
        let from = compressed::open(&mut checked)?;
        let _ = unpack(root, from, false, room, progress)?;
        checked.finish(sha256)
    });
    done.map_err(|e| ImageError::unpacking(&path.display().to_string(), progress, &e))
}

/// Unpacks one archive. `layer`: removals are ones; in a root archive they are names like others.
/// Answers what comes after the archive's end.
pub(crate) fn unpack<R: Read>(
    root: &Root,
    from: R,
    layer: bool,
    room: &mut Room,
    progress: &Progress,
) -> io::Result<R> {
    let mut archive = Archive::new(from);
    let mut made = HashSet::new();
    let mut piece = vec![0; PIECE_BYTES];
    while let Some(entry) = archive.next()? {
        progress.check()?;
        room.entries = room.entries.checked_sub(1).ok_or_else(|| {
            let told = format!("it has more than {ENTRIES_MAX} entries");
            io::Error::new(io::ErrorKind::InvalidData, told)
        })?;
        let path = Below::parse(&entry.path)?;
        if layer && removal(root, &path, &made)? {
            continue;
        }
        // Before anything is written: an archive may promise more than there is.
        let put = room
            .take(entry.size)
            .and_then(|()| put(root, &entry, &path, &mut archive, progress, &mut piece));
        let inode = put.map_err(|e| {
            if let Some(told) = is_circle(&e).then(|| root.bad_link(&path)).flatten() {
                return io::Error::new(io::ErrorKind::InvalidData, told);
            }
            let shown: String = String::from_utf8_lossy(&entry.path).chars().take(200).collect();
            let told = match e.kind() {
                io::ErrorKind::NotADirectory => {
                    "what is above it in the archive is no folder: make the archive again"
                        .to_owned()
                }
                _ => e.to_string(),
            };
            io::Error::new(e.kind(), format!("{}: {told}", shown.escape_debug()))
        })?;
        if layer {
            made.extend(inode);
        }
    }
    Ok(archive.into_rest())
}

fn put<R: Read>(
    root: &Root,
    entry: &Entry,
    path: &Below,
    archive: &mut Archive<R>,
    progress: &Progress,
    piece: &mut [u8],
) -> io::Result<Option<u64>> {
    Ok(Some(match entry.kind {
        Kind::Folder => root.put_folder(path, entry.meta)?,
        Kind::Link => root.put_link(path, &entry.target, entry.meta)?,
        Kind::HardLink => root.put_hard_link(path, &Below::parse(&entry.target)?)?,
        // What it would replace must not show through.
        Kind::Node => {
            root.remove(path)?;
            return Ok(None);
        }
        Kind::File => {
            let mut file = root.new_file(path)?;
            loop {
                let read = archive.read(piece)?;
                if read == 0 {
                    break;
                }
                file.write_all(&piece[..read])?;
                progress.check()?;
            }
            root.finish_file(&file, entry.meta)?
        }
    }))
}

/// Whether links led to no end.
pub(super) fn is_circle(e: &io::Error) -> bool {
    e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Whether the entry only removes something, which is done then.
fn removal(root: &Root, path: &Below, made: &HashSet<u64>) -> io::Result<bool> {
    let Some((folder, name)) = path.split() else { return Ok(false) };
    let name = name.to_bytes();
    if name == REMOVE_ALL {
        root.remove_all_but(&folder, made)?;
        return Ok(true);
    }
    let Some(removed) = name.strip_prefix(REMOVAL) else { return Ok(false) };
    // Marks of the kernel's predecessor of overlays; an empty name is none.
    if removed.starts_with(REMOVAL) || removed.is_empty() {
        return Ok(true);
    }
    let victim = folder.with(removed)?;
    if root.inode(&victim).is_some_and(|inode| made.contains(&inode)) {
        // Made by this very layer: only what was there before it goes.
        root.remove_all_but(&victim, made)?;
    } else {
        root.remove(&victim)?;
    }
    Ok(true)
}
