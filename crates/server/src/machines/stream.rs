//! The event stream that clients get: replayed from the copy, then live, without a gap and without
//! a duplicate. A client that is slow reads from the copy again; nothing is kept for it.

use super::{Machine, feed};
use crate::{
    api_error::ApiError,
    auth::{caller::Caller, pass::Pass},
    event_stream::event_stream,
    state::App,
};
use async_stream::stream;
use axum::{body::Body, http::HeaderMap, response::Response};
use bytes::Bytes;
use serde_json::json;
use std::{convert::Infallible, sync::Arc, time::Duration};
use toft_model::id::SessionId;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};

/// Between two comments on a quiet stream, so that proxies keep it open.
const PING: Duration = Duration::from_secs(15);
/// Events read from the copy at once.
const PAGE_ROWS: u32 = 512;
/// About as many bytes at once.
const PAGE_BYTES: usize = 1 << 20;
/// How far a client may be ahead of the copy: it read a number in an answer of the bridge's own, and
/// the copy has it a moment later. One further ahead names no event of this project.
const AHEAD_MAX: u64 = 512;

/// Where to start and what to leave out.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    after: Option<u64>,
    session: Option<String>,
}

impl Wish {
    /// From query and `Last-Event-ID`; the header wins, because a reconnecting browser repeats the
    /// address as it was.
    pub(crate) fn read(query: Option<&str>, headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut wish = Self::default();
        for (name, value) in query.unwrap_or_default().split('&').filter_map(|p| p.split_once('='))
        {
            match name {
                "after" => wish.after = Some(number("after", value)?),
                "session" | "sessionId" => {
                    let id: SessionId =
                        value.parse().map_err(|e| ApiError::invalid(format!("session: {e}")))?;
                    wish.session = Some(id.as_str().to_owned());
                }
                _ => {}
            }
        }
        if let Some(last) = headers.get("last-event-id").filter(|v| !v.is_empty()) {
            wish.after = Some(number("Last-Event-ID", last.to_str().unwrap_or("?"))?);
        }
        Ok(wish)
    }

    fn wants(&self, session: Option<&str>) -> bool {
        self.session.is_none() || self.session.as_deref() == session
    }
}

fn number(name: &str, value: &str) -> Result<u64, ApiError> {
    value.parse().map_err(|_| {
        ApiError::invalid(format!("{name} must be the number of an event, or be left out"))
    })
}

/// The stream of a project.
pub(crate) async fn events(
    app: &App,
    machine: &Arc<Machine>,
    caller: &Caller,
    wish: Wish,
) -> Result<Response, ApiError> {
    // Listen first, then look where the copy ends: nothing can fall in between.
    let mut bursts = machine.feed.subscribe();
    let head = app.store.head(&machine.id).await?.seq;
    let mut hello =
        json!({"type": "hello", "seq": head, "project": machine.id, "version": app.version})
            .to_string();
    hello.insert_str(0, "retry: 1000\nevent: hello\ndata: ");
    hello.push_str("\n\n");

    let app = app.clone();
    let machine = Arc::clone(machine);
    let over = Pass::of(caller).over(&app);
    let body = stream! {
        yield Ok::<_, Infallible>(Bytes::from(hello));
        let after = wish.after.unwrap_or(head);
        // What the client has is not sent again when the copy gets it, too.
        let known = if after <= head.saturating_add(AHEAD_MAX) { after } else { head };
        let mut last = known.min(head);
        let mut behind = last < head;
        let mut over = std::pin::pin!(over);
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        loop {
            while behind {
                let page = app.store.events_after(&machine.id, last, PAGE_ROWS, PAGE_BYTES).await;
                let Ok(page) = page else { return };
                behind = !page.is_empty();
                let mut text = String::new();
                for event in &page {
                    last = event.seq;
                    if event.seq > known && wish.wants(event.session.as_deref()) {
                        feed::write(&mut text, event);
                    }
                }
                if !text.is_empty() {
                    yield Ok(Bytes::from(text));
                }
            }
            tokio::select! {
                burst = bursts.recv() => match burst {
                    Ok(burst) => {
                        let wanted = |seq, session: Option<&str>| seq > known && wish.wants(session);
                        match burst.after(last, wanted) {
                            feed::Next::Send(pieces, to) => {
                                last = to;
                                for bytes in pieces {
                                    yield Ok(bytes);
                                }
                            }
                            feed::Next::Read => behind = true,
                        }
                    }
                    Err(RecvError::Lagged(_)) => behind = true,
                    Err(RecvError::Closed) => return,
                },
                _ = ping.tick() => {
                    // A deleted project's stream ends here at the latest.
                    if app.machines.get(&machine.id).is_none() {
                        return;
                    }
                    yield Ok(Bytes::from_static(b": ping\n\n"));
                }
                () = &mut over => return,
                () = app.stop.token().cancelled() => return,
            }
        }
    };
    Ok(event_stream(Body::from_stream(body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_stream_starts_where_it_was_left() {
        let read = |query: &str, header: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("last-event-id", HeaderValue::from_str(value).unwrap());
            }
            Wish::read(Some(query), &headers).map(|w| (w.after, w.session))
        };
        assert_eq!(read("", None).unwrap(), (None, None));
        assert_eq!(read("after=7&session=s-1", None).unwrap(), (Some(7), Some("s-1".into())));
        assert_eq!(read("sessionId=s-1", None).unwrap().1, Some("s-1".into()));
        assert_eq!(read("after=7", Some("9")).unwrap().0, Some(9));
        assert!(read("after=-1", None).is_err());
        assert!(read("session=../x", None).is_err());
        assert!(read("", Some("garbage")).is_err());
    }
}
