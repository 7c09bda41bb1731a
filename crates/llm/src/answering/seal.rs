//! Thinking that travels through a program in another format than its own. A provider's signature is
//! put together with the provider's name into one opaque text, which stands where the program's
//! format keeps signatures: so it comes back whole, and goes to the provider that made it and to no
//! other. Not a secret and not signed by us: whoever changes it changes what a provider then refuses.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use serde::{Deserialize, Serialize};
use toft_model::{message::Block, provider::ModelInfo};

/// Marks a text as ours, and its version.
const MARK: u8 = 1;

/// Programs write base64 anew, in either alphabet.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    toft: u8,
    provider: std::borrow::Cow<'a, str>,
    api: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    signature: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
    /// The thinking itself, for formats whose programs do not send it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<std::borrow::Cow<'a, str>>,
}

/// Thinking that came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Thought {
    pub(super) provider: String,
    pub(super) api: String,
    pub(super) signature: Option<String>,
    pub(super) redacted: bool,
    pub(super) text: Option<String>,
}

/// One base64 text. `text` goes with it where the program would not send it back.
pub(super) fn seal(
    model: &ModelInfo,
    signature: &str,
    redacted: bool,
    text: Option<&str>,
) -> String {
    let sealed = Sealed {
        toft: MARK,
        provider: model.provider.as_str().into(),
        api: model.api.as_str().into(),
        signature: signature.into(),
        redacted,
        text: text.map(Into::into),
    };
    let json = serde_json::to_vec(&sealed).expect("texts are JSON");
    general_purpose::STANDARD.encode(json)
}

/// For a block of a whole message.
pub(super) fn seal_block(model: &ModelInfo, block: &Block, with_text: bool) -> String {
    match block {
        Block::Thinking { thinking, thinking_signature, redacted } => seal(
            model,
            thinking_signature.as_deref().unwrap_or_default(),
            *redacted,
            with_text.then_some(thinking.as_str()),
        ),
        Block::Text { .. } | Block::Image { .. } | Block::ToolCall(_) => String::new(),
    }
}

/// What was sealed; `None` for a signature that is not ours.
pub(super) fn open(text: &str) -> Option<Thought> {
    let decode = |alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(text.as_bytes()).ok();
    let json = decode(&STANDARD).or_else(|| decode(&URL_SAFE))?;
    let sealed: Sealed<'_> = serde_json::from_slice(&json).ok()?;
    (sealed.toft == MARK).then(|| Thought {
        provider: sealed.provider.into_owned(),
        api: sealed.api.into_owned(),
        signature: Some(sealed.signature.into_owned()).filter(|s| !s.is_empty()),
        redacted: sealed.redacted,
        text: sealed.text.map(std::borrow::Cow::into_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model_info;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sealed_comes_back_in_either_alphabet(
            signature in ".{0,40}", text in prop::option::of(".{0,40}"), redacted: bool,
        ) {
            let model = model_info("anthropic", "claude-opus-4-6");
            let sealed = seal(&model, &signature, redacted, text.as_deref());
            let other = sealed.replace('+', "-").replace('/', "_").replace('=', "");
            let thought = open(&sealed).unwrap();
            prop_assert_eq!(&open(&other).unwrap(), &thought);
            prop_assert_eq!(&*thought.provider, "anthropic");
            prop_assert_eq!(&*thought.api, "anthropic-messages");
            prop_assert_eq!(thought.signature.unwrap_or_default(), signature);
            prop_assert_eq!((thought.redacted, thought.text), (redacted, text));
        }

        #[test]
        fn what_is_not_ours_is_nothing(text in ".{0,60}") {
            prop_assert_eq!(open(&text), None);
        }
    }
}
