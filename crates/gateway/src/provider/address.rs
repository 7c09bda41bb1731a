//! Where a provider lives: its address, the paths of its formats below it, and that no path leads out of it.

use super::Provider;
use crate::api_error::{ApiError, Code};
use reqwest::Url;
use toft_model::provider::Api;

/// What of a server of one's own machine is for machines: not what changes its models, and not what else
/// may listen at such an address.
const LOCAL_PATHS: [&str; 6] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/models",
];

impl Provider {
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
                Api::BedrockConverseStream => Some("/model"),
                Api::Scripted => None,
            },
        }
    }

    /// Address of a path (with query) after `/llm/{id}`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, ApiError> {
        let alone = path.split('?').next().unwrap_or_default();
        if self.local.is_some() && !LOCAL_PATHS.contains(&alone) {
            return Err(ApiError::new(
                Code::NotFound,
                format!(
                    "Of {} only {} are passed on: what else it can do is for its own machine.",
                    self.info.name,
                    LOCAL_PATHS.join(", ")
                ),
            ));
        }
        self.address(path)
    }

    /// The same for the gateway itself, which asks for more than others may.
    pub(crate) fn address(&self, path: &str) -> Result<Url, ApiError> {
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

    /// Programs of the OpenAI format ask for `/v1/…`, and a base URL of that format stands for `/v1`, whatever
    /// its path is called (`…/api/paas/v4`). One that is only a host has what most have below it.
    fn below_unlisted<'a>(&self, base: &str, path: &'a str) -> &'a str {
        match self.info.api {
            Api::OpenaiCompletions | Api::OpenaiResponses if has_path(base) => {
                path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path)
            }
            Api::OpenaiCompletions
            | Api::OpenaiResponses
            | Api::AnthropicMessages
            | Api::GoogleGenerativeAi
            | Api::BedrockConverseStream
            | Api::Scripted => path,
        }
    }

    /// Path (after `/llm/{id}`) that lists models and needs the key.
    pub(crate) fn probe_path(&self) -> String {
        match self.spec {
            // None is at its address.
            Some(spec) if spec.api == Api::BedrockConverseStream => {
                let model = spec.default_model_in(self.region.as_deref());
                format!("{}/{model}/converse", spec.chat_path)
            }
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
            None if self.info.api == Api::BedrockConverseStream => {
                let model = self.told.keys().next().map_or("none", String::as_str);
                format!("/model/{model}/converse")
            }
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

/// Whether anything comes after the host; `base` has no slash at its end.
fn has_path(base: &str) -> bool {
    base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
}

/// URL parsers take `%2e` for a dot, and some take `\` (or `%5c`) and `%2f` for a slash; tabs and line
/// breaks they leave out, and a `#` ends the path.
pub(crate) fn leaves_its_base(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let plain = lower.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    plain.contains(|c: char| matches!(c, '\\' | '#') || c.is_control())
        || plain.split('/').any(|part| part == "." || part == "..")
}

/// Whether it can be a base URL, or why not.
pub(super) fn check_base(text: &str) -> Result<(), String> {
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
    use crate::config::ProviderConfig;
    use toft_llm::catalogue;
    use toft_vault::Secret;

    fn provider(id: &str, base: Option<&str>, api: Option<Api>) -> Option<Provider> {
        Provider::new(&ProviderConfig {
            id: id.into(),
            key: Some(Secret::new("k")),
            base_url: base.map(Into::into),
            api,
            ..ProviderConfig::default()
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
        for bare in ["http://h", "http://h:1/"] {
            let url = format!("{}/v1/models", bare.trim_end_matches('/'));
            check("mine", Some(bare), openai, "/v1/models", &url);
        }
        let zai = Some("https://h/api/paas/v4/");
        let chat = "/v1/chat/completions";
        check("mine", zai, openai, chat, "https://h/api/paas/v4/chat/completions");
        let azure = Some("https://h/openai/deployments/d");
        check("mine", azure, openai, chat, "https://h/openai/deployments/d/chat/completions");
        check("mine", zai, openai, "/v1beta/x", "https://h/api/paas/v4/v1beta/x");
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
            let asks = path == "/model/us.anthropic.claude-opus-4-6-v1/converse";
            assert!(path.ends_with("/models") || path.ends_with("/key") || asks, "{path}");
        }
    }
}
