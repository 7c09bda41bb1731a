//! Files that runs leave, outside of their machines: in a folder, or in a bucket of S3's kind.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::{
    ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    buffered::BufWriter,
    local::LocalFileSystem,
    path::Path as Key,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toft_model::{id::ProjectId, run::JobId};
use tokio::{io::AsyncWriteExt as _, time::timeout};
use tokio_util::sync::CancellationToken;

/// What is written to a bucket and removed again, to see whether that may be done.
const CHECKED: &str = "toft-check";
/// How long that may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a request to a bucket is tried again, and for how long: a run's last step is tried again as a whole.
const RETRIES_MAX: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// Where artifacts are kept.
#[derive(Clone)]
pub enum ArtifactPlace {
    /// In this folder.
    Folder(PathBuf),
    /// In a bucket.
    Bucket {
        /// `s3://BUCKET` or `s3://BUCKET/PREFIX`.
        url: String,
        /// Variables that AWS's own programs read (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …). Holds keys.
        variables: BTreeMap<String, String>,
    },
}

impl std::fmt::Debug for ArtifactPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Bucket { url, .. } => f.debug_tuple("Bucket").field(url).finish(),
        }
    }
}

/// Why artifacts cannot be kept there.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The place says nothing that can be used.
    #[error("artifacts cannot be kept at {place}: {reason}")]
    Place {
        /// Folder or URL; without keys.
        place: String,
        /// Why, and what to do.
        reason: String,
    },
    /// It cannot be read or written in a folder. What a bucket says itself is never told: it may hold the key.
    #[error("an artifact cannot be kept or read: {0}")]
    Folder(object_store::Error),
    /// The disk, or what was to be kept, failed.
    #[error("an artifact cannot be kept: {0}")]
    Io(io::Error),
    /// There is none.
    #[error("the artifact is gone")]
    Gone,
}

/// What is wrong with a bucket, in words of ours: what it says itself may hold the key.
fn why(error: &object_store::Error) -> String {
    use object_store::Error as E;
    let text = error.to_string();
    let refused = ["InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "401"];
    match error {
        E::NotFound { .. } => "there is no such bucket: make it first, or name another".into(),
        E::Unauthenticated { .. } | E::PermissionDenied { .. } => {
            "its key is refused, or may not write there: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into()
        }
        _ if refused.iter().any(|word| text.contains(word)) => {
            "its key is refused, or may not write there: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into()
        }
        _ => "it does not answer as one: look at the address, AWS_ENDPOINT_URL, AWS_REGION and the network".into(),
    }
}

/// See the module.
pub(crate) struct Artifacts {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    /// Where what was written must reach the disk.
    folder: Option<PathBuf>,
    /// The bucket's address, for people.
    bucket: Option<String>,
}

/// A file that is kept.
pub(crate) struct Kept {
    pub(crate) size: u64,
    pub(crate) bytes: futures_util::stream::BoxStream<'static, Result<Bytes, object_store::Error>>,
}

impl Artifacts {
    pub(crate) fn open(place: &ArtifactPlace) -> Result<Self, ArtifactError> {
        match place {
            ArtifactPlace::Folder(folder) => {
                let failed = |reason: String| ArtifactError::Place {
                    place: folder.display().to_string(),
                    reason,
                };
                fs::create_dir_all(folder)
                    .map_err(|e| failed(format!("{e}. Is the folder writable?")))?;
                let store =
                    LocalFileSystem::new_with_prefix(folder).map_err(|e| failed(e.to_string()))?;
                // A run's folder goes with what is in it.
                let store = store.with_automatic_cleanup(true);
                let folder = Some(fs::canonicalize(folder).map_err(ArtifactError::Io)?);
                Ok(Self { store: Arc::new(store), prefix: Key::default(), folder, bucket: None })
            }
            ArtifactPlace::Bucket { url, variables } => {
                let failed = |reason: String| ArtifactError::Place { place: url.clone(), reason };
                // The client of buckets takes it from the process. An error: one is there already.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let retry = RetryConfig {
                    max_retries: RETRIES_MAX,
                    retry_timeout: RETRY_TIMEOUT,
                    ..RetryConfig::default()
                };
                let mut builder = AmazonS3Builder::new().with_url(url).with_retry(retry);
                for (name, value) in variables {
                    if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let store = builder.build().map_err(|e| failed(e.to_string()))?;
                let below = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
                let prefix = Key::parse(below.map_or("", |(_, prefix)| prefix.trim_matches('/')))
                    .map_err(|e| failed(e.to_string()))?;
                Ok(Self { store: Arc::new(store), prefix, folder: None, bucket: Some(url.clone()) })
            }
        }
    }

    /// Whether a bucket is there, and may be written to: better known at the start than at the end of a run.
    pub(crate) async fn check(&self) -> Result<(), ArtifactError> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let failed = |reason: String| ArtifactError::Place { place: bucket.clone(), reason };
        let key = self.key(CHECKED);
        let tried = async {
            self.store.put(&key, PutPayload::from_static(b"toft")).await?;
            self.store.delete(&key).await
        };
        match timeout(CHECK_TIMEOUT, tried).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(failed(format!("it did not answer for {} s", CHECK_TIMEOUT.as_secs()))),
        }
    }

    /// In words that may be told and logged.
    fn failed(&self, error: object_store::Error) -> ArtifactError {
        match &self.bucket {
            Some(place) => ArtifactError::Place { place: place.clone(), reason: why(&error) },
            None => ArtifactError::Folder(error),
        }
    }

    /// The same of one that writing has wrapped.
    fn failed_writing(&self, error: io::Error) -> ArtifactError {
        match error.downcast::<object_store::Error>() {
            Ok(error) => self.failed(error),
            Err(error) => ArtifactError::Io(error),
        }
    }

    fn key(&self, path: &str) -> Key {
        let parts = self.prefix.parts().map(|part| part.as_ref().to_owned());
        parts.chain(path.split('/').map(str::to_owned)).collect()
    }

    /// Where a run's workspace is kept: one for each try of each owner, so that none is written over while it is read,
    /// and none removes another one's.
    pub(super) fn workspace(project: &ProjectId, run: &JobId, attempt: u32, fence: u64) -> String {
        format!("{}{run}/{attempt}-{fence}.zip", Self::of_project(project))
    }

    /// Keeps what comes, whole or not at all, also when this is given up in the middle. How many bytes it was.
    pub(super) async fn put(
        &self,
        path: &str,
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<u64, ArtifactError> {
        self.sweep(path).await?;
        let (store, key) = (Arc::clone(&self.store), self.key(path));
        let mut writer = BufWriter::new(Arc::clone(&store), key.clone());
        let place =
            self.folder.as_deref().and_then(|folder| Some(folder.join(path).parent()?.to_owned()));
        let given_up = CancellationToken::new();
        let _given_up = given_up.clone().drop_guard();
        // In a task of its own: a writer that is dropped takes back nothing.
        let written = tokio::spawn(async move {
            let left = || io::Error::other("it was given up");
            let filled = given_up.run_until_cancelled(fill(&mut writer, bytes)).await;
            let size = match filled.unwrap_or_else(|| Err(left())) {
                Ok(size) => size,
                Err(error) => {
                    let _ = writer.abort().await;
                    // Not while something else is in there.
                    let _ = place.map(fs::remove_dir);
                    return Err(error);
                }
            };
            writer.shutdown().await?;
            if given_up.is_cancelled() {
                let _ = store.delete(&key).await;
                return Err(left());
            }
            Ok(size)
        });
        let written = written.await.map_err(io::Error::other).flatten();
        let size = written.map_err(|error| self.failed_writing(error))?;
        if let Some(folder) = &self.folder {
            let file = folder.join(path);
            on_disk(move || {
                File::open(&file)?.sync_all()?;
                file.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
            })
            .await?;
        }
        Ok(size)
    }

    /// Removes what owners of the same run before this one have left, who were killed, or lost it, before anybody knew
    /// of it; in a folder also parts: their names have a number behind `#`, and no listing shows them.
    async fn sweep(&self, path: &str) -> Result<(), ArtifactError> {
        let named = path.rsplit_once('/').zip(fence_of(path));
        let Some(((parent, _), fence)) = named else { return Ok(()) };
        let is_older = move |name: &str| fence_of(name).is_some_and(|of| of < fence);
        let all: Vec<Key> = self
            .store
            .list(Some(&self.key(parent)))
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .map_err(|error| self.failed(error))?;
        for old in all.into_iter().filter(|key| key.filename().is_some_and(is_older)) {
            match self.store.delete(&old).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        let parent = folder.join(parent);
        on_disk(move || {
            let entries = match fs::read_dir(parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let whole = name.to_str().and_then(|name| name.split_once('#'));
                if whole.is_some_and(|(whole, _)| fence_of(whole).is_some_and(|of| of <= fence)) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Kept, ArtifactError> {
        match self.store.get(&self.key(path)).await {
            Ok(found) => Ok(Kept { size: found.meta.size, bytes: found.into_stream() }),
            Err(object_store::Error::NotFound { .. }) => Err(ArtifactError::Gone),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Where they lie, if that is not below this folder.
    pub(crate) fn outside(&self, data: &Path) -> Option<String> {
        match (&self.folder, &self.bucket) {
            (Some(folder), _) if folder.starts_with(data) => None,
            (Some(folder), _) => Some(folder.display().to_string()),
            (None, bucket) => Some(bucket.clone().unwrap_or_else(|| "a bucket".into())),
        }
    }

    /// Where all of a project's lie.
    pub(crate) fn of_project(project: &ProjectId) -> String {
        format!("runs/{project}/")
    }

    /// Keeps one at another place as well. Gone already: nothing is kept.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<(), ArtifactError> {
        match self.get(from).await {
            Ok(found) => {
                self.put(to, found.bytes.map_err(io::Error::other)).await?;
                Ok(())
            }
            Err(ArtifactError::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes one. Gone already: done.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), ArtifactError> {
        match self.store.delete(&self.key(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Removes all of a project.
    pub(crate) async fn forget(&self, project: &ProjectId) -> Result<(), ArtifactError> {
        let below = self.key(&format!("runs/{project}"));
        let keys = self.store.list(Some(&below)).map_ok(|meta| meta.location).boxed();
        let gone = self.store.delete_stream(keys).try_for_each(|_| std::future::ready(Ok(())));
        gone.await.map_err(|error| self.failed(error))?;
        let Some(folder) = &self.folder else { return Ok(()) };
        // With what no listing shows.
        let folder = folder.join(Self::of_project(project));
        on_disk(move || match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }
}

/// The fence of who kept a run's workspace, as the file's name has it.
fn fence_of(name: &str) -> Option<u64> {
    name.strip_suffix(".zip")?.rsplit_once('-')?.1.parse().ok()
}

/// Writes all that comes. How many bytes it was.
async fn fill(
    writer: &mut BufWriter,
    bytes: impl Stream<Item = io::Result<Bytes>>,
) -> io::Result<u64> {
    let mut bytes = std::pin::pin!(bytes);
    let mut size = 0;
    while let Some(piece) = bytes.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        writer.write_all(&piece).await?;
    }
    Ok(size)
}

async fn on_disk(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), ArtifactError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).flatten().map_err(ArtifactError::Io)
}

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = ArtifactPlace::Folder(dir.path().join("artifacts"));
        let artifacts = Artifacts::open(&place).unwrap();
        let (project, run) = (ProjectId::random(), JobId::random());
        let path = Artifacts::workspace(&project, &run, 1, 1);
        let pieces =
            |n: usize| (0..n).map(|n| Ok(Bytes::from(vec![u8::try_from(n).unwrap(); 1 << 20])));
        let size = artifacts.put(&path, futures_util::stream::iter(pieces(12))).await.unwrap();
        assert_eq!(size, 12 << 20);
        let kept = artifacts.get(&path).await.unwrap();
        assert_eq!(kept.size, size);
        let bytes = kept.bytes.try_collect::<Vec<_>>().await.unwrap().concat();
        assert!(
            bytes.chunks(1 << 20).enumerate().all(|(n, c)| c.iter().all(|b| usize::from(*b) == n))
        );

        let cut = pieces(11).chain([Err(io::Error::other("cut"))]);
        let other = Artifacts::workspace(&project, &run, 2, 1);
        assert!(artifacts.put(&other, futures_util::stream::iter(cut)).await.is_err());
        assert!(matches!(artifacts.get(&other).await, Err(ArtifactError::Gone)));

        // Given up in the middle, nothing of it stays.
        let endless = futures_util::stream::iter(pieces(11)).chain(futures_util::stream::pending());
        let part = dir.path().join("artifacts").join(format!("{other}#1"));
        {
            let mut put = std::pin::pin!(artifacts.put(&other, endless));
            while !part.exists() {
                tokio::select! {
                    _ = &mut put => panic!("it has no end"),
                    () = tokio::time::sleep(Duration::from_millis(2)) => {}
                }
            }
        }
        while part.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let alone = Artifacts::workspace(&project, &JobId::random(), 1, 1);
        let cut = pieces(11).chain([Err(io::Error::other("cut"))]);
        assert!(artifacts.put(&alone, futures_util::stream::iter(cut)).await.is_err());
        let place = dir.path().join("artifacts").join(&alone);
        assert!(!place.parent().unwrap().exists(), "a folder of nothing");
        // Of a server that was killed in the middle: gone with the next try, or with the project.
        let file = dir.path().join("artifacts").join(&path);
        for name in ["#1", "#12"] {
            fs::write(format!("{}{name}", file.display()), "part").unwrap();
        }
        artifacts.put(&path, futures_util::stream::iter(pieces(2))).await.unwrap();
        // So is what an earlier owner kept that lost the run; a later one's is not this one's to remove.
        let of = |fence| Artifacts::workspace(&project, &run, 3, fence);
        for fence in [4, 9, 6] {
            artifacts.put(&of(fence), futures_util::stream::iter(pieces(1))).await.unwrap();
        }
        let there: Vec<bool> = futures_util::future::join_all([4, 9, 6].map(|fence| {
            let path = of(fence);
            let artifacts = &artifacts;
            async move { artifacts.get(&path).await.is_ok() }
        }))
        .await;
        assert_eq!(there, [false, true, true]);
        let names = || fs::read_dir(file.parent().unwrap()).map_or(0, Iterator::count);
        assert_eq!(names(), 2);
        fs::write(format!("{}#1", file.display()), "part").unwrap();
        artifacts.forget(&project).await.unwrap();
        assert!(matches!(artifacts.get(&of(9)).await, Err(ArtifactError::Gone)));
        assert_eq!(names(), 0);
        artifacts.forget(&project).await.unwrap();
    }
}
