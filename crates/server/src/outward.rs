//! HTTP to addresses that people gave: collectors of traces, receivers of webhooks. Nobody is followed elsewhere, and
//! nothing is sent twice by itself.

use reqwest::{Client, ClientBuilder, redirect::Policy};
use std::{error::Error, time::Duration};

/// Name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the system's certificates: not for the event loop.
pub(crate) fn client(names_itself: &'static str) -> Result<Client, reqwest::Error> {
    // Another part of the same process may have chosen one before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder(names_itself).build().or_else(|error| {
        // A host without certificates still reaches what speaks plain HTTP.
        tracing::warn!(
            error = %told(&error),
            "the system's certificates cannot be read: nothing is sent to https addresses"
        );
        builder(names_itself).tls_certs_only([]).build()
    })
}

fn builder(names_itself: &'static str) -> ClientBuilder {
    // A redirect would take keys somewhere else.
    Client::builder()
        .user_agent(names_itself)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
}

/// The innermost reason: the outer ones repeat the address.
pub(crate) fn told(error: &reqwest::Error) -> String {
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if error.source().is_none() {
        return "the request could not be sent".to_owned();
    }
    reason.to_string()
}
