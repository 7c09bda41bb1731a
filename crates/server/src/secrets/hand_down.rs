//! What a fork gets of its origin's secrets: all names, and those values that were granted, sealed with
//! its own key.

use super::{brokered::authority_for, connection::MCP, open, sealed, unseal};
use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_model::{binding::placeholder, id::ProjectId};
use toft_store::{BrokeredRow, ProjectKey, ProjectSecrets, SecretRow};

/// Characters of a name that are repeated.
const NAME_CHARS_MAX: usize = 80;

/// Values that a fork gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "must be a list of names, or \"all\"")]
pub(crate) enum Grant {
    /// Those of these names.
    Names(Vec<String>),
    /// All.
    All(All),
}

/// The word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum All {
    All,
}

impl Default for Grant {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

impl Grant {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::Names(names) => names.iter().any(|granted| granted == name),
            Self::All(All::All) => true,
        }
    }
}

/// Refuses a grant of what is not there.
pub(crate) async fn check(app: &App, origin: &ProjectId, grant: &Grant) -> Result<(), ApiError> {
    let Grant::Names(names) = grant else { return Ok(()) };
    if names.is_empty() {
        return Ok(());
    }
    let found = app.store.secrets(origin).await?;
    let is_there = |name: &&String| found.rows.iter().any(|row| row.name == **name);
    match names.iter().find(|name| !is_there(name)) {
        None => Ok(()),
        Some(name) => {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            Err(ApiError::invalid(format!(
                "secrets names {name:?}, which the project does not have: GET …/secrets lists them"
            )))
        }
    }
}

/// Gives a fork that is being made what it gets.
pub(crate) async fn to(
    app: &App,
    origin: &ProjectId,
    fork: &ProjectId,
    grant: &Grant,
    by: &str,
) -> Result<(), ApiError> {
    let vault = app.keyring.vault().await;
    let found = app.store.secrets(origin).await?;
    if found.rows.is_empty() {
        return Ok(());
    }
    let old = open(&vault, origin, &found).and_then(Result::ok);
    let (new, kept) = vault
        .new_data_key(fork.as_str())
        .map_err(|error| ApiError::internal("a key could not be made", &error))?;
    let now = app.clock.now_ms();
    let mut rows = Vec::with_capacity(found.rows.len());
    for row in &found.rows {
        let mut theirs = SecretRow {
            name: row.name.clone(),
            kind: row.kind.clone(),
            sealed: None,
            revision: 1,
            set_at: now,
            set_by: by.to_owned(),
            // What stands for it here is nothing in the origin.
            brokered: row.brokered.as_ref().map(|theirs| BrokeredRow {
                placeholder: placeholder(),
                binding: theirs.binding.clone(),
            }),
        };
        // A sign-in is renewed by one project: two with it would end it for each other.
        let granted = grant.holds(&row.name) && row.kind != MCP;
        if let (true, Some(text)) = (granted, &row.sealed) {
            let value = old.as_ref().and_then(|key| unseal(key, origin, row, text).ok());
            let value = value.ok_or_else(|| {
                ApiError::new(
                    Code::Conflict,
                    format!(
                        "the secret {} cannot be opened: set it again, or grant others",
                        row.name
                    ),
                )
            })?;
            theirs.sealed = Some(sealed(&new, fork, &theirs, &value)?);
        }
        rows.push(theirs);
    }
    let authority = authority_for(&new, fork, &ProjectSecrets::default(), &rows)?;
    let kept = ProjectKey { sealed: kept, authority };
    if !app.store.put_secrets(fork, 0, &kept, &rows, now).await? {
        return Err(ApiError::new(Code::Conflict, "the fork has secrets already: try again"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_is_granted_that_was_not_named() {
        let grant = |value| serde_json::from_value::<Grant>(value);
        assert!(!Grant::default().holds("A"));
        assert!(grant(json!("all")).unwrap().holds("A"));
        let some = grant(json!(["A"])).unwrap();
        assert!(some.holds("A") && !some.holds("B"));
        for wrong in [json!("some"), json!(true), json!([1])] {
            assert!(grant(wrong).is_err());
        }
    }
}
