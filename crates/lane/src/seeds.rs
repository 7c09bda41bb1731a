//! The seeds of the fuzzer (`fuzz/seeds/<target>`), fed to a crate's parsers by an ordinary test: each as it
//! is, so that what was found once stays mended, and for a moment with changes made by chance. Nothing
//! here looks at what they reach: the fuzzer itself does, in the long lane (`.ci/fuzz`).

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// A parser of outside bytes, and the name of its seeds' folder. It panics when its rules do not hold.
pub type Target = (&'static str, fn(&[u8]));

/// How long each parser is fed with changed seeds.
const MOMENT: Duration = Duration::from_millis(150);

/// Changed seeds at least.
const ROUNDS_MIN: usize = 20;

/// Feeds each parser with its seeds. The bytes of a failure are printed.
///
/// # Panics
/// When a parser does, or has no seed.
pub fn feed(targets: &[Target]) {
    for (name, parse) in targets {
        let seeds = seeds(&folder().join(name));
        assert!(!seeds.is_empty(), "fuzz/seeds/{name} has no seed");
        for seed in &seeds {
            watched(name, *parse, seed);
        }
        let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
        let began = Instant::now();
        let mut rounds = 0;
        while rounds < ROUNDS_MIN || began.elapsed() < MOMENT {
            let mut bytes = seeds[chance.below(seeds.len())].clone();
            chance.change(&mut bytes);
            watched(name, *parse, &bytes);
            rounds += 1;
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds")
}

/// In the order of their names.
fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(list) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = list.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        fs::read(path).unwrap_or_else(|e| panic!("{} cannot be read: {e}", path.display()))
    };
    paths.iter().map(read).collect()
}

/// The bytes of a failure, for whoever looks for its cause.
struct Watched<'a>(&'a str, &'a [u8]);

impl Drop for Watched<'_> {
    #[expect(clippy::print_stderr, reason = "a failure is told to who runs the tests")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} fails on {:?}", self.0, String::from_utf8_lossy(self.1));
            eprintln!("as numbers: {:?}", self.1);
        }
    }
}

fn watched(name: &str, parse: fn(&[u8]), bytes: &[u8]) {
    let _watched = Watched(name, bytes);
    parse(bytes);
}

/// Numbers that come by no order (xorshift64*), the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or(0) % most.max(1)
    }

    /// A few changes: bytes turned, left out, twice there, or of another place.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        const ODD: &[&[u8]] = &[
            b"",
            b"\0",
            b"\xff",
            b"\xf0\x9f",
            b"\n\n",
            b"\r",
            b"\"",
            b"\\u",
            b"{",
            b"}",
            b"[",
            b"null",
            b"-1",
            b"1e999",
            b"18446744073709551616",
            b"data:",
            b"event:",
            b":",
        ];
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(24)).min(bytes.len());
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let twice = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, twice));
                }
                3 => drop(bytes.splice(at..at, ODD[self.below(ODD.len())].iter().copied())),
                _ => bytes.truncate(self.below(bytes.len() + 1).max(bytes.len() / 2)),
            }
        }
    }
}
