//! The session files of a disk that came from elsewhere: which of two is longer, what waited beside them,
//! where their marks say that they went. All of it blocks.

use std::{fs, io, path::Path};
use toft_agent::session::{Session, WentBack};
use toft_model::event::Moved;

/// Names of session files, in the order of names.
fn sessions_in(dir: &Path) -> io::Result<Vec<String>> {
    let folder = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for file in folder {
        let file = file?;
        if let Ok(name) = file.file_name().into_string()
            && Path::new(&name).extension().is_some_and(|ext| ext == "jsonl")
            && file.file_type()?.is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Those of the trace before that are longer than what the checkpoint has.
pub(super) fn longer_ones(before: &Path, dir: &Path) -> io::Result<Vec<String>> {
    let mut longer = Vec::new();
    for name in sessions_in(before)? {
        let here = match fs::symlink_metadata(dir.join(&name)) {
            Ok(about) => Some(about.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let there = fs::symlink_metadata(before.join(&name))?.len();
        if here.is_none_or(|here| here < there) {
            longer.push(name);
        }
    }
    Ok(longer)
}

/// Nothing that waited when a checkpoint was taken is delivered after it.
pub(super) fn remove_queues(dir: &Path) -> io::Result<()> {
    let folder = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for file in folder {
        let file = file?;
        if file.file_name().to_string_lossy().ends_with(".queue.json") {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// The conversations that a ticket moved, as their files say.
pub(super) fn moved(dir: &Path, ticket: &str) -> io::Result<Vec<Moved>> {
    let mut all = Vec::new();
    for name in sessions_in(dir)? {
        let path = dir.join(name);
        let bytes = fs::read(&path)?;
        if !bytes.windows(ticket.len()).any(|w| w == ticket.as_bytes()) {
            continue;
        }
        let Ok(session) = Session::open(&path) else { continue };
        let marks: Vec<WentBack> = session
            .entries()
            .iter()
            .filter_map(|entry| WentBack::of(entry).filter(|went| went.ticket == ticket))
            .collect();
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else { continue };
        all.push(Moved {
            session_id: session.id().clone(),
            from_entry_id: first.from.clone(),
            to_message_id: session.message_at(last.entry_id.as_deref()),
            to_entry_id: last.entry_id.clone(),
        });
    }
    Ok(all)
}
