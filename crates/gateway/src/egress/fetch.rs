//! A request that the server makes for a project, as a program of its machine would make it: judged by the
//! same level, dialled at addresses that were checked, in the same log. TLS always, one answer, no redirect
//! followed: where it leads is the server's to judge. For addresses that a stranger has named.

use super::{
    admit::{admit, connect},
    log::Log,
};
use crate::{
    api_error::{ApiError, Code},
    brokered::Protocol,
    control::fetch::{Fetch, Fetched},
    machine::{HEAD_BYTES_MAX, HEADERS_MAX, Machine},
    records::egress_log::Via,
    state::State,
};
use bytes::Bytes;
use http::{Request, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use toft_policy::HostPort;
use toft_vault::Secret;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// From the request to the end of the answer.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Bytes of an answer: documents of a few kilobytes are asked for.
const BODY_BYTES_MAX: usize = 256 * 1024;

const HTTPS_PORT: u16 = 443;

/// Makes one.
pub(crate) async fn fetch(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    asked: Fetch,
) -> Result<Fetched, ApiError> {
    let (target, request) = understood(&asked)?;
    let mut log = admit(state, machine, &target, Via::Https)?;
    let work = exchange(state, machine, &target, request, asked.head_only, &mut log);
    match timeout(TIME_MAX, work).await {
        Ok(Ok(fetched)) => {
            log.finish(None);
            Ok(fetched)
        }
        Ok(Err(error)) => {
            log.finish(Some(error.code.as_str()));
            Err(error)
        }
        Err(_) => {
            log.finish(Some("idle_timeout"));
            let message = format!("{target} did not answer within 20 s.");
            Err(ApiError::new(Code::UpstreamTimeout, message))
        }
    }
}

/// Whom it is for, and what is sent. The words quote nothing: it may hold a token.
fn understood(asked: &Fetch) -> Result<(HostPort, Request<Full<Bytes>>), ApiError> {
    let invalid = |what: &str| ApiError::new(Code::InvalidRequest, what);
    let uri: Uri = asked.url.parse().map_err(|_| invalid("This is no URL."))?;
    let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTPS));
    let authority = authority.ok_or_else(|| invalid("Only https:// is fetched."))?;
    if authority.as_str().contains('@') {
        return Err(invalid("A URL with a name or password in it is not fetched."));
    }
    let target = HostPort::parse(authority.as_str(), Some(HTTPS_PORT))
        .map_err(|_| invalid("The URL names no host that can be reached."))?;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder().method(&*asked.method).uri(path);
    request = request.header(header::HOST, authority.as_str()).header(header::USER_AGENT, "Toft");
    for (name, value) in &asked.headers {
        request = request.header(name, value.expose());
    }
    let body = asked.body.as_ref().map(|body| Bytes::copy_from_slice(body.expose().as_bytes()));
    let request = request
        .body(Full::new(body.unwrap_or_default()))
        .map_err(|_| invalid("This is no HTTP request."))?;
    Ok((target, request))
}

async fn exchange(
    state: &Arc<State>,
    machine: &Arc<Machine>,
    target: &HostPort,
    request: Request<Full<Bytes>>,
    head_only: bool,
    log: &mut Log,
) -> Result<Fetched, ApiError> {
    let broke = |why: &dyn std::fmt::Display| {
        let message = format!("{target} broke the connection ({why}).");
        ApiError::new(Code::UpstreamUnreachable, message)
    };
    let stream = connect(state, machine, target, log).await?;
    let secured = state.roots.connect(target, stream, &[Protocol::Http1]).await?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let shaken = builder.handshake(TokioIo::new(secured.stream)).await;
    let (mut sender, driver) = shaken.map_err(|e| broke(&e))?;
    // Ends with this request.
    let _driver = AbortOnDropHandle::new(tokio::spawn(driver));
    let response = sender.send_request(request).await.map_err(|e| broke(&e))?;
    let (head, body) = response.into_parts();
    let headers = head.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), Secret::new(value.to_str().ok()?)))
    });
    let headers = headers.collect();
    let status = head.status.as_u16();
    if head_only {
        return Ok(Fetched { status, headers, body: Secret::default() });
    }
    let bytes = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|why| broke(&why))?;
    let text = String::from_utf8(bytes.to_bytes().to_vec())
        .map_err(|_| broke(&"its answer is no text"))?;
    Ok(Fetched { status, headers, body: Secret::new(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Option<&str>) {
        let asked = Fetch { method: "GET".into(), url: url.into(), ..Fetch::default() };
        let found = understood(&asked).ok().map(|(target, _)| target.to_string());
        assert_eq!(found.as_deref(), expected, "{url}");
    }

    #[test]
    fn only_what_names_one_host_over_tls_is_fetched() {
        check("https://auth.example.com/.well-known/x?y", Some("auth.example.com:443"));
        check("https://auth.example.com:8443", Some("auth.example.com:8443"));
        for refused in [
            "http://auth.example.com/",
            "file:///etc/passwd",
            "/relative",
            "https://name:word@auth.example.com/",
            "https://auth.example.com@evil.test/",
            "https:///x",
            "https://0x7f.1/",
        ] {
            check(refused, None);
        }
    }
}
