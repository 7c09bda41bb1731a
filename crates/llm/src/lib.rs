//! Speaks to model providers: one adapter per wire format, each `request.rs stream.rs errors.rs`;
//! the catalogue; the scripted `demo` model. Knows nothing of sessions, tools' effects or HTTP
//! servers, and never sees a provider key: that is added by the gateway.
//!
//! A whole call: [`route::Models`] picks the adapter, which writes the conversation down
//! (`handover`, then `request`), sends it through a [`ask::Transport`], splits the answer ([`sse`]),
//! reads it (`stream`) and puts it together (`assembly`). Whatever happens, the stream of
//! [`ask::ModelEvent`]s ends with `Done`. In [`answering`] the same formats are spoken the other way
//! round, for programs.

pub mod answering;
pub mod anthropic;
pub mod ask;
mod assembly;
pub mod booked;
pub mod call;
pub mod catalogue;
pub mod gateway;
pub mod gemini;
mod handover;
#[cfg(test)]
mod hazards;
mod limits;
pub mod openai_chat;
pub mod openai_responses;
pub mod price;
mod refusal;
pub mod retry;
pub mod route;
pub mod scripted;
pub mod sse;
pub mod testing;
mod text;
