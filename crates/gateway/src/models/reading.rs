//! A request's body that is read until the model in it is known, or to its end, and then passed on as
//! it came: what was read first, then the rest.

use super::bounds::{IDLE_TIMEOUT, REQUEST_BYTES_MAX, too_large};
use crate::{
    api_error::{ApiError, Code},
    limits::held::{Place, Room},
    meter::ModelFinder,
};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use toft_model::id::ProjectId;
use tokio::time::Instant;

/// See the module.
pub(super) struct Reading {
    first: VecDeque<Bytes>,
    bytes: usize,
    rest: Incoming,
    room: Arc<Room>,
    who: Option<ProjectId>,
    /// For what is in `first`.
    held: Option<Place>,
    /// When it has to have been read, once it takes a place.
    until: Option<Instant>,
}

/// Bytes of each body that need no place: most name their model in them.
const FREE_BYTES: usize = 64 << 10;

/// Largest request that is written anew in another format. It becomes many times as large while it is
/// read, and a million tokens of text with some images fit.
pub(crate) const TRANSLATED_BYTES_MAX: usize = 16 << 20;

/// How long a body that takes a place may be on its way, since others wait for it: 16 MiB at 2 Mbit/s.
const HELD_TIMEOUT: Duration = Duration::from_mins(1);

/// How long to wait for a place: bodies are held for seconds, and a program asks again by itself.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);

impl Reading {
    /// `room`: where the bytes count that are held, and for whom.
    pub(super) fn new(body: Incoming, room: &Arc<Room>, who: Option<ProjectId>) -> Self {
        let room = Arc::clone(room);
        Self { first: VecDeque::new(), bytes: 0, rest: body, room, who, held: None, until: None }
    }

    /// Takes a place for as many bytes in all.
    async fn hold(&mut self, bytes: usize) -> Result<(), ApiError> {
        let held = self.held.as_ref().map_or(FREE_BYTES, |held| FREE_BYTES + held.bytes());
        let more = bytes.saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let place = self.room.take(&self.who, more);
        let Ok(place) = tokio::time::timeout(PLACE_TIMEOUT, place).await else {
            return Err(ApiError::new(
                Code::TooManyCalls,
                "Too many large requests of this project are being read at once: try again in a moment.",
            ));
        };
        self.until.get_or_insert_with(|| Instant::now() + HELD_TIMEOUT);
        match &mut self.held {
            Some(held) => held.merge(place),
            None => self.held = Some(place),
        }
        Ok(())
    }

    /// Reads on; false at the end.
    async fn more(&mut self) -> Result<bool, ApiError> {
        let broke = |why: &str| ApiError::new(Code::InvalidRequest, format!("The body {why}."));
        loop {
            let idle = Instant::now() + IDLE_TIMEOUT;
            let until = self.until.map_or(idle, |until| until.min(idle));
            let frame = tokio::time::timeout_at(until, self.rest.frame());
            let Some(frame) = frame.await.map_err(|_| broke("did not come in time"))? else {
                return Ok(false);
            };
            let frame = frame.map_err(|_| broke("broke off"))?;
            if let Ok(data) = frame.into_data() {
                self.bytes += data.len();
                if self.bytes > REQUEST_BYTES_MAX {
                    return Err(too_large());
                }
                self.hold(self.bytes).await?;
                self.first.push_back(data);
                return Ok(true);
            }
        }
    }

    /// The model that the body names, if it names one.
    pub(super) async fn model(&mut self) -> Result<Option<String>, ApiError> {
        let mut finder = ModelFinder::default();
        while self.more().await? {
            if let Some(data) = self.first.back() {
                finder.feed(data);
            }
            if let Some(model) = finder.model() {
                return Ok(Some(model.to_owned()));
            }
        }
        Ok(None)
    }

    /// All of it, for a translation or a signature, with the place that it takes.
    pub(super) async fn whole(mut self) -> Result<(Bytes, Option<Place>), ApiError> {
        let too_large = || {
            ApiError::new(
                Code::PayloadTooLarge,
                "The request is larger than 16 MiB, which is the most for a model of another format, and \
                 where requests are signed: send less context.",
            )
        };
        // All at once, so that no two wait for each other.
        let bytes = self.size_hint().lower();
        if bytes > TRANSLATED_BYTES_MAX as u64 {
            return Err(too_large());
        }
        self.hold(usize::try_from(bytes).unwrap_or(TRANSLATED_BYTES_MAX)).await?;
        while self.more().await? {
            if self.bytes > TRANSLATED_BYTES_MAX {
                return Err(too_large());
            }
        }
        Ok((self.joined(), self.held.take()))
    }

    /// All of it, where it is no larger than what can be written anew, with the place that it takes; else
    /// it goes on as it was.
    pub(super) async fn small(&mut self) -> Result<Option<(Bytes, Option<Place>)>, ApiError> {
        let bytes = self.size_hint().lower();
        if bytes > TRANSLATED_BYTES_MAX as u64 {
            return Ok(None);
        }
        self.hold(usize::try_from(bytes).unwrap_or(TRANSLATED_BYTES_MAX)).await?;
        while self.more().await? {
            if self.bytes > TRANSLATED_BYTES_MAX {
                return Ok(None);
            }
        }
        Ok(Some((self.joined(), self.held.take())))
    }

    fn joined(&mut self) -> Bytes {
        if let [one] = self.first.make_contiguous() {
            return one.clone();
        }
        let mut all = BytesMut::with_capacity(self.bytes);
        self.first.iter().for_each(|part| all.extend_from_slice(part));
        all.freeze()
    }

    /// With another name for the model where [`Reading::model`] found it; no other byte changes.
    pub(super) fn rename(&mut self, model: &str) {
        let read = self.joined();
        if let Some(renamed) = renamed(&read, model) {
            self.bytes = renamed.len();
            self.first = VecDeque::from([Bytes::from(renamed)]);
        }
    }
}

/// Bytes that are looked through at once.
const STRIDE: usize = 4 << 10;

/// Where the text ends that is the model's name: in great strides, then byte by byte.
fn end_of_model(body: &[u8]) -> Option<usize> {
    let mut finder = ModelFinder::default();
    for (stride, part) in body.chunks(STRIDE).enumerate() {
        let mut slow = finder.clone();
        finder.feed(part);
        if finder.model().is_some() {
            let within = part.iter().position(|byte| {
                slow.feed(std::slice::from_ref(byte));
                slow.model().is_some()
            });
            return Some(stride * STRIDE + within?);
        }
    }
    None
}

/// The same bytes with another model.
pub(crate) fn renamed(body: &[u8], model: &str) -> Option<Vec<u8>> {
    let end = end_of_model(body)?;
    // Between the quotes of a text, every other quote has a backslash before it.
    let escaped = |at: usize| body[..at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1;
    let begin = (0..end).rev().find(|at| body[*at] == b'"' && !escaped(*at))?;
    let name = serde_json::to_vec(model).ok()?;
    Some([&body[..begin], &name, &body[end + 1..]].concat())
}

impl Body for Reading {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(data) = self.first.pop_front() {
            self.bytes -= data.len();
            if self.first.is_empty() {
                self.held = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + self.bytes as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + self.bytes as u64);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn only_the_models_name_changes() {
        for (before, after) in [
            (r#"{ "model" : "a/b", "x":1}"#, r#"{ "model" : "b", "x":1}"#),
            (r#"{"m":[{"model":"no"}],"model":"a\/b"}"#, r#"{"m":[{"model":"no"}],"model":"b"}"#),
            (r#"{"model":"a\\\"/b"}"#, r#"{"model":"b"}"#),
        ] {
            let got = renamed(before.as_bytes(), "b").unwrap();
            assert_eq!(String::from_utf8(got).unwrap(), after);
        }
        assert_eq!(renamed(br#"{"x":1}"#, "b"), None);
    }

    proptest! {
        #[test]
        fn the_rest_means_what_it_meant(
            name in ".{1,30}", to in ".{1,30}", text in ".{0,30}", more in STRIDE - 99..STRIDE,
        ) {
            let more = "x".repeat(more);
            let body = |model: &str| {
                json!({"messages": [text, more], "model": model, "stream": true})
            };
            let before = body(&name).to_string();
            let after = renamed(before.as_bytes(), &to).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&after).unwrap(), body(&to));
        }
    }
}
