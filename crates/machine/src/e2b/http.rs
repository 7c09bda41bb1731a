//! One request to E2B or into a sandbox: sent again where that may help, its failure in words. The key is in
//! a header that is marked as secret, and in no error.

use super::settings::{ApiKey, E2bConfig, Retry};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use serde::Deserialize;
use std::{error::Error as _, io, time::Duration};
use tokio::time::{sleep, timeout};

/// Name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest answer that is read whole: a page of sandboxes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Of what the other side says when it refuses.
const SAID_CHARS_MAX: usize = 300;

/// Why a request did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No answer.
    #[error("{at} cannot be reached: {why}")]
    Unreachable { at: String, why: String },
    /// An answer that says no.
    #[error("{at} answers {status}: {said}")]
    Refused { at: String, status: u16, said: String },
    /// An answer that is none.
    #[error("{at} answers something that cannot be understood: {why}")]
    Strange { at: String, why: String },
}

impl Fault {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Strange { .. } => None,
        }
    }

    /// Whether asking again may help.
    fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::Strange { .. } => false,
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

/// Sends requests.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    pub(crate) request_timeout: Duration,
    retry: Retry,
    /// What may never be repeated: what the other side says may hold it.
    key: ApiKey,
}

impl Http {
    /// Reads the system's certificates: blocks.
    pub(crate) fn new(config: &E2bConfig) -> Result<Self, reqwest::Error> {
        // The first one stays; whoever came before has installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            // A redirect would take the key somewhere else.
            Client::builder()
                .user_agent("toft")
                .redirect(Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .connect_timeout(CONNECT_TIMEOUT)
        };
        // A host without certificates still reaches what speaks plain HTTP.
        let client = builder().build().or_else(|_| builder().tls_certs_only([]).build())?;
        let (request_timeout, retry) = (config.request_timeout, config.retry);
        Ok(Self { client, request_timeout, retry, key: config.key.clone() })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends it, and again while that may help: only what may be done twice.
    pub(crate) async fn often(
        &self,
        make: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Vec<u8>, Fault> {
        self.often_with_headers(make).await.map(|(answer, _)| answer)
    }

    /// The same, with what stands above the answer.
    pub(crate) async fn often_with_headers(
        &self,
        make: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<(Vec<u8>, HeaderMap), Fault> {
        let mut failed = 0;
        loop {
            let (fault, wait) = match self.once(make(&self.client)).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            failed += 1;
            if failed >= self.retry.attempts || !fault.passes() {
                return Err(fault);
            }
            let pause = self.retry.pause(failed, share());
            let wait = wait.unwrap_or(pause).min(self.retry.max_delay).max(pause);
            tracing::info!(failed, "asking again: {fault}");
            sleep(wait).await;
        }
    }

    /// Sends it once; the whole answer, and with a failure how long to wait if it says so.
    pub(crate) async fn once(
        &self,
        request: RequestBuilder,
    ) -> Result<(Vec<u8>, HeaderMap), (Fault, Option<Duration>)> {
        let limit = self.request_timeout;
        let at = place(&request);
        let slow = || Fault::Unreachable {
            at: at.clone(),
            why: format!("no answer within {} s", limit.as_secs_f32()),
        };
        timeout(limit, async {
            let mut answer = self.send(request).await?;
            let headers = std::mem::take(answer.headers_mut());
            Ok((whole(answer, &at).await.map_err(|fault| (fault, None))?, headers))
        })
        .await
        .unwrap_or_else(|_| Err((slow(), None)))
    }

    /// Sends it once; its answer is read by the caller, who bounds the time too.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<Response, (Fault, Option<Duration>)> {
        let at = place(&request);
        let sent = request.send().await;
        let answer =
            sent.map_err(|e| (Fault::Unreachable { at: at.clone(), why: told(&e) }, None))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let wait =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = whole(answer, &at).await.unwrap_or_default();
        let said = self.scrubbed(&words(&body, status));
        let refused = Fault::Refused { at, status: status.as_u16(), said };
        Err((refused, wait.map(Duration::from_secs)))
    }

    fn scrubbed(&self, said: &str) -> String {
        let said = said.replace(self.key.expose(), "…");
        said.chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()
    }
}

/// A header that is shown nowhere.
pub(crate) fn secret(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Fault> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Fault::Strange {
        at: "the configuration".to_owned(),
        why: format!("what goes into the header {name} has characters that no header may have"),
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Host and path, for people: no query, and nothing of who asks.
fn place(request: &RequestBuilder) -> String {
    let built = request.try_clone().and_then(|request| request.build().ok());
    built.map_or_else(
        || "E2B".to_owned(),
        |request| {
            let (method, url) = (request.method(), request.url());
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!(
                "{} ({method} {}{port}{})",
                "E2B",
                url.host_str().unwrap_or_default(),
                url.path()
            )
        },
    )
}

async fn whole(mut answer: Response, at: &str) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_BYTES_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                let why = format!("it is longer than {} MiB", ANSWER_BYTES_MAX >> 20);
                return Err(Fault::Strange { at: at.to_owned(), why });
            }
            Ok(None) => return Ok(body),
            Err(e) => return Err(Fault::Unreachable { at: at.to_owned(), why: told(&e) }),
        }
    }
}

/// What an answer that refuses says of it.
fn words(body: &[u8], status: StatusCode) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said = serde_json::from_slice::<Said>(body).map(|said| said.message);
    said.ok()
        .filter(|said| !said.trim().is_empty())
        .unwrap_or_else(|| status.canonical_reason().unwrap_or("it says nothing of why").to_owned())
}

/// The innermost reason: the outer ones repeat the address.
pub(crate) fn told(error: &reqwest::Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    match error.source() {
        _ if error.is_timeout() => "no answer in time".to_owned(),
        None => "the request could not be sent".to_owned(),
        Some(_) => reason.to_string(),
    }
}

/// Anything from 0 to 1.
fn share() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}
