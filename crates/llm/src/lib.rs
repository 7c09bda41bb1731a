//! Speaks to model providers: one adapter per wire format, each `request.rs stream.rs errors.rs`;
//! the catalogue; the scripted `demo` model. Knows nothing of sessions, tools' effects or HTTP
//! servers, and never sees a provider key: that is added by the gateway.

pub mod ask;
