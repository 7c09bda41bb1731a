//! A request in one wire format, answered by a model of another: read, asked again through the adapters
//! of `toft_llm`, and written back. The provider's call is one as any other: `way` makes it.

use super::{
    Asker, Body,
    call::Left,
    choose::{Choice, Chosen},
    endpoint::Ask,
    headers,
    way::{Aim, Way},
};
use crate::{
    api_error::{ApiError, Code},
    limits::held::Place,
    limits::pace::Leave,
    state::State,
};
use bytes::Bytes;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use toft_llm::{
    answering::{self, Asked, Encode, Label, WireFormat, failure},
    ask::{
        HttpAnswer, HttpRequest, Model as _, ModelEvent, ModelFailure, ModelRequest, Transport,
        TransportError,
    },
    route::Models,
    scripted::{Pace, Scripted},
};
use toft_model::{id::random_hex, provider::ModelInfo};
use tokio_util::sync::CancellationToken;

/// Bytes of an answer's id.
const ID_BYTES: usize = 12;

type Events = BoxStream<'static, ModelEvent>;

/// Who is asked, and what has to be had for it.
enum By {
    /// A provider, by this way.
    Way(Box<Way>),
    /// The script, which takes a place like any other call.
    Demo(Arc<Leave>),
}

/// Who asks for a translation.
pub(super) struct Asks<'a> {
    pub(super) state: &'a Arc<State>,
    pub(super) asker: &'a Asker,
    pub(super) leave: Arc<Leave>,
    /// Those that say what the call is booked on.
    pub(super) headers: &'a HeaderMap,
    pub(super) left: Left,
}

/// Asks in another format. `named`: the model as the answer is to name it.
pub(super) async fn translated(
    asks: Asks<'_>,
    choice: &Choice,
    ask: Ask,
    named: &str,
    query: &str,
    body: Bytes,
    held: Option<Arc<Place>>,
) -> Result<Response<Body>, ApiError> {
    let format = ask.format;
    let (done, held) = {
        let (choice, named, query) = (choice.clone(), named.to_owned(), query.to_owned());
        // Megabytes of JSON take a while. The place is held also when nobody waits any more.
        let work = move || (read(&choice, &ask, &named, &query, &body), held);
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(ApiError::new(Code::TooManyCalls, "The gateway is ending.")),
            },
        }
    };
    let (asked, label) = done?;
    answer(by(asks, choice)?, choice, format, asked, label, held).await
}

fn by(asks: Asks<'_>, choice: &Choice) -> Result<By, ApiError> {
    let Asks { state, asker, leave, headers, left } = asks;
    let Chosen::Provider(provider) = &choice.chosen else { return Ok(By::Demo(leave)) };
    let provider = Arc::clone(provider);
    // Which path it will be is the adapter's; that it can be reached at all shows at any.
    let aim = Aim { provider, path: "/v1", model: Some(&choice.model), left };
    let way = Way::open(state, asker, leave, headers, &http::Method::POST, aim)?;
    Ok(By::Way(Box::new(way)))
}

/// Reads a request for a model of another format.
fn read(
    choice: &Choice,
    ask: &Ask,
    named: &str,
    query: &str,
    body: &[u8],
) -> Result<(Asked, Label), ApiError> {
    let (info, listed) = choice.info()?;
    if ask.counts {
        let message = format!(
            "{} is a model of another format than this path's, and its provider counts no tokens \
             in it.",
            choice.name()
        );
        return Err(ApiError::new(Code::NotFound, message));
    }
    let asked = answering::read(ask.format, body, info.clone(), listed);
    let mut asked = asked.map_err(|e| ApiError::new(Code::InvalidRequest, e.to_string()))?;
    if let Some(in_path) = &ask.in_path {
        asked.stream = in_path.streams();
        asked.shape.array = !in_path.streams_events(query);
    }
    Ok((asked, label(info, named)))
}

/// `named`: the model as the answer is to name it.
pub(super) fn label(model: ModelInfo, named: &str) -> Label {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Label { id: random_hex(ID_BYTES), created: now.as_secs(), name: named.to_owned(), model }
}

/// Asks and answers. `held`: the place of the request, which is needed until it is sent.
async fn answer(
    by: By,
    choice: &Choice,
    format: WireFormat,
    asked: Asked,
    label: Label,
    held: Option<Arc<Place>>,
) -> Result<Response<Body>, ApiError> {
    let own = Arc::new(Mutex::new(None));
    let (mut events, place) = events(by, choice, asked.request, &own);
    let mut headers = said_of(choice, &asked.dropped.into_iter().collect::<Vec<_>>());
    let first = events.next().await;
    drop(held);
    let first = match first {
        Some(ModelEvent::Done { failure: Some(failure), .. }) => {
            return refused(format, &failure, &own, headers);
        }
        Some(event) => event,
        None => return Err(silent()),
    };
    if asked.stream {
        let json = format == WireFormat::Gemini && asked.shape.array;
        let kind = if json { "application/json" } else { "text/event-stream" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let encoder = answering::encoder(format, label, asked.shape);
        let told = told(stream::iter([first]).chain(events).boxed(), encoder, place);
        return Ok(with(headers, Body::Told(told)));
    }
    let mut event = first;
    let (message, failure) = loop {
        event = match event {
            ModelEvent::Done { message, failure } => {
                // The rest of the provider's answer is its end: now it counts as whole.
                let _ = events.next().await;
                break (message, failure);
            }
            ModelEvent::Delta(_) | ModelEvent::Sealed { .. } => {
                events.next().await.ok_or_else(silent)?
            }
        };
    };
    if let Some(failure) = failure {
        return refused(format, &failure, &own, headers);
    }
    let whole = answering::whole(format, &label, &asked.shape, &message);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(with(headers, Body::Own(Full::new(whole.to_string().into()))))
}

fn events(
    by: By,
    choice: &Choice,
    request: ModelRequest,
    own: &Arc<Mutex<Option<ApiError>>>,
) -> (Events, Option<Arc<Leave>>) {
    // Whoever goes away drops the stream, which ends the call.
    let cancel = CancellationToken::new();
    match (by, &choice.chosen) {
        (By::Way(way), Chosen::Provider(provider)) => {
            let prefix = format!("/llm/{}", provider.info.id);
            let way = Mutex::new(Some(way));
            let transport = Upstream { way, prefix, own: Arc::clone(own) };
            (Models::new(Arc::new(transport)).ask(request, cancel), None)
        }
        (By::Demo(leave), _) => {
            leave.goes_out();
            (Scripted::new(Pace::NATURAL).ask(request, cancel), Some(leave))
        }
        (By::Way(_), Chosen::Demo) => unreachable!("no provider stands behind the demo"),
    }
}

/// One call of a provider, for an adapter.
struct Upstream {
    way: Mutex<Option<Box<Way>>>,
    /// What the adapter's paths begin with.
    prefix: String,
    /// The failure that is the gateway's own.
    own: Arc<Mutex<Option<ApiError>>>,
}

impl Transport for Upstream {
    fn send(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, TransportError>> {
        let way = self.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        let path = request.path.strip_prefix(&self.prefix).unwrap_or(&request.path).to_owned();
        let own = Arc::clone(&self.own);
        Box::pin(async move {
            let Some(way) = way else {
                return Err(TransportError::Broken("a call is made once".to_owned()));
            };
            let mut headers = request.headers;
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
            let sent = way.send(request.method, &path, headers, Full::new(request.body)).await;
            match sent {
                Ok(answer) => {
                    let (parts, body) = answer.into_parts();
                    let broken = |e: crate::tap::BoxError| TransportError::Broken(e.to_string());
                    let body = body.into_data_stream().map_err(broken).boxed();
                    Ok(HttpAnswer { status: parts.status, headers: parts.headers, body })
                }
                Err(error) => {
                    let (parts, _) = error.response().into_parts();
                    let body = stream::iter([Ok(Bytes::from(error.body().to_string()))]).boxed();
                    *own.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Ok(HttpAnswer { status: parts.status, headers: parts.headers, body })
                }
            }
        })
    }
}

/// The answer's bytes, one piece for each event that has some.
fn told(
    events: Events,
    encoder: Box<dyn Encode>,
    place: Option<Arc<Leave>>,
) -> BoxStream<'static, Bytes> {
    stream::unfold((events, encoder, place), |(mut events, mut encoder, place)| async move {
        loop {
            let event = events.next().await?;
            let mut out = String::new();
            encoder.event(&event, &mut out);
            if !out.is_empty() {
                return Some((Bytes::from(out), (events, encoder, place)));
            }
        }
    })
    .boxed()
}

fn refused(
    format: WireFormat,
    failed: &ModelFailure,
    own: &Mutex<Option<ApiError>>,
    mut headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    if let Some(error) = own.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let answer = failure::answer(format, failed);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
    }
    if answer.never {
        // OpenAI's and Anthropic's programs ask it before they look at the status.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    let mut response = with(headers, Body::Own(Full::new(answer.body.to_string().into())));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).expect("the table holds valid statuses");
    Ok(response)
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn silent() -> ApiError {
    ApiError::new(Code::UpstreamUnreachable, "The model's answer ended before it began. Try again.")
}

fn with(headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// Who answers, and what of the request had no place there.
fn said_of(choice: &Choice, dropped: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers::say_model(&mut headers, &choice.name());
    if !dropped.is_empty() {
        headers::say(&mut headers, "x-toft-dropped", &dropped.join(", "));
    }
    headers
}
