//! Reading a journal from a position, in another process than its writer.

use super::{Name, Segment, current_base, segments};
use serde::de::DeserializeOwned;
use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    path::Path,
};

/// A rotation between two looks is rare; several in a row do not happen.
const LOOKS_MAX: usize = 8;

/// Records from `position` on, at most `records_max`, and the position after them.
pub(crate) fn read<T: DeserializeOwned>(
    dir: &Path,
    name: Name,
    position: u64,
    records_max: usize,
) -> io::Result<(Vec<T>, u64)> {
    let (placed, position) = read_placed(dir, name, position, records_max)?;
    Ok((placed.into_iter().map(|(_, record)| record).collect(), position))
}

/// As [`read`], each record with the position after it.
pub(crate) fn read_placed<T: DeserializeOwned>(
    dir: &Path,
    name: Name,
    mut position: u64,
    records_max: usize,
) -> io::Result<(Vec<(u64, T)>, u64)> {
    let mut records = Vec::new();
    while records.len() < records_max {
        let Some(place) = find(dir, name, position)? else { break };
        position = place.position;
        let before = position;
        position = read_lines(place.file, position, records_max - records.len(), &mut records)?;
        if position == before && place.is_current {
            break;
        }
        if position == before {
            // A full segment that ends in an unfinished line cannot be, but must not hold us.
            position = place.end;
        }
    }
    Ok((records, position))
}

struct Place {
    file: File,
    position: u64,
    base: u64,
    end: u64,
    is_current: bool,
}

/// The open segment that holds `position`, at that byte. `None` when there is nothing yet.
fn find(dir: &Path, name: Name, position: u64) -> io::Result<Option<Place>> {
    for _ in 0..LOOKS_MAX {
        let full = match segments(dir, name) {
            Ok(full) => full,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let holding = full.iter().find(|s| position < s.base + s.len);
        let base = holding.map_or_else(|| current_base(&full), |s| s.base);
        let opened = match holding {
            Some(segment) => File::open(&segment.path),
            None => File::open(name.current(dir)),
        };
        let mut file = match opened {
            Ok(file) => file,
            // Pruned or renamed meanwhile: look again. A journal that was never written has none.
            Err(e) if e.kind() == io::ErrorKind::NotFound && full.is_empty() => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        // What was opened as current is it only if no rotation came between.
        if holding.is_none() && current_base(&segments(dir, name)?) != base {
            continue;
        }
        let len = file.metadata()?.len();
        // Before the oldest kept byte: go on there. Beyond the end (a journal that was removed and
        // begun anew): likewise from its end.
        let at = position.saturating_sub(base).min(len);
        file.seek(SeekFrom::Start(at))?;
        let (position, end) = (base + at, base + len);
        return Ok(Some(Place { file, position, base, end, is_current: holding.is_none() }));
    }
    Err(io::Error::other("the journal rotates faster than it can be read"))
}

/// At most `records_max` records that end before `before` (none: all), newest first, each with the
/// position after it. Reads whole segments: for journals with small ones.
pub(crate) fn read_back<T: DeserializeOwned>(
    dir: &Path,
    name: Name,
    before: Option<u64>,
    records_max: usize,
) -> io::Result<Vec<(u64, T)>> {
    let mut found = Vec::new();
    let before = before.unwrap_or(u64::MAX);
    // The records of each segment end at its end at the latest.
    let mut upto = before;
    while found.len() < records_max && upto > 0 {
        let Some(mut place) = find(dir, name, upto - 1)? else { break };
        // What is older is no longer kept.
        if place.base >= upto {
            break;
        }
        place.file.seek(SeekFrom::Start(0))?;
        let mut records = Vec::new();
        read_lines(place.file, place.base, usize::MAX, &mut records)?;
        let older = records.into_iter().rev().filter(|(end, _)| *end < before);
        found.extend(older.take(records_max - found.len()));
        upto = place.base;
    }
    Ok(found)
}

/// Position after the newest record.
pub(crate) fn end(dir: &Path, name: Name) -> io::Result<u64> {
    Ok(find(dir, name, u64::MAX)?.map_or(0, |place| place.end))
}

/// Reads whole lines from `position` on; returns the position after them.
fn read_lines<T: DeserializeOwned>(
    file: File,
    position: u64,
    records_max: usize,
    records: &mut Vec<(u64, T)>,
) -> io::Result<u64> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let (mut taken, mut found) = (position, 0);
    while found < records_max {
        line.clear();
        let n = reader.read_until(b'\n', &mut line)?;
        if n == 0 || line.last() != Some(&b'\n') {
            break;
        }
        taken += n as u64;
        // A torn line was ended by the next writer and is no record.
        if let Ok(record) = serde_json::from_slice(&line) {
            records.push((taken, record));
            found += 1;
        }
    }
    Ok(taken)
}

/// Deletes full segments wholly before `position`, but never the newest one.
pub(crate) fn prune(dir: &Path, name: Name, position: u64) -> io::Result<()> {
    let full = segments(dir, name)?;
    let Some((_newest, older)) = full.split_last() else { return Ok(()) };
    for Segment { path, .. } in older.iter().filter(|s| s.base + s.len <= position) {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Journal;
    use super::*;
    use std::io::Write as _;

    fn numbers(dir: &Path, position: u64, max: usize) -> (Vec<u64>, u64) {
        read(dir, Name::Usage, position, max).unwrap()
    }

    #[test]
    fn a_reader_that_stops_anywhere_sees_every_record_once_across_segments() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_segments(dir.path(), Name::Usage, 50).unwrap();
        for n in 100..200u64 {
            journal.append(&n);
        }
        assert!(segments(dir.path(), Name::Usage).unwrap().len() > 5);
        for step in [1, 2, 7, 13, 1_000] {
            let (mut got, mut position) = (Vec::new(), 0);
            loop {
                let (records, next) = numbers(dir.path(), position, step);
                if records.is_empty() {
                    break;
                }
                got.extend(records);
                position = next;
            }
            assert_eq!(got, (100..200).collect::<Vec<_>>(), "{step}");
            assert_eq!(position, journal.position());
        }
    }

    #[test]
    fn a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path(), Name::Usage).unwrap();
        journal.append(&1u64);
        let path = dir.path().join("journal.jsonl");
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"to").unwrap();
        let (records, position) = numbers(dir.path(), 0, 10);
        assert_eq!((records, position), (vec![1], 2));
        let journal = Journal::open(dir.path(), Name::Usage).unwrap();
        journal.append(&2u64);
        assert_eq!(numbers(dir.path(), position, 10), (vec![2], journal.position()));
    }

    #[test]
    fn pruning_keeps_positions_and_what_was_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_segments(dir.path(), Name::Usage, 50).unwrap();
        (100..200u64).for_each(|n| journal.append(&n));
        let end = journal.position();
        let (_, middle) = numbers(dir.path(), 0, 50);
        prune(dir.path(), Name::Usage, middle).unwrap();
        assert_eq!(numbers(dir.path(), middle, 1_000).0, (150..200).collect::<Vec<_>>());
        prune(dir.path(), Name::Usage, u64::MAX).unwrap();
        let journal = Journal::with_segments(dir.path(), Name::Usage, 50).unwrap();
        assert_eq!(journal.position(), end);
        journal.append(&777u64);
        assert_eq!(numbers(dir.path(), end, 10), (vec![777], journal.position()));
        // A position that is no longer kept, and one that never was.
        assert!(numbers(dir.path(), 0, 1_000).0.ends_with(&[777]));
        assert_eq!(numbers(dir.path(), u64::MAX, 10), (vec![], journal.position()));
    }

    #[test]
    fn a_journal_is_read_back_from_any_place_over_all_segments() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::with_segments(dir.path(), Name::Egress, 50).unwrap();
        (100..150u64).for_each(|n| journal.append(&n));
        assert!(segments(dir.path(), Name::Egress).unwrap().len() > 2);
        for step in [1, 3, 7, 1_000] {
            let (mut got, mut before) = (Vec::new(), None);
            loop {
                let page: Vec<(u64, u64)> =
                    read_back(dir.path(), Name::Egress, before, step).unwrap();
                let Some((oldest, _)) = page.last() else { break };
                before = Some(*oldest);
                // Each place is where the next record begins.
                for (place, record) in &page {
                    let next = read::<u64>(dir.path(), Name::Egress, *place, 1).unwrap().0;
                    assert_eq!(next.first().copied(), (*record < 149).then_some(record + 1));
                }
                got.extend(page.into_iter().map(|(_, record)| record));
            }
            assert_eq!(got, (100..150).rev().collect::<Vec<_>>(), "{step}");
        }
        assert_eq!(end(dir.path(), Name::Egress).unwrap(), journal.position());
        // What is no longer kept ends it.
        prune(dir.path(), Name::Egress, journal.position()).unwrap();
        let kept: Vec<(u64, u64)> = read_back(dir.path(), Name::Egress, None, 1_000).unwrap();
        assert!(kept.len() > 1 && kept.len() < 22, "{}", kept.len());
        assert!(read_back::<u64>(dir.path(), Name::Egress, Some(5), 9).unwrap().is_empty());
        assert!(
            read_back::<u64>(&dir.path().join("no"), Name::Egress, None, 9).unwrap().is_empty()
        );
    }

    #[test]
    fn nothing_written_is_nothing_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(numbers(&dir.path().join("missing"), 5, 10), (vec![], 5));
        assert_eq!(numbers(dir.path(), 0, 10), (vec![], 0));
    }

    #[test]
    fn a_journal_forgets_its_oldest_segments_and_no_more() {
        for (name, kept_max) in [(Name::Egress, 4), (Name::Usage, 63)] {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal::with_segments(dir.path(), name, 50).unwrap();
            (1_000..1_800u64).for_each(|n| journal.append(&n));
            assert_eq!(segments(dir.path(), name).unwrap().len(), kept_max);
            let (kept, end) = read::<u64>(dir.path(), name, 0, 10_000).unwrap();
            assert_eq!((kept.last(), end), (Some(&1_799), journal.position()));
            assert!(kept.windows(2).all(|w| w[0] + 1 == w[1]));
            // Ten records of five bytes fill a segment.
            assert!((kept_max * 10..=(kept_max + 1) * 10).contains(&kept.len()), "{}", kept.len());
        }
    }
}
