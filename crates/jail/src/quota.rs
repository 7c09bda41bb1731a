//! Simple quotas of btrfs (`squota`, kernel 6.7 and later): a group per project that counts, and can
//! bound, what all its subvolumes together have written. Requests of `linux/btrfs.h`; figures come
//! from sysfs. Not the older quotas, which make snapshots slow.
#![expect(unsafe_code, reason = "btrfs is driven by ioctl")]

use crate::btrfs::search::{Key, Searcher};
use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    ops::ControlFlow,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

const QUOTA_CTL: libc::c_ulong = 0xC010_9428;
const QGROUP_ASSIGN: libc::c_ulong = 0x4018_9429;
const QGROUP_CREATE: libc::c_ulong = 0x4010_942A;
const QGROUP_LIMIT: libc::c_ulong = 0x8030_942B;
const INO_LOOKUP: libc::c_ulong = 0xD000_9412;
const FS_INFO: libc::c_ulong = 0x8400_941F;
/// `BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA`.
const ENABLE_SIMPLE: u64 = 4;
/// `BTRFS_QGROUP_LIMIT_MAX_RFER`.
const LIMIT_REFERENCED: u64 = 1;
/// Inode number of the root of every subvolume.
const ROOT_INODE: u64 = 256;
/// `BTRFS_QUOTA_TREE_OBJECTID`, and the type of its items that say who is in which group.
const QUOTA_TREE: u64 = 8;
const RELATION: u32 = 246;
/// Groups of subvolumes are of level 0; ours are of level 1.
const LEVEL_SHIFT: u32 = 48;

/// A group of one project's subvolumes. The number is ours to choose, below 2⁴⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(u64);

impl Group {
    /// The group of that number.
    pub fn new(number: u64) -> Self {
        Self(1 << LEVEL_SHIFT | (number & ((1 << LEVEL_SHIFT) - 1)))
    }

    fn file(self) -> String {
        format!("1_{}", self.0 & ((1 << LEVEL_SHIFT) - 1))
    }
}

#[repr(C)]
struct Control {
    command: u64,
    status: u64,
}

#[repr(C)]
struct Assign {
    /// 1 puts in, 0 takes out.
    put_in: u64,
    from: u64,
    to: u64,
}

#[repr(C)]
struct Create {
    create: u64,
    group: u64,
}

#[repr(C)]
struct Limit {
    group: u64,
    flags: u64,
    referenced_max: u64,
    exclusive_max: u64,
    referenced_reserved: u64,
    exclusive_reserved: u64,
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct Lookup {
    tree: u64,
    object: u64,
    name: [u8; 4080],
}

/// `struct btrfs_ioctl_fs_info_args`: two numbers, then the id.
#[repr(C)]
struct Info {
    max_id: u64,
    devices: u64,
    fsid: [u8; 16],
    rest: [u8; 992],
}

/// A mounted file system on which simple quotas are on.
#[derive(Debug, Clone)]
pub struct Quotas {
    mounted: PathBuf,
    /// Folder of the groups in sysfs.
    groups: PathBuf,
}

impl Quotas {
    /// Switches simple quotas on, unless they are. Fails on kernels without them. From then on
    /// kernels before 6.7 refuse to mount the file system: only for one of our own.
    pub fn enable(mounted: &Path) -> io::Result<Self> {
        let quotas = Self { mounted: mounted.to_owned(), groups: groups_folder(mounted)? };
        match fs::read_to_string(quotas.groups.join("mode")) {
            Ok(mode) if mode.trim() == "squota" => return Ok(quotas),
            Ok(mode) => return Err(io::Error::other(format!("quotas of kind {}", mode.trim()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let mut control = Control { command: ENABLE_SIMPLE, status: 0 };
        quotas.ask(QUOTA_CTL, &mut control)?;
        Ok(quotas)
    }

    /// Makes a group. There already: done.
    pub fn create(&self, group: Group) -> io::Result<()> {
        match self.ask(QGROUP_CREATE, &mut Create { create: 1, group: group.0 }) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Removes a group that no subvolume is in any more. Not there: done.
    pub fn remove(&self, group: Group) -> io::Result<()> {
        match self.ask(QGROUP_CREATE, &mut Create { create: 0, group: group.0 }) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Puts a subvolume into a group. In it already: done.
    pub fn assign(&self, subvolume: &Path, group: Group) -> io::Result<()> {
        let from = subvolume_id(subvolume)?;
        match self.ask(QGROUP_ASSIGN, &mut Assign { put_in: 1, from, to: group.0 }) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Bounds what a group may hold, in bytes; `None` lifts the bound.
    pub fn limit(&self, group: Group, bytes: Option<u64>) -> io::Result<()> {
        let mut limit = Limit {
            group: group.0,
            flags: LIMIT_REFERENCED,
            // All ones lift it (`CLEAR_VALUE` of the kernel).
            referenced_max: bytes.unwrap_or(u64::MAX),
            exclusive_max: 0,
            referenced_reserved: 0,
            exclusive_reserved: 0,
        };
        self.ask(QGROUP_LIMIT, &mut limit)
    }

    /// All groups of ours.
    pub fn groups(&self) -> Vec<Group> {
        let entries = fs::read_dir(&self.groups).into_iter().flatten().flatten();
        entries
            .filter_map(|e| e.file_name().to_str()?.strip_prefix("1_")?.parse().ok())
            .map(Group::new)
            .collect()
    }

    /// Numbers of the subvolumes in a group, those among them that are gone and whose data is not.
    pub fn members(&self, group: Group) -> io::Result<HashSet<u64>> {
        let of = |offset| Key { object: group.0, kind: RELATION, offset };
        let mut members = HashSet::new();
        let root = File::open(&self.mounted)?;
        Searcher::new().all(&root, QUOTA_TREE, (of(0), of(u64::MAX)), 0, |key, _| {
            // Both ends of a relation have an item; groups have higher numbers.
            if key.kind == RELATION && key.object == group.0 && key.offset >> LEVEL_SHIFT == 0 {
                members.insert(key.offset);
            }
            ControlFlow::Continue(())
        })?;
        Ok(members)
    }

    /// Where the file system is mounted.
    pub fn mounted(&self) -> &Path {
        &self.mounted
    }

    /// The bound of a group, if it has one.
    pub fn bound(&self, group: Group) -> io::Result<Option<u64>> {
        let flags = self.number(group, "limit_flags")?;
        let bytes = self.number(group, "max_referenced")?;
        Ok((flags & LIMIT_REFERENCED != 0 && bytes != u64::MAX).then_some(bytes))
    }

    /// Bytes that the subvolumes of a group have written and that still exist. As of the last
    /// commit of the file system, at most 30 s ago.
    pub fn used(&self, group: Group) -> io::Result<u64> {
        self.number(group, "referenced")
    }

    /// Bytes that writes on their way to the disk will take.
    pub fn reserved(&self, group: Group) -> io::Result<u64> {
        let files = ["rsv_data", "rsv_meta_pertrans", "rsv_meta_prealloc"];
        files.iter().try_fold(0, |sum, file| Ok(sum + self.number(group, file)?))
    }

    fn number(&self, group: Group, file: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.groups.join(group.file()).join(file))?;
        text.trim().parse().map_err(io::Error::other)
    }

    fn ask<T>(&self, request: libc::c_ulong, args: &mut T) -> io::Result<()> {
        let root = File::open(&self.mounted)?;
        // SAFETY: every request here reads (and some write) exactly the `repr(C)` structure that
        // it is called with, which outlives the call.
        check(unsafe { libc::ioctl(root.as_raw_fd(), request, std::ptr::from_mut(args)) })
    }
}

/// Number of the subvolume that a path lies in.
pub fn subvolume_id(path: &Path) -> io::Result<u64> {
    let inside = File::open(path)?;
    let mut lookup = Lookup { tree: 0, object: ROOT_INODE, name: [0; 4080] };
    // SAFETY: the request reads and writes a `btrfs_ioctl_ino_lookup_args`, which outlives it.
    check(unsafe { libc::ioctl(inside.as_raw_fd(), INO_LOOKUP, &raw mut lookup) })?;
    Ok(lookup.tree)
}

/// Bytes of files that a btrfs has promised room to and statfs(2) still calls free: those that lie in
/// memory, those that have their place and no record of it yet, and those that were deleted and come free
/// with the next commit.
pub fn pending(mounted: &Path) -> io::Result<u64> {
    let data = sysfs(mounted)?.join("allocation/data");
    let read = |name: &str| -> io::Result<u64> {
        fs::read_to_string(data.join(name))?.trim().parse().map_err(io::Error::other)
    };
    Ok(read("bytes_may_use")? + read("bytes_reserved")? + read("bytes_pinned")?)
}

fn groups_folder(mounted: &Path) -> io::Result<PathBuf> {
    Ok(sysfs(mounted)?.join("qgroups"))
}

/// What the kernel tells of a mounted file system.
fn sysfs(mounted: &Path) -> io::Result<PathBuf> {
    let root = File::open(mounted)?;
    let mut info = Info { max_id: 0, devices: 0, fsid: [0; 16], rest: [0; 992] };
    // SAFETY: the request writes a `btrfs_ioctl_fs_info_args`, which outlives it.
    check(unsafe { libc::ioctl(root.as_raw_fd(), FS_INFO, &raw mut info) })?;
    let hex: Vec<String> = info.fsid.iter().map(|b| format!("{b:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex[range].concat();
    let parts = [part(0..4), part(4..6), part(6..8), part(8..10), part(10..16)];
    Ok(Path::new("/sys/fs/btrfs").join(parts.join("-")))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
