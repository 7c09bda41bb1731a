//! Models that stand in for others while a provider is down: what the file of configuration says, and what
//! people have set, which wins for each model. Who is asked when is the gateway's.

use crate::api_error::ApiError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toft_llm::fallbacks;
use toft_model::provider::Fallbacks;
use toft_store::{SYSTEM_USER, Store};

/// The setting that holds them, as JSON.
const SETTING: &str = "fallbacks";

/// What people have set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Set {
    /// By model; an empty chain: nobody, whatever the file says.
    pub(crate) chains: BTreeMap<String, Vec<String>>,
    pub(crate) first_byte_s: Option<u32>,
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

    /// With one chain changed; `None` takes what was set off.
    pub(crate) fn change(
        &mut self,
        model: &str,
        others: Option<&[String]>,
    ) -> Result<(), ApiError> {
        if let Some(others) = others {
            let (model, others) = fallbacks::chain(model, others).map_err(ApiError::invalid)?;
            self.chains.insert(model, others);
        } else {
            let model = fallbacks::name(model).map_err(ApiError::invalid)?;
            self.chains.remove(&model);
        }
        fallbacks::chains(&self.chains).map(drop).map_err(ApiError::invalid)
    }

    /// What is in force.
    pub(crate) fn over(self, file: &Fallbacks) -> Fallbacks {
        let mut chains = file.chains.clone();
        chains.extend(self.chains);
        chains.retain(|_, others| !others.is_empty());
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
        set.change("openai/a", Some(&chain(&["claude/x"]))).unwrap();
        set.change("openai/c", Some(&[])).unwrap();
        let now = set.clone().over(&file);
        assert_eq!(now.chains, [("openai/a".to_owned(), chain(&["anthropic/x"]))].into());
        set.change("openai/c", None).unwrap();
        assert_eq!(set.clone().over(&file).chains["openai/c"], ["groq/d"]);
        set.first_byte_s = Some(5);
        assert_eq!((set.over(&file).first_byte_s, now.first_byte_s), (5, 30));
    }
}
