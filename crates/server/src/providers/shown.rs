//! A provider as people see it, without its key.

use super::{given::Values, known::Known};
use schemars::JsonSchema;
use serde::Serialize;
use toft_model::provider::{Api, ModelList};
use toft_store::ProviderKey;

/// A key shorter than this shows nothing of itself.
const HINT_FROM_CHARS: usize = 12;

/// See the module.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Provider {
    id: String,
    name: String,
    api: Api,
    configured: bool,
    #[schemars(extend("enum" = ["env", "file", "settings", null]))]
    source: Option<&'static str>,
    /// Where the key is, or may be; none of one that has no such variable.
    env_var: Option<String>,
    /// Of the source `file`.
    file: Option<String>,
    /// Why the key that was given cannot be one, or why nobody is there.
    pub(super) problem: Option<String>,
    key_hint: Option<String>,
    base_url: String,
    models: usize,
    /// A server of models of this machine.
    local: bool,
    /// From the file of models.
    own: bool,
    /// It can be asked without a key.
    keyless: bool,
}

impl Provider {
    /// `offered`: what the gateway can ask now, where that is known.
    pub(super) fn of(
        given: &Values,
        known: &Known,
        stored: Option<&ProviderKey>,
        offered: Option<&ModelList>,
    ) -> Self {
        let found = given.key_of(known);
        let (source, key_hint) = match (stored, &found) {
            (Some(stored), _) => (Some("settings"), Some(stored.hint.clone())),
            (None, Some(found)) => {
                let source = if found.in_file { "file" } else { "env" };
                (Some(source), found.problem.is_none().then(|| hint(found.key.expose())))
            }
            (None, None) => (None, None),
        };
        let in_file = found.as_ref().is_some_and(|found| found.in_file);
        let problem = found.as_ref().filter(|_| stored.is_none());
        let problem = problem.and_then(|found| found.problem.clone());
        let own_url = || known.spec().map_or("", |spec| spec.base_url).to_owned();
        let (base_url, misplaced) = match given.base_url(known) {
            Ok(url) => (url.unwrap_or_else(own_url), None),
            Err(why) => (own_url(), Some(why).filter(|_| source.is_some())),
        };
        let problem = problem.or(misplaced);
        // Whether such a server is there, only the gateway knows.
        let offered = offered.filter(|_| known.is_local());
        let is_there = |list: &ModelList| list.providers.iter().any(|p| p.id == known.id());
        let absent = offered.filter(|list| !is_there(list)).map(|_| {
            format!(
                "{} does not answer at {base_url}: start it, or correct its address",
                known.name()
            )
        });
        let models = match offered {
            Some(list) => list.models.iter().filter(|m| m.provider == known.id()).count(),
            None => given.overlay().models(known.id()).len(),
        };
        let first = || known.key_env().first().map(|name| (*name).to_owned());
        let can_be = source.is_some() || known.wants_no_key();
        Self {
            id: known.id().to_owned(),
            name: known.name().to_owned(),
            api: known.api(),
            configured: can_be && problem.is_none() && absent.is_none(),
            source,
            file: given.path().filter(|_| in_file),
            problem: problem.or(absent),
            env_var: found.map(|found| found.name).or_else(first),
            key_hint,
            base_url,
            models,
            local: known.is_local(),
            own: known.spec().is_none(),
            keyless: known.wants_no_key(),
        }
    }
}

/// The end of a key, for people to tell two apart.
pub(super) fn hint(key: &str) -> String {
    let chars = key.chars().count();
    if chars < HINT_FROM_CHARS {
        return "…".to_owned();
    }
    let end: String = key.chars().skip(chars - 4).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_never_shows_a_short_key() {
        assert_eq!(hint("sk-1234567890abcd"), "…abcd");
        assert_eq!(hint("short"), "…");
    }
}
