//! The scripted model `demo`: needs no key and no network, and drives the real loop, tools and
//! machine through fixed pieces of work. It says so in every text that ends a piece of work.
//!
//! Stateless: what it says next is a function of the conversation alone, so it goes on after a
//! restart wherever it was. One file per script; adding one is one file and one line in `pick`.

mod app;
mod count;
mod fix;
mod intro;
mod pick;
mod plan;
mod question;
mod run;
mod say;
mod summary;
#[cfg(test)]
mod tests;
mod turn;

use crate::ask::{Model, ModelEvent, ModelRequest};
use futures_util::stream::BoxStream;
use std::time::Duration;
use toft_model::provider::{Api, DEMO_PROVIDER, ModelInfo, Price};
use tokio_util::sync::CancellationToken;

/// The model that chooses its script by the words of the prompt.
pub const DEFAULT_MODEL: &str = "app";

/// Ids and names. Each but the first falls back to its own script when the words choose none.
const MODELS: [(&str, &str); 4] = [
    (DEFAULT_MODEL, "Demo (scripted)"),
    ("fix", "Demo: a failing test is mended (scripted)"),
    ("ask", "Demo: a question to you (scripted)"),
    ("long", "Demo: a long run (scripted)"),
];

/// How fast the scripted model speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Before the first piece.
    pub first: Duration,
    /// Between pieces (a word of text, a line or so of arguments).
    pub piece: Duration,
}

impl Pace {
    /// As a quick real model does.
    pub const NATURAL: Self =
        Self { first: Duration::from_millis(250), piece: Duration::from_millis(12) };
    /// Without any wait.
    pub const NONE: Self = Self { first: Duration::ZERO, piece: Duration::ZERO };
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Scripted {
    pace: Pace,
}

impl Scripted {
    /// Speaks at this pace.
    pub fn new(pace: Pace) -> Self {
        Self { pace }
    }
}

impl Model for Scripted {
    fn ask(
        &self,
        request: ModelRequest,
        cancel: CancellationToken,
    ) -> BoxStream<'static, ModelEvent> {
        let say = pick::next(&request);
        say::stream(say, &request, self.pace, cancel)
    }
}

/// The scripted models, the default first.
pub fn models() -> Vec<ModelInfo> {
    MODELS
        .iter()
        .map(|(id, name)| ModelInfo {
            provider: DEMO_PROVIDER.to_owned(),
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            api: Api::Scripted,
            context_window: 128_000,
            max_tokens: 8_192,
            reasoning: true,
            images: false,
            price: Some(Price::default()),
            demo: true,
        })
        .collect()
}
