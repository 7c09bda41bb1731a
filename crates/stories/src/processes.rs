//! Eyes on processes: who runs for a data folder, what is in their memory. Linux `/proc` only.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// A process as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Pid on the host.
    pub pid: u32,
    /// Parent.
    pub parent: u32,
    /// Arguments.
    pub argv: Vec<String>,
}

/// All processes that can be seen.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(one)
        .collect()
}

/// One process, if it lives (a zombie does not).
pub fn one(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let argv = cmdline
        .split(|b| *b == 0)
        .filter(|a| !a.is_empty())
        .map(|a| String::from_utf8_lossy(a).into_owned())
        .collect();
    Some(Process { pid, parent, argv })
}

/// Everything below a process, itself included.
pub fn tree(root: u32) -> Vec<Process> {
    let all = all();
    let mut out: Vec<Process> = all.iter().filter(|p| p.pid == root).cloned().collect();
    let mut at = 0;
    while at < out.len() {
        let parent = out[at].pid;
        out.extend(all.iter().filter(|p| p.parent == parent).cloned());
        at += 1;
    }
    out
}

/// Whether a process lives in a machine whose disk or log lies in `data` and whose files have
/// `part` in their path: it has mounts of its own that come from there.
pub fn confined_by(pid: u32, data: &Path, part: &str) -> bool {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let Some(theirs) = namespace(&pid.to_string()) else { return false };
    if namespace("self") == Some(theirs) {
        return false;
    }
    let Ok(mounts) = fs::read_to_string(format!("/proc/{pid}/mountinfo")) else { return false };
    // Field 4 is what of its file system is mounted. The log folder is bound into each machine.
    // Its path there may begin otherwise than here: in a container, on a disk of its own.
    let logs = data.join("logs").join(part).display().to_string();
    let end = format!("/logs/{part}");
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(3))
        .any(|root| root.ends_with(&end) || (logs.ends_with(root) && root.contains(part)))
}

/// Looks whether the other end of a connection on this host is still open.
pub fn remote_end(
    ours: std::net::SocketAddr,
    theirs: std::net::SocketAddr,
) -> impl Fn() -> std::io::Result<bool> {
    let hex = |at: std::net::SocketAddr| match at.ip() {
        std::net::IpAddr::V4(ip) => {
            format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), at.port())
        }
        std::net::IpAddr::V6(_) => unreachable!("loopback of the older protocol"),
    };
    // As the other end names the two; 01 is an open connection.
    let line = format!("{} {} 01", hex(theirs), hex(ours));
    move || Ok(fs::read_to_string("/proc/net/tcp")?.contains(&line))
}

/// Everything of a data folder that the host still holds: processes, mounts, loop devices and
/// control groups. One line each; empty when nothing is left.
pub fn remains(data: &Path) -> Vec<String> {
    let text = data.display().to_string();
    let listed = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    // Each backend but the first has a folder like the data folder.
    let others: Vec<PathBuf> = listed(data.join("backends")).map(|one| one.path()).collect();
    let places = || std::iter::once(data).chain(others.iter().map(PathBuf::as_path));
    let logs: Vec<String> = places()
        .flat_map(|place| listed(place.join("logs")))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    let mut found = Vec::new();
    for process in all() {
        let named = process.argv.iter().any(|a| a.contains(&text));
        // Our own children while they are asked are no remains.
        if (named || logs.iter().any(|id| confined_by(process.pid, data, id)))
            && process.pid != std::process::id()
        {
            found.push(format!("process {} {:?}", process.pid, process.argv));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let below = format!("{text}/");
    found.extend(points.filter(|p| p.starts_with(&below)).map(|p| format!("mount {p}")));
    for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = fs::read_to_string(device.path().join("loop/backing_file"));
        if backing.is_ok_and(|file| file.starts_with(&below)) {
            found.push(format!("loop device {}", device.file_name().to_string_lossy()));
        }
    }
    let groups = places().flat_map(groups);
    found.extend(groups.map(|group| format!("control group {group}")));
    found
}

/// Control group folders of a data folder, all hierarchies.
fn groups(data: &Path) -> Vec<String> {
    let Ok(data) = fs::canonicalize(data) else { return Vec::new() };
    let name = format!("toft-{:08x}", crc32c::crc32c(data.as_os_str().as_encoded_bytes()));
    named_below(Path::new("/sys/fs/cgroup"), &name)
}

/// Folders of the control group tree that have this name.
pub fn named_below(dir: &Path, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_str() == Some(name) {
            found.push(entry.path().display().to_string());
        }
        found.extend(named_below(&entry.path(), name));
    }
    found
}

/// Most memory that a process ever had, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .unwrap_or_default()
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0)
}

/// Ends a process at once.
pub fn kill9(pid: u32) {
    let raw = i32::try_from(pid).expect("a pid fits");
    if let Some(pid) = rustix::process::Pid::from_raw(raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Whether `needle` stands in a process's environment or readable memory.
pub fn memory_holds(pid: u32, needle: &[u8]) -> bool {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    if contains(&environ, needle) {
        return true;
    }
    let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/smaps")) else { return false };
    let Ok(mut mem) = fs::File::open(format!("/proc/{pid}/mem")) else { return false };
    let mut pages = fs::File::open(format!("/proc/{pid}/pagemap")).ok();
    let (mut region, mut page_bytes) = (None, PAGE_BYTES);
    maps.lines().any(|line| {
        // A region's line, and some of what follows on it.
        if let Some((name, value)) = line.split_once(": ").filter(|(name, _)| !name.contains(' ')) {
            let kib = value.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok());
            if let ("KernelPageSize", Some(kib)) = (name, kib) {
                page_bytes = kib << 10;
            }
            if !matches!(name, "Rss" | "Swap") || kib.is_none_or(|kib| kib == 0) {
                return false;
            }
            let Some((start, end)) = region.take() else { return false };
            let in_use = pages.as_mut().and_then(|pages| in_use(pages, start, end, page_bytes));
            let in_use = in_use.unwrap_or_else(|| vec![(start, end)]);
            return in_use
                .into_iter()
                .any(|(start, end)| region_holds(&mut mem, start, end, needle));
        }
        region = readable(line);
        false
    })
}

/// The region of a line of `/proc/pid/maps`.
fn readable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let hidden = rest.contains("[vvar") || rest.contains("[vsyscall");
    let (start, end) = range.split_once('-').filter(|_| rest.starts_with('r') && !hidden)?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

/// The parts of a region that are in memory or swapped out: some programs reserve a thousand times
/// what they use (`/proc/pid/pagemap`: bit 63 and bit 62). `None`: unknown.
fn in_use(pages: &mut fs::File, start: u64, end: u64, page: u64) -> Option<Vec<(u64, u64)>> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut entries = vec![0u8; 8 * PAGES_AT_ONCE];
    let mut at = start;
    pages.seek(SeekFrom::Start(start / page * 8)).ok()?;
    while at < end {
        let want = usize::try_from((end - at) / page).ok()?.min(PAGES_AT_ONCE);
        pages.read_exact(&mut entries[..8 * want]).ok()?;
        for entry in entries[..8 * want].chunks_exact(8) {
            if entry[7] & 0xC0 != 0 {
                match runs.last_mut() {
                    Some((_, last)) if *last == at => *last += page,
                    _ => runs.push((at, at + page)),
                }
            }
            at += page;
        }
    }
    Some(runs)
}

/// Pages that are asked about at a time.
const PAGES_AT_ONCE: usize = 1 << 13;
/// Bytes read from a process's memory at a time.
const REGION_CHUNK_BYTES: usize = 4 << 20;
/// Smallest page of the platforms that we run on.
const PAGE_BYTES: u64 = 4096;

fn region_holds(mem: &mut fs::File, start: u64, end: u64, needle: &[u8]) -> bool {
    let mut window = Vec::new();
    let mut chunk = vec![0u8; REGION_CHUNK_BYTES];
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(chunk.len());
        let got = mem.seek(SeekFrom::Start(at)).and_then(|_| mem.read(&mut chunk[..want]));
        let Ok(got @ 1..) = got else {
            // A page that cannot be read (a guard, a hole) says nothing about the next one.
            at += PAGE_BYTES;
            window.clear();
            continue;
        };
        window.extend_from_slice(&chunk[..got]);
        if contains(&window, needle) {
            return true;
        }
        let keep = needle.len().saturating_sub(1).min(window.len());
        window.drain(..window.len() - keep);
        at += got as u64;
    }
    false
}

/// Files below `dir` that hold `needle`, and what is called so or leads to something called so.
/// Symbolic links are not followed.
pub fn files_holding(dir: &Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    files_holding_but(dir, needle, &|_| false)
}

/// As [`files_holding`], without some paths and what lies below them.
pub fn files_holding_but(
    dir: &Path,
    needle: &[u8],
    passed_over: &dyn Fn(&Path) -> bool,
) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if passed_over(&path) {
            continue;
        }
        let leads = fs::read_link(&path).unwrap_or_default();
        let named = [entry.file_name(), leads.into()];
        if named.iter().any(|name| contains(name.as_encoded_bytes(), needle))
            || (kind.is_file() && file_holds(&path, needle))
        {
            found.push(path.clone());
        }
        if kind.is_dir() {
            found.extend(files_holding_but(&path, needle, passed_over));
        }
    }
    found
}

/// An image of a disk is larger than memory, and nearly all holes: those are passed over.
fn file_holds(path: &Path, needle: &[u8]) -> bool {
    let Ok(mut file) = fs::File::open(path) else { return false };
    let mut end = 0;
    while let Ok(start) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(end)) {
        let Ok(hole) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(start)) else { break };
        if region_holds(&mut file, start, hole, needle) {
            return true;
        }
        end = hole;
    }
    false
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_file_is_found_behind_a_hole_and_over_an_edge() {
        use std::os::unix::fs::FileExt as _;
        let dir = tempfile::tempdir().unwrap();
        let secret = b"needle-in-a-file";
        let file = fs::File::create(dir.path().join("image")).unwrap();
        // The edge between two reads, and far behind a hole.
        file.write_all_at(&vec![1; REGION_CHUNK_BYTES + 100], 0).unwrap();
        for at in [REGION_CHUNK_BYTES as u64 - 5, 1 << 40] {
            assert!(files_holding(dir.path(), secret).is_empty());
            file.write_all_at(secret, at).unwrap();
            assert_eq!(files_holding(dir.path(), secret).len(), 1, "{at}");
            file.write_all_at(&[0; 16], at).unwrap();
        }
    }

    #[test]
    fn a_secret_in_memory_is_found_and_another_is_not() {
        let secret: Vec<u8> = (0u8..40).map(|i| b'A' + i % 26).collect();
        let absent = [secret.as_slice(), b"-absent-canary"].concat();
        assert!(memory_holds(std::process::id(), &secret));
        let elsewhere = std::process::Command::new("sleep").arg("30").spawn();
        let mut child = elsewhere.unwrap();
        assert!(!memory_holds(child.id(), &absent));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
