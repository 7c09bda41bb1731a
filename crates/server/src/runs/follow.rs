//! The event stream of a run: from its first event, or the one after a known number, to its last. A client that is
//! slow reads from the store again; nothing is kept for it.

use super::feed::{LAST, PAGE_BYTES, PAGE_ROWS, frame, is_last};
use crate::{
    api_error::ApiError,
    auth::{caller::Caller, pass::Pass},
    event_stream::event_stream,
    machines::feed,
    state::App,
};
use async_stream::stream;
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use std::{convert::Infallible, time::Duration};
use toft_model::{id::ProjectId, run::JobId, time::rfc3339};
use toft_store::RunEvent;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};

/// Between two pings on a quiet stream.
const PING: Duration = Duration::from_secs(15);

/// The last event that a client has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Last {
    seq: u64,
    /// It comes back, and says what it was told.
    was_told: bool,
}

/// Where a client is: `Last-Event-ID`, or `?after=` for those that cannot set a header; 0 is the beginning.
pub(crate) fn after(query: Option<&str>, headers: &HeaderMap) -> Result<Last, ApiError> {
    let number = |name: &str, value: &str, was_told| {
        value.parse().map(|seq| Last { seq, was_told }).map_err(|_| {
            ApiError::invalid(format!(
                "{name} must be the number of an event of this run, or be left out"
            ))
        })
    };
    // The header wins, because a reconnecting browser repeats the address as it was.
    if let Some(last) = headers.get("last-event-id").filter(|value| !value.is_empty()) {
        return number("Last-Event-ID", last.to_str().unwrap_or("?"), true);
    }
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    match pairs.into_iter().find(|(name, _)| *name == "after") {
        Some((_, value)) => number("after", value, false),
        None => Ok(Last::default()),
    }
}

/// The stream of a run. Thousands may ask for it at once: the run itself, which may have said megabytes, is not read.
pub(crate) async fn events(
    app: &App,
    caller: &Caller,
    project: &ProjectId,
    id: &JobId,
    last: Last,
) -> Result<Response, ApiError> {
    // Listen first, then look where the run is: nothing can fall in between.
    let feed = app.runs.feed(id);
    let mut bursts = feed.feed.subscribe();
    let now = app.store.run_reached(project, id).await?.ok_or_else(super::missing)?;
    if last.seq > now.last_seq && (now.is_over || !last.was_told) {
        return Err(ApiError::invalid(format!(
            "this run has told {} events: {} is none of them. Leave {} out to get all",
            now.last_seq,
            last.seq,
            if last.was_told { "Last-Event-ID" } else { "after" }
        )));
    }
    // A database that crashed may have lost the last words of a run that works: they are told again, under the same
    // numbers.
    let after = last.seq.min(now.last_seq);
    // What was told before is read by each client that wants it.
    feed.begins_at(now.last_seq).await;
    let over = Pass::of(caller).over(app);
    let named = HeaderValue::from_str(id.as_str());
    let (app, id, project) = (app.clone(), id.clone(), project.clone());
    let body = stream! {
        yield Ok::<_, Infallible>(Bytes::from_static(b"retry: 1000\n\n"));
        let mut last = after;
        let mut is_over = now.is_over && last == now.last_seq;
        let mut behind = last < now.last_seq;
        let mut over = std::pin::pin!(over);
        let mut ping = interval(PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        loop {
            while behind {
                let Ok(page) = app.store.run_events(&id, last, PAGE_ROWS, PAGE_BYTES).await else { return };
                behind = !page.is_empty();
                if let Some(end) = page.last() {
                    last = end.seq;
                    is_over = is_last(&end.event);
                    // Who reads nothing keeps what is on its way to it, and not the page as well.
                    yield Ok(framed(page));
                }
            }
            if is_over {
                return;
            }
            tokio::select! {
                burst = bursts.recv() => match burst {
                    Ok(burst) => match burst.after(last, |_, _| true) {
                        feed::Next::Send(pieces, to) => {
                            is_over = burst.ends_with(LAST);
                            last = to;
                            for bytes in pieces {
                                yield Ok(bytes);
                            }
                        }
                        feed::Next::Read => behind = true,
                    },
                    Err(RecvError::Lagged(_)) => behind = true,
                    Err(RecvError::Closed) => return,
                },
                _ = ping.tick() => {
                    // A deleted project's stream ends here at the latest.
                    if feed.is_gone(&*app.store, &project, PING / 2).await {
                        return;
                    }
                    yield Ok(Bytes::from(pinged(last, &rfc3339(app.clock.now_ms()))));
                }
                () = &mut over => return,
                () = app.stop.token().cancelled() => return,
            }
        }
    };
    let mut answer = event_stream(Body::from_stream(body));
    if let Ok(id) = named {
        answer.headers_mut().insert("x-run-id", id);
    }
    Ok(answer)
}

/// Events as they go over the wire.
fn framed(page: Vec<RunEvent>) -> Bytes {
    let mut text = String::new();
    for event in page {
        feed::write(&mut text, &frame(&event));
    }
    Bytes::from(text)
}

/// A sign of life under the number that was told last, in the frame of all events.
fn pinged(last: u64, ts: &str) -> String {
    let data = json!({ "id": last, "event": "ping", "data": { "ts": ts }, "ts": ts });
    format!("event: ping\nid: {last}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_framed_as_all_events_are_and_moves_no_number() {
        assert_eq!(
            pinged(7, "T"),
            "event: ping\nid: 7\ndata: {\"id\":7,\"event\":\"ping\",\"data\":{\"ts\":\"T\"},\"ts\":\"T\"}\n\n"
        );
    }

    #[test]
    fn where_a_client_is_stands_in_the_header_or_the_query_and_is_a_number() {
        let at = |header: Option<&str>, query: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("last-event-id", value.parse().unwrap());
            }
            after(query, &headers).map(|last| (last.seq, last.was_told)).map_err(|error| error.code)
        };
        assert_eq!(at(None, None), Ok((0, false)));
        assert_eq!(at(None, Some("x=1&after=4")), Ok((4, false)));
        assert_eq!(at(Some("5"), Some("after=4")), Ok((5, true)), "a browser repeats the address");
        assert_eq!(at(Some(""), None), Ok((0, false)));
        for wrong in ["-1", "x", "1.5", "18446744073709551616", " ", "1,2"] {
            let query = format!("after={wrong}");
            assert!(at(Some(wrong), None).is_err() && at(None, Some(&query)).is_err(), "{wrong}");
        }
    }
}
