//! A provider as configured: where it lives, how it takes its key.

use crate::{
    api_error::{ApiError, Code},
    config::ProviderConfig,
    needles::Needles,
};
use http::{HeaderName, HeaderValue};
use reqwest::Url;
use std::{fmt, iter, sync::Arc};
use toft_llm::catalogue::{self, ProviderSpec};
use toft_model::provider::{Api, ProviderInfo};
use toft_vault::Secret;

/// What stands for a key where it was taken out of an answer.
const KEY_SHOWN: &str = "*****";

/// See the module.
pub(crate) struct Provider {
    pub(crate) info: ProviderInfo,
    pub(crate) key: Secret,
    pub(crate) spec: Option<&'static ProviderSpec>,
    /// Its key, as it may come back in an answer.
    pub(crate) needles: Arc<Needles>,
    /// Or what is wrong with it.
    base_url: Result<String, String>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The base URL may have credentials in it.
        f.debug_struct("Provider").field("id", &self.info.id).finish_non_exhaustive()
    }
}

impl Provider {
    /// `None`: the catalogue does not know it and no wire format is given.
    pub(crate) fn new(config: &ProviderConfig) -> Option<Self> {
        let spec = catalogue::provider(&config.id);
        let info = match (spec, config.api) {
            (Some(spec), _) => spec.info(),
            (None, Some(api)) => {
                let name = config.name.clone().unwrap_or_else(|| config.id.clone());
                ProviderInfo { id: config.id.clone(), name, api }
            }
            (None, None) => return None,
        };
        let base_url = match (&config.base_url, spec) {
            (Some(own), _) => check_base(own).map(|()| own.trim_end_matches('/').to_owned()),
            (None, Some(spec)) => Ok(spec.base_url.to_owned()),
            (None, None) => Err("no base URL is set for it".to_owned()),
        };
        let key = config.key.clone().unwrap_or_default();
        let needles = Arc::new(Needles::new(iter::once((key.expose(), KEY_SHOWN))));
        Some(Self { info, key, spec, needles, base_url })
    }

    /// Whether it can be called.
    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Path after `/llm/{id}` at which it answers in a wire format, if it does.
    pub(crate) fn path_in(&self, api: Api) -> Option<&'static str> {
        match self.spec {
            Some(spec) => spec.path_in(api),
            None if self.info.api != api => None,
            None => match api {
                Api::OpenaiCompletions => Some("/v1/chat/completions"),
                Api::OpenaiResponses => Some("/v1/responses"),
                Api::AnthropicMessages => Some("/v1/messages"),
                Api::GoogleGenerativeAi => Some("/v1beta/models"),
                Api::Scripted => None,
            },
        }
    }

    /// Address of a path (with query) after `/llm/{id}`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, ApiError> {
        let base = self.base_url.as_ref().map_err(|why| self.bad_base(why))?;
        if leaves_its_base(path.split('?').next().unwrap_or_default()) {
            return Err(ApiError::new(
                Code::InvalidRequest,
                "The path, or the model's name in it, has `.`, `..`, `\\`, `#` or a control character \
                 as a part of it, which is not passed on.",
            ));
        }
        let url = match self.spec {
            Some(spec) => spec.upstream_url(base, path),
            None => format!("{base}{}", self.below_unlisted(base, path)),
        };
        Url::parse(&url).map_err(|e| self.bad_base(&e.to_string()))
    }

    /// Programs of the OpenAI format ask for `/v1/…`, and base URLs of that format end in `/v1`.
    fn below_unlisted<'a>(&self, base: &str, path: &'a str) -> &'a str {
        match self.info.api {
            Api::OpenaiCompletions | Api::OpenaiResponses if base.ends_with("/v1") => {
                path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path)
            }
            Api::OpenaiCompletions
            | Api::OpenaiResponses
            | Api::AnthropicMessages
            | Api::GoogleGenerativeAi
            | Api::Scripted => path,
        }
    }

    /// The header that carries the key.
    pub(crate) fn credential(&self, path: &str) -> Result<(HeaderName, HeaderValue), ApiError> {
        let key = self.key.expose();
        let (name, value) = match (self.spec, self.info.api) {
            (Some(spec), _) => spec.credential(path, key),
            (None, Api::AnthropicMessages) => ("x-api-key", key.to_owned()),
            (None, Api::GoogleGenerativeAi) => ("x-goog-api-key", key.to_owned()),
            (None, Api::OpenaiCompletions | Api::OpenaiResponses | Api::Scripted) => {
                ("authorization", format!("Bearer {key}"))
            }
        };
        let value = zeroize::Zeroizing::new(value);
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            ApiError::new(
                Code::NoKey,
                format!(
                    "The key of {} has characters in it that no key has: set it again in \
                     Settings, Providers.",
                    self.info.name
                ),
            )
        })?;
        value.set_sensitive(true);
        Ok((HeaderName::from_static(name), value))
    }

    /// Path (after `/llm/{id}`) that lists models and needs the key.
    pub(crate) fn probe_path(&self) -> String {
        match self.spec {
            // Its list of models is open to everybody, so it would tell nothing of the key.
            Some(spec) if spec.id == "openrouter" => "/v1/key".to_owned(),
            Some(spec) if spec.api == Api::GoogleGenerativeAi => spec.chat_path.to_owned(),
            Some(spec) => {
                let path = spec.chat_path;
                let stem = path
                    .strip_suffix("/chat/completions")
                    .or_else(|| path.strip_suffix("/messages"))
                    .unwrap_or(path);
                format!("{stem}/models")
            }
            None if self.info.api == Api::GoogleGenerativeAi => "/v1beta/models".to_owned(),
            None => "/v1/models".to_owned(),
        }
    }

    fn bad_base(&self, why: &str) -> ApiError {
        ApiError::new(
            Code::BadBaseUrl,
            format!("The base URL of {} cannot be used ({why}): correct it.", self.info.name),
        )
    }
}

/// URL parsers take `%2e` for a dot, and some take `\` (or `%5c`) and `%2f` for a slash; tabs and line
/// breaks they leave out, and a `#` ends the path.
pub(crate) fn leaves_its_base(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let plain = lower.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    plain.contains(|c: char| matches!(c, '\\' | '#') || c.is_control())
        || plain.split('/').any(|part| part == "." || part == "..")
}

fn check_base(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it is not http or https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name or password in it".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or fragment".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(id: &str, base: Option<&str>, api: Option<Api>) -> Option<Provider> {
        Provider::new(&ProviderConfig {
            id: id.into(),
            key: Some(Secret::new("k")),
            base_url: base.map(Into::into),
            api,
            name: None,
        })
    }

    fn check(id: &str, base: Option<&str>, api: Option<Api>, path: &str, expected: &str) {
        let url = provider(id, base, api).unwrap().url(path);
        let got = url.map_or_else(|e| e.code.as_str().to_owned(), |url| url.to_string());
        assert_eq!(got, expected);
    }

    #[test]
    fn a_base_url_of_ones_own_stands_for_the_catalogues() {
        check("openai", None, None, "/v1/models?x=1", "https://api.openai.com/v1/models?x=1");
        let own = Some("http://127.0.0.1:4010/v1/");
        check("openai", own, None, "/v1/models", "http://127.0.0.1:4010/v1/models");
        let openai = Some(Api::OpenaiCompletions);
        check("mine", own, openai, "/v1/models", "http://127.0.0.1:4010/v1/models");
        check("mine", Some("http://h"), openai, "/v1/models", "http://h/v1/models");
        let anthropic = Some(Api::AnthropicMessages);
        check("mine", Some("http://h/a"), anthropic, "/v1/messages", "http://h/a/v1/messages");
    }

    #[test]
    fn a_base_url_that_cannot_work_is_said_when_it_is_used() {
        for bad in ["nonsense", "ftp://h", "http://u:p@h", "http://h?x", "file:///etc/passwd", ""] {
            check("openai", Some(bad), None, "/v1/models", "bad_base_url");
        }
        check("mine", None, Some(Api::OpenaiCompletions), "/v1/models", "bad_base_url");
        assert!(provider("mine", None, None).is_none());
    }

    #[test]
    fn no_path_leads_out_of_the_base() {
        for bad in ["/v1/../x", "/v1/..", "/%2e%2E/x", "/v1/a%5cb", "/v1/.\t./x", "/v1/.\n", "/a#b"]
        {
            check("google", None, None, bad, "invalid_request");
            check(
                "mine",
                Some("http://h/v1"),
                Some(Api::OpenaiCompletions),
                bad,
                "invalid_request",
            );
        }
        let asked = "https://generativelanguage.googleapis.com/v1beta/models/a?b=../c";
        check("google", None, None, "/v1beta/models/a?b=../c", asked);
    }

    #[test]
    fn every_catalogued_provider_has_a_place_to_try_its_key() {
        for spec in catalogue::providers() {
            let path = provider(spec.id, None, None).unwrap().probe_path();
            assert!(path.ends_with("/models") || path.ends_with("/key"), "{path}");
        }
    }
}
