//! Secrets of projects: values go in, sealed, and come out only for the project's machine. What people
//! see is names. How a machine gets them is in `tell`.

pub(crate) mod hand_down;
pub(crate) mod tell;
pub(crate) mod told;

use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use serde::Serialize;
use std::collections::HashMap;
use toft_machine::steps;
use toft_model::{
    id::ProjectId,
    mask::Mask,
    secret::{
        COUNT_MAX, Environment, SecretError, SecretText, TOTAL_BYTES_MAX, check_name, check_value,
    },
};
use toft_store::{ProjectSecrets, SecretRow};
use toft_vault::{DataKey, Place, Secret, Vault};

/// A secret that new processes find in their environment.
pub(crate) const ENVIRONMENT: &str = "environment";

/// Bytes of a sealed text besides its value: the format's mark, then nonce and tag in base64.
const SEALED_MARK_BYTES: usize = 3;
const SEALED_REST_BYTES: usize = 24 + 16;
/// How often a change is tried when another server on the same database changes the project's secrets.
const TRIES: usize = 8;

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// Whether there is a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// There is.
    Set,
    /// Only the name is known: it came along with a fork.
    Missing,
    /// It cannot be opened with the server's master key.
    Unreadable,
}

/// A secret as people see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    pub(crate) name: String,
    kind: String,
    state: State,
    revision: u64,
    set_at: u64,
    set_by: Option<String>,
}

fn place<'a>(project: &'a ProjectId, row: &'a SecretRow) -> Place<'a> {
    Place { project: project.as_str(), name: &row.name, revision: row.revision, kind: &row.kind }
}

fn open(
    vault: &Vault,
    project: &ProjectId,
    found: &ProjectSecrets,
) -> Option<Result<DataKey, toft_vault::SealError>> {
    found.key.as_deref().map(|kept| vault.open_data_key(project.as_str(), kept))
}

/// The names, and what is known of them.
pub(crate) async fn list(app: &App, project: &ProjectId) -> Result<(u64, Vec<Shown>), ApiError> {
    let vault = app.keyring.vault().await;
    let found = app.store.secrets(project).await?;
    let key = open(&vault, project, &found).and_then(Result::ok);
    let mut names: HashMap<String, Option<String>> = HashMap::new();
    for row in &found.rows {
        if !names.contains_key(&row.set_by) {
            let user = app.store.user(&row.set_by).await?;
            names.insert(row.set_by.clone(), user.map(|user| user.name));
        }
    }
    let shown = found.rows.iter().map(|row| {
        let opens = |sealed: &String| {
            key.as_ref().is_some_and(|key| key.unseal(&place(project, row), sealed).is_ok())
        };
        let state = match &row.sealed {
            None => State::Missing,
            Some(sealed) if opens(sealed) => State::Set,
            Some(_) => State::Unreadable,
        };
        Shown {
            name: row.name.clone(),
            kind: row.kind.clone(),
            state,
            revision: row.revision,
            set_at: row.set_at,
            set_by: names.get(&row.set_by).cloned().flatten(),
        }
    });
    Ok((found.revision, shown.collect()))
}

/// Sets some at once. On disk when this returns; the machine is told by [`tell`].
pub(crate) async fn set(
    app: &App,
    project: &ProjectId,
    values: &[(String, Secret)],
    by: &str,
) -> Result<(), ApiError> {
    if values.is_empty() {
        return Err(ApiError::invalid("send at least one secret: {\"values\": {\"NAME\": \"…\"}}"));
    }
    for (name, value) in values {
        check_name(name)?;
        check_value(value.expose())?;
    }
    for _ in 0..TRIES {
        let vault = app.keyring.vault().await;
        let found = app.store.secrets(project).await?;
        fits(&found, values)?;
        let (key, kept) = key_for(&vault, project, &found)?;
        let now = app.clock.now_ms();
        let revision = found.revision + 1;
        let mut rows = Vec::with_capacity(values.len());
        for (name, value) in values {
            let mut row = SecretRow {
                name: name.clone(),
                kind: ENVIRONMENT.to_owned(),
                sealed: None,
                revision,
                set_at: now,
                set_by: by.to_owned(),
            };
            row.sealed = Some(sealed(&key, project, &row, value)?);
            rows.push(row);
        }
        if app.store.put_secrets(project, found.revision, &kept, &rows, now).await? {
            steps::reached("secret.recorded");
            for (name, _) in values {
                tracing::info!(project.id = %project, secret.name = name, "a secret was set");
            }
            return Ok(());
        }
    }
    Err(crowded())
}

fn crowded() -> ApiError {
    ApiError::new(Code::Conflict, "the secrets are being changed by others: try again")
}

fn sealed(
    key: &DataKey,
    project: &ProjectId,
    row: &SecretRow,
    value: &Secret,
) -> Result<String, ApiError> {
    key.seal(&place(project, row), value)
        .map_err(|error| ApiError::internal("the secret could not be sealed", &error))
}

/// The key that values are sealed with. One that cannot be opened is replaced when nothing hangs on it.
fn key_for(
    vault: &Vault,
    project: &ProjectId,
    found: &ProjectSecrets,
) -> Result<(DataKey, String), ApiError> {
    match (open(vault, project, found), &found.key) {
        (Some(Ok(key)), Some(kept)) => Ok((key, kept.clone())),
        (Some(Err(_)), _) if found.rows.iter().any(|row| row.sealed.is_some()) => {
            Err(ApiError::new(
                Code::Conflict,
                "the secrets that this project has cannot be opened with the server's master key: \
                 restore `master.key` from the same backup as the database, or delete them first",
            ))
        }
        _ => vault
            .new_data_key(project.as_str())
            .map_err(|error| ApiError::internal("a key could not be made", &error)),
    }
}

/// Refuses what is too much for one environment.
fn fits(found: &ProjectSecrets, values: &[(String, Secret)]) -> Result<(), ApiError> {
    let given = |name: &str| values.iter().any(|(known, _)| known == name);
    let others: Vec<&SecretRow> = found.rows.iter().filter(|row| !given(&row.name)).collect();
    if others.len() + values.len() > COUNT_MAX {
        return Err(ApiError::invalid(format!(
            "a project has at most {COUNT_MAX} secrets: delete some first"
        )));
    }
    let kept: usize = others.iter().filter_map(|row| row.sealed.as_deref()).map(plain_bytes).sum();
    let new: usize = values.iter().map(|(_, value)| value.expose().len()).sum();
    if kept + new > TOTAL_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "all values of a project take at most {} KiB together: put larger things into files",
            TOTAL_BYTES_MAX >> 10
        )));
    }
    Ok(())
}

/// How long a sealed value is.
fn plain_bytes(sealed: &str) -> usize {
    (sealed.len().saturating_sub(SEALED_MARK_BYTES) * 3 / 4).saturating_sub(SEALED_REST_BYTES)
}

/// Deletes one.
pub(crate) async fn delete(app: &App, project: &ProjectId, name: &str) -> Result<(), ApiError> {
    if !app.store.delete_secret(project, name).await? {
        return Err(ApiError::new(
            Code::NotFound,
            "there is no secret of this name: GET …/secrets lists them",
        ));
    }
    steps::reached("secret.recorded");
    tracing::info!(project.id = %project, secret.name = name, "a secret was deleted");
    Ok(())
}

/// What new processes of the project's machine find in their environment. A value that cannot be
/// opened is left out.
pub(crate) async fn environment(app: &App, project: &ProjectId) -> Result<Environment, ApiError> {
    let vault = app.keyring.vault().await;
    let found = app.store.secrets(project).await?;
    let key = open(&vault, project, &found);
    let mut environment = Environment { revision: found.revision, vars: Vec::new() };
    for row in found.rows.iter().filter(|row| row.kind == ENVIRONMENT) {
        let Some(sealed) = &row.sealed else { continue };
        let opened = match &key {
            Some(Ok(key)) => key.unseal(&place(project, row), sealed),
            Some(Err(error)) => Err(*error),
            None => Err(toft_vault::SealError::Refused),
        };
        match opened {
            Ok(value) => {
                environment.vars.push((row.name.clone(), SecretText::new(value.expose())));
            }
            Err(error) => {
                tracing::error!(project.id = %project, secret.name = row.name, %error,
                    "a secret is left out of the machine");
            }
        }
    }
    Ok(environment)
}

/// Takes the project's values out of what is written down.
pub(crate) async fn mask(app: &App, project: &ProjectId) -> Result<Mask, ApiError> {
    Ok(Mask::of(&environment(app, project).await?))
}

/// Seals all values with a new key: a value that somebody could open before stays open to them, the
/// ones that are set later do not.
pub(crate) async fn rotate(app: &App, project: &ProjectId) -> Result<(), ApiError> {
    for _ in 0..TRIES {
        let vault = app.keyring.vault().await;
        let found = app.store.secrets(project).await?;
        if found.key.is_none() {
            return Ok(());
        }
        let (old, _) = key_for(&vault, project, &found)?;
        let (new, kept) = vault
            .new_data_key(project.as_str())
            .map_err(|error| ApiError::internal("a key could not be made", &error))?;
        let mut anew = Vec::new();
        for row in &found.rows {
            let Some(text) = &row.sealed else { continue };
            let value = old.unseal(&place(project, row), text).map_err(|_| {
                ApiError::new(
                    Code::Conflict,
                    format!("the secret {} cannot be opened: set it again, or delete it", row.name),
                )
            })?;
            anew.push((row.name.clone(), sealed(&new, project, row, &value)?));
        }
        let now = app.clock.now_ms();
        if app.store.replace_secret_key(project, found.revision, &kept, &anew, now).await? {
            steps::reached("secret.rekeyed");
            tracing::info!(project.id = %project, "the secrets were sealed with a new key");
            return Ok(());
        }
    }
    Err(crowded())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_sealed_value_is_known_without_opening_it() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(&dir.path().join("k")).unwrap();
        let (key, _) = vault.new_data_key("a").unwrap();
        let place = Place { project: "a", name: "N", revision: 1, kind: ENVIRONMENT };
        for bytes in [1, 2, 3, 100, 32 << 10] {
            let text = key.seal(&place, &Secret::new("x".repeat(bytes))).unwrap();
            assert_eq!(plain_bytes(&text), bytes);
        }
    }
}
