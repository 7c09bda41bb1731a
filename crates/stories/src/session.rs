//! Following a conversation from outside: the project's event stream, and waiting for what should
//! happen. Checks on the way that numbers have no gap and never repeat.

use crate::toft::{STEP_TIMEOUT, Toft};
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// One event as a client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Number.
    pub seq: u64,
    /// SSE event name.
    pub kind: String,
    /// `data`.
    pub data: Value,
}

/// A client's view of a project's events.
pub struct Follow {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buf: Vec<u8>,
    /// Last number seen.
    pub last: u64,
}

impl Follow {
    /// Follows from after a number; 0 is everything.
    pub async fn from(toft: &Toft, project: &str, after: u64) -> Result<Self> {
        let url = format!("{}/v1/projects/{project}/toft/events?after={after}", toft.base);
        Self::open(toft.http().get(url).bearer_auth(&toft.token), after).await
    }

    /// The same by `Last-Event-ID`, as a browser reconnects.
    pub async fn since(toft: &Toft, project: &str, after: u64) -> Result<Self> {
        let url = format!("{}/v1/projects/{project}/toft/events", toft.base);
        let request = toft.http().get(url).bearer_auth(&toft.token);
        Self::open(request.header("last-event-id", after), after).await
    }

    async fn open(request: reqwest::RequestBuilder, after: u64) -> Result<Self> {
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "events answered {}", answer.status());
        Ok(Self { body: answer.bytes_stream().boxed(), buf: Vec::new(), last: after })
    }

    /// The next event; an error when numbers skip or repeat.
    pub async fn next(&mut self) -> Result<Seen> {
        // Pings come all the time: they are no events.
        let until = tokio::time::Instant::now() + STEP_TIMEOUT;
        loop {
            if let Some(end) = self.buf.windows(2).position(|w| w == b"\n\n") {
                let block: Vec<u8> = self.buf.drain(..end + 2).collect();
                if let Some(seen) = parse(std::str::from_utf8(&block)?)? {
                    ensure!(
                        seen.seq == self.last + 1,
                        "event {} follows {}: {seen:?}",
                        seen.seq,
                        self.last
                    );
                    self.last = seen.seq;
                    return Ok(seen);
                }
                continue;
            }
            let chunk = tokio::time::timeout_at(until, self.body.next())
                .await
                .with_context(|| format!("no event after {} for a long time", self.last))?;
            match chunk {
                Some(bytes) => self.buf.extend_from_slice(&bytes.context("the stream broke")?),
                None => bail!("the stream ended after event {}", self.last),
            }
        }
    }

    /// Reads until an event that `wanted` accepts; answers all that came, that one last.
    pub async fn until(&mut self, mut wanted: impl FnMut(&Seen) -> bool) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        loop {
            let event = self.next().await?;
            let done = wanted(&event);
            seen.push(event);
            if done {
                return Ok(seen);
            }
        }
    }

    /// Reads until the agent has nothing more to do.
    pub async fn until_agent_end(&mut self) -> Result<Vec<Seen>> {
        self.until(|e| e.kind == "agent_end").await
    }
}

fn parse(block: &str) -> Result<Option<Seen>> {
    let (mut kind, mut seq, mut data) = (String::new(), None, String::new());
    for line in block.lines() {
        if let Some(v) = line.strip_prefix("event: ") {
            v.clone_into(&mut kind);
        } else if let Some(v) = line.strip_prefix("id: ") {
            seq = Some(v.parse()?);
        } else if let Some(v) = line.strip_prefix("data: ") {
            data.push_str(v);
        }
    }
    let Some(seq) = seq else { return Ok(None) };
    Ok(Some(Seen { seq, kind, data: serde_json::from_str(&data)? }))
}

/// Sends a prompt; answers the session id.
pub async fn prompt(toft: &Toft, project: &str, message: &str) -> Result<String> {
    let path = format!("/v1/projects/{project}/toft/prompt");
    let sent = toft.call("POST", &path, Some(json!({"message": message}))).await?;
    Ok(sent["sessionId"].as_str().context("a prompt has a session")?.to_owned())
}

/// Answers what the agent asks; `question` is its event or its entry in the list.
pub async fn answer(toft: &Toft, project: &str, question: &Value, words: &str) -> Result<()> {
    let id = question.get("id").filter(|id| id.is_string()).unwrap_or(&question["toolCallId"]);
    let path = format!("/v1/projects/{project}/toft/answer");
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        // A bridge that just comes back may not have asked again yet, and one that ends takes its answer along.
        let sent =
            toft.request("POST", &path, Some(json!({ "toolCallId": id, "answer": words }))).await;
        if sent.as_ref().is_ok_and(|(status, _)| *status == 200) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "no answer is taken: {sent:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The transcript without what differs between equal runs: ids, times, durations, pids.
pub async fn transcript(toft: &Toft, project: &str) -> Result<Vec<Value>> {
    messages(toft, &format!("/v1/projects/{project}/toft/messages")).await
}

/// The same of one conversation.
pub async fn transcript_of(toft: &Toft, project: &str, session: &str) -> Result<Vec<Value>> {
    messages(toft, &format!("/v1/projects/{project}/toft/messages?sessionId={session}")).await
}

async fn messages(toft: &Toft, path: &str) -> Result<Vec<Value>> {
    let data = toft.call("GET", path, None).await?;
    let entries = data["messages"].as_array().context("messages is a list")?;
    Ok(entries.iter().map(|entry| plain(&entry["message"])).collect())
}

/// Text of an assistant message as its deltas showed it, restarts honoured, by message id.
pub fn shown_texts(events: &[Seen]) -> std::collections::BTreeMap<String, String> {
    let mut shown = std::collections::BTreeMap::new();
    for event in events {
        let id = event.data["messageId"].as_str().unwrap_or_default().to_owned();
        match event.kind.as_str() {
            "message_restarted" => {
                shown.remove(&id);
            }
            "message_update" if event.data["type"] == "text_delta" => {
                let delta = event.data["delta"].as_str().unwrap_or_default();
                shown.entry(id).or_insert_with(String::new).push_str(delta);
            }
            _ => {}
        }
    }
    shown
}

fn plain(message: &Value) -> Value {
    json!({
        "role": message["role"],
        "content": message["content"],
        "toolCallId": message["toolCallId"],
        "toolName": message["toolName"],
        "isError": message["isError"],
        "stopReason": message["stopReason"],
    })
}
