//! What the backend `e2b` is told: all of it by variables, those of the source and of E2B's own clients.

use super::runs::{number, wrong};
use crate::args::BackendName;
use anyhow::Result;
use std::time::Duration;
use toft_machine::e2b::{ApiKey, E2bConfig, Retry};

/// The most attempts for a request: with the longest pauses these take minutes.
const ATTEMPTS_MAX: u32 = 20;
/// The least time for an answer, and for a pause's bound.
const ANSWER_MS_MIN: u64 = 100;
/// The least that a sandbox lives without a word: several words of a server that is busy.
const SANDBOX_MS_MIN: u64 = 15_000;

/// All that the backend needs beside the data folder.
#[derive(Debug, Clone)]
pub(crate) struct E2bParts {
    pub(crate) key: ApiKey,
    pub(crate) template: String,
    pub(crate) api_url: String,
    pub(crate) sandbox_url: Option<String>,
    pub(crate) request_timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) sandbox_timeout: Duration,
}

/// `None` when it is not among those that are offered.
pub(super) fn parts(
    tells: &dyn Fn(&str) -> Option<String>,
    backends: &[BackendName],
) -> Result<Option<E2bParts>> {
    if !backends.contains(&BackendName::E2b) {
        return Ok(None);
    }
    let needed = |name: &str, what: &str| {
        let given = tells(name).map(|value| value.trim().to_owned());
        given.ok_or_else(|| wrong(name, &format!("is not set: the backend e2b needs {what}")))
    };
    let key = needed("E2B_API_KEY", "the key of an E2B team")?;
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("E2B_API_KEY", "has characters that no key has"));
    }
    let template =
        needed("E2B_TEMPLATE", "the id or name of a template that sandboxes are made of")?;
    let api_url = url(tells, "E2B_API_URL")?.unwrap_or_else(|| E2bConfig::API_URL.to_owned());
    let mut retry = Retry::default();
    if let Some(attempts) = number(tells, "E2B_RETRY_ATTEMPTS", 1)? {
        let given = u32::try_from(attempts).ok().filter(|given| *given <= ATTEMPTS_MAX);
        retry.attempts = given
            .ok_or_else(|| wrong("E2B_RETRY_ATTEMPTS", &format!("is at most {ATTEMPTS_MAX}")))?;
    }
    let ms = |name: &str, least: u64, usual: Duration| -> Result<Duration> {
        Ok(number(tells, name, least)?.map_or(usual, Duration::from_millis))
    };
    retry.base_delay = ms("E2B_RETRY_BASE_DELAY_MS", 1, retry.base_delay)?;
    retry.max_delay = ms("E2B_RETRY_MAX_DELAY_MS", ANSWER_MS_MIN, retry.max_delay)?;
    Ok(Some(E2bParts {
        key: ApiKey::new(key),
        template,
        api_url,
        sandbox_url: url(tells, "E2B_SANDBOX_URL")?,
        request_timeout: ms("E2B_REQUEST_TIMEOUT_MS", ANSWER_MS_MIN, E2bConfig::REQUEST_TIMEOUT)?,
        retry,
        sandbox_timeout: ms("E2B_SANDBOX_TIMEOUT_MS", SANDBOX_MS_MIN, E2bConfig::SANDBOX_TIMEOUT)?,
    }))
}

fn url(tells: &dyn Fn(&str) -> Option<String>, name: &str) -> Result<Option<String>> {
    let Some(given) = tells(name) else { return Ok(None) };
    let given = given.trim().trim_end_matches('/').to_owned();
    let parsed = reqwest::Url::parse(&given).ok();
    let fits = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if fits {
        Ok(Some(given))
    } else {
        Err(wrong(name, "is an address such as https://api.e2b.app"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// With a key and a template, and what else is given.
    pub(in crate::config) fn with(given: &[(&str, &str)]) -> Result<E2bParts> {
        let usual = [("E2B_API_KEY", "e2b_usual"), ("E2B_TEMPLATE", "base")];
        let tells = |name: &str| {
            let mut all = given.iter().chain(&usual);
            all.find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Ok(parts(&tells, &[BackendName::E2b])?.expect("it is that backend"))
    }

    #[test]
    fn without_key_or_template_it_says_which_is_missing_and_another_backend_needs_none() {
        let none = |_: &str| None;
        let said = parts(&none, &[BackendName::E2b]).unwrap_err().to_string();
        assert!(said.contains("E2B_API_KEY is not set"), "{said}");
        let key = |name: &str| (name == "E2B_API_KEY").then(|| "e2b_s3cret".to_owned());
        let said = parts(&key, &[BackendName::E2b]).unwrap_err().to_string();
        assert!(said.contains("E2B_TEMPLATE is not set") && !said.contains("s3cret"), "{said}");
        assert!(parts(&none, &[BackendName::Native]).unwrap().is_none());
        let said = with(&[("E2B_API_KEY", "e2b_s3cret\nx")]).unwrap_err().to_string();
        assert!(said.contains("E2B_API_KEY") && !said.contains("s3cret"), "{said}");
    }

    #[test]
    fn an_address_is_one() {
        let parts = with(&[("E2B_API_URL", "http://127.0.0.1:3000/")]).unwrap();
        assert_eq!(parts.api_url, "http://127.0.0.1:3000");
        assert_eq!(parts.sandbox_url, None);
        assert_eq!(with(&[]).unwrap().api_url, E2bConfig::API_URL);
        for wrong in ["e2b.app", "ftp://h", "https://u:p@h", "https://h?x=1"] {
            for name in ["E2B_API_URL", "E2B_SANDBOX_URL"] {
                let said = with(&[(name, wrong)]).unwrap_err().to_string();
                assert!(said.contains(name) && !said.contains("u:p"), "{said}");
            }
        }
    }
}
