//! The names that a machine has looked up, and the address that stands for each. A name keeps its
//! address, and an address means one name: what is dialled is the name that the program asked for,
//! whatever any name server says later. Kept in a file, so that the next gateway knows what programs
//! hold. Nothing is resolved here.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::Ipv4Addr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Names that are known at once: more than programs use in an hour; at most some megabytes.
const NAMES_MAX: usize = 16_384;
/// A name that nobody used for so long gives its place to another one. Answers may be kept for a
/// minute.
const UNUSED_AFTER: Duration = Duration::from_hours(1);
/// The addresses: 198.18.0.0/15, which belongs to nobody (RFC 2544) and which no policy lets through
/// as an address. Used in turn, so that one is free for long before it means another name.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const ADDRESSES: u32 = 1 << 17;
/// Stands for no name in the file.
const NOBODY: &str = "-";
/// Longest file that is read: what is written at most, names at their longest.
const FILE_BYTES_MAX: u64 = (2 * NAMES_MAX as u64 + 1) * 270;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<Arc<str>, u32>,
    by_number: HashMap<u32, Known>,
    /// Where the search for the next free number begins.
    next: u32,
    /// No name is old enough before.
    full_until: Option<Instant>,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    used: Instant,
}

/// A line for each name that got an address, `number name`, or that lost it, `number -`.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Names {
    /// With those of the file, if there is one.
    pub(super) fn open(path: &Path) -> Self {
        let mut names = Self::default();
        match names.read(path) {
            Ok(kept) => names.kept = Some(kept),
            Err(error) => not_kept(path, &error),
        }
        names
    }

    /// The address of a name, lower case. `None`: too many names are in use.
    pub(super) fn address_of(&mut self, name: &str) -> Option<Ipv4Addr> {
        let now = Instant::now();
        if let Some(number) = self.by_name.get(name) {
            if let Some(known) = self.by_number.get_mut(number) {
                known.used = now;
            }
            return Some(address(*number));
        }
        self.make_room(now)?;
        let number = self.free_number();
        self.insert(number, name, now);
        self.write(number, name);
        Some(address(number))
    }

    /// The name of an address.
    pub(super) fn name_of(&mut self, address: Ipv4Addr) -> Option<Arc<str>> {
        let known = self.by_number.get_mut(&number(address)?)?;
        known.used = Instant::now();
        Some(Arc::clone(&known.name))
    }

    fn make_room(&mut self, now: Instant) -> Option<()> {
        if self.by_number.len() < NAMES_MAX {
            return Some(());
        }
        if self.full_until.is_some_and(|until| now < until) {
            return None;
        }
        let oldest = self.by_number.iter().min_by_key(|(_, known)| known.used);
        let (number, used) = oldest.map(|(number, known)| (*number, known.used))?;
        if now < used + UNUSED_AFTER {
            self.full_until = Some(used + UNUSED_AFTER);
            return None;
        }
        self.remove(number);
        self.write(number, NOBODY);
        Some(())
    }

    /// There is always one: there are more addresses than names.
    fn free_number(&mut self) -> u32 {
        while self.next == 0 || self.by_number.contains_key(&self.next) {
            self.next = (self.next + 1) % ADDRESSES;
        }
        let number = self.next;
        self.next = (number + 1) % ADDRESSES;
        number
    }

    fn insert(&mut self, number: u32, name: &str, now: Instant) {
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), number);
        self.by_number.insert(number, Known { name, used: now });
    }

    fn remove(&mut self, number: u32) {
        if let Some(known) = self.by_number.remove(&number) {
            self.by_name.remove(&known.name);
        }
    }

    /// Reads what an earlier gateway has written, and opens the file for more.
    fn read(&mut self, path: &Path) -> io::Result<Kept> {
        let file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        if file.metadata()?.len() > FILE_BYTES_MAX {
            file.set_len(0)?;
        }
        let text = fs::read(path)?;
        // A line without its end was being written when its gateway was killed.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
        }
        let now = Instant::now();
        let all: Vec<&[u8]> = text[..whole].split_inclusive(|byte| *byte == b'\n').collect();
        for line in &all {
            let line = std::str::from_utf8(line).unwrap_or_default().trim_end();
            let Some((number, name)) = line.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            if number == 0 || number >= ADDRESSES {
                continue;
            }
            if let Some(earlier) = self.by_name.get(name) {
                self.remove(*earlier);
            }
            self.remove(number);
            if name != NOBODY {
                self.insert(number, name, now);
            }
            self.next = (number + 1) % ADDRESSES;
        }
        Ok(Kept { path: path.to_owned(), file, lines: all.len() })
    }

    fn write(&mut self, number: u32, name: &str) {
        let Some(kept) = &mut self.kept else { return };
        let written = if kept.lines < 2 * NAMES_MAX {
            kept.lines += 1;
            kept.file.write_all(format!("{number} {name}\n").as_bytes())
        } else {
            kept.rewrite(&self.by_number)
        };
        if let Err(error) = written {
            not_kept(&kept.path, &error);
            self.kept = None;
        }
    }
}

impl Kept {
    /// A new file with what is known now.
    fn rewrite(&mut self, known: &HashMap<u32, Known>) -> io::Result<()> {
        let mut text = String::new();
        for (number, known) in known {
            writeln!(text, "{number} {}", known.name).expect("memory takes all that is written");
        }
        let new = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)?;
        self.file = file;
        self.lines = known.len();
        Ok(())
    }
}

/// Then a gateway that comes after this one refuses connections to addresses that programs hold.
fn not_kept(path: &Path, error: &io::Error) {
    tracing::warn!(file = %path.display(), %error, "names of a machine are kept in memory only");
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(FIRST) + number)
}

fn number(address: Ipv4Addr) -> Option<u32> {
    u32::from(address).checked_sub(u32::from(FIRST)).filter(|number| *number < ADDRESSES)
}

/// Whether an address stands for a name, known or not.
pub(super) fn stands_for_a_name(address: Ipv4Addr) -> bool {
    number(address).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_folder() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names");
        (dir, path)
    }

    #[test]
    fn a_name_keeps_its_address_also_for_the_next_gateway() {
        let (_dir, path) = in_folder();
        let mut names = Names::open(&path);
        let a = names.address_of("a.test").unwrap();
        let b = names.address_of("b.test").unwrap();
        assert!(a != b && names.address_of("a.test") == Some(a));
        assert_eq!(a, Ipv4Addr::new(198, 18, 0, 1));
        drop(names);
        // Killed in the middle of a line.
        let cut = OpenOptions::new().append(true).open(&path).unwrap().write_all(b"3 c.te");
        cut.unwrap();
        let mut next = Names::open(&path);
        assert_eq!(next.name_of(b).as_deref(), Some("b.test"));
        assert_eq!(next.address_of("a.test"), Some(a));
        let c = next.address_of("c.test").unwrap();
        assert!(c != a && c != b);
        assert_eq!(Names::open(&path).name_of(c).as_deref(), Some("c.test"));
        for other in [Ipv4Addr::new(198, 18, 0, 0), Ipv4Addr::new(198, 19, 255, 255)] {
            assert!(stands_for_a_name(other) && next.name_of(other).is_none());
        }
        assert!(!stands_for_a_name(Ipv4Addr::new(198, 20, 0, 0)));
        assert!(!stands_for_a_name(Ipv4Addr::new(198, 17, 255, 255)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_takes_new_names_only_for_old_ones_and_never_their_addresses_at_once() {
        let (_dir, path) = in_folder();
        let mut names = Names::open(&path);
        let first = names.address_of("0.test").unwrap();
        for i in 1..NAMES_MAX {
            names.address_of(&format!("{i}.test")).unwrap();
        }
        assert_eq!(names.address_of("more.test"), None);
        tokio::time::advance(UNUSED_AFTER / 2).await;
        assert_eq!(names.address_of("more.test"), None);
        assert!(names.name_of(first).is_some(), "used again");
        tokio::time::advance(UNUSED_AFTER / 2).await;
        for i in 0..9 {
            let address = names.address_of(&format!("more-{i}.test")).unwrap();
            assert!(number(address).unwrap() > u32::try_from(NAMES_MAX).unwrap());
        }
        assert_eq!(names.name_of(first).as_deref(), Some("0.test"));
        assert_eq!((names.by_name.len(), names.by_number.len()), (NAMES_MAX, NAMES_MAX));
        // Long enough by now to be written anew.
        names.kept.as_mut().unwrap().lines = 2 * NAMES_MAX;
        for name in ["last.test", "after-that.test"] {
            names.address_of(name).unwrap();
        }
        assert!(names.kept.as_ref().unwrap().lines < NAMES_MAX + 9);
        // The next gateway knows the same names, and no others.
        let next = Names::open(&path);
        assert_eq!(next.by_name, names.by_name);
        assert!(fs::metadata(&path).unwrap().len() < FILE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_file_is_read_and_stays_usable(bytes in prop::collection::vec(any::<u8>(), 0..300), lines in "([0-9]{0,7} [a-c.]{0,3}\n?){0,9}") {
            let (_dir, path) = in_folder();
            fs::write(&path, [&bytes[..], b"\n", lines.as_bytes()].concat()).unwrap();
            let mut names = Names::open(&path);
            let address = names.address_of("new.test").unwrap();
            prop_assert_eq!(names.by_name.len(), names.by_number.len());
            let mut next = Names::open(&path);
            let name = next.name_of(address);
            prop_assert_eq!(name.as_deref(), Some("new.test"));
        }
    }
}
