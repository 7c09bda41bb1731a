//! What goes wrong inside of an answer, as the decoders find it. Who was asked is known to the call,
//! which makes a failure of it.

use crate::{
    ask::{ModelFailure, Retry},
    refusal::{Named, Words, failure, is_overflow, is_quota},
};

/// See the module. A text in it is the provider's own word for why, and may be empty.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// An event that is not what the format says.
    Unreadable(serde_json::Error),
    /// The provider says that it failed.
    Said(Words),
    /// The end mark came before a reason to end.
    Unfinished,
    /// The provider's content filter ended the answer.
    Filtered(String),
    /// The model would not answer.
    Declined,
    /// The answer ended where it should not; another try may do better.
    Broke(String),
    /// The provider did not take what it was asked, and would not another time.
    Refused(String),
}

impl From<serde_json::Error> for Trouble {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Trouble {
    /// As a failure of a provider and its model.
    pub(crate) fn told(self, named: Named, provider: &str, model: &str) -> ModelFailure {
        let fail = |code: &str, message: String, retry| ModelFailure {
            code: code.to_owned(),
            message,
            retry,
        };
        let why = |word: &str| if word.is_empty() { String::new() } else { format!(" ({word})") };
        match self {
            Self::Unreadable(error) => fail(
                "bad_answer",
                format!("{provider} sent an event that cannot be read: {error}."),
                Retry::Backoff,
            ),
            Self::Said(words) => {
                let (code, retry) = if is_overflow(&words) {
                    ("context_overflow", Retry::Never)
                } else if is_quota(&words) {
                    ("rate_limited", words.wait.map_or(Retry::Never, Retry::After))
                } else {
                    named(&words.kind).unwrap_or(("provider_error", Retry::Backoff))
                };
                let retry = match (retry, words.wait) {
                    (Retry::Backoff, Some(wait)) => Retry::After(wait),
                    (retry, _) => retry,
                };
                failure(code, provider, model, &words, None, retry)
            }
            Self::Unfinished => fail(
                "cut",
                format!("{provider} ended its stream without finishing."),
                Retry::Backoff,
            ),
            Self::Filtered(word) => fail(
                "provider_error",
                format!("{provider} stopped the answer: its content filter objects{}.", why(&word)),
                Retry::Never,
            ),
            Self::Declined => {
                fail("provider_error", format!("{model} declined to answer this."), Retry::Never)
            }
            Self::Broke(word) => fail(
                "provider_error",
                format!("{provider} failed in the middle of its answer{}.", why(&word)),
                Retry::Backoff,
            ),
            Self::Refused(word) => fail(
                "provider_error",
                format!("{provider} did not take the conversation{}.", why(&word)),
                Retry::Never,
            ),
        }
    }
}
