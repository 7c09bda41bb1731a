//! The formats' own endpoints, where the model that a request names decides who answers it:
//! `/llm/openai/v1/{chat/completions,responses}`, `/llm/anthropic/v1/messages`,
//! `/llm/google/{v1,v1beta}/models/{model}:{generateContent,streamGenerateContent}`, and the lists of
//! models beside them. Everything else below `/llm/{provider}/` is that provider's, as it is.

use super::target::Target;
use crate::provider::Provider;
use http::Method;
use toft_llm::{answering::WireFormat, catalogue};
use toft_model::provider::DEMO_PROVIDER;

/// What a request at such an endpoint is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A model is asked.
    Ask(Ask),
    /// The list of models.
    Models(WireFormat),
    /// One of them, by its name.
    Model(WireFormat, String),
}

/// See [`Endpoint::Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) format: WireFormat,
    /// Only its tokens are counted.
    pub(super) counts: bool,
    /// In Google's format the path names the model and says what is to be done with it.
    pub(super) in_path: Option<InPath>,
}

/// See [`Ask::in_path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InPath {
    pub(super) model: String,
    /// `generateContent`, …
    pub(super) verb: String,
}

impl InPath {
    pub(super) fn streams(&self) -> bool {
        self.verb.starts_with("stream")
    }

    /// Whether it is a stream of events that is asked for, and not one of JSON in pieces.
    pub(super) fn streams_events(&self, query: &str) -> bool {
        self.streams() && query.split('&').any(|pair| pair == "alt=sse")
    }
}

/// The format whose programs talk to a path, for failures in their shape.
pub(super) fn format_of(target: &Target) -> Option<WireFormat> {
    let path = path(target);
    match catalogue::provider(&target.provider)?.id {
        "openai" => Some(WireFormat::OpenaiChat),
        "anthropic" => Some(WireFormat::Anthropic),
        "google" if path.starts_with("/v1beta/openai/") => Some(WireFormat::OpenaiChat),
        "google" => Some(WireFormat::Gemini),
        _ => None,
    }
}

fn path(target: &Target) -> &str {
    without_query(&target.path)
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

/// What is asked at a path of a provider's own where it answers in one of the formats, if it is that.
pub(super) fn spoken(provider: &Provider, method: &Method, path: &str) -> Option<Ask> {
    if *method != Method::POST {
        return None;
    }
    let path = without_query(path);
    let formats = [
        WireFormat::OpenaiChat,
        WireFormat::OpenaiResponses,
        WireFormat::Anthropic,
        WireFormat::Gemini,
    ];
    formats.into_iter().find_map(|format| {
        let base = provider.path_in(format.api())?;
        if format != WireFormat::Gemini {
            return (path == base).then_some(Ask { format, counts: false, in_path: None });
        }
        let (model, verb) = path.strip_prefix(base)?.strip_prefix('/')?.rsplit_once(':')?;
        let asks = matches!(verb, "generateContent" | "streamGenerateContent");
        let in_path = InPath { model: unescaped(model)?, verb: verb.to_owned() };
        asks.then_some(Ask { format, counts: false, in_path: Some(in_path) })
    })
}

impl Endpoint {
    /// `None`: the provider's own path, which is none of ours.
    pub(super) fn of(method: &Method, target: &Target) -> Option<Self> {
        let path = path(target);
        let format = format_of(target)?;
        let ask = |format, counts| Some(Self::Ask(Ask { format, counts, in_path: None }));
        match (catalogue::provider(&target.provider)?.id, method) {
            ("openai", &Method::POST) => match path {
                "/v1/chat/completions" => ask(WireFormat::OpenaiChat, false),
                "/v1/responses" => ask(WireFormat::OpenaiResponses, false),
                "/v1/responses/input_tokens" => ask(WireFormat::OpenaiResponses, true),
                _ => None,
            },
            ("anthropic", &Method::POST) => match path {
                "/v1/messages" => ask(format, false),
                "/v1/messages/count_tokens" => ask(format, true),
                _ => None,
            },
            ("google", &Method::POST) => {
                let (model, verb) = models(path).or_else(|| named(path))?.rsplit_once(':')?;
                let counts = match verb {
                    "generateContent" | "streamGenerateContent" => false,
                    "countTokens" => true,
                    _ => return None,
                };
                let in_path = InPath { model: unescaped(model)?, verb: verb.to_owned() };
                Some(Self::Ask(Ask { format, counts, in_path: Some(in_path) }))
            }
            ("openai" | "anthropic" | "google", &Method::GET) => match models(path)? {
                "" => Some(Self::Models(format)),
                model => Some(Self::Model(format, unescaped(model)?)),
            },
            _ => None,
        }
    }
}

/// What stands after `models`, without the slash.
fn models(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1beta").or_else(|| path.strip_prefix("/v1"))?;
    let rest = rest.strip_prefix("/models")?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// A model `PROVIDER/MODEL` where some programs put a name that has a slash: without `models` before it.
fn named(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1beta/").or_else(|| path.strip_prefix("/v1/"))?;
    let (provider, _) = rest.split_once('/')?;
    (provider == DEMO_PROVIDER || catalogue::provider(provider).is_some()).then_some(rest)
}

/// `None`: it has no such form, or nothing is in it.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            out.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            out.push(first);
        }
    }
    String::from_utf8(out).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use WireFormat::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};

    fn of(method: &Method, path: &str) -> Option<Endpoint> {
        let uri: http::Uri = path.parse().unwrap();
        let rest = uri.path().strip_prefix("/llm/").unwrap();
        Endpoint::of(method, &Target::parse(&uri, rest).unwrap())
    }

    fn ask(format: WireFormat, counts: bool) -> Endpoint {
        Endpoint::Ask(Ask { format, counts, in_path: None })
    }

    fn google(model: &str, verb: &str, counts: bool) -> Endpoint {
        let in_path = Some(InPath { model: model.into(), verb: verb.into() });
        Endpoint::Ask(Ask { format: Gemini, counts, in_path })
    }

    #[test]
    fn the_formats_own_paths_are_known_and_no_others() {
        for (path, expected) in [
            ("/llm/openai/v1/chat/completions", Some(ask(OpenaiChat, false))),
            ("/llm/openai/v1/responses?x=1", Some(ask(OpenaiResponses, false))),
            ("/llm/openai/v1/responses/resp_1", None),
            ("/llm/openai/v1/embeddings", None),
            ("/llm/claude/v1/messages?beta=true", Some(ask(Anthropic, false))),
            ("/llm/anthropic/v1/messages/count_tokens", Some(ask(Anthropic, true))),
            ("/llm/anthropic/v1/messages/batches", None),
            (
                "/llm/google/v1beta/models/a%2Fb/c:streamGenerateContent?alt=sse",
                Some(google("a/b/c", "streamGenerateContent", false)),
            ),
            (
                "/llm/google/v1beta/models/openai/gpt-5:generateContent",
                Some(google("openai/gpt-5", "generateContent", false)),
            ),
            ("/llm/gemini/v1/models/g:countTokens", Some(google("g", "countTokens", true))),
            (
                "/llm/google/v1beta/anthropic/claude-opus-4-6:generateContent",
                Some(google("anthropic/claude-opus-4-6", "generateContent", false)),
            ),
            ("/llm/google/v1beta/tunedModels/mine:generateContent", None),
            ("/llm/google/v1beta/models/g:embedContent", None),
            ("/llm/google/v1beta/models/%zz:generateContent", None),
            ("/llm/google/v1beta/openai/chat/completions", None),
            ("/llm/groq/v1/chat/completions", None),
            ("/llm/openai/v1/models", None),
        ] {
            assert_eq!(of(&Method::POST, path), expected, "{path}");
        }
        for (path, expected) in [
            ("/llm/openai/v1/models", Some(Endpoint::Models(OpenaiChat))),
            ("/llm/anthropic/v1/models?limit=2", Some(Endpoint::Models(Anthropic))),
            ("/llm/google/v1beta/models", Some(Endpoint::Models(Gemini))),
            ("/llm/openai/v1/models/a/b", Some(Endpoint::Model(OpenaiChat, "a/b".into()))),
            ("/llm/openai/v1/files", None),
            ("/llm/mistral/v1/models", None),
            ("/llm/openai/v1/chat/completions", None),
        ] {
            assert_eq!(of(&Method::GET, path), expected, "{path}");
        }
    }
}
