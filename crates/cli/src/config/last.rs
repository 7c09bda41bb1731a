//! With which backend a data folder was used last: for verbs that must find its machines without being
//! told again (`toft down` after a kill, `toft doctor` without a server).

use super::data_dir;
use crate::args::{At, BackendName, Oci, Up};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const FILE: &str = "run/backend.json";

#[derive(Debug, Serialize, Deserialize)]
struct Last {
    backend: BackendName,
    /// All that were offered.
    #[serde(default)]
    backends: Vec<BackendName>,
    /// The one that the data folder had first: its machines lie in the folder itself.
    #[serde(default)]
    first: Option<BackendName>,
    allow_host: Option<PathBuf>,
    oci: Oci,
}

/// Writes down what `toft up` was told. Paths are made whole: the next verb may be typed elsewhere.
pub(crate) fn remember(data: &Path, backend: BackendName, up: &Up) -> io::Result<()> {
    let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let is_file = |image: &&String| image.starts_with('.') || fs::exists(image).unwrap_or(false);
    let image = up.oci.image.as_ref();
    let whole_image = image.filter(is_file).map(|i| whole(&i.into()).display().to_string());
    let last = Last {
        backend,
        backends: up.backends.clone(),
        first: Some(first(data).unwrap_or(backend)),
        allow_host: up.allow_host.as_ref().map(whole),
        oci: Oci { socket: up.oci.socket.clone(), image: whole_image.or_else(|| image.cloned()) },
    };
    let path = data.join(FILE);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, serde_json::to_vec(&last)?)
}

fn read(data: &Path) -> Option<Last> {
    serde_json::from_slice(&fs::read(data.join(FILE)).ok()?).ok()
}

/// The backend whose machines lie in a data folder itself; `None`: none was used yet.
pub(crate) fn first(data: &Path) -> Option<BackendName> {
    let last = read(data)?;
    Some(last.first.unwrap_or(last.backend))
}

/// What `toft up` would have to be told for the same backend; nothing when none was used yet.
pub(crate) fn last(at: &At) -> Up {
    let last = data_dir(at).ok().and_then(|data| read(&data));
    last.map_or_else(Up::default, |last| Up {
        backend: Some(last.backend),
        backends: last.backends,
        allow_host: last.allow_host,
        oci: last.oci,
        ..Up::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_of_a_data_folder_is_known_without_being_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = At { data: Some(dir.path().to_owned()), url: None };
        assert_eq!(last(&at).backend, None);
        let oci = Oci { socket: Some("/x.sock".into()), image: Some("debian:stable".to_owned()) };
        let up = Up { backend: Some(BackendName::Oci), oci, ..Up::default() };
        remember(dir.path(), BackendName::Oci, &up).unwrap();
        let again = last(&at);
        assert_eq!(again.backend, Some(BackendName::Oci));
        assert_eq!(again.oci.image.as_deref(), Some("debian:stable"));
        assert_eq!(again.oci.socket, Some("/x.sock".into()));
        // Another one later is beside the first, whose machines stay where they are.
        let backends = vec![BackendName::Native, BackendName::Host];
        let up = Up { backends: backends.clone(), ..Up::default() };
        remember(dir.path(), BackendName::Native, &up).unwrap();
        assert_eq!(last(&at).backends, backends);
        assert_eq!(first(dir.path()), Some(BackendName::Oci));
        // As earlier versions wrote it.
        let old = r#"{"backend":"host","allow_host":"/x","oci":{}}"#;
        fs::write(dir.path().join(FILE), old).unwrap();
        assert_eq!(first(dir.path()), Some(BackendName::Host));
    }
}
