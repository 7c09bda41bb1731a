//! `<home>/state.json`: small settings of the bridge inside the checkpointed tree (`appPort`, and
//! what else the runtime keeps there). One writer at a time; keys that nobody here knows survive.

use serde_json::{Map, Value};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Name of the file in the project's home of the bridge.
const STATE_FILE: &str = "state.json";

/// A bigger file is not ours.
const STATE_BYTES_MAX: u64 = 1 << 20;

/// Updates read, change and write: never two at once.
static WRITING: Mutex<()> = Mutex::new(());

/// What is kept; empty when there is none or it cannot be understood.
pub(crate) fn read(home: &Path) -> Map<String, Value> {
    let path = path(home);
    let fits = fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= STATE_BYTES_MAX);
    let text = if fits { fs::read(&path).unwrap_or_default() } else { Vec::new() };
    match serde_json::from_slice(&text) {
        Ok(Value::Object(state)) => state,
        Ok(_) | Err(_) => Map::new(),
    }
}

/// Changes what is kept. Written beside, then renamed: a reader sees the old state or the new one.
pub(crate) fn update(home: &Path, change: impl FnOnce(&mut Map<String, Value>)) -> io::Result<()> {
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut state = read(home);
    change(&mut state);
    let beside = home.join(".state.json.new");
    fs::write(&beside, serde_json::to_vec_pretty(&state)?)?;
    fs::rename(&beside, path(home))
}

/// Writes a small file whole, for another time: beside it, then renamed. Blocks.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::rename(beside, path)
}

fn path(home: &Path) -> PathBuf {
    home.join(STATE_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_others_wrote() {
        let home = tempfile::tempdir().unwrap();
        fs::write(path(home.path()), r#"{"model":"m","appPort":1}"#).unwrap();
        update(home.path(), |state| {
            state.insert("appPort".into(), 2.into());
        })
        .unwrap();
        let state = read(home.path());
        assert_eq!((&state["model"], &state["appPort"]), (&"m".into(), &2.into()));
    }

    #[test]
    fn a_broken_file_is_as_good_as_none() {
        let home = tempfile::tempdir().unwrap();
        fs::write(path(home.path()), "{oh").unwrap();
        assert!(read(home.path()).is_empty());
        update(home.path(), |state| {
            state.insert("a".into(), 1.into());
        })
        .unwrap();
        assert_eq!(read(home.path()).len(), 1);
    }
}
