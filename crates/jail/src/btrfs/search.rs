//! Reading the trees of a mounted btrfs: which extents a subvolume holds, and who wrote them. Needs
//! real root. On-disk formats: linux/btrfs_tree.h.
#![expect(unsafe_code, reason = "btrfs is driven by ioctl")]

use std::{
    fs::File,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, AsRawFd as _},
    path::Path,
};

/// `BTRFS_IOC_TREE_SEARCH_V2` and `BTRFS_IOC_GET_SUBVOL_INFO`.
const TREE_SEARCH: libc::c_ulong = 0xC070_9411;
const SUBVOL_INFO: libc::c_ulong = 0x81F8_943C;
/// `BTRFS_EXTENT_TREE_OBJECTID`.
const EXTENT_TREE: u64 = 2;
/// Types of items.
const EXTENT_DATA: u32 = 108;
const EXTENT_ITEM: u32 = 168;
const OWNER_REF: u8 = 172;
/// `BTRFS_ROOT_SUBVOL_RDONLY`.
const ROOT_RDONLY: u64 = 1;
/// First number of a file in a subvolume.
const FIRST_INODE: u64 = 256;
/// Room for what one request answers with: a leaf of a tree, which no item is larger than.
const ANSWER_BYTES: usize = 16 << 10;
/// Items looked at per request while owners are looked up: extents of one tree lie in groups.
const OWNERS_AT_ONCE: u32 = 64;

/// Where an item stands in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) object: u64,
    pub(crate) kind: u32,
    pub(crate) offset: u64,
}

impl Key {
    fn next(self) -> Option<Self> {
        let Self { object, kind, offset } = self;
        if let Some(offset) = offset.checked_add(1) {
            return Some(Self { offset, ..self });
        }
        if kind < u32::from(u8::MAX) {
            return Some(Self { object, kind: kind + 1, offset: 0 });
        }
        Some(Self { object: object.checked_add(1)?, kind: 0, offset: 0 })
    }
}

/// `struct btrfs_ioctl_search_args_v2`, with room for the answer.
#[repr(C)]
struct Search {
    tree: u64,
    min_object: u64,
    max_object: u64,
    min_offset: u64,
    max_offset: u64,
    min_transaction: u64,
    max_transaction: u64,
    min_kind: u32,
    max_kind: u32,
    /// How many items at most; then how many there are.
    items: u32,
    unused: u32,
    unused_more: [u64; 4],
    answer_bytes: u64,
    answer: [u8; ANSWER_BYTES],
}

/// Before each item of an answer, `struct btrfs_ioctl_search_header`: transaction, object, offset,
/// then kind and length.
const HEADER: usize = 3 * 8 + 2 * 4;

/// A request that can be made again and again.
pub(crate) struct Searcher(Box<Search>);

impl Searcher {
    pub(crate) fn new() -> Self {
        Self(Box::new(Search {
            tree: 0,
            min_object: 0,
            max_object: 0,
            min_offset: 0,
            max_offset: 0,
            min_transaction: 0,
            max_transaction: u64::MAX,
            min_kind: 0,
            max_kind: 0,
            items: 0,
            unused: 0,
            unused_more: [0; 4],
            answer_bytes: ANSWER_BYTES as u64,
            answer: [0; ANSWER_BYTES],
        }))
    }

    /// Some items between two keys, both among them, of blocks that were written in transaction
    /// `since` or later. Answers the key after the last one; `None`: there are no more.
    fn some(
        &mut self,
        fs: impl AsFd,
        tree: u64,
        (from, to): (Key, Key),
        since: u64,
        items: u32,
        mut each: impl FnMut(Key, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<Option<Key>> {
        let search = &mut *self.0;
        search.tree = tree;
        (search.min_object, search.max_object) = (from.object, to.object);
        (search.min_kind, search.max_kind) = (from.kind, to.kind);
        (search.min_offset, search.max_offset) = (from.offset, to.offset);
        search.min_transaction = since;
        search.items = items;
        search.answer_bytes = ANSWER_BYTES as u64;
        // SAFETY: the request reads and writes a `btrfs_ioctl_search_args_v2` with as many bytes behind
        // it as it says, which outlives the call.
        super::check(unsafe {
            libc::ioctl(fs.as_fd().as_raw_fd(), TREE_SEARCH, std::ptr::from_mut(search))
        })?;
        let mut rest = &search.answer[..];
        let mut last = None;
        for _ in 0..search.items {
            let Some((head, after)) = rest.split_at_checked(HEADER) else { break };
            let long =
                |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().expect("8 bytes"));
            let word =
                |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("4 bytes"));
            let key = Key { object: long(8), offset: long(16), kind: word(24) };
            let len = usize::try_from(word(28)).unwrap_or(usize::MAX);
            let Some((data, after)) = after.split_at_checked(len) else { break };
            rest = after;
            last = Some(key);
            if each(key, data).is_break() {
                return Ok(None);
            }
        }
        Ok(last.and_then(Key::next).filter(|next| *next <= to))
    }

    /// All items between two keys, see [`Searcher::some`].
    pub(crate) fn all(
        &mut self,
        fs: impl AsFd,
        tree: u64,
        (from, to): (Key, Key),
        since: u64,
        mut each: impl FnMut(Key, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut next = Some(from);
        while let Some(from) = next {
            next = self.some(&fs, tree, (from, to), since, u32::MAX, &mut each)?;
        }
        Ok(())
    }
}

/// A piece of disk that a file lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins: its name.
    pub start: u64,
    /// Bytes on disk, compressed as they are.
    pub bytes: u64,
    /// Transaction in which it was written.
    pub written: u64,
}

/// The extents that files of a subvolume lie on, from blocks of its tree that were written in
/// transaction `since` or later; one is told as often as files hold it. Small files that lie in the
/// tree itself have none. `each` may end it.
pub fn extents(
    fs: impl AsFd,
    subvolume: u64,
    since: u64,
    mut each: impl FnMut(Extent) -> ControlFlow<()>,
) -> io::Result<()> {
    let from = Key { object: FIRST_INODE, kind: 0, offset: 0 };
    let to = Key { object: u64::MAX, kind: u32::from(u8::MAX), offset: u64::MAX };
    Searcher::new().all(fs, subvolume, (from, to), since, |key, data| {
        match extent(data).filter(|_| key.kind == EXTENT_DATA) {
            Some(extent) => each(extent),
            None => ControlFlow::Continue(()),
        }
    })
}

/// `struct btrfs_file_extent_item`. `None`: its bytes lie in the item itself, or it is a hole.
fn extent(item: &[u8]) -> Option<Extent> {
    let long = |at: usize| Some(u64::from_le_bytes(item.get(at..at + 8)?.try_into().ok()?));
    let is_inline = *item.get(20)? == 0;
    let (written, start, bytes) = (long(0)?, long(21), long(29));
    if is_inline {
        return None;
    }
    Some(Extent { start: start?, bytes: bytes?, written }).filter(|extent| extent.start != 0)
}

/// Which subvolume wrote each of the extents that begin there, ascending; `None`: that was not noted,
/// since quotas came later. One that is gone by now is left out.
pub fn owners(
    fs: impl AsFd,
    starts: &[u64],
    mut each: impl FnMut(u64, Option<u64>) -> ControlFlow<()>,
) -> io::Result<()> {
    let Some(last) = starts.last() else { return Ok(()) };
    let to = Key { object: *last, kind: EXTENT_ITEM, offset: u64::MAX };
    let mut searcher = Searcher::new();
    let mut wanted = starts;
    let mut behind = None;
    while let Some(first) = wanted.first() {
        let from = Key { object: *first, kind: EXTENT_ITEM, offset: 0 };
        // Never back: what is wanted may be gone, and something else lie there by now.
        let from = from.max(behind.unwrap_or(from));
        let mut is_ended = false;
        let next =
            searcher.some(&fs, EXTENT_TREE, (from, to), 0, OWNERS_AT_ONCE, |key, data| {
                while wanted.first().is_some_and(|start| *start < key.object) {
                    wanted = &wanted[1..];
                }
                if key.kind == EXTENT_ITEM && wanted.first() == Some(&key.object) {
                    wanted = &wanted[1..];
                    is_ended = each(key.object, owner(data)).is_break();
                }
                if is_ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        match next {
            // What lies before that is not there any more.
            Some(next) => {
                let gone = wanted.iter().take_while(|start| **start < next.object).count();
                wanted = &wanted[gone..];
                behind = Some(next);
            }
            None => return Ok(()),
        }
    }
    Ok(())
}

/// `struct btrfs_extent_item`: 24 bytes, then references in the order of their types, of which the
/// owner's is the first: a byte, and the number of the subvolume.
fn owner(item: &[u8]) -> Option<u64> {
    let (kind, number) = (item.get(24)?, item.get(25..33)?);
    (*kind == OWNER_REF).then(|| u64::from_le_bytes(number.try_into().expect("8 bytes")))
}

/// `struct btrfs_ioctl_get_subvol_info_args`.
#[repr(C)]
struct Info {
    tree: u64,
    name: [u8; 256],
    above: [u64; 2],
    generation: u64,
    flags: u64,
    uuid: [u8; 16],
    parent_uuid: [u8; 16],
    received_uuid: [u8; 16],
    changed: u64,
    made: u64,
    rest: [u64; 2 + 4 * 2 + 8],
}

/// What a subvolume says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subvolume {
    /// Its number: that of its tree.
    pub number: u64,
    /// Transaction that it was made in: what it was given then was written in that one or earlier,
    /// what it wrote itself later.
    pub made: u64,
    /// Whether nobody can write to it.
    pub read_only: bool,
    /// Its identity.
    pub uuid: [u8; 16],
    /// That of the one it is a snapshot of; zeros: of none.
    pub parent: [u8; 16],
}

/// Asks the subvolume that a path lies in.
pub fn subvolume(path: &Path) -> io::Result<Subvolume> {
    let inside = File::open(path)?;
    let mut info = Info {
        tree: 0,
        name: [0; 256],
        above: [0; 2],
        generation: 0,
        flags: 0,
        uuid: [0; 16],
        parent_uuid: [0; 16],
        received_uuid: [0; 16],
        changed: 0,
        made: 0,
        rest: [0; 18],
    };
    // SAFETY: the request writes a `btrfs_ioctl_get_subvol_info_args`, which outlives it.
    super::check(unsafe { libc::ioctl(inside.as_raw_fd(), SUBVOL_INFO, &raw mut info) })?;
    Ok(Subvolume {
        number: info.tree,
        made: info.made,
        read_only: info.flags & ROOT_RDONLY != 0,
        uuid: info.uuid,
        parent: info.parent_uuid,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_long_as_their_numbers_say() {
        let sized = |request: libc::c_ulong| usize::try_from(request >> 16 & 0x3FFF).unwrap();
        assert_eq!(size_of::<Search>() - ANSWER_BYTES, sized(TREE_SEARCH));
        assert_eq!(size_of::<Info>(), sized(SUBVOL_INFO));
    }

    #[test]
    fn items_are_read_and_short_or_odd_ones_are_none() {
        let mut item = vec![0_u8; 53];
        item[0] = 7;
        item[20] = 1;
        item[21..29].copy_from_slice(&4096_u64.to_le_bytes());
        item[29..37].copy_from_slice(&8192_u64.to_le_bytes());
        assert_eq!(extent(&item), Some(Extent { start: 4096, bytes: 8192, written: 7 }));
        assert_eq!(extent(&item[..36]), None);
        let mut hole = item.clone();
        hole[21..29].fill(0);
        assert_eq!(extent(&hole), None);
        item[20] = 0;
        assert_eq!(extent(&item), None, "its bytes lie in the item");
        let mut owned = vec![0_u8; 33];
        owned[24] = OWNER_REF;
        owned[25] = 9;
        assert_eq!(owner(&owned), Some(9));
        owned[24] = 178;
        assert_eq!((owner(&owned), owner(&owned[..30])), (None, None));
    }

    #[test]
    fn keys_follow_each_other() {
        let key = |object, kind, offset| Key { object, kind, offset };
        for (before, after) in [
            (key(1, 2, 3), Some(key(1, 2, 4))),
            (key(1, 2, u64::MAX), Some(key(1, 3, 0))),
            (key(1, 255, u64::MAX), Some(key(2, 0, 0))),
            (key(u64::MAX, 255, u64::MAX), None),
        ] {
            assert_eq!(before.next(), after, "{before:?}");
        }
    }
}
