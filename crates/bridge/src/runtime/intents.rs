//! What calls are about to do, one small file each beside the event log, on disk before the effect.
//! A file goes when its call's result is in the session.

use super::blocking;
use async_trait::async_trait;
use serde_json::Value;
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use toft_agent::surroundings::Intents;
use toft_tools::host::Journal;

/// See the module.
pub(super) struct IntentFiles {
    dir: PathBuf,
}

impl IntentFiles {
    /// In a folder of `log_dir`, made if absent. Blocks.
    pub(super) fn open(log_dir: &Path) -> io::Result<Self> {
        let dir = log_dir.join("intents");
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// Removes what no call that may still run again can ask for. Blocks.
    pub(super) fn sweep(log_dir: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
        for file in std::fs::read_dir(log_dir.join("intents"))? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            let run_id = name.strip_suffix(".json").unwrap_or(&name);
            if !keep(run_id) {
                std::fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// Run ids are fit for file names but for their dots, which only matter at the front.
    fn path(&self, run_id: &str) -> PathBuf {
        let name: String = run_id
            .trim_start_matches('.')
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._:-".contains(c) { c } else { '_' })
            .collect();
        self.dir.join(format!("{name}.json"))
    }
}

#[async_trait]
impl Journal for IntentFiles {
    async fn recorded(&self, run_id: &str) -> Option<Value> {
        let path = self.path(run_id);
        let bytes = blocking(move || std::fs::read(path)).await.ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    async fn record(&self, run_id: &str, intent: &Value) -> Result<(), String> {
        let path = self.path(run_id);
        let bytes = intent.to_string().into_bytes();
        let write = move || {
            let beside = path.with_extension("new");
            let mut file = File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            std::fs::rename(&beside, &path)?;
            File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
        };
        blocking(write)
            .await
            .map_err(|e| format!("what the call is about to do could not be written down: {e}"))
    }
}

#[async_trait]
impl Intents for IntentFiles {
    async fn forget(&self, run_id: &str) {
        let path = self.path(run_id);
        // Most calls record nothing.
        let _ = blocking(move || std::fs::remove_file(path)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn an_intent_lasts_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let journal = IntentFiles::open(dir.path()).unwrap();
        assert_eq!(journal.recorded("s.e.0").await, None);
        journal.record("s.e.0", &json!({"hash": 1})).await.unwrap();
        let again = IntentFiles::open(dir.path()).unwrap();
        assert_eq!(again.recorded("s.e.0").await, Some(json!({"hash": 1})));
        again.record("t.e.0", &json!(2)).await.unwrap();
        IntentFiles::sweep(dir.path(), |run_id| run_id.starts_with("t.")).unwrap();
        assert_eq!(again.recorded("s.e.0").await, None);
        again.forget("t.e.0").await;
        assert_eq!(again.recorded("t.e.0").await, None);
    }

    #[tokio::test]
    async fn a_run_id_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let journal = IntentFiles::open(dir.path()).unwrap();
        journal.record("../../out", &json!(1)).await.unwrap();
        assert_eq!(journal.recorded("../../out").await, Some(json!(1)));
        let outside: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(outside.len(), 1, "only the folder of intents");
    }
}
