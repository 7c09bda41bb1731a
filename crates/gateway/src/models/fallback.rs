//! One question, put to a model, and to those that stand in for it while it cannot be had. Each of them is
//! a call of its own, granted and written down; none is asked once a byte of an answer is on its way to
//! the program. What is remembered of who was down is in `circuit`.

use super::{
    Asker, Body,
    call::Left,
    choose::{Choice, Chosen},
    endpoint::Ask,
    first,
    late::soon_or_late,
    probe::own_words,
    reading::renamed,
    refused,
    road::Road,
    translate::{Asks, label, translated},
    way::{Aim, Way},
};
use crate::{
    api_error::{ApiError, Code},
    circuit::Pass,
    limits::held::Place,
    limits::pace::Leave,
    state::State,
    understood::Config,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use toft_llm::answering::{WireFormat, failure};
use toft_model::id::ProjectId;

/// What was asked, where, and by whom.
pub(super) struct Question {
    pub(super) state: Arc<State>,
    pub(super) asker: Asker,
    pub(super) leave: Arc<Leave>,
    pub(super) parts: Parts,
    pub(super) ask: Ask,
    /// Whose path it came to, and what came after that, with its query.
    pub(super) of_path: String,
    pub(super) path: String,
    /// The model as it was named.
    pub(super) named: String,
}

/// A body that may be sent more than once.
struct Whole {
    bytes: Bytes,
    held: Option<Arc<Place>>,
}

/// A model that gave no answer.
struct Failed {
    /// `PROVIDER/MODEL`.
    name: String,
    /// Why, for people.
    words: String,
    /// It cannot be had now: neither the question is at fault, nor who may ask it.
    down: bool,
    /// When to ask it again, where its provider says so.
    wait: Option<Duration>,
    said: Said,
}

/// What the program would have been told.
enum Said {
    Own(ApiError),
    Answer(StatusCode, HeaderMap, Bytes),
}

/// Asks until one answers, and keeps a program that wants a stream of events company meanwhile. `held`: the
/// body's place, as long as it may be sent again, and as long as somebody works on it.
pub(super) async fn ask(
    question: Question,
    chosen: Choice,
    others: Vec<Choice>,
    body: Bytes,
    held: Option<Place>,
) -> Result<Response<Body>, ApiError> {
    let (format, wants_events) = (question.ask.format, question.wants_events(&body));
    let label = label(chosen.info()?.0, &question.named);
    let body = Whole { bytes: body, held: held.map(Arc::new) };
    let answer = ask_in_turn(question, chosen, others, body);
    if wants_events { soon_or_late(format, label, answer).await } else { answer.await }
}

/// The chosen one is asked in the end whatever is remembered of it: nobody
/// is refused from memory.
async fn ask_in_turn(
    question: Question,
    chosen: Choice,
    others: Vec<Choice>,
    body: Whole,
) -> Result<Response<Body>, ApiError> {
    let config = question.state.config();
    let circuits = &question.state.circuits;
    let patience = question.patience(&config, &body.bytes);
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    let mut left = others.len();
    let mut chosen_failed = None;
    if let Some(pass) = circuits.enter(&chosen.name()) {
        match question.put(&config, &chosen, &body, pass, patience, true).await {
            Ok(answer) => return Ok(answer),
            Err(why) if !why.down => return why.told(question.ask.format, "", None),
            Err(why) => chosen_failed = Some(why),
        }
    }
    for other in &others {
        left -= 1;
        let Some(pass) = circuits.enter(&other.name()) else {
            skipped.push(other.name());
            continue;
        };
        // The last one may take its time.
        let patience = patience.filter(|_| left > 0 || chosen_failed.is_none());
        match question.put(&config, other, &body, pass, patience, false).await {
            Ok(answer) => return Ok(answer),
            Err(why) => failed.push(why),
        }
    }
    let first = if let Some(why) = chosen_failed {
        why
    } else {
        let pass = circuits.force(&chosen.name());
        match question.put(&config, &chosen, &body, pass, None, true).await {
            Ok(answer) => return Ok(answer),
            Err(why) if !why.down => return why.told(question.ask.format, "", None),
            Err(why) => why,
        }
    };
    let wait = failed.iter().chain([&first]).filter_map(|why| why.wait).min();
    first.told(question.ask.format, &in_vain(&failed, &skipped), wait)
}

/// Who else was asked, for people.
fn in_vain(failed: &[Failed], skipped: &[String]) -> String {
    let failed: Vec<String> =
        failed.iter().map(|why| format!("{} ({})", why.name, why.words)).collect();
    let sentence = |what: &str, names: String| match names.as_str() {
        "" => names,
        _ => format!(" {what}: {names}."),
    };
    let asked = sentence("Asked in its place, in vain", failed.join("; "));
    asked + &sentence("Not asked, because down a moment ago", skipped.join(", "))
}

impl Question {
    /// How long to wait for the first byte of a stream.
    fn patience(&self, config: &Config, body: &[u8]) -> Option<Duration> {
        let seconds = config.fallbacks.first_byte_s;
        let streams = match &self.ask.in_path {
            Some(in_path) => in_path.streams(),
            None => streams(body),
        };
        // An answer in one piece begins when all of it is there.
        (streams && seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    fn wants_events(&self, body: &[u8]) -> bool {
        match &self.ask.in_path {
            Some(in_path) => {
                in_path.streams_events(self.path.split_once('?').map_or("", |(_, query)| query))
            }
            None => streams(body),
        }
    }

    /// Puts it to one model.
    async fn put(
        &self,
        config: &Config,
        choice: &Choice,
        body: &Whole,
        pass: Pass,
        patience: Option<Duration>,
        chosen: bool,
    ) -> Result<Response<Body>, Failed> {
        let left = Left::default();
        let answer = async {
            let answer = self.send(config, choice, body, left.clone(), chosen).await;
            self.judge(choice, answer, &left, chosen).await
        };
        let mut answer = std::pin::pin!(answer);
        let answer = match patience {
            Some(patience) => {
                if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
                    answer
                } else {
                    // Its call ends with this function, and its record says why.
                    left.silent();
                    Err(silent(choice, patience))
                }
            }
            None => answer.await,
        };
        match &answer {
            Ok(_) => pass.up(),
            Err(why) if why.down => {
                pass.down(why.wait);
                tracing::warn!(
                    project.id = self.asker.project().as_ref().map(ProjectId::as_str),
                    model = why.name,
                    reason = why.words,
                    "a model cannot be had"
                );
            }
            Err(_) => {}
        }
        answer
    }

    async fn send(
        &self,
        config: &Config,
        choice: &Choice,
        Whole { bytes: body, held }: &Whole,
        left: Left,
        chosen: bool,
    ) -> Result<Response<Body>, ApiError> {
        let (state, asker, leave) = (&self.state, &self.asker, Arc::clone(&self.leave));
        let road = Road::of(config, choice, &self.ask, &self.of_path, &self.path, &self.named)?;
        let headers = &self.parts.headers;
        let (Road::Pass(path), Chosen::Provider(provider)) = (road, &choice.chosen) else {
            let asks = Asks { state, asker, leave, headers, left };
            // As the program named it; what stands in for it goes by its own name.
            let named = if chosen { &self.named } else { &choice.model };
            let query = self.path.split_once('?').map_or("", |(_, query)| query);
            let (ask, body, held) = (self.ask.clone(), body.clone(), held.clone());
            return translated(asks, choice, ask, named, query, body, held).await;
        };
        let method = self.parts.method.clone();
        let body = match &self.ask.in_path {
            None if choice.model != self.named => renamed(body, &choice.model).map(Bytes::from),
            Some(_) | None => None,
        }
        .unwrap_or_else(|| body.clone());
        let mut headers = headers.clone();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let provider = Arc::clone(provider);
        let aim = Aim { provider, path: &path, model: Some(&choice.model), left };
        let way = Way::open(state, asker, leave, &headers, &method, aim)?;
        way.send(method, &path, headers, Full::new(body)).await
    }

    /// Whether it is an answer. Of who stands in for another every refusal is none: the next one may do it.
    async fn judge(
        &self,
        choice: &Choice,
        answer: Result<Response<Body>, ApiError>,
        left: &Left,
        chosen: bool,
    ) -> Result<Response<Body>, Failed> {
        let name = choice.name();
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                let down = matches!(error.code, Code::UpstreamUnreachable | Code::UpstreamTimeout);
                let words = error.message.clone();
                return Err(Failed { name, words, down, wait: None, said: Said::Own(error) });
            }
        };
        let status = response.status();
        let down = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
        if !down && (chosen || status.as_u16() < 400) {
            return first::begun(response, left).await.map_err(|words| {
                // It has a status that says otherwise: the program gets one that is true.
                let code = StatusCode::SERVICE_UNAVAILABLE;
                let body =
                    failure::body(self.ask.format, code.as_u16(), "overloaded", &words).to_string();
                let said = Said::Answer(code, HeaderMap::new(), body.into());
                Failed { name, words, down: true, wait: None, said }
            });
        }
        let (parts, body) = response.into_parts();
        let body = refused::read(body).await;
        let mut said = own_words(&body);
        if said.is_empty() {
            said.push_str("without a word");
        }
        let words = format!("answered {}: {said}", status.as_u16());
        let wait = toft_llm::asked_to_wait(&parts.headers);
        Err(Failed { name, words, down, wait, said: Said::Answer(status, parts.headers, body) })
    }
}

fn silent(choice: &Choice, patience: Duration) -> Failed {
    let words = format!("did not begin to answer within {} s", patience.as_secs());
    let name = choice.name();
    let error = ApiError::new(Code::UpstreamTimeout, format!("{name} {words}. Try again."));
    Failed { name, words, down: true, wait: None, said: Said::Own(error) }
}

/// Whether a body asks for a stream.
fn streams(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Asked {
        #[serde(default)]
        stream: Option<bool>,
    }
    serde_json::from_slice::<Asked>(body).is_ok_and(|asked| asked.stream == Some(true))
}

impl Failed {
    /// The program's answer: what the model's provider said, and what was tried beside it.
    fn told(
        self,
        format: WireFormat,
        also: &str,
        wait: Option<Duration>,
    ) -> Result<Response<Body>, ApiError> {
        let (status, mut headers, body) = match self.said {
            Said::Own(error) => {
                let error = error.and_said(also);
                return Err(wait.into_iter().fold(error, ApiError::retry_after));
            }
            Said::Answer(status, headers, body) => (status, headers, body),
        };
        let body = if also.is_empty() { body } else { with_words(format, status, &body, also) };
        headers.remove(header::TRANSFER_ENCODING);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if !also.is_empty() || !headers.contains_key(header::CONTENT_TYPE) {
            headers.remove(header::CONTENT_ENCODING);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(wait) = wait {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let mut response = Response::new(Body::Own(Full::new(body)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// A provider's refusal with more in its message, all else as it is.
fn with_words(format: WireFormat, status: StatusCode, body: &[u8], also: &str) -> Bytes {
    let mut value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let place = ["/error/message", "/0/error/message", "/message"]
        .into_iter()
        .find(|place| value.pointer(place).is_some_and(Value::is_string));
    if let Some(Value::String(message)) = place.and_then(|place| value.pointer_mut(place)) {
        message.push_str(also);
        return value.to_string().into();
    }
    let words = format!("{}{also}", own_words(body));
    failure::body(format, status.as_u16(), "provider_error", words.trim()).to_string().into()
}
