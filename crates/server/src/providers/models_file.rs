//! The file of models in the data folder, `models.json`: what it says of models and providers, and whether
//! it has changed. Its form is that of [`toft_llm::catalogue::overlay`].

use crate::watched::WatchedFile;
use std::{fs, io::ErrorKind, os::unix::fs::MetadataExt as _, path::Path};
use toft_llm::catalogue::overlay::{OVERLAY_BYTES_MAX, Overlay};

const FILE: &str = "models.json";

/// Permissions of group and others to change it: it says where keys are sent.
const OTHERS_WRITE: u32 = 0o022;

/// Models in all: what the gateway is told of them fits into one frame.
const MODELS_MAX: usize = 4_000;

/// The file, as it was read last.
#[derive(Debug)]
pub(crate) struct ModelsFile(WatchedFile);

impl ModelsFile {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self(WatchedFile::new(data_dir.join(FILE)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Reads it; nothing is said where there is none. The error is for people.
    pub(crate) fn read(&mut self) -> Result<Overlay, String> {
        self.0.read(read)
    }

    /// What it says now, if that is not what was read last.
    pub(crate) fn again(&mut self) -> Option<Result<Overlay, String>> {
        self.0.again(read)
    }
}

fn read(path: &Path) -> Result<Overlay, String> {
    let name = path.display();
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Overlay::default()),
        Err(e) => return Err(format!("{name} cannot be read: {e}")),
    };
    if meta.mode() & OTHERS_WRITE != 0 {
        return Err(format!("{name} can be changed by others than its owner: chmod go-w {name}"));
    }
    if !meta.is_file() || meta.len() > OVERLAY_BYTES_MAX as u64 {
        return Err(format!(
            "{name} is no file of models, or is longer than {OVERLAY_BYTES_MAX} bytes"
        ));
    }
    let text = fs::read_to_string(path).map_err(|e| format!("{name} cannot be read: {e}"))?;
    let overlay = Overlay::read(&text).map_err(|bad| format!("{name}, {bad}"))?;
    let models = overlay.count();
    if models > MODELS_MAX {
        return Err(format!("{name} tells of {models} models, and {MODELS_MAX} is the most"));
    }
    Ok(overlay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn file(id: &str) -> String {
        format!(
            r#"{{"providers":{{"{id}":{{"api":"openai-completions","baseUrl":"http://10.0.0.5:1/v1","models":[{{"id":"m"}}]}}}}}}"#
        )
    }

    #[test]
    fn a_file_counts_as_it_is_and_says_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut models = ModelsFile::new(dir.path());
        assert_eq!(models.read().unwrap(), Overlay::default(), "there is none");
        let path = models.path().to_owned();
        let ids = |overlay: &Overlay| {
            overlay.providers().iter().map(|p| p.id.clone()).collect::<Vec<_>>()
        };
        write(&path, &file("mine"), 0o600);
        assert!(models.again().is_none(), "it is just being written");
        assert_eq!(ids(&models.again().unwrap().unwrap()), ["mine"]);
        assert!(models.again().is_none() && models.again().is_none(), "said once");
        for (text, mode, words) in [
            (file("two"), 0o666, "chmod go-w"),
            ("{\"providers\":{\"mine\":{}}}".to_owned(), 0o600, "models.json, providers.mine"),
            (" ".repeat(OVERLAY_BYTES_MAX + 1), 0o600, "longer than"),
        ] {
            write(&path, &text, mode);
            assert!(models.again().is_none());
            let error = models.again().unwrap().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let many: Vec<String> = (0..=MODELS_MAX).map(|n| format!("{{\"id\":\"m{n}\"}}")).collect();
        write(&path, &file("x").replace("{\"id\":\"m\"}", &many.join(",")), 0o600);
        assert!(models.read().unwrap_err().contains("4001 models"));
        fs::remove_file(&path).unwrap();
        assert!(models.again().is_none());
        assert_eq!(models.again().unwrap().unwrap(), Overlay::default());
    }
}
