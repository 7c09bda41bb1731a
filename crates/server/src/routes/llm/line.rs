//! The line to the gateway for calls from outside: one connection per call, which ends with it, in
//! whichever way it ends. Bodies pass as they come.

use super::refusal::{Refusal, Why};
use crate::{auth::pass::Pass, state::App};
use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::{HeaderValue, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::LengthLimitError;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use toft_gateway::folder;
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How long a call waits for a gateway that is just being started again.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Pause between two tries to reach it.
const PAUSE: Duration = Duration::from_millis(20);
/// From the whole request to the head of its answer. The gateway gives a provider 300 s and then
/// answers by itself: this is longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(330);

/// Sends a request to the gateway and answers what it answers, for as long as the right to it lasts.
pub(super) async fn send(app: &App, pass: Pass, mut req: Request) -> Result<Response, Refusal> {
    // HTTP/1.1 wants a host, and the gateway makes its own for the provider.
    req.headers_mut().insert(header::HOST, HeaderValue::from_static("gateway.internal"));
    if let Some(path) = req.uri().path_and_query().cloned() {
        *req.uri_mut() = Uri::from(path);
    }
    let stream = connect(app).await.ok_or_else(|| {
        Refusal::new(
            Why::GatewayUnavailable,
            "The model gateway is being started again: ask again in a second. If that stays so, \
             the server's log says why.",
        )
    })?;
    let (mut sender, line) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| broken())?;
    let over = pass.over(app);
    // How the line ends shows in what it carries.
    let line = AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::select! {
            _ = line => {}
            () = over => {}
        }
    }));
    let answer = match timeout(ANSWER_TIMEOUT, sender.send_request(req)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if is_too_large(&error) => return Err(Refusal::too_large()),
        Ok(Err(_)) | Err(_) => return Err(broken()),
    };
    Ok(answer.map(|body| Body::new(Answer { body, _line: line })))
}

/// A connection to a gateway that has been told what there is to call.
async fn connect(app: &App) -> Option<UnixStream> {
    let found = async {
        loop {
            if app.gateway.get().await.is_some()
                && let Ok(stream) = folder::connect_models(&app.data_dir).await
            {
                return stream;
            }
            sleep(PAUSE).await;
        }
    };
    timeout(WAIT_MAX, found).await.ok()
}

fn broken() -> Refusal {
    Refusal::new(
        Why::GatewayUnavailable,
        "The model gateway ended while it had this call, which may have reached the provider: ask \
         again.",
    )
}

fn is_too_large(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(e) = at {
        if e.is::<LengthLimitError>() {
            return true;
        }
        at = e.source();
    }
    false
}

/// An answer's body. Dropped, it takes the line with it, and so the call at the provider.
struct Answer {
    body: Incoming,
    _line: AbortOnDropHandle<()>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
