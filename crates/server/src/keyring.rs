//! The vault of this server: opened with the master key that the database is sealed with, and put
//! under another one while it is in use. Not what is sealed with it.

use crate::{
    api_error::{ApiError, Code},
    error::ServerError,
};
use std::{path::PathBuf, sync::Arc};
use toft_machine::steps;
use toft_store::{Store, Wrapped};
use toft_vault::{Fits, SealError, Vault};
use tokio::sync::{RwLock, RwLockReadGuard};

/// See the module.
pub(crate) struct Keyring {
    file: PathBuf,
    vault: RwLock<Vault>,
}

impl Keyring {
    /// Opens it, and ends a rotation that was cut.
    pub(crate) async fn open(file: PathBuf, store: &dyn Store) -> Result<Arc<Self>, ServerError> {
        let recorded = store.master_id().await?;
        let (vault, fits) = Vault::open_recorded(&file, recorded.as_deref())?;
        match (fits, recorded) {
            (Fits::Yes, None) => store.put_master_id(&vault.id()).await?,
            (Fits::Yes, Some(_)) => {}
            (Fits::No, _) => tracing::error!(
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

    /// Puts everything under a new master key. A kill at any moment leaves the old one or the new one.
    pub(crate) async fn rotate(&self, store: &dyn Store) -> Result<(), ApiError> {
        let mut vault = self.vault.write().await;
        let failed = |error: &dyn std::fmt::Display| {
            ApiError::internal(
                "the master key could not be replaced, and is the one of before",
                error,
            )
        };
        let next = Vault::prepare_next(&self.file).map_err(|e| failed(&e))?;
        steps::reached("vault.next");
        let anew = match rewrapped(&vault, &next, &store.wrapped().await?) {
            Ok(anew) => anew,
            Err(what) => {
                self.drop_next();
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
                Ok(_) => {
                    self.drop_next();
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

    fn drop_next(&self) {
        if let Err(error) = Vault::drop_next(&self.file) {
            tracing::warn!(%error, "a master key that nothing is sealed with stays");
        }
    }
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
    Ok(anew)
}

/// What a provider's sealed key is bound to.
pub(crate) fn provider_place(provider: &str) -> String {
    format!("provider_key:{provider}")
}
