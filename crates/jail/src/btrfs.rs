//! Subvolumes of btrfs: make, snapshot, delete, grow; what they hold is in `search`. A few requests,
//! no library.
#![expect(unsafe_code, reason = "btrfs is driven by ioctl")]

pub(crate) mod search;

pub use search::{Extent, Subvolume, extents, owners, subvolume};

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::Path,
};

/// `statfs.f_type` of btrfs, `linux/magic.h`.
pub const MAGIC: i64 = 0x9123_683E;
/// Requests of `linux/btrfs.h`.
const SUBVOL_CREATE: libc::c_ulong = 0x5000_940E;
const SNAP_DESTROY: libc::c_ulong = 0x5000_940F;
const SNAP_CREATE_V2: libc::c_ulong = 0x5000_9417;
/// `BTRFS_IOC_SUBVOL_SETFLAGS`.
const SUBVOL_SETFLAGS: libc::c_ulong = 0x4008_941A;
const SYNC: libc::c_ulong = 0x9408;
const RESIZE: libc::c_ulong = 0x5000_9403;
/// `BTRFS_IOC_BALANCE_V2`, its structure in numbers of 64 bits, and its flag for what is no data.
const BALANCE: libc::c_ulong = 0xC400_9420;
const BALANCE_WORDS: usize = 128;
const BALANCE_METADATA: u64 = 1 << 2;
const SUBVOL_RDONLY: u64 = 1 << 1;
/// Inode number of the root of every subvolume.
const ROOT_INODE: u64 = 256;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct VolArgs {
    fd: i64,
    name: [u8; 4088],
}

/// `struct btrfs_ioctl_vol_args_v2`.
#[repr(C)]
struct VolArgsV2 {
    fd: i64,
    transid: u64,
    flags: u64,
    unused: [u64; 4],
    name: [u8; 4040],
}

/// Whether a path lies on btrfs.
pub fn is_btrfs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == MAGIC)
}

/// Whether a path is the root of a subvolume.
pub fn is_subvolume(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_dir() && m.ino() == ROOT_INODE)
        && is_btrfs(path)
}

/// Writes down what is pending on the file system that a path lies on, and wakes the thread that frees
/// what deleted subvolumes held.
pub fn sync(path: &Path) -> io::Result<()> {
    let inside = File::open(path)?;
    // SAFETY: the request takes no argument.
    check(unsafe { libc::ioctl(inside.as_raw_fd(), SYNC) })
}

/// Makes an empty subvolume.
pub fn create(path: &Path) -> io::Result<()> {
    let (parent, name) = split(path)?;
    let mut args = VolArgs { fd: 0, name: [0; 4088] };
    args.name[..name.len()].copy_from_slice(name);
    // SAFETY: the request reads a `btrfs_ioctl_vol_args`, which outlives the call; the name ends
    // with a zero because `split` keeps it shorter than the array.
    check(unsafe { libc::ioctl(parent.as_raw_fd(), SUBVOL_CREATE, &raw const args) })
}

/// Makes a snapshot of the subvolume `from`.
pub fn snapshot(from: &Path, to: &Path, read_only: bool) -> io::Result<()> {
    let source = File::open(from)?;
    let (parent, name) = split(to)?;
    let mut args = VolArgsV2 {
        fd: i64::from(source.as_raw_fd()),
        transid: 0,
        flags: if read_only { SUBVOL_RDONLY } else { 0 },
        unused: [0; 4],
        name: [0; 4040],
    };
    args.name[..name.len()].copy_from_slice(name);
    // SAFETY: as in `create`, with a `btrfs_ioctl_vol_args_v2`.
    check(unsafe { libc::ioctl(parent.as_raw_fd(), SNAP_CREATE_V2, &raw const args) })
}

/// Lifts the write protection of a read-only snapshot.
pub fn make_writable(path: &Path) -> io::Result<()> {
    let subvolume = File::open(path)?;
    let flags = 0u64;
    // SAFETY: the request reads a `u64`, which outlives the call.
    check(unsafe { libc::ioctl(subvolume.as_raw_fd(), SUBVOL_SETFLAGS, &raw const flags) })
}

/// Deletes a subvolume and those below it. The kernel frees its space later.
pub fn delete(path: &Path) -> io::Result<()> {
    match delete_one(path) {
        Err(e) if e.raw_os_error() == Some(libc::ENOTEMPTY) => {
            delete_below(path)?;
            delete_one(path)
        }
        other => other,
    }
}

fn delete_one(path: &Path) -> io::Result<()> {
    let (parent, name) = split(path)?;
    let mut args = VolArgs { fd: 0, name: [0; 4088] };
    args.name[..name.len()].copy_from_slice(name);
    // SAFETY: as in `create`.
    check(unsafe { libc::ioctl(parent.as_raw_fd(), SNAP_DESTROY, &raw const args) })
}

/// Deletes the subvolumes inside a tree, deepest first; follows no links.
fn delete_below(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        if is_subvolume(&path) { delete(&path)? } else { delete_below(&path)? }
    }
    Ok(())
}

/// Grows the file system at `mounted` to the size of its device.
pub fn grow_to_device(mounted: &Path) -> io::Result<()> {
    let root = File::open(mounted)?;
    let mut args = VolArgs { fd: 0, name: [0; 4088] };
    args.name[..3].copy_from_slice(b"max");
    // SAFETY: as in `create`.
    check(unsafe { libc::ioctl(root.as_raw_fd(), RESIZE, &raw const args) })
}

/// Moves all that is no data of files into new places, each as large as the kernel makes them for a file
/// system of this size. Quick on an empty one.
pub fn move_metadata(mounted: &Path) -> io::Result<()> {
    let root = File::open(mounted)?;
    let mut args = [0u64; BALANCE_WORDS];
    args[0] = BALANCE_METADATA;
    // SAFETY: the request reads and writes a `btrfs_ioctl_balance_args` of that many numbers, which
    // outlives the call.
    check(unsafe { libc::ioctl(root.as_raw_fd(), BALANCE, args.as_mut_ptr()) })
}

/// The folder, open, and the last name, of at most 255 bytes.
fn split(path: &Path) -> io::Result<(File, &[u8])> {
    let bad =
        || io::Error::new(io::ErrorKind::InvalidInput, "a subvolume needs a folder and a name");
    let name = path.file_name().ok_or_else(bad)?.as_encoded_bytes();
    if name.len() > 255 {
        return Err(bad());
    }
    Ok((File::open(path.parent().ok_or_else(bad)?)?, name))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
