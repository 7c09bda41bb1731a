//! What a project's disk and checkpoints hold that others have written: its origin, an image, another
//! project. The quotas count a byte where it was written; this looks which bytes are held besides,
//! by reading the trees of the project's subvolumes, and of those only what differs between them.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};
use toft_jail::{
    btrfs::{self, Subvolume},
    quota::{Group, Quotas},
};

/// Extents that are kept in mind at once, 16 bytes each.
const EXTENTS_MAX: usize = 4_000_000;
/// Somebody waits for the answer.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Bytes on disk of the extents that these subvolumes hold and that none of the group wrote, each
/// counted once, as a whole. Small files, which lie in the tree itself, are not among them. `None`:
/// it cannot be known (who wrote some of them was not noted), or not soon enough.
pub(crate) fn shared_bytes(
    quotas: &Quotas,
    group: Group,
    disks: &[PathBuf],
) -> io::Result<Option<u64>> {
    let until = Instant::now() + LOOK_MAX;
    let mut all = Vec::new();
    for disk in disks {
        match btrfs::subvolume(disk) {
            Ok(one) => all.push(one),
            // A checkpoint that was deleted meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    let Some(oldest) = all.iter().map(|one| one.made).min() else { return Ok(Some(0)) };
    let fs = File::open(quotas.mounted())?;
    let mut held: HashMap<u64, u64> = HashMap::new();
    let mut is_whole = true;
    for (one, since) in looks(&all) {
        let looked = btrfs::extents(&fs, one.number, since, |extent| {
            // Whatever is newer than the first of them was written by one of them.
            if extent.written <= oldest {
                held.insert(extent.start, extent.bytes);
            }
            is_whole = held.len() <= EXTENTS_MAX && Instant::now() < until;
            if is_whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match looked {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            looked => looked?,
        }
        if !is_whole {
            return Ok(None);
        }
    }
    let own = quotas.members(group)?;
    let mut starts: Vec<u64> = held.keys().copied().collect();
    starts.sort_unstable();
    let mut bytes = 0;
    btrfs::owners(&fs, &starts, |start, owner| {
        is_whole = owner.is_some() && Instant::now() < until;
        if owner.is_some_and(|owner| !own.contains(&owner)) {
            bytes += held.get(&start).copied().unwrap_or_default();
        }
        if is_whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(is_whole.then_some(bytes))
}

/// Which subvolumes to look at, and from which transaction on: what is older in one of them is in
/// another one of the list, too. A snapshot has each block of its origin that was not written since
/// the last snapshot of the same origin, and a disk that went back has what it went back to.
fn looks(all: &[Subvolume]) -> Vec<(Subvolume, u64)> {
    let known: HashMap<[u8; 16], Subvolume> = all.iter().map(|one| (one.uuid, *one)).collect();
    let mut ordered = all.to_vec();
    ordered.sort_by_key(|one| one.made);
    // Of each origin the transaction of its last snapshot that was looked at.
    let mut last: HashMap<[u8; 16], u64> = HashMap::new();
    // What a writable one began with, where that is a kept one of the list.
    let began = |one: &Subvolume| {
        known.get(&one.parent).filter(|origin| origin.read_only).map(|_| one.made)
    };
    let mut looks = Vec::new();
    for one in ordered.iter().filter(|one| one.read_only) {
        let before = last.insert(one.parent, one.made);
        let since = before.or_else(|| known.get(&one.parent).and_then(began));
        looks.push((*one, since.unwrap_or(0)));
    }
    let seen: HashSet<[u8; 16]> = looks.iter().map(|(one, _)| one.uuid).collect();
    for one in ordered.iter().filter(|one| !seen.contains(&one.uuid)) {
        let since = last.get(&one.uuid).copied().or_else(|| began(one));
        looks.push((*one, since.unwrap_or(0)));
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Keep, Pool};
    use std::{fs, path::Path};

    const FILE_BYTES: usize = 1 << 20;

    /// What cannot be compressed, on disk before it returns.
    fn write(disk: &Path, name: &str) {
        let mut bytes = vec![0; FILE_BYTES];
        getrandom::fill(&mut bytes).unwrap();
        fs::write(disk.join(name), bytes).unwrap();
        fs::File::open(disk.join(name)).unwrap().sync_all().unwrap();
    }

    /// Taken apart also when the test fails.
    struct Closing(Pool);

    impl Drop for Closing {
        fn drop(&mut self) {
            let closed = self.0.close();
            assert!(closed.is_ok() || std::thread::panicking(), "{closed:?}");
        }
    }

    #[test]
    fn what_others_wrote_is_counted_once_and_what_its_own_disks_wrote_is_not() {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/loop-control").exists() {
            toft_lane::skip("quotas", "they need root and loop devices");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let closing = Closing(Pool::open(dir.path(), Some(512 << 20)).unwrap());
        let pool = &closing.0;
        let Some(quotas) = pool.quotas.clone() else {
            toft_lane::skip("quotas", format!("no simple ones here: {:?}", pool.notes));
            return;
        };
        let path = |name: &str| pool.disks().join(name);
        let kept = |name: &str| pool.kept().join(name);
        let keep = |from: &str, name: &str, group| {
            let keep = Keep { to: &kept(name), scratch: &pool.scratch().join("x"), before: None };
            pool.storage.keep(&path(from), keep).unwrap();
            quotas.assign(&kept(name), group).unwrap();
        };
        let (a, b) = (Group::new(1), Group::new(2));
        let check = |group, disks: &[PathBuf], files: u64| {
            let shared = shared_bytes(&quotas, group, disks).unwrap();
            assert_eq!(shared, Some(files * FILE_BYTES as u64), "{disks:?}");
        };
        pool.storage.make(&path("a")).unwrap();
        quotas.create(a).unwrap();
        quotas.create(b).unwrap();
        quotas.assign(&path("a"), a).unwrap();
        for name in ["1", "2", "3", "4", "5"] {
            write(&path("a"), name);
        }
        // A checkpoint, and a fork of it that writes one of the files anew.
        keep("a", "a1", a);
        pool.storage.copy(&kept("a1"), &path("b")).unwrap();
        quotas.assign(&path("b"), b).unwrap();
        check(b, &[path("b")], 5);
        write(&path("b"), "1");
        keep("b", "b1", b);
        check(b, &[path("b"), kept("b1")], 4);
        // What only a checkpoint holds by now counts, once.
        fs::remove_file(path("b").join("2")).unwrap();
        keep("b", "b2", b);
        check(b, &[path("b"), kept("b1"), kept("b2")], 4);
        check(b, &[path("b"), kept("b2")], 3);
        // The origin changes, goes back to its checkpoint, and its old disk goes.
        write(&path("a"), "3");
        keep("a", "a2", a);
        pool.storage.copy(&kept("a1"), &path("a-new")).unwrap();
        quotas.assign(&path("a-new"), a).unwrap();
        pool.storage.remove(&path("a")).unwrap();
        check(a, &[path("a-new"), kept("a1"), kept("a2")], 0);
        check(b, &[path("b"), kept("b2")], 3);
        for one in [path("a-new"), kept("a1"), kept("a2")] {
            pool.storage.remove(&one).unwrap();
        }
        // A checkpoint that is gone by now is passed over.
        check(b, &[path("b"), kept("b2"), kept("a1")], 3);
    }

    fn one(number: u8, parent: u8, made: u64, read_only: bool) -> Subvolume {
        let id = |n| [n; 16];
        Subvolume { number: number.into(), made, read_only, uuid: id(number), parent: id(parent) }
    }

    fn check(all: &[Subvolume], want: &[(u64, u64)]) {
        let looks = looks(all).into_iter().map(|(one, since)| (one.number, since));
        assert_eq!(looks.collect::<Vec<_>>(), want);
    }

    #[test]
    fn of_each_subvolume_only_what_no_other_shows_is_looked_at() {
        // A disk alone, made of a template that is not in the list.
        check(&[one(1, 99, 5, false)], &[(1, 0)]);
        // With two checkpoints.
        let (live, first, second) =
            (one(1, 99, 5, false), one(2, 1, 10, true), one(3, 1, 20, true));
        check(&[live, second, first], &[(2, 0), (3, 10), (1, 20)]);
        // Gone back to the first; the old disk is gone. What was kept before is 4.
        let (kept, now) = (one(4, 1, 30, true), one(5, 2, 31, false));
        check(&[now, first, second, kept], &[(2, 0), (3, 10), (4, 20), (5, 31)]);
        // A checkpoint of the disk that went back.
        let later = one(6, 5, 40, true);
        check(&[now, first, second, kept, later], &[(2, 0), (3, 10), (4, 20), (6, 31), (5, 40)]);
        // What it went back to was deleted.
        check(&[now, second, later], &[(3, 0), (6, 0), (5, 40)]);
    }
}
