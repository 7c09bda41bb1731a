//! How a chosen model is asked what came at the path of a format: with the bytes as they are, where its
//! provider speaks that format, or translated.

use super::{
    choose::{Choice, Chosen},
    endpoint::Ask,
};
use crate::{
    api_error::{ApiError, Code},
    understood::Config,
};
use std::sync::Arc;
use toft_llm::gemini::in_path;
use toft_model::provider::Api;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Road {
    /// To this path of the provider, with its query.
    Pass(String),
    /// In another format.
    Translate,
}

impl Road {
    /// `of_path`: the provider of the path at which it came; `path`: what comes after it, with its query;
    /// `named`: the model as it was named there.
    pub(super) fn of(
        config: &Config,
        choice: &Choice,
        ask: &Ask,
        of_path: &str,
        path: &str,
        named: &str,
    ) -> Result<Self, ApiError> {
        let Chosen::Provider(provider) = &choice.chosen else { return Ok(Self::Translate) };
        let Some(base) = provider.path_in(ask.format.api()) else {
            if provider.info.api == Api::GoogleGenerativeAi {
                in_path(&choice.model).ok_or_else(|| no_name(&choice.model))?;
            }
            return Ok(Self::Translate);
        };
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let is_own = config.provider_arc(of_path).is_some_and(|own| Arc::ptr_eq(&own, provider));
        let path = match &ask.in_path {
            Some(_) if is_own && choice.model == named => path.to_owned(),
            Some(at) => {
                let model = in_path(&choice.model).ok_or_else(|| no_name(&choice.model))?;
                format!("{base}/{model}:{}", at.verb)
            }
            None if is_own => path.to_owned(),
            // What stands after the format's own path, such as `/count_tokens`.
            None => format!("{base}{}", below(path)),
        };
        Ok(Self::Pass(if query.is_empty() { path } else { format!("{path}?{query}") }))
    }
}

fn no_name(model: &str) -> ApiError {
    let message = format!(
        "The model name {model:?} cannot stand in a path: it has an empty, `.` or `..` part or a \
         control character in it."
    );
    ApiError::new(Code::InvalidRequest, message)
}

fn below(path: &str) -> &str {
    ["/count_tokens", "/input_tokens"].into_iter().find(|end| path.ends_with(end)).unwrap_or("")
}
