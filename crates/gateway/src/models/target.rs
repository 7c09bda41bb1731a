//! Which provider and which of its paths a request means. Only paths below the provider's base
//! can be said: nothing that a URL parser could read as a way out of it.

use crate::{
    api_error::{ApiError, Code},
    provider::leaves_its_base,
};
use http::Uri;

/// `/llm/{provider}{path}?{query}` taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) provider: String,
    /// Path and query after the provider, beginning with `/`.
    pub(crate) path: String,
}

impl Target {
    /// Of a whole address; `None` for one that is no provider's.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        Self::parse(uri, uri.path().strip_prefix("/llm/")?).ok()
    }

    /// `rest`: the path after `/llm/`.
    pub(super) fn parse(uri: &Uri, rest: &str) -> Result<Self, ApiError> {
        let (provider, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.';
        if provider.is_empty() || !provider.bytes().all(plain) {
            return Err(ApiError::new(
                Code::UnknownProvider,
                "The path names no provider: it is /llm/{provider}/… .",
            ));
        }
        if below.len() <= 1 {
            return Err(ApiError::new(
                Code::NotFound,
                format!("Nothing is at /llm/{provider} itself: add the provider's own path."),
            ));
        }
        if leaves_its_base(below) {
            return Err(ApiError::new(
                Code::InvalidRequest,
                "The path has `.`, `..` or `\\` as a part of it, which is not passed on.",
            ));
        }
        let path = match uri.query() {
            Some(query) => format!("{below}?{query}"),
            None => below.to_owned(),
        };
        Ok(Self { provider: provider.to_owned(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::ProviderConfig, provider::Provider};
    use proptest::prelude::*;
    use toft_model::provider::Api;

    fn check(path: &str, expected: Result<(&str, &str), Code>) {
        let uri: Uri = path.parse().unwrap();
        let rest = uri.path().strip_prefix("/llm/").unwrap();
        let got = Target::parse(&uri, rest);
        let got = got.as_ref().map(|t| (&*t.provider, &*t.path)).map_err(|e| e.code);
        assert_eq!(got, expected, "{path}");
    }

    #[test]
    fn provider_path_and_query_are_told_apart() {
        check("/llm/openai/v1/chat/completions", Ok(("openai", "/v1/chat/completions")));
        check("/llm/z.ai/v1/x?a=b/../c&d", Ok(("z.ai", "/v1/x?a=b/../c&d")));
        check(
            "/llm/google/v1beta/models/g:streamGenerateContent?alt=sse",
            Ok(("google", "/v1beta/models/g:streamGenerateContent?alt=sse")),
        );
        check("/llm/openai", Err(Code::NotFound));
        check("/llm/openai/", Err(Code::NotFound));
        check("/llm//v1", Err(Code::UnknownProvider));
        check("/llm/open%61i/v1", Err(Code::UnknownProvider));
    }

    #[test]
    fn no_path_leads_out_of_the_provider() {
        for bad in [
            "/llm/openai/v1/../../x",
            "/llm/openai/..",
            "/llm/openai/./x",
            "/llm/openai/%2e%2E/x",
            "/llm/openai/.%2e/x",
            "/llm/openai/v1/..%2fx",
            "/llm/openai/v1%2f../x",
            "/llm/openai/a%5c..%5cb",
        ] {
            check(bad, Err(Code::InvalidRequest));
        }
        check("/llm/openai/v1/a..b/...", Ok(("openai", "/v1/a..b/...")));
    }

    fn own(api: Api) -> Provider {
        let base_url = Some("http://host.test:81/deep/base".to_owned());
        let config =
            ProviderConfig { id: "own".into(), base_url, api: Some(api), ..Default::default() };
        Provider::new(&config).unwrap()
    }

    proptest! {
        #[test]
        fn no_models_name_leads_out_of_the_providers_models(
            name in "([a-z/.@:;~%#?&=+ \\t\\n]|%2[eEfF]|%5[cC]|\\.\\./|//|\\\\|/openai/){0,24}",
        ) {
            let config = ProviderConfig {
                id: "google".into(),
                key: Some(toft_vault::Secret::new("k")),
                base_url: Some("http://host.test:81/deep/base".to_owned()),
                ..Default::default()
            };
            let google = Provider::new(&config).unwrap();
            let Some(part) = toft_llm::gemini::in_path(&name) else { return Ok(()) };
            let models = google.path_in(Api::GoogleGenerativeAi).unwrap();
            let path = format!("{models}/{part}:generateContent?alt=sse");
            let Ok(url) = google.url(&path) else { return Ok(()) };
            prop_assert_eq!((url.host_str(), url.port()), (Some("host.test"), Some(81)));
            let below = url.path().split_once("/models/").unwrap();
            prop_assert!(below.0.starts_with("/deep/base"), "{}", url);
            prop_assert_eq!(below.1, format!("{part}:generateContent"));
            let (header, _) = google.credential(&path).unwrap().unwrap();
            prop_assert_eq!(header.as_str(), "x-goog-api-key");
        }

        #[test]
        fn no_path_that_is_taken_leaves_the_providers_base(
            path in "/llm/[a-z]{1,8}/([a-z/.@:;~%#?&=+]|%2[eEfF]|%5[cC]|%00|\\.\\./|//|\\\\){0,24}",
        ) {
            let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
            let Some(rest) = uri.path().strip_prefix("/llm/") else { return Ok(()) };
            let Ok(target) = Target::parse(&uri, rest) else { return Ok(()) };
            for api in [Api::OpenaiCompletions, Api::AnthropicMessages] {
                let Ok(url) = own(api).url(&target.path) else { continue };
                prop_assert_eq!((url.host_str(), url.port()), (Some("host.test"), Some(81)));
                prop_assert!(url.path().starts_with("/deep/base/"), "{}", url);
            }
        }
    }
}
