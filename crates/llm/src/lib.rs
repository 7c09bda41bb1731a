//! Speaks to model providers: one adapter per wire format, each `request.rs stream.rs errors.rs`;
//! the catalogue; the scripted `demo` model. Knows nothing of sessions, tools' effects or HTTP
//! servers, and never sees a provider key: that is added by the gateway.
//!
//! A whole call: [`route::Models`] picks the format (`wire`), in which the conversation is written down
//! (`handover`, then `request`); it is sent through a [`ask::Transport`], the answer split ([`framing`]),
//! read (`stream`) and put together (`assembly`). Whatever happens, the stream of
//! [`ask::ModelEvent`]s ends with `Done`. In [`answering`] the same formats are spoken the other way
//! round, for programs.

pub mod answering;
mod anthropic;
pub mod ask;
mod assembly;
mod bedrock;
pub mod booked;
pub mod call;
pub mod catalogue;
mod data_url;
mod ends;
pub mod event_stream;
pub mod fallbacks;
pub mod framing;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gateway;
pub mod gemini;
mod handover;
#[cfg(test)]
mod hazards;
mod limits;
mod openai_chat;
mod openai_responses;
pub mod price;
mod refusal;
pub mod retry;
pub mod route;
mod sampling;
pub mod scripted;
pub mod sse;
pub mod testing;
mod text;
mod trouble;
pub mod usage;
mod wire;

pub use limits::output_tokens_wanted;
pub use refusal::asked_to_wait;
