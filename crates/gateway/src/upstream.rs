//! The HTTP client that reaches providers: HTTP/1.1 and 2, rustls with the system's roots, no
//! redirects, no proxies of the environment, no decoding of bodies.

use crate::api_error::{ApiError, Code};
use reqwest::{Client, redirect::Policy};
use std::{error::Error, time::Duration};
use tokio::sync::OnceCell;

/// Name, TCP and TLS together: a provider that needs longer is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Kept connections that are not used; shorter than the providers' own limits (60 s and up).
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Finds out within this (plus [`PING_TIMEOUT`]) that an HTTP/2 connection died silently.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// See [`PING_INTERVAL`].
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Made on first use (reading some 150 certificates takes milliseconds), for all providers.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    client: OnceCell<Client>,
}

impl Upstream {
    /// The client. Call it once early, so that no call has to wait for it.
    pub(crate) async fn client(&self) -> Result<&Client, ApiError> {
        let make = || async {
            let built = tokio::task::spawn_blocking(build).await;
            built.map_err(|e| e.to_string()).and_then(|client| client)
        };
        self.client.get_or_try_init(make).await.map_err(|why| {
            ApiError::new(
                Code::UpstreamUnreachable,
                format!("The gateway cannot make connections: {why}."),
            )
        })
    }
}

fn build() -> Result<Client, String> {
    // Another part of the same process may have chosen one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder().build().or_else(|e| {
        // A host without certificates can still reach local providers over plain HTTP.
        tracing::warn!(
            error = %told(&e),
            "the system's certificates cannot be read: https providers will be refused; install \
             the package ca-certificates and restart the gateway"
        );
        builder().tls_certs_only([]).build().map_err(|e| told(&e))
    })
}

fn builder() -> reqwest::ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .tcp_nodelay(true)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
}

/// What went wrong with a request that got no answer.
pub(crate) fn failure(provider: &str, error: &reqwest::Error) -> ApiError {
    let why = told(error);
    if error.is_timeout() {
        let message = format!("{provider} could not be reached in time ({why}). Try again.");
        return ApiError::new(Code::UpstreamTimeout, message);
    }
    let hint = if why.contains("certificate") {
        " If the host has no certificates, install the package ca-certificates."
    } else {
        " Check the network of the host and the provider's base URL."
    };
    let message = format!("{provider} could not be reached ({why}).{hint}");
    ApiError::new(Code::UpstreamUnreachable, message)
}

/// The innermost reason: the outer ones repeat the URL and say less.
fn told(error: &reqwest::Error) -> String {
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    if reason.source().is_none() && error.source().is_none() {
        return "the request could not be sent".to_owned();
    }
    reason.to_string()
}
