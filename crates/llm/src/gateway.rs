//! The real [`Transport`]: plain HTTP/1.1 to the model gateway of this machine, with the project
//! token. It knows no provider and no key.
//!
//! The gateway may be restarted at any time. Its listening socket outlives it, so most of the time a
//! new connection just waits; where it is refused or closed before an answer, the request is sent
//! again for a while. An answer that breaks in the middle is the caller's to judge.

use crate::{
    ask::{HttpAnswer, HttpRequest, ModelFailure, Retry, Transport, TransportError},
    call,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{net::IpAddr, time::Duration};
use toft_model::provider::ModelList;

/// Says, with the value [`PATH_PROVIDER`], that the provider of the path is meant whatever the model is
/// called: names with slashes are that provider's own then.
pub const PROVIDER_HEADER: &str = "x-toft-provider";

/// See [`PROVIDER_HEADER`].
pub const PATH_PROVIDER: &str = "path";

/// How long a gateway may be away: it starts in well under a second, but the server that starts it
/// may be restarted too.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Waits between tries begin here and double.
const RETRY_FIRST: Duration = Duration::from_millis(20);

/// Longest wait between tries.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How often a request is sent again when its connection was closed without an answer. Each may
/// have reached the provider and cost money.
const ANSWERLESS_MAX: u32 = 3;

/// Connecting is local; a listener with a full backlog is the only reason to wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections without work are closed after this time; the gateway keeps them longer.
const POOL_IDLE: Duration = Duration::from_mins(1);

/// Bytes of the model list at most; a full catalogue is about 200 KiB.
const LIST_BYTES_MAX: usize = 8 << 20;

/// The gateway makes the list from memory.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// The gateway's address is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayAddressError {
    /// Not `http://ADDRESS[:PORT]`.
    #[error(
        "{0:?} is no address of a model gateway: expected http://ADDRESS or http://ADDRESS:PORT"
    )]
    Url(String),
    /// The token has characters that no header may have.
    #[error("the project token cannot be sent as a header")]
    Token,
}

/// See the module.
#[derive(Clone)]
pub struct GatewayTransport {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    credential: HeaderValue,
    patience: Duration,
}

impl GatewayTransport {
    /// To the gateway at `base_url` (`http://127.77.0.1`), with the project token. An address and no name:
    /// the C library would load for a look-up what the machine's files name.
    pub fn new(base_url: &str, token: &str) -> Result<Self, GatewayAddressError> {
        let base = base_url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| GatewayAddressError::Url(base_url.to_owned()))?;
        let host = uri.host().map(|host| host.trim_matches(['[', ']']));
        let is_address = host.is_some_and(|host| host.parse::<IpAddr>().is_ok());
        if uri.scheme_str() != Some("http") || !is_address {
            return Err(GatewayAddressError::Url(base_url.to_owned()));
        }
        let mut credential = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| GatewayAddressError::Token)?;
        credential.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        Ok(Self { client, base, credential, patience: PATIENCE })
    }

    /// Waits so long for a gateway that is away instead of [`PATIENCE`].
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    fn build(&self, request: HttpRequest) -> Result<http::Request<Full<Bytes>>, TransportError> {
        let mut out = http::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.base, request.path))
            .body(Full::new(request.body))
            .map_err(|e| TransportError::Broken(format!("the request has no valid path: {e}")))?;
        let headers = out.headers_mut();
        *headers = request.headers;
        headers.insert(header::AUTHORIZATION, self.credential.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(PROVIDER_HEADER, HeaderValue::from_static(PATH_PROVIDER));
        Ok(out)
    }
}

impl Transport for GatewayTransport {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, TransportError>> {
        let this = self.clone();
        Box::pin(async move {
            let request = this.build(request)?;
            let give_up = tokio::time::Instant::now() + this.patience;
            let mut wait = RETRY_FIRST;
            let mut answerless = 0;
            loop {
                let error = match this.client.request(request.clone()).await {
                    Ok(answer) => return Ok(streamed(answer)),
                    Err(error) => error,
                };
                let refused = error.is_connect();
                answerless += u32::from(!refused);
                if answerless > ANSWERLESS_MAX || tokio::time::Instant::now() + wait > give_up {
                    let why = deepest(&error);
                    return Err(if refused {
                        TransportError::Connect(why)
                    } else {
                        TransportError::Broken(why)
                    });
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        })
    }
}

fn streamed(answer: http::Response<hyper::body::Incoming>) -> HttpAnswer {
    let (parts, body) = answer.into_parts();
    HttpAnswer {
        status: parts.status,
        headers: parts.headers,
        body: body.into_data_stream().map_err(|e| TransportError::Broken(deepest(&e))).boxed(),
    }
}

/// The innermost cause: the outer ones say only that there is one.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Asks the gateway which models there are.
pub async fn fetch_models(transport: &dyn Transport) -> Result<ModelList, ModelFailure> {
    let request = HttpRequest {
        method: http::Method::GET,
        path: "/llm/models".into(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    let failed = |code: &str, message: String| ModelFailure {
        code: code.into(),
        message,
        retry: Retry::Backoff,
    };
    let fetch = async {
        let answer = transport.send(request).await.map_err(|e| call::broken(&e))?;
        let mut body = Vec::new();
        let mut chunks = answer.body;
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(|e| call::broken(&e))?);
            if body.len() > LIST_BYTES_MAX {
                return Err(failed("bad_answer", "The list of models is too long.".into()));
            }
        }
        if !answer.status.is_success() {
            let words = crate::refusal::Words::of_body(&body).message;
            let message = format!("The model gateway answered {}: {words}", answer.status.as_u16());
            return Err(failed("provider_error", message));
        }
        serde_json::from_slice(&body)
            .map_err(|e| failed("bad_answer", format!("The list of models cannot be read: {e}.")))
    };
    let late = || failed("unreachable", "The model gateway did not answer in time.".into());
    tokio::time::timeout(LIST_TIMEOUT, fetch).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests;
