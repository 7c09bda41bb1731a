//! How a provider is shown whose request it is: by its key in a header, by a signature, or not at all.

use crate::{
    api_error::{ApiError, Code},
    config::ProviderConfig,
    signature::{AccountKey, is_region},
};
use http::{HeaderName, HeaderValue};
use toft_llm::catalogue::{Auth, AwsKeys, ProviderSpec, local::LocalServer};
use toft_model::provider::{Api, ProviderInfo};
use toft_vault::Secret;
use zeroize::Zeroizing;

/// See the module.
pub(super) enum Key {
    None,
    /// It wants none.
    Unwanted,
    Header(Secret),
    Signature(AccountKey),
    /// It is to be one of an account, and is none.
    Malformed,
    /// The region that it is to sign for is none.
    BadRegion(String),
}

impl Key {
    pub(super) fn of(config: &ProviderConfig, spec: Option<&ProviderSpec>) -> Self {
        let given = config.key.as_ref().filter(|key| !key.is_empty());
        let wants_none = config.keyless || LocalServer::named(&config.id).is_some();
        let Some(key) = given else { return if wants_none { Self::Unwanted } else { Self::None } };
        let Some((spec, keys)) = spec.and_then(|spec| Some((spec, account_keys(spec)?))) else {
            return Self::Header(key.clone());
        };
        // Keys of the service's own are base64.
        if !key.expose().contains(':') {
            return Self::Header(key.clone());
        }
        let by_default = spec.url_parts.iter().find(|part| part.name == "region");
        let region = config.region.as_deref().or(by_default.and_then(|part| part.default));
        let region = region.unwrap_or_default();
        if !is_region(region) {
            return Self::BadRegion(region.to_owned());
        }
        AccountKey::parse(key.expose(), keys.service, region)
            .map_or(Self::Malformed, Self::Signature)
    }

    /// The header that carries it for a path; none where requests are signed, or no key is wanted.
    pub(super) fn header(
        &self,
        info: &ProviderInfo,
        spec: Option<&ProviderSpec>,
        path: &str,
    ) -> Result<Option<(HeaderName, HeaderValue)>, ApiError> {
        let refused = |words: String| ApiError::new(Code::NoKey, words);
        let key = match self {
            Self::Header(key) => key.expose(),
            Self::Signature(_) | Self::Unwanted => return Ok(None),
            Self::None => {
                return Err(refused(format!(
                    "No key is set for {}: add one in Settings, Providers.",
                    info.id
                )));
            }
            Self::BadRegion(region) => {
                return Err(refused(format!(
                    "{region:?} is no region of {}: it has letters, digits and `-`. Correct it where the \
                     server's environment sets it.",
                    info.name
                )));
            }
            Self::Malformed => {
                return Err(refused(format!(
                    "The key of {} is neither one of its own nor that of an account, which is \
                     ACCESS:SECRET or ACCESS:SECRET:SESSION: set it again in Settings, Providers.",
                    info.name
                )));
            }
        };
        let (name, value) = match (spec, info.api) {
            (Some(spec), _) => spec.credential(path, key),
            (None, Api::AnthropicMessages) => ("x-api-key", key.to_owned()),
            (None, Api::GoogleGenerativeAi) => ("x-goog-api-key", key.to_owned()),
            (
                None,
                Api::OpenaiCompletions
                | Api::OpenaiResponses
                | Api::BedrockConverseStream
                | Api::Scripted,
            ) => ("authorization", format!("Bearer {key}")),
        };
        let value = Zeroizing::new(value);
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            refused(format!(
                "The key of {} has characters in it that no key has: set it again in Settings, \
                 Providers.",
                info.name
            ))
        })?;
        value.set_sensitive(true);
        Ok(Some((HeaderName::from_static(name), value)))
    }
}

fn account_keys(spec: &ProviderSpec) -> Option<AwsKeys> {
    match spec.auth {
        Auth::Aws(keys) => Some(keys),
        Auth::Bearer | Auth::XApiKey | Auth::ApiKey | Auth::Google => None,
    }
}
