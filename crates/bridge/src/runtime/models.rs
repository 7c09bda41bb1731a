//! The models that the gateway offers now. Its list is asked for when a prompt needs it, because
//! people change keys and defaults at any time, and kept for moments.

use async_trait::async_trait;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use toft_agent::surroundings::{Choice, ModelSource, thinking_level};
use toft_llm::{
    ask::{Model, ModelFailure, Retry},
    catalogue::unlisted_model,
    gateway::{GatewayAddressError, GatewayTransport, fetch_models},
    route::Models,
};
use toft_model::provider::{DEMO_PROVIDER, ModelInfo, ModelList, ModelRef};

/// How long a list is believed: a change in the settings counts from the next prompt on.
const LIST_FRESH: Duration = Duration::from_secs(2);

/// How long one look for the gateway may take; the agent looks again and says that it waits.
const LIST_PATIENCE: Duration = Duration::from_secs(2);

/// Ids in an error's text at most.
const NAMES_MAX: usize = 12;

/// The list and when it came.
type Kept = Option<(Instant, Arc<ModelList>)>;

/// See the module.
#[derive(Clone)]
pub struct GatewayModels {
    list_transport: GatewayTransport,
    model: Arc<dyn Model>,
    list: Arc<Mutex<Kept>>,
    /// One request for the list at a time; the others take its answer.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

impl GatewayModels {
    /// Those of the gateway at `url`, with the project token.
    pub fn new(url: &str, token: &str) -> Result<Self, GatewayAddressError> {
        let transport = GatewayTransport::new(url, token)?;
        Ok(Self {
            list_transport: transport.clone().with_patience(LIST_PATIENCE),
            model: Arc::new(Models::new(Arc::new(transport))),
            list: Arc::default(),
            fetching: Arc::default(),
        })
    }

    /// Asks for the list in the background.
    pub fn warm(&self) {
        let this = self.clone();
        // Bounded by the list's own time limit; nobody waits for it.
        tokio::spawn(async move {
            let _ = this.list().await;
        });
    }

    /// The list, at most [`LIST_FRESH`] old.
    async fn list(&self) -> Result<Arc<ModelList>, ModelFailure> {
        if let Some(list) = self.fresh() {
            return Ok(list);
        }
        let _one = self.fetching.lock().await;
        if let Some(list) = self.fresh() {
            return Ok(list);
        }
        let list = Arc::new(fetch_models(&self.list_transport).await?);
        *self.kept() = Some((Instant::now(), Arc::clone(&list)));
        Ok(list)
    }

    fn fresh(&self) -> Option<Arc<ModelList>> {
        let kept = self.kept();
        kept.as_ref().filter(|(at, _)| at.elapsed() < LIST_FRESH).map(|(_, list)| Arc::clone(list))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn choice(&self, list: &ModelList, wanted: Option<&ModelRef>) -> Result<Choice, ModelFailure> {
        Ok(Choice {
            info: find(list, wanted.unwrap_or(&list.default))?,
            thinking: thinking_level(&list.default_thinking_level).unwrap_or_default(),
            model: Arc::clone(&self.model),
        })
    }
}

#[async_trait]
impl ModelSource for GatewayModels {
    async fn choose(&self, wanted: Option<&ModelRef>) -> Result<Choice, ModelFailure> {
        let list = self.list().await?;
        self.choice(&list, wanted)
    }

    fn known(&self, wanted: Option<&ModelRef>) -> Option<Choice> {
        let list = self.kept().as_ref().map(|(_, list)| Arc::clone(list))?;
        self.choice(&list, wanted).ok()
    }
}

/// A model of the list; also one that the list does not have, of a provider that it has.
fn find(list: &ModelList, wanted: &ModelRef) -> Result<ModelInfo, ModelFailure> {
    let listed = list.models.iter().find(|m| m.provider == wanted.provider && m.id == wanted.id);
    if let Some(info) = listed {
        return Ok(info.clone());
    }
    let never = |code: &str, message: String| ModelFailure {
        code: code.into(),
        message,
        retry: Retry::Never,
    };
    if wanted.provider == DEMO_PROVIDER {
        let known = names(list.models.iter().filter(|m| m.demo).map(|m| m.id.as_str()));
        let text = format!("There is no demo model {:?}. There are: {known}.", wanted.id);
        return Err(never("unknown_model", text));
    }
    if let Some(provider) = list.providers.iter().find(|p| p.id == wanted.provider) {
        return Ok(toft_llm::catalogue::model(&provider.id, &wanted.id)
            .unwrap_or_else(|| unlisted_model(&provider.id, provider.api, &wanted.id)));
    }
    let known = list.providers.iter().map(|p| p.id.as_str());
    let text = format!(
        "The provider {:?} has no key here, or is not known. Add its key in Settings, or choose \
         another model; providers that can be used: {}.",
        wanted.provider,
        names(known.chain(std::iter::once(DEMO_PROVIDER)))
    );
    Err(never("unknown_model", text))
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = all.collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_llm::catalogue::model_list;

    fn check(has_key: &[&str], provider: &str, id: &str) -> Result<String, String> {
        let list = model_list(|p| has_key.contains(&p), None, "off");
        let wanted = ModelRef { provider: provider.into(), id: id.into() };
        find(&list, &wanted).map(|info| info.id).map_err(|failure| failure.message)
    }

    #[test]
    fn models_of_a_provider_with_a_key_are_found_listed_or_not() {
        let listed = toft_llm::catalogue::models("anthropic").remove(0).id;
        assert_eq!(check(&["anthropic"], "anthropic", &listed), Ok(listed.clone()));
        assert_eq!(check(&["anthropic"], "anthropic", "claude-next"), Ok("claude-next".into()));
    }

    #[test]
    fn a_model_that_cannot_be_asked_is_refused_with_those_that_can() {
        let refused = check(&["anthropic"], "openai", "gpt-5").unwrap_err();
        assert!(refused.contains("anthropic") && refused.contains("Settings"), "{refused}");
        let refused = check(&[], "demo", "nonsense").unwrap_err();
        assert!(refused.contains("no demo model"), "{refused}");
    }
}
