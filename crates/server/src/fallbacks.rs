//! Models that stand in for others while a provider is down: what the file of configuration says, what
//! people have set for all projects, which wins for each model, and what a project has of its own, which wins
//! over both. Who is asked when is the gateway's.

use crate::api_error::ApiError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toft_llm::fallbacks::{self, Named};
use toft_model::provider::{ALL_MODELS, Chains, Fallbacks, ModelRef, chain_of};
use toft_store::{SYSTEM_USER, Store};

/// The setting that holds them, as JSON.
const SETTING: &str = "fallbacks";

/// What people have set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Set {
    /// By model; an empty chain: nobody, whatever the file says.
    pub(crate) chains: Chains,
    pub(crate) first_byte_s: Option<u32>,
}

/// Chains that change; `None` takes off what was set.
pub(crate) type Changes = BTreeMap<String, Option<Vec<String>>>;

/// Changes these chains. `named`: the providers that there are; what was said of one that was taken out of the
/// file of models since then stays, and can be taken off.
pub(crate) fn change(
    chains: &mut Chains,
    changes: &Changes,
    named: Named<'_>,
) -> Result<(), ApiError> {
    for (of, others) in changes {
        if let Some(others) = others {
            let (of, others) = fallbacks::chain(of, others, named).map_err(ApiError::invalid)?;
            chains.insert(of, others);
        } else {
            chains.remove(&fallbacks::key(of, &fallbacks::any).map_err(ApiError::invalid)?);
        }
    }
    fallbacks::chains(chains, &fallbacks::any).map(drop).map_err(ApiError::invalid)
}

/// What holds for all projects, where a project with these chains does not say otherwise.
pub(crate) fn inherited(own: &Chains, of_all: Chains) -> Chains {
    let says = |name: &str| ModelRef::named(name).is_some_and(|m| chain_of(own, &m).is_some());
    of_all.into_iter().filter(|(name, _)| !says(name)).collect()
}

impl Set {
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, ApiError> {
        let settings = store.settings(SYSTEM_USER).await?;
        let Some((_, json)) = settings.into_iter().find(|(key, _)| key == SETTING) else {
            return Ok(Self::default());
        };
        serde_json::from_str(&json)
            .map_err(|e| ApiError::internal("the setting `fallbacks` cannot be read", &e))
    }

    pub(crate) async fn write(&self, store: &dyn Store) -> Result<(), ApiError> {
        let json = (*self != Self::default())
            .then(|| serde_json::to_string(self).expect("texts and numbers are JSON"));
        Ok(store.put_setting(SYSTEM_USER, SETTING, json.as_deref()).await?)
    }

    /// What is in force.
    pub(crate) fn over(self, file: &Fallbacks) -> Fallbacks {
        let mut chains = file.chains.clone();
        chains.extend(self.chains);
        // Nobody is what holds without a chain, too, but where there is one for all of the provider.
        let of_provider = |name: &str| {
            let model = ModelRef::named(name).filter(|model| model.id != ALL_MODELS)?;
            chains.get(&format!("{}/{ALL_MODELS}", model.provider)).filter(|all| !all.is_empty())
        };
        let says = |(name, others): &(&String, &Vec<String>)| {
            !others.is_empty() || of_provider(name).is_some()
        };
        let says = chains.iter().filter(says).map(|(name, others)| (name.clone(), others.clone()));
        let chains = says.collect();
        Fallbacks { chains, first_byte_s: self.first_byte_s.unwrap_or(file.first_byte_s) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_set_wins_for_each_model_and_can_be_taken_off() {
        let chain = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let file = Fallbacks {
            chains: [
                ("openai/a".to_owned(), chain(&["groq/b"])),
                ("openai/c".to_owned(), chain(&["groq/d"])),
            ]
            .into(),
            first_byte_s: 30,
        };
        let mut set = Set::default();
        let mut say = |of: &str, others: Option<&[&str]>| {
            let changes = [(of.to_owned(), others.map(chain))].into();
            change(&mut set.chains, &changes, &fallbacks::catalogued).unwrap();
            set.clone().over(&file)
        };
        say("openai/a", Some(&["claude/x"]));
        let now = say("openai/c", Some(&[]));
        assert_eq!(now.chains, [("openai/a".to_owned(), chain(&["anthropic/x"]))].into());
        assert_eq!(say("openai/c", None).chains["openai/c"], ["groq/d"]);
        // Nobody for one model is said where there are some for all others.
        say("openai/*", Some(&["groq/e"]));
        assert_eq!(say("openai/c", Some(&[])).chains.len(), 3);
        assert_eq!(say("openai/*", Some(&[])).chains.len(), 1);
        set.first_byte_s = Some(5);
        assert_eq!((set.over(&file).first_byte_s, now.first_byte_s), (5, 30));
    }

    #[test]
    fn what_a_project_says_hides_what_holds_for_all() {
        let chains = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), vec!["groq/x".to_owned()])).collect()
        };
        let of_all: Chains = chains(&["openai/*", "openai/a", "anthropic/*", "anthropic/b"]);
        let own: Chains = chains(&["openai/*", "anthropic/b"]);
        assert_eq!(inherited(&own, of_all), chains(&["anthropic/*"]));
    }
}
