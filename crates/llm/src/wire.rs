//! A wire format as the adapters know it, and how a call in one is put together. How the call then goes
//! is the same for all of them and in `call`.

use crate::{
    ask::{HttpRequest, ModelEvent, ModelRequest, Transport},
    assembly::Assembly,
    booked,
    call::{self, Call, Decode},
    catalogue::{self, Dialect},
    refusal::Named,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::HeaderMap;
use std::{sync::Arc, time::Duration};
use toft_model::provider::Api;
use tokio_util::sync::CancellationToken;

/// One wire format: how a request is written in it and its answer read.
pub(crate) trait Format: 'static {
    /// Its name.
    const API: Api;
    /// Path after `/llm/{provider}` at a provider that the catalogue does not know.
    const PATH: &'static str;
    /// What its names of errors mean.
    const NAMED: Named;
    /// Reads its answers.
    type Decoder: Decode;

    /// Headers and body. `dialect` is the provider's.
    fn write(request: &ModelRequest, dialect: &Dialect) -> (HeaderMap, Bytes);

    /// The path for a model, where `base` is the provider's. `None`: no path can hold its name.
    fn path(base: &str, _model: &str) -> Option<String> {
        Some(base.to_owned())
    }
}

/// Asks in a wire format. A provider that the catalogue does not know is taken for a plain one.
pub(crate) fn ask<F: Format>(
    transport: Arc<dyn Transport>,
    idle_timeout: Duration,
    request: ModelRequest,
    cancel: CancellationToken,
) -> BoxStream<'static, ModelEvent> {
    let provider = &request.model.provider;
    let spec = catalogue::provider(provider);
    let base = spec.and_then(|s| s.path_in(F::API)).unwrap_or(F::PATH);
    let Some(path) = F::path(base, &request.model.id) else {
        return call::refused(&request.model);
    };
    let (mut headers, body) = F::write(&request, &spec.map_or(Dialect::PLAIN, |s| s.dialect));
    headers.extend(booked::headers(&request.booking));
    call::stream(Call {
        transport,
        request: HttpRequest {
            method: http::Method::POST,
            path: format!("/llm/{provider}{path}"),
            headers,
            body,
        },
        decode: F::Decoder::default(),
        assembly: Assembly::after(&request.messages),
        provider_name: spec.map_or(provider.as_str(), |s| s.name).to_owned(),
        model: request.model,
        named: F::NAMED,
        idle_timeout,
        passed_on: request.options.passed_on,
        cancel,
    })
}
