//! Secrets that are brokered: a machine finds a placeholder, and the gateway puts the value into the
//! requests that it is bound to. What they are bound to, and the authority that the machine trusts.

use super::{
    connection::{MCP, token_of},
    open, unseal,
};
use crate::{api_error::ApiError, machines::Machine, state::App};
use std::sync::atomic::Ordering;
use toft_gateway::{Brokered, BrokeredSecret, brokered::authority};
use toft_model::{
    binding::{Binding, BrokeredValueError},
    id::ProjectId,
};
use toft_policy::{Bound, InvalidBinding};
use toft_store::{AuthorityRow, BrokeredRow, ProjectSecrets, SecretRow};
use toft_vault::{DataKey, Place};

/// A secret that programs have a placeholder for.
pub(crate) const BROKERED: &str = "brokered";

impl From<BrokeredValueError> for ApiError {
    fn from(error: BrokeredValueError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<InvalidBinding> for ApiError {
    fn from(error: InvalidBinding) -> Self {
        Self::invalid(error.to_string())
    }
}

/// A binding as it is kept: in the one way that it is written.
pub(crate) fn kept(binding: &Binding) -> Result<String, ApiError> {
    let plain = Bound::new(binding)?.plain();
    serde_json::to_string(&plain)
        .map_err(|error| ApiError::internal("the binding could not be written", &error))
}

/// A binding that was kept.
pub(crate) fn read(row: &BrokeredRow) -> Option<Binding> {
    serde_json::from_str(&row.binding).ok()
}

/// What the gateway is told. What cannot be opened is left out: `environment` says so.
pub(crate) async fn of(app: &App, project: &ProjectId) -> Result<Brokered, ApiError> {
    let vault = app.keyring.vault().await;
    let found = app.store.secrets(project).await?;
    let Some(Ok(key)) = open(&vault, project, &found) else { return Ok(Brokered::default()) };
    let secrets = found.rows.iter().filter_map(|row| {
        let brokered = row.brokered.as_ref()?;
        let value = unseal(&key, project, row, row.sealed.as_deref()?).ok()?;
        let value = match row.kind.as_str() {
            BROKERED => value,
            MCP => token_of(&value)?,
            _ => return None,
        };
        Some(BrokeredSecret {
            name: row.name.clone(),
            placeholder: brokered.placeholder.clone(),
            value,
            binding: read(brokered)?,
        })
    });
    let secrets: Vec<_> = secrets.collect();
    if secrets.is_empty() {
        return Ok(Brokered::default());
    }
    let authority = found.key.as_ref().and_then(|key| key.authority.as_ref());
    let mint = authority.and_then(|row| key.unseal(&authority_place(project), &row.sealed).ok());
    Ok(Brokered { secrets, authority: mint.map(authority::Mint::new) })
}

/// Tells the gateway which secrets are put into the machine's requests from now on.
pub(crate) async fn tell(app: &App, machine: &Machine) -> Result<(), ApiError> {
    // As with what it may reach: whoever hands the machine over comes before this, or after.
    let _turn = machine.egress_turn.lock().await;
    let brokered = of(app, &machine.id).await?;
    note(machine, &brokered);
    app.gateway.set_brokered(&machine.id, brokered).await.map_err(|error| {
        ApiError::internal("the gateway did not take the machine's brokered secrets", &error)
    })
}

/// Notes that hosts may say values back from now on.
pub(crate) fn note(machine: &Machine, brokered: &Brokered) {
    machine.brokers.fetch_or(!brokered.secrets.is_empty(), Ordering::Relaxed);
}

/// The authority of a project, made when a first secret needs it, and again when its key is lost.
pub(super) fn authority_for(
    key: &DataKey,
    project: &ProjectId,
    found: &ProjectSecrets,
    rows: &[SecretRow],
) -> Result<Option<AuthorityRow>, ApiError> {
    let known = found.key.as_ref().and_then(|key| key.authority.clone());
    let opens = |row: &AuthorityRow| key.unseal(&authority_place(project), &row.sealed).is_ok();
    if let Some(known) = known.filter(opens) {
        return Ok(Some(known));
    }
    let is_brokered = |row: &SecretRow| row.brokered.is_some();
    if rows.iter().chain(&found.rows).any(is_brokered) {
        made(key, project).map(Some)
    } else {
        Ok(None)
    }
}

fn made(key: &DataKey, project: &ProjectId) -> Result<AuthorityRow, ApiError> {
    let failed =
        |error: &dyn std::fmt::Display| ApiError::internal("no authority could be made", error);
    let (certificate, mint) = authority::make(project).map_err(|e| failed(&e))?;
    let sealed = key.seal(&authority_place(project), &mint).map_err(|e| failed(&e))?;
    Ok(AuthorityRow { certificate, sealed })
}

/// The same authority, sealed with another key.
pub(super) fn resealed(
    old: &DataKey,
    new: &DataKey,
    project: &ProjectId,
    found: &ProjectSecrets,
) -> Result<Option<AuthorityRow>, ApiError> {
    let Some(row) = found.key.as_ref().and_then(|key| key.authority.as_ref()) else {
        return Ok(None);
    };
    match old.unseal(&authority_place(project), &row.sealed) {
        Ok(mint) => {
            let sealed = new
                .seal(&authority_place(project), &mint)
                .map_err(|error| ApiError::internal("the authority could not be sealed", &error))?;
            Ok(Some(AuthorityRow { certificate: row.certificate.clone(), sealed }))
        }
        // Nobody can use it any more: the next secret that is set makes another.
        Err(_) => Ok(None),
    }
}

/// What the authority's key is bound to. No secret has an empty name.
fn authority_place(project: &ProjectId) -> Place<'_> {
    Place { project: project.as_str(), name: "", revision: 0, kind: "authority" }
}
