//! Append-only JSON lines on disk, cut into segments, readable from any position while they grow.
//! A position counts bytes since the first record ever, so it outlives rotation: the current
//! segment is `journal.jsonl`, a full one is renamed `journal-<position of its first byte>.jsonl`.
//! Not a database: nobody looks anything up here.

mod reader;
mod writer;

pub(crate) use reader::{end, read, read_back, read_placed};
pub(crate) use writer::Journal;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The journals there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Usage,
    Egress,
}

impl Name {
    fn stem(self) -> &'static str {
        match self {
            Self::Usage => "journal",
            Self::Egress => "egress",
        }
    }

    fn current(self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.jsonl", self.stem()))
    }

    fn full(self, dir: &Path, base: u64) -> PathBuf {
        dir.join(format!("{}-{base:020}.jsonl", self.stem()))
    }

    /// A segment is full beyond this. Of model calls: some 60,000 records, read in well under a second.
    /// Of one project's connections: some 4,000, which is what a person looks back over.
    fn segment_bytes_max(self) -> u64 {
        match self {
            Self::Usage => 16 << 20,
            Self::Egress => 1 << 20,
        }
    }

    /// Full segments kept: of model calls, because each is money, 1 GiB; of a project's connections
    /// 4 MiB.
    fn full_segments_max(self) -> usize {
        match self {
            Self::Usage => 63,
            Self::Egress => 4,
        }
    }
}

/// A full segment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    base: u64,
    len: u64,
    path: PathBuf,
}

/// Full segments, oldest first.
fn segments(dir: &Path, name: Name) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let base = file_name
            .to_str()
            .and_then(|n| n.strip_prefix(name.stem())?.strip_prefix('-')?.strip_suffix(".jsonl"))
            .and_then(|digits| digits.parse::<u64>().ok());
        let Some(base) = base else { continue };
        match entry.metadata() {
            Ok(meta) => found.push(Segment { base, len: meta.len(), path: entry.path() }),
            // Pruned meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    found.sort_by_key(|segment| segment.base);
    Ok(found)
}

/// Position of the current segment's first byte.
fn current_base(segments: &[Segment]) -> u64 {
    segments.last().map_or(0, |last| last.base + last.len)
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
