//! How the secrets of a project change. What is begun is done to its end, whoever leaves: one change
//! at a time, on disk first, then told to the machine.

use super::{
    ENVIRONMENT,
    brokered::{self, BROKERED, authority_for, resealed},
    connection::MCP,
    open, sealed, tell, unseal,
};
use crate::{
    api_error::{ApiError, Code},
    machines::{Machine, life},
    state::App,
    tasks::finish,
};
use std::sync::Arc;
use toft_machine::steps;
use toft_model::{
    binding::{BROKERED_MAX, Binding, check_brokered_value, placeholder},
    id::ProjectId,
    secret::{COUNT_MAX, TOTAL_BYTES_MAX, check_name, check_value},
};
use toft_store::{BrokeredRow, ProjectKey, ProjectSecrets, SecretRow};
use toft_vault::{DataKey, Secret, Vault};

/// Said when a change breaks.
const CHANGING: &str = "changing the secrets failed";

/// Bytes of a sealed text besides its value: the format's mark, then nonce and tag in base64.
const SEALED_MARK_BYTES: usize = 3;
const SEALED_REST_BYTES: usize = 24 + 16;
/// How often a change is tried when another server on the same database changes the project's secrets.
const TRIES: usize = 8;

/// A value that is set.
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) value: Secret,
    /// What becomes of it. None: what becomes of the one of this name that there is.
    pub(crate) kind: Option<Kind>,
}

/// What becomes of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A variable of new processes.
    Environment,
    /// The gateway puts it into requests. Without a binding it keeps the one that it has.
    Brokered(Option<Binding>),
    /// A sign-in at an MCP server: the gateway puts the token in it into requests.
    Mcp(Binding),
}

/// Sets some at once. With `wake` a machine that rests is to go on with them.
pub(crate) async fn set(
    app: &App,
    machine: &Arc<Machine>,
    values: Vec<Given>,
    by: &str,
    wake: bool,
) -> Result<(), ApiError> {
    let (app2, machine, by) = (app.clone(), Arc::clone(machine), by.to_owned());
    finish(&app.tasks, CHANGING, async move {
        {
            let _changing = machine.told.changing.lock().await;
            put(&app2, &machine.id, &values, &by).await?;
        }
        let _hold = wake.then(|| machine.in_use(&app2.clock));
        if wake {
            // They are stored: a machine that a person has stopped, or that does not start, gets them
            // when it runs.
            if let Err(error) = life::ensure_running(&app2, &machine, "secrets were given").await {
                tracing::info!(project.id = %machine.id, error = error.message,
                    "secrets were given, and the machine rests");
            }
        }
        tell::changed(&app2, &machine).await;
        Ok(())
    })
    .await
}

/// Keeps a sign-in that was renewed, unless the one of this revision has gone. What runs inside has its
/// placeholder: nothing is new for it, so the project's revision stays.
pub(crate) async fn renew(
    app: &App,
    machine: &Arc<Machine>,
    name: String,
    revision: u64,
    value: Secret,
) -> Result<(), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        {
            let _changing = machine.told.changing.lock().await;
            put_again(&app2, &machine.id, &name, revision, &value).await?;
        }
        tell::renewed(&app2, &machine).await;
        Ok(())
    })
    .await
}

/// Deletes one.
pub(crate) async fn delete(
    app: &App,
    machine: &Arc<Machine>,
    name: String,
) -> Result<(), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        {
            let _changing = machine.told.changing.lock().await;
            remove(&app2, &machine.id, &name).await?;
        }
        tell::changed(&app2, &machine).await;
        Ok(())
    })
    .await
}

/// Seals all values with a new key: a value that somebody could open before stays open to them, the
/// ones that are set later do not. What the machine has stays the same.
pub(crate) async fn rotate(app: &App, machine: &Arc<Machine>) -> Result<(), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let _changing = machine.told.changing.lock().await;
        reseal(&app2, &machine.id).await
    })
    .await
}

/// On disk when this returns.
async fn put(app: &App, project: &ProjectId, values: &[Given], by: &str) -> Result<(), ApiError> {
    if values.is_empty() {
        return Err(ApiError::invalid("send at least one secret: {\"values\": {\"NAME\": \"…\"}}"));
    }
    for Given { name, value, .. } in values {
        check_name(name)?;
        check_value(value.expose())?;
    }
    for _ in 0..TRIES {
        let vault = app.keyring.vault().await;
        let found = app.store.secrets(project).await?;
        let (key, kept) = key_for(&vault, project, &found)?;
        let now = app.clock.now_ms();
        let revision = found.revision + 1;
        let mut rows = Vec::with_capacity(values.len());
        for given in values {
            let brokered = brokered_as(given, &found)?;
            let kind = match (&given.kind, &brokered) {
                (Some(Kind::Mcp(_)), _) => MCP,
                (_, Some(_)) => BROKERED,
                (_, None) => ENVIRONMENT,
            };
            let mut row = SecretRow {
                name: given.name.clone(),
                kind: kind.to_owned(),
                sealed: None,
                revision,
                set_at: now,
                set_by: by.to_owned(),
                brokered,
            };
            row.sealed = Some(sealed(&key, project, &row, &given.value)?);
            rows.push(row);
        }
        fits(&found, &rows)?;
        let authority = authority_for(&key, project, &found, &rows)?;
        let kept = ProjectKey { sealed: kept, authority };
        if app.store.put_secrets(project, found.revision, &kept, &rows, now).await? {
            steps::reached("secret.recorded");
            for Given { name, .. } in values {
                tracing::info!(project.id = %project, secret.name = name, "a secret was set");
            }
            return Ok(());
        }
    }
    Err(crowded())
}

/// The same sign-in with another value, on disk when this returns.
async fn put_again(
    app: &App,
    project: &ProjectId,
    name: &str,
    revision: u64,
    value: &Secret,
) -> Result<(), ApiError> {
    check_value(value.expose())?;
    let is_it = |row: &&SecretRow| row.name == name && row.kind == MCP && row.revision == revision;
    for _ in 0..TRIES {
        let vault = app.keyring.vault().await;
        let found = app.store.secrets(project).await?;
        let row = found.rows.iter().find(is_it).ok_or_else(crowded)?;
        let before = row.sealed.as_deref().ok_or_else(crowded)?;
        let (key, _) = key_for(&vault, project, &found)?;
        let anew = sealed(&key, project, row, value)?;
        fits(&found, &[SecretRow { sealed: Some(anew.clone()), ..row.clone() }])?;
        if app.store.reseal_secret(project, name, before, &anew).await? {
            steps::reached("secret.recorded");
            tracing::info!(project.id = %project, secret.name = name, "a sign-in was renewed");
            return Ok(());
        }
    }
    Err(crowded())
}

/// What is kept of a value that is brokered. A binding comes with a value, never alone: who does not
/// know the value cannot send it elsewhere, nor into the machine.
fn brokered_as(given: &Given, found: &ProjectSecrets) -> Result<Option<BrokeredRow>, ApiError> {
    let known = found.rows.iter().find(|row| row.name == given.name);
    let known = known.and_then(|row| row.brokered.as_ref());
    let row = match (&given.kind, known) {
        (Some(Kind::Mcp(binding)), known) => {
            return Ok(Some(BrokeredRow {
                placeholder: known.map_or_else(placeholder, |known| known.placeholder.clone()),
                binding: brokered::kept(binding)?,
            }));
        }
        (Some(Kind::Environment), _) | (None, None) => return Ok(None),
        (None | Some(Kind::Brokered(None)), Some(known)) => known.clone(),
        (Some(Kind::Brokered(None)), None) => {
            return Err(ApiError::invalid(
                "a brokered secret needs a binding: {\"hosts\": [\"api.example.com\"]}, and methods, \
                 paths and headers if only those are meant",
            ));
        }
        (Some(Kind::Brokered(Some(binding))), known) => BrokeredRow {
            // Programs that run have it already.
            placeholder: known.map_or_else(placeholder, |known| known.placeholder.clone()),
            binding: brokered::kept(binding)?,
        },
    };
    check_brokered_value(given.value.expose())?;
    Ok(Some(row))
}

fn crowded() -> ApiError {
    ApiError::new(Code::Conflict, "the secrets are being changed by others: try again")
}

/// The key that values are sealed with. One that cannot be opened is replaced when nothing hangs on it.
fn key_for(
    vault: &Vault,
    project: &ProjectId,
    found: &ProjectSecrets,
) -> Result<(DataKey, String), ApiError> {
    match (open(vault, project, found), &found.key) {
        (Some(Ok(key)), Some(kept)) => Ok((key, kept.sealed.clone())),
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
fn fits(found: &ProjectSecrets, rows: &[SecretRow]) -> Result<(), ApiError> {
    let given = |name: &str| rows.iter().any(|row| row.name == name);
    let others: Vec<&SecretRow> = found.rows.iter().filter(|row| !given(&row.name)).collect();
    if others.len() + rows.len() > COUNT_MAX {
        return Err(ApiError::invalid(format!(
            "a project has at most {COUNT_MAX} secrets: delete some first"
        )));
    }
    let all = || others.iter().copied().chain(rows);
    if all().filter(|row| row.brokered.is_some()).count() > BROKERED_MAX {
        return Err(ApiError::invalid(format!(
            "a project has at most {BROKERED_MAX} brokered secrets: delete some first"
        )));
    }
    let bytes: usize = all().filter_map(|row| row.sealed.as_deref()).map(plain_bytes).sum();
    if bytes > TOTAL_BYTES_MAX {
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

async fn remove(app: &App, project: &ProjectId, name: &str) -> Result<(), ApiError> {
    if !app.store.delete_secret(project, name).await? {
        return Err(ApiError::new(
            Code::NotFound,
            "there is no secret of this name: see which there are (`toft secret list PROJECT`, or the panel \
             Secrets)",
        ));
    }
    steps::reached("secret.recorded");
    tracing::info!(project.id = %project, secret.name = name, "a secret was deleted");
    Ok(())
}

async fn reseal(app: &App, project: &ProjectId) -> Result<(), ApiError> {
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
            let value = unseal(&old, project, row, text).map_err(|_| {
                ApiError::new(
                    Code::Conflict,
                    format!("the secret {} cannot be opened: set it again, or delete it", row.name),
                )
            })?;
            anew.push((row.name.clone(), sealed(&new, project, row, &value)?));
        }
        let now = app.clock.now_ms();
        let authority = resealed(&old, &new, project, &found)?;
        let kept = ProjectKey { sealed: kept, authority };
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
    use toft_vault::Place;

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
