//! Traces from events to requests. Against a foreign reader of the protocol: the story of traces.

mod folding;
mod sending;
mod settings;
