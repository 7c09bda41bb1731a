//! Events from a machine into the copy: checked, stored, then sent to clients. What comes from
//! inside is bounded and typed here; nothing of it is trusted beyond that.

use super::{
    Machine, copy,
    sse::{EVENT_BYTES_MAX, SseEvent},
};
use crate::{checkpoints::auto, state::App};
use serde::Deserialize;
use std::{borrow::Cow, time::Duration};
use toft_model::{event::wire_data, id::SessionId};
use toft_store::{NewEvent, SnapshotKind, StoreError};

/// Longest name of a kind.
const KIND_CHARS_MAX: usize = 64;
/// Pause before a full disk or a locked database is tried again; the bridge waits meanwhile.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What came of taking events in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All are in the copy.
    All,
    /// A number was skipped: ask again from the end of the copy.
    Gap,
    /// The project is gone.
    NoProject,
}

/// A field of wire data; reading it checks the rest.
#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow, rename = "sessionId", default)]
    session: Option<Cow<'a, str>>,
}

/// One line of an event log.
#[derive(Deserialize)]
struct Line {
    seq: u64,
    /// Lines of early versions have none.
    #[serde(default)]
    ts: u64,
    #[serde(default)]
    session: Option<String>,
    kind: String,
    #[serde(default)]
    data: serde_json::Value,
}

/// An event of the stream as it is kept. `None`: it is none (no number, a bad kind).
pub(crate) fn from_stream(came: SseEvent, now_ms: u64) -> Option<NewEvent> {
    let seq = came.id?;
    if !good_kind(&came.kind) {
        return None;
    }
    let (session, data) = if came.omitted {
        (None, omitted(&came.kind, now_ms, "it was larger than 8 MiB"))
    } else {
        match serde_json::from_str::<Peek<'_>>(&came.data) {
            Ok(peek) => (good_session(peek.session.as_deref()), one_line(came.data)),
            Err(_) => (None, omitted(&came.kind, now_ms, "it was no JSON object")),
        }
    };
    Some(NewEvent { seq, ts: now_ms, session, kind: came.kind, data })
}

/// A line of the log as it is kept. `None`: it is none.
pub(crate) fn from_line(line: &[u8]) -> Option<NewEvent> {
    let line: Line = serde_json::from_slice(line).ok()?;
    if !good_kind(&line.kind) {
        return None;
    }
    let data = wire_data(&line.kind, line.session.as_deref(), line.ts, line.data).to_string();
    (data.len() <= EVENT_BYTES_MAX).then_some(NewEvent {
        seq: line.seq,
        ts: line.ts,
        session: good_session(line.session.as_deref()),
        kind: line.kind,
        data,
    })
}

/// A session's id, if it is one: it becomes a key in memory and in the database.
fn good_session(text: Option<&str>) -> Option<String> {
    Some(text?.parse::<SessionId>().ok()?.as_str().to_owned())
}

fn good_kind(kind: &str) -> bool {
    (1..=KIND_CHARS_MAX).contains(&kind.len())
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn one_line(data: String) -> String {
    if !data.contains(['\n', '\r']) {
        return data;
    }
    // JSON may hold line breaks between its parts, never within a text.
    data.replace(['\n', '\r'], " ")
}

fn omitted(kind: &str, now_ms: u64, why: &str) -> String {
    wire_data(kind, None, now_ms, serde_json::json!({ "omitted": why })).to_string()
}

/// Stores events and sends them on. Waits while the disk is full.
pub(crate) async fn take(app: &App, machine: &Machine, events: &[NewEvent]) -> Taken {
    if events.is_empty() {
        return Taken::All;
    }
    let _turn = machine.taking.lock().await;
    let added = loop {
        match app.store.append_events(&machine.id, events).await {
            Ok(added) => break added,
            Err(StoreError::Missing { .. }) => return Taken::NoProject,
            Err(error) => {
                tracing::warn!(project.id = %machine.id, %error, "events wait to be stored");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    };
    let runs = runs(events, added.before, added.head);
    for run in &runs {
        machine.feed.publish(run);
        app.traces.came(&machine.id, run);
    }
    if let Some(seq) = added.tampered.first() {
        tracing::error!(project.id = %machine.id, event.seq = seq,
            "the machine sent other content under a known event number; the copy keeps the first");
        machine.view().tampered.get_or_insert(*seq);
    }
    for event in runs.into_iter().flatten() {
        react(app, machine, event).await;
    }
    if added.gap.is_some() { Taken::Gap } else { Taken::All }
}

/// Those that were kept, in stretches without a gap. A number that came again, maybe with other content, is
/// not among them.
fn runs(events: &[NewEvent], before: u64, head: u64) -> Vec<&[NewEvent]> {
    let (mut runs, mut last, mut left) = (Vec::new(), before, events);
    while last < head
        && let Some(at) = left.iter().position(|e| e.seq == last + 1)
    {
        let length = (last + 1..=head).zip(&left[at..]).take_while(|(n, e)| e.seq == *n).count();
        let (run, later) = left[at..].split_at(length);
        last += length as u64;
        runs.push(run);
        left = later;
    }
    runs
}

/// What events mean for what the server knows of a project.
async fn react(app: &App, machine: &Machine, event: &NewEvent) {
    match event.kind.as_str() {
        // By far the most: nothing to do.
        "message_update" | "tool_update" => return,
        "agent_start" | "agent_end" | "question" | "answered" | "auto_retry_start"
        | "auto_retry_end" | "plan_ready" | "plan_settled" => {
            machine.view().statuses.take(&event.kind, event.session.as_deref(), &event.data);
        }
        "message_end" => auto::on_message(app, machine, event),
        "mcp_server" => app.mcp.due.heard(&machine.id, &event.data),
        "inspect" => {
            if let Some(rows) = copy::rows_of(&event.data) {
                keep(app, machine, SnapshotKind::Inspect, &rows).await;
            }
            return;
        }
        _ => {}
    }
    match event.kind.as_str() {
        "agent_start"
        | "agent_end"
        | "session_created"
        | "session_switched"
        | "session_info_changed"
        | "model_change"
        | "thinking_level_change"
        | "mode_change"
        | "plan_ready"
        | "plan_settled"
        | "app_port"
        | "queue_update"
        | "compaction_end" => machine.stale.notify_one(),
        _ => {}
    }
    if matches!(event.kind.as_str(), "agent_start" | "agent_end") {
        let now = app.clock.now_ms();
        machine.used(now);
        if let Err(error) = app.store.touch_project(&machine.id, now).await {
            tracing::warn!(project.id = %machine.id, %error, "activity was not written down");
        }
    }
}

/// Keeps a bridge's answer for when the machine does not run.
pub(crate) async fn keep(app: &App, machine: &Machine, kind: SnapshotKind, json: &str) {
    let now = app.clock.now_ms();
    if let Err(error) = app.store.put_snapshot(&machine.id, kind, json, now).await {
        tracing::warn!(project.id = %machine.id, %error, "an answer was not kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sse(kind: &str, data: &str) -> SseEvent {
        SseEvent { id: Some(1), kind: kind.into(), data: data.into(), omitted: false }
    }

    #[test]
    fn the_stream_and_the_log_give_the_same_event() {
        use toft_model::event::{Event, EventBody, Notify};
        let event = Event {
            seq: 1,
            ts: 5,
            session: Some("s1".parse().unwrap()),
            body: EventBody::Notify(Notify {
                message: "line one\nline two".into(),
                level: "info".into(),
                refresh_iframe: false,
                tool_call_id: None,
            }),
        };
        let streamed =
            from_stream(sse(event.body.kind(), &event.wire_data().to_string()), 5).unwrap();
        assert_eq!(from_line(event.to_line().as_bytes()).unwrap(), streamed);
        assert_eq!(streamed.session.as_deref(), Some("s1"));
        assert!(streamed.data.contains(r#""ts":5"#), "{}", streamed.data);
    }

    #[test]
    fn what_came_again_is_not_told_again() {
        let told = |numbers: &[u64], before, head| {
            let one =
                |seq| from_stream(SseEvent { id: Some(seq), ..sse("notify", "{}") }, 1).unwrap();
            let events: Vec<NewEvent> = numbers.iter().copied().map(one).collect();
            let runs = runs(&events, before, head);
            runs.iter().map(|run| run.iter().map(|e| e.seq).collect()).collect::<Vec<Vec<u64>>>()
        };
        assert_eq!(told(&[1, 2, 3], 0, 3), [[1, 2, 3]]);
        assert_eq!(told(&[1, 2, 3, 2, 2, 4, 5, 1], 1, 5), [[2, 3], [4, 5]]);
        // The copy ends where a number was skipped, though it came later.
        assert_eq!(told(&[3, 4, 6, 5], 2, 4), [[3, 4]]);
        assert_eq!(told(&[1, 2], 2, 2), Vec::<Vec<u64>>::new());
    }

    #[test]
    fn a_line_of_an_early_version_has_no_time_and_is_kept() {
        let kept = from_line(br#"{"seq":4,"kind":"agent_start","data":{}}"#).unwrap();
        assert_eq!((kept.seq, kept.ts), (4, 0));
        assert_eq!(kept.data, r#"{"type":"agent_start"}"#);
    }

    #[test]
    fn what_is_no_event_is_not_kept_and_bad_data_is_not_passed_on() {
        assert_eq!(from_stream(SseEvent { id: None, ..sse("hello", "{}") }, 1), None);
        assert_eq!(from_stream(sse("a\nevent: forged", "{}"), 1), None);
        assert_eq!(from_stream(sse("", "{}"), 1), None);
        assert!(from_line(b"{\"seq\":1").is_none());
        let long = "s".repeat(1 << 20);
        for session in ["../../x", "a b", long.as_str()] {
            let data = serde_json::json!({"sessionId": session}).to_string();
            assert_eq!(from_stream(sse("agent_start", &data), 1).unwrap().session, None);
            let line = serde_json::json!({"seq":1,"ts":1,"kind":"x","session":session,"data":{}});
            assert_eq!(from_line(line.to_string().as_bytes()).unwrap().session, None);
        }
        let kept = from_stream(sse("notify", "no json\n\nevent: forged"), 1).unwrap();
        assert!(kept.data.contains("omitted") && !kept.data.contains("forged"), "{}", kept.data);
        let kept = from_stream(sse("notify", "{\"a\":\n1}"), 1).unwrap();
        assert_eq!(kept.data, "{\"a\": 1}");
    }
}
