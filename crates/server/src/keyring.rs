//! The vault of this server: opened with the master key that the database is sealed with, and put
//! under another one while it is in use. Not what is sealed with it.

use crate::{
    api_error::{ApiError, Code},
    error::ServerError,
    tasks,
};
use std::{path::PathBuf, sync::Arc};
use toft_machine::steps;
use toft_store::{Store, Wrapped};
use toft_vault::{Fits, KeyFileError, SealError, Vault};
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio_util::task::TaskTracker;

/// Said when a rotation breaks.
const ROTATING: &str = "replacing the master key failed";

/// See the module.
pub(crate) struct Keyring {
    file: PathBuf,
    vault: RwLock<Vault>,
}

impl Keyring {
    /// Opens it, and ends a rotation that was cut.
    pub(crate) async fn open(file: PathBuf, store: &dyn Store) -> Result<Arc<Self>, ServerError> {
        let recorded = store.master_id().await?;
        let opened = Vault::open_recorded(&file, recorded.as_deref());
        let (vault, mut fits) = match opened {
            // Where others work with the right one, a wrong one would only do harm.
            Err(KeyFileError::Missing { .. }) if store.is_shared() => {
                return Err(other(file, store).await);
            }
            opened => opened?,
        };
        if recorded.is_none() {
            store.put_master_id(&vault.id()).await?;
            // Another server may have been faster.
            if store.master_id().await?.is_some_and(|recorded| recorded != vault.id()) {
                fits = Fits::No;
            }
        }
        match fits {
            Fits::Yes => {}
            Fits::No if store.is_shared() => return Err(other(file, store).await),
            Fits::No => tracing::error!(
                file = %file.display(),
                "the master key is another one than the database was sealed with: stored keys and \
                 secrets cannot be read. Restore it from the same backup as the database, or enter \
                 them again"
            ),
        }
        Ok(Arc::new(Self { file, vault: RwLock::new(vault) }))
    }

    /// The vault. Held while something is read from the database and opened, or sealed and written: the
    /// master key stays the same meanwhile.
    pub(crate) async fn vault(&self) -> RwLockReadGuard<'_, Vault> {
        self.vault.read().await
    }

    /// Puts everything under a new master key, also when whoever asked for it leaves. A kill at any
    /// moment leaves the old one or the new one. `meanwhile` is held until it is done.
    pub(crate) async fn rotate(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        store: &Arc<dyn Store>,
        meanwhile: impl Send + 'static,
    ) -> Result<(), ApiError> {
        let (this, store) = (Arc::clone(self), Arc::clone(store));
        tasks::finish(tasks, ROTATING, async move {
            let _meanwhile = meanwhile;
            this.replace(&*store).await
        })
        .await
    }

    async fn replace(&self, store: &dyn Store) -> Result<(), ApiError> {
        let mut vault = self.vault.write().await;
        let failed = |error: &dyn std::fmt::Display| {
            ApiError::internal(
                "the master key could not be replaced, and is the one of before",
                error,
            )
        };
        let recorded = store.master_id().await?;
        if let Some(recorded) = &recorded {
            // What an earlier rotation left undone comes first.
            match Vault::open_recorded(&self.file, Some(recorded)) {
                Ok((settled, Fits::Yes)) => *vault = settled,
                // Then it shows below whether the one in memory opens everything.
                Ok((_, Fits::No)) | Err(KeyFileError::Missing { .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        let recorded = recorded.as_deref();
        let next = Vault::prepare_next(&self.file, recorded).map_err(|e| failed(&e))?;
        steps::reached("vault.next");
        let anew = match rewrapped(&vault, &next, &store.wrapped().await?) {
            Ok(anew) => anew,
            Err(what) => {
                self.drop_next(recorded);
                return Err(ApiError::new(
                    Code::Conflict,
                    format!(
                        "{what} cannot be opened with this master key: restore `master.key` from the \
                         same backup as the database, or delete what cannot be read"
                    ),
                ));
            }
        };
        if let Err(error) = store.rewrap(&anew, &next.id()).await {
            // A commit may be done although it failed: the next key stays until that is known.
            match store.master_id().await {
                Ok(recorded) if recorded.as_deref() == Some(&next.id()) => {}
                Ok(recorded) => {
                    self.drop_next(recorded.as_deref());
                    return Err(error.into());
                }
                Err(_) => return Err(error.into()),
            }
        }
        steps::reached("vault.rewrapped");
        *vault = next;
        // Still beside the old one, it takes its place at the next start.
        Vault::commit_next(&self.file).map_err(|error| {
            ApiError::internal("the new master key is in use, and lies beside the old one", &error)
        })?;
        steps::reached("vault.replaced");
        tracing::info!("everything was put under a new master key");
        Ok(())
    }

    fn drop_next(&self, recorded: Option<&str>) {
        if let Err(error) = Vault::drop_next(&self.file, recorded) {
            tracing::warn!(%error, "a master key that nothing is sealed with stays");
        }
    }
}

/// This server's master key is not the one that all others have.
async fn other(path: PathBuf, store: &dyn Store) -> ServerError {
    // Only for what is said.
    let servers = store.servers(0).await.unwrap_or_default();
    let servers = servers.into_iter().filter(toft_store::Server::is_alive).map(|server| server.url);
    ServerError::OtherMasterKey { path, servers: servers.collect() }
}

/// Everything under the next key; what cannot be opened is named.
fn rewrapped(vault: &Vault, next: &Vault, all: &Wrapped) -> Result<Wrapped, String> {
    let mut anew = Wrapped::default();
    for (project, sealed) in &all.data_keys {
        let moved = vault
            .rewrap_data_key(next, project.as_str(), sealed)
            .map_err(|_| format!("the key of the secrets of project {project}"))?;
        anew.data_keys.push((project.clone(), moved));
    }
    for (provider, sealed) in &all.provider_keys {
        let place = provider_place(provider);
        let moved: Result<String, SealError> =
            vault.unseal(&place, sealed).and_then(|key| next.seal(&place, key.expose().as_bytes()));
        anew.provider_keys.push((
            provider.clone(),
            moved.map_err(|_| format!("the key of the provider {provider}"))?,
        ));
    }
    for (id, sealed) in &all.webhooks {
        let place = webhook_place(id);
        let moved: Result<String, SealError> =
            vault.unseal(&place, sealed).and_then(|key| next.seal(&place, key.expose().as_bytes()));
        anew.webhooks.push((
            id.clone(),
            moved.map_err(|_| format!("what the webhook {id} is signed with"))?,
        ));
    }
    Ok(anew)
}

/// What a webhook's sealed key is bound to.
pub(crate) fn webhook_place(id: &str) -> String {
    format!("webhook:{id}")
}

/// What a provider's sealed key is bound to.
pub(crate) fn provider_place(provider: &str) -> String {
    format!("provider_key:{provider}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, path::Path, pin::pin, task::Poll};
    use toft_store::{ProviderKey, SqliteStore};

    const PROVIDER: &str = "openai";

    async fn begun(dir: &Path) -> (Arc<dyn Store>, Arc<Keyring>) {
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&dir.join("toft.db")).await.unwrap());
        let keyring = Keyring::open(dir.join("master.key"), &*store).await.unwrap();
        (store, keyring)
    }

    async fn opens(store: &dyn Store, keyring: &Keyring) -> bool {
        let vault = keyring.vault().await;
        let all = store.wrapped().await.unwrap().provider_keys;
        let (_, sealed) = all.iter().find(|(id, _)| id == PROVIDER).unwrap();
        let opened = vault.unseal(&provider_place(PROVIDER), sealed);
        opened.is_ok_and(|key| key.expose() == "canary")
    }

    async fn sealed_once(store: &dyn Store, keyring: &Keyring) {
        let sealed = keyring.vault().await.seal(&provider_place(PROVIDER), b"canary").unwrap();
        let key = ProviderKey { provider: PROVIDER.into(), sealed, hint: String::new() };
        store.put_provider_key(&key, 1).await.unwrap();
    }

    #[tokio::test]
    async fn a_rotation_whose_caller_leaves_at_any_await_is_done_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (store, keyring) = begun(dir.path()).await;
        sealed_once(&*store, &keyring).await;
        for polls in 1.. {
            let tasks = TaskTracker::new();
            let was_left = {
                let mut rotation = pin!(keyring.rotate(&tasks, &store, ()));
                let mut left = polls;
                poll_fn(|cx| {
                    left -= 1;
                    match rotation.as_mut().poll(cx) {
                        Poll::Ready(done) => Poll::Ready(done.map(|()| false)),
                        Poll::Pending if left == 0 => Poll::Ready(Ok(true)),
                        Poll::Pending => Poll::Pending,
                    }
                })
                .await
                .unwrap()
            };
            tasks.close();
            tasks.wait().await;
            // A read after a write: what was under way in the database is over.
            store
                .put_provider_key(
                    &ProviderKey {
                        provider: "other".into(),
                        sealed: keyring.vault().await.seal(&provider_place("other"), b"x").unwrap(),
                        hint: String::new(),
                    },
                    2,
                )
                .await
                .unwrap();
            assert!(opens(&*store, &keyring).await, "left after {polls}");
            assert_eq!(store.master_id().await.unwrap(), Some(keyring.vault().await.id()));
            keyring.rotate(&TaskTracker::new(), &store, ()).await.unwrap();
            let (store, keyring) = begun(dir.path()).await;
            assert!(opens(&*store, &keyring).await, "left after {polls}");
            assert!(!dir.path().join("master.key.next").exists());
            if !was_left {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_rotation_first_settles_one_that_left_the_database_under_the_next_key() {
        let dir = tempfile::tempdir().unwrap();
        let (store, keyring) = begun(dir.path()).await;
        sealed_once(&*store, &keyring).await;
        let file = dir.path().join("master.key");
        {
            let vault = keyring.vault().await;
            let next = Vault::prepare_next(&file, Some(&vault.id())).unwrap();
            let anew = rewrapped(&vault, &next, &store.wrapped().await.unwrap()).unwrap();
            store.rewrap(&anew, &next.id()).await.unwrap();
        }
        assert!(!opens(&*store, &keyring).await, "memory has the old one");
        keyring.rotate(&TaskTracker::new(), &store, ()).await.unwrap();
        assert!(opens(&*store, &keyring).await);
        let (store, keyring) = begun(dir.path()).await;
        assert!(opens(&*store, &keyring).await);
        assert!(!dir.path().join("master.key.next").exists());
    }
}
