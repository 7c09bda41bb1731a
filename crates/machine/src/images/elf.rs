//! What a program is made for, by the head of its file (ELF, gabi 4.2): its processor and the loader
//! that it asks for. For a word in time: an image whose shell cannot run makes no machine. The bytes
//! come from outside, and no length in them is believed.

use std::{fs::File, os::unix::fs::FileExt as _};

/// Longest path of a loader (`PATH_MAX` of linux/limits.h).
const LOADER_BYTES_MAX: u64 = 4096;
/// Segments that are looked through; programs have about a dozen.
const SEGMENTS_MAX: u16 = 128;
/// `PT_INTERP`: where the loader's path lies.
const INTERP: u32 = 3;
/// `e_machine` of what hosts have, and the names that images use.
const PROCESSORS: &[(u16, &str)] = &[
    (3, "386"),
    (8, "mips"),
    (21, "ppc64le"),
    (22, "s390x"),
    (40, "arm"),
    (62, "amd64"),
    (183, "arm64"),
    (243, "riscv64"),
    (258, "loong64"),
];
/// Programs of the first run on the second as well.
const ALSO_RUNS: &[(u16, u16)] = &[(3, 62), (40, 183)];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    machine: u16,
    /// Path of the loader; `None`: it needs none.
    pub(crate) loader: Option<Vec<u8>>,
}

impl Program {
    /// `None`: a script, or something else that is no ELF file of this byte order.
    pub(crate) fn of(file: &File) -> Option<Self> {
        let mut head = [0; 64];
        file.read_exact_at(&mut head[..52], 0).ok()?;
        // Little-endian, which all hosts are that Toft runs on.
        if &head[..4] != b"\x7fELF" || head[5] != 1 {
            return None;
        }
        let machine = u16_at(&head, 18)?;
        let wide = head[4] == 2;
        if wide {
            file.read_exact_at(&mut head, 0).ok()?;
        }
        Some(Self { machine, loader: loader(file, &head, wide) })
    }

    /// That of this very server.
    pub(crate) fn own() -> Option<Self> {
        Self::of(&File::open("/proc/self/exe").ok()?)
    }

    /// Whether it runs where `host` does.
    pub(crate) fn runs_with(&self, host: &Self) -> bool {
        self.machine == host.machine || ALSO_RUNS.contains(&(self.machine, host.machine))
    }

    /// Its processor, for people.
    pub(crate) fn processor(&self) -> String {
        let known = PROCESSORS.iter().find(|(machine, _)| *machine == self.machine);
        known.map_or_else(|| format!("processor {}", self.machine), |(_, name)| (*name).to_owned())
    }
}

fn loader(file: &File, head: &[u8], wide: bool) -> Option<Vec<u8>> {
    let (table, size, count) = if wide {
        (u64_at(head, 32)?, u16_at(head, 54)?, u16_at(head, 56)?)
    } else {
        (u64::from(u32_at(head, 28)?), u16_at(head, 42)?, u16_at(head, 44)?)
    };
    for number in 0..count.min(SEGMENTS_MAX) {
        let mut segment = [0; 56];
        let segment = &mut segment[..if wide { 56 } else { 32 }];
        let at = table.checked_add(u64::from(number) * u64::from(size))?;
        file.read_exact_at(segment, at).ok()?;
        if u32_at(segment, 0)? != INTERP {
            continue;
        }
        let (at, length) = if wide {
            (u64_at(segment, 8)?, u64_at(segment, 32)?)
        } else {
            (u64::from(u32_at(segment, 4)?), u64::from(u32_at(segment, 16)?))
        };
        let mut path = vec![0; usize::try_from(length.min(LOADER_BYTES_MAX)).ok()?];
        file.read_exact_at(&mut path, at).ok()?;
        let end = path.iter().position(|b| *b == 0).unwrap_or(path.len());
        path.truncate(end);
        return Some(path);
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write as _, path::Path};

    fn of(bytes: &[u8]) -> Option<Program> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Program::of(&file)
    }

    #[test]
    fn a_program_says_its_processor_and_loader() {
        let own = Program::own().unwrap();
        assert!(own.runs_with(&own));
        if let Some(loader) = &own.loader {
            let path = String::from_utf8(loader.clone()).unwrap();
            assert!(Path::new(&path).exists(), "{path}");
        }
        let mut whole = std::fs::read("/proc/self/exe").unwrap();
        whole[18..20].copy_from_slice(&22u16.to_le_bytes());
        let other = of(&whole).unwrap();
        assert_eq!((other.processor().as_str(), other.runs_with(&own)), ("s390x", false));
    }

    #[test]
    fn what_is_cut_or_lies_is_read_as_far_as_it_goes() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        for length in [0, 3, 51, 63, 64, 100, 300] {
            let _ = of(&whole[..length]);
        }
        assert_eq!(of(b"#!/bin/sh\n"), None);
        let mut lies = whole[..2000].to_vec();
        // A table at the end of all numbers, and a path of that length.
        lies[32..40].fill(0xff);
        assert_eq!(of(&lies).and_then(|program| program.loader), None);
        let mut lies = whole[..2000].to_vec();
        lies[56..58].fill(0xff);
        let _ = of(&lies);
    }
}
