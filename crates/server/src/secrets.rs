//! Secrets of projects: values go in, sealed, and come out only for the project's machine. What people
//! see is names. How a machine gets them is in `tell`.

pub(crate) mod brokered;
pub(crate) mod change;
pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod hand_down;
pub(crate) mod tell;
pub(crate) mod told;

use crate::{api_error::ApiError, state::App};
use brokered::BROKERED;
use connection::MCP;
use schemars::JsonSchema;
use serde::Serialize;
use std::{borrow::Cow, collections::HashMap};
use toft_model::{
    binding::Binding,
    id::ProjectId,
    mask::Mask,
    secret::{Environment, SecretError, SecretText},
};
use toft_store::{BrokeredRow, ProjectSecrets, SecretRow};
use toft_vault::{DataKey, Place, SealError, Secret, Vault};

/// A secret that new processes find in their environment.
pub(crate) const ENVIRONMENT: &str = "environment";

/// Declares a project's MCP servers.
const MCP_SERVERS: &str = "MCP_SERVERS";

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// Whether there is a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SecretState")]
pub(crate) enum State {
    /// There is.
    Set,
    /// Only the name is known: it came along with a fork.
    Missing,
    /// It cannot be opened with the server's master key.
    Unreadable,
}

/// A secret as people see it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Secret")]
pub(crate) struct Shown {
    pub(crate) name: String,
    #[schemars(extend("enum" = ["environment", "brokered", "mcp"]))]
    kind: String,
    /// Of a brokered one.
    binding: Option<Binding>,
    state: State,
    revision: u64,
    set_at: u64,
    set_by: Option<String>,
}

/// What a value's seal is bound to, besides its place: a brokered one also to where it may go, so that
/// whoever can write the database cannot send it elsewhere.
fn kind(row: &SecretRow) -> Cow<'_, str> {
    match &row.brokered {
        Some(BrokeredRow { placeholder, binding }) => {
            format!("{}\n{placeholder}\n{binding}", row.kind).into()
        }
        None => Cow::Borrowed(&row.kind),
    }
}

fn unseal(
    key: &DataKey,
    project: &ProjectId,
    row: &SecretRow,
    text: &str,
) -> Result<Secret, SealError> {
    let (project, kind) = (project.as_str(), &kind(row));
    key.unseal(&Place { project, name: &row.name, revision: row.revision, kind }, text)
}

fn open(
    vault: &Vault,
    project: &ProjectId,
    found: &ProjectSecrets,
) -> Option<Result<DataKey, SealError>> {
    found.key.as_ref().map(|kept| vault.open_data_key(project.as_str(), &kept.sealed))
}

fn sealed(
    key: &DataKey,
    project: &ProjectId,
    row: &SecretRow,
    value: &Secret,
) -> Result<String, ApiError> {
    let (project, kind) = (project.as_str(), &kind(row));
    key.seal(&Place { project, name: &row.name, revision: row.revision, kind }, value)
        .map_err(|error| ApiError::internal("the secret could not be sealed", &error))
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
            key.as_ref().is_some_and(|key| unseal(key, project, row, sealed).is_ok())
        };
        let state = match &row.sealed {
            None => State::Missing,
            Some(sealed) if opens(sealed) => State::Set,
            Some(_) => State::Unreadable,
        };
        Shown {
            name: row.name.clone(),
            kind: row.kind.clone(),
            binding: row.brokered.as_ref().and_then(brokered::read),
            state,
            revision: row.revision,
            set_at: row.set_at,
            set_by: names.get(&row.set_by).cloned().flatten(),
        }
    });
    Ok((found.revision, shown.collect()))
}

/// What new processes of the project's machine find in their environment: values, and placeholders of
/// those that are brokered. A value that cannot be opened is left out.
pub(crate) async fn environment(app: &App, project: &ProjectId) -> Result<Environment, ApiError> {
    let vault = app.keyring.vault().await;
    let found = app.store.secrets(project).await?;
    let key = open(&vault, project, &found);
    let mut environment = Environment { revision: found.revision, ..Environment::default() };
    for row in &found.rows {
        let Some(sealed) = &row.sealed else { continue };
        let opened = match &key {
            Some(Ok(key)) => unseal(key, project, row, sealed),
            Some(Err(error)) => Err(*error),
            None => Err(SealError::Refused),
        };
        match opened {
            Ok(value) => {
                let value = match (row.kind.as_str(), &row.brokered) {
                    (ENVIRONMENT, None) => SecretText::new(value.expose()),
                    (BROKERED | MCP, Some(brokered)) => {
                        let key = found.key.as_ref().and_then(|key| key.authority.as_ref());
                        environment.authority = key.map(|authority| authority.certificate.clone());
                        let binding =
                            brokered::read(brokered).map(|binding| (row.name.clone(), binding));
                        environment.bindings.extend(binding);
                        SecretText::new(&*brokered.placeholder)
                    }
                    // Of a later version: whoever does not know what it is hands nothing out.
                    _ => continue,
                };
                environment.vars.push((row.name.clone(), value));
            }
            Err(error) => {
                tracing::error!(project.id = %project, secret.name = row.name, %error,
                    "a secret is left out of the machine");
            }
        }
    }
    let declares = |(name, _): &(String, SecretText)| name == MCP_SERVERS;
    if let Some(servers) = &app.mcp_servers
        && !environment.vars.iter().any(declares)
    {
        environment.vars.push((MCP_SERVERS.to_owned(), SecretText::new(servers.expose())));
    }
    Ok(environment)
}

/// Takes the project's values out of what is written down.
pub(crate) async fn mask(app: &App, project: &ProjectId) -> Result<Mask, ApiError> {
    Ok(Mask::of(&environment(app, project).await?))
}
