//! Rows about a long conversation.

use super::{
    Row,
    lab::{Lab, ms},
    rows::WARM_UP,
    socket,
};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::time::Instant;
use toft_model::{id::SessionId, time::rfc3339};

/// Entries of the conversation.
const ENTRIES: usize = 10_000;
/// Each round needs a file that no bridge has seen.
const ROUNDS_MAX: usize = 10;
/// Well below what a request may hold.
const PIECE_BYTES: usize = 512 << 10;
/// Where a machine keeps its conversations.
const FOLDER: &str = "/home/starter/sessions";

/// From the question for a conversation that the bridge has not read yet to the end of its answer, on the bridge's
/// own socket: all messages, and the first page of it as a tree.
pub(super) async fn open_session(rounds: usize) -> Result<Vec<Row>> {
    let lab = Lab::open(&[]).await?;
    let project = lab.project().await?;
    let socket = lab.run_dir(&project).join("bridge.sock");
    socket::get(&socket, "/toft/state").await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = u64::try_from(now.as_millis())?;
    let (mut messages, mut tree) = (Vec::new(), Vec::new());
    for round in 0..rounds.min(ROUNDS_MAX) + WARM_UP {
        for (samples, of_tree) in [(&mut messages, false), (&mut tree, true)] {
            let id = place(&lab, &project, now).await?;
            let path = if of_tree {
                format!("/toft/sessions/{id}/tree")
            } else {
                format!("/toft/messages?sessionId={id}")
            };
            let began = Instant::now();
            let bytes = socket::get(&socket, &path).await?;
            let took = ms(began);
            if bytes < if of_tree { 10_000 } else { ENTRIES * 100 } {
                bail!("{path} was answered with {bytes} bytes only");
            }
            if round >= WARM_UP {
                samples.push(took);
            }
        }
    }
    lab.close().await?;
    Ok(vec![
        Row::new("open_session_10k", "ms", messages),
        Row::new("open_session_10k (tree)", "ms", tree),
    ])
}

/// Puts a conversation into the machine.
async fn place(lab: &Lab, project: &str, now: u64) -> Result<SessionId> {
    let id = SessionId::at(now);
    let stamp = rfc3339(now);
    let mut text = json!({"type": "session", "version": 3, "id": id, "timestamp": stamp, "cwd": "/home/project"})
        .to_string();
    for number in 0..ENTRIES {
        let parent = number.checked_sub(1).map(|before| format!("{before:08x}"));
        let said = format!("Line {number} of a long conversation about one thing and another.");
        let content = json!([{"type": "text", "text": said}]);
        let message = if number % 2 == 0 {
            json!({"role": "user", "content": content, "timestamp": now})
        } else {
            let usage = json!({"input": 9, "output": 9, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 18});
            json!({"role": "assistant", "content": content, "api": "anthropic-messages",
                "provider": "anthropic", "model": "bench", "usage": usage, "stopReason": "stop",
                "timestamp": now})
        };
        let entry = json!({"type": "message", "id": format!("{number:08x}"), "parentId": parent,
            "timestamp": stamp, "message": message});
        text.push('\n');
        text.push_str(&entry.to_string());
    }
    text.push('\n');
    let name = format!("{FOLDER}/{}_{id}.jsonl", stamp.replace([':', '.'], "-"));
    let (beside, path) = (format!("{name}.new"), format!("/v1/projects/{project}/exec"));
    let run = async |body: Value| {
        let done = lab.client.post(&path, &body).await?;
        if done["exitCode"] != 0 {
            bail!("the conversation could not be put into the machine: {}", done["stderr"]);
        }
        Ok(())
    };
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
        run(json!({"argv": ["dd", format!("of={beside}"), "oflag=append", "conv=notrunc"], "stdin": piece}))
            .await?;
        rest = more;
    }
    run(json!({"argv": ["mv", beside, name]})).await?;
    Ok(id)
}
