//! The receipts of a machine, as its init keeps them in the machine's log folder, read from the host whether the
//! machine runs or not. Whoever took init over may have written anything there: no link is followed, no pipe is
//! waited for, and no length is taken. Does not write.

use crate::inside::{open_below, open_disk};
use rustix::{
    fs::{FileType, OFlags, fstat},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
};
use toft_model::{
    id::SessionId,
    receipt::{FILE, FILE_BYTES_MAX, LINE_BYTES_MAX, NUMBER_MAX, OLDER_FILE, Receipt},
};

/// Which ones are wanted.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Of this conversation.
    pub session: Option<SessionId>,
    /// The first ones with higher numbers, instead of the newest.
    pub after: Option<u64>,
    /// At most.
    pub limit: usize,
}

/// Receipts by number, and whether there are others: older ones, or newer ones where `after` was said.
/// `logs` is the machine's log folder. Blocks.
pub fn read(logs: &Path, wanted: &Wanted) -> io::Result<(Vec<Receipt>, bool)> {
    let mut found = BTreeMap::new();
    let folder = match open_disk(logs) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
        Err(error) => return Err(error),
    };
    for name in [OLDER_FILE, FILE] {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match open_below(&folder, Path::new(name), flags) {
            Ok(file) => file,
            // Not there, a link, a socket, a device: no file of ours.
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::XDEV) => continue,
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile {
            // The line that made it too long is still one.
            let most = FILE_BYTES_MAX + LINE_BYTES_MAX as u64;
            lines(BufReader::new(File::from(file).take(most)), wanted, &mut found)?;
        }
    }
    let mut receipts: Vec<Receipt> = found.into_values().collect();
    let more = receipts.len() > wanted.limit;
    if wanted.after.is_some() {
        receipts.truncate(wanted.limit);
    } else {
        receipts.drain(..receipts.len().saturating_sub(wanted.limit));
    }
    Ok((receipts, more))
}

/// Takes what is wanted; the last line with a number counts.
fn lines(
    mut from: impl io::BufRead,
    wanted: &Wanted,
    found: &mut BTreeMap<u64, Receipt>,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = LINE_BYTES_MAX as u64;
        if from.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            // Cut by a crash, or longer than any of ours.
            from.skip_until(b'\n')?;
            continue;
        }
        let Ok(receipt) = serde_json::from_slice::<Receipt>(&line) else { continue };
        let fits = wanted.session.as_ref().is_none_or(|session| receipt.session_id == *session)
            && wanted.after.is_none_or(|after| receipt.number > after)
            && receipt.number < NUMBER_MAX;
        if fits {
            found.insert(receipt.number, receipt);
        }
        // One more than is wanted says that there are more.
        if found.len() > wanted.limit + 1 {
            if wanted.after.is_some() {
                found.pop_last()
            } else {
                found.pop_first()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};
    use toft_model::receipt::Stamp;

    fn receipt(number: u64, session: &str, stamp: Stamp) -> Receipt {
        Receipt {
            number,
            run_id: format!("r{number}"),
            session_id: session.parse().unwrap(),
            tool_call_id: "c".into(),
            argv: vec!["true".into()],
            argv_cut: false,
            cwd: "/".into(),
            started_at: 1,
            ended_at: 2,
            exit_code: Some(0),
            signal: None,
            output_bytes: 0,
            output_truncated: false,
            read_only: false,
            checks: Vec::new(),
            stamp,
            tree: None,
        }
    }

    fn put(logs: &Path, name: &str, receipts: &[Receipt]) {
        let text: String =
            receipts.iter().map(|one| serde_json::to_string(one).unwrap() + "\n").collect();
        fs::write(logs.join(name), text).unwrap();
    }

    fn numbers(logs: &Path, wanted: &Wanted) -> (Vec<u64>, bool) {
        let (found, more) = read(logs, wanted).unwrap();
        (found.iter().map(|one| one.number).collect(), more)
    }

    #[test]
    fn both_files_are_one_list_and_the_last_word_on_a_number_counts() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path();
        assert_eq!(numbers(&logs.join("none"), &Wanted::default()), (vec![], false));
        put(logs, OLDER_FILE, &[1, 2, 3].map(|n| receipt(n, "a", Stamp::Pending)));
        let newer = [
            receipt(3, "a", Stamp::Taken),
            receipt(4, "b", Stamp::None),
            receipt(5, "a", Stamp::None),
        ];
        put(logs, FILE, &newer);
        let all = || Wanted { limit: 9, ..Wanted::default() };
        assert_eq!(numbers(logs, &all()), (vec![1, 2, 3, 4, 5], false));
        assert_eq!(read(logs, &all()).unwrap().0[2].stamp, Stamp::Taken);
        // However little of it is wanted.
        let again: Vec<Receipt> = [1, 2, 3, 4, 5, 1].map(|n| receipt(n, "a", Stamp::Failed)).into();
        put(logs, FILE, &[&newer[..], &again].concat());
        let one = |after| read(logs, &Wanted { limit: 1, after, ..all() }).unwrap();
        for (after, number) in [(None, 5), (Some(0), 1)] {
            let (found, more) = one(after);
            let found: Vec<_> = found.iter().map(|one| (one.number, one.stamp)).collect();
            assert_eq!((found, more), (vec![(number, Stamp::Failed)], true));
        }
        put(logs, FILE, &newer);
        let session = Some("a".parse().unwrap());
        assert_eq!(numbers(logs, &Wanted { session, ..all() }), (vec![1, 2, 3, 5], false));
        assert_eq!(numbers(logs, &Wanted { limit: 2, ..all() }), (vec![4, 5], true));
        assert_eq!(
            numbers(logs, &Wanted { limit: 2, after: Some(1), ..all() }),
            (vec![2, 3], true)
        );
    }

    #[test]
    fn what_is_no_receipt_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path();
        let line = |n| serde_json::to_string(&receipt(n, "a", Stamp::None)).unwrap();
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let text =
            format!("{long}\n{}\n\n{{}}\n{}\n{}\n{}", line(1), line(2), line(u64::MAX), line(3));
        fs::write(logs.join(FILE), text).unwrap();
        let all = Wanted { limit: 9, ..Wanted::default() };
        assert_eq!(numbers(logs, &all), (vec![1, 2], false), "the last line is cut");
        fs::remove_file(logs.join(FILE)).unwrap();
        // Neither a link nor a hole of any size is followed.
        let secret = tempfile::tempdir().unwrap();
        put(secret.path(), FILE, &[receipt(7, "a", Stamp::None)]);
        symlink(secret.path().join(FILE), logs.join(FILE)).unwrap();
        assert_eq!(numbers(logs, &all), (vec![], false));
        fs::remove_file(logs.join(FILE)).unwrap();
        File::create(logs.join(FILE)).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(numbers(logs, &all), (vec![], false));
    }
}
