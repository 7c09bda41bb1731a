//! What the agent and people run in the background, as init lists it: look, read along, end.
//! Terminals have routes of their own.

use crate::{
    answer::{Failure, Refused, done},
    asked::{self, Asked, Named},
    shell::InitShell,
    terminals,
};
use axum::{
    Router,
    extract::State,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::json;
use std::{convert::Infallible, time::Duration};
use toft_machine::init_client::{ExecEvent, ExecHandle};
use toft_tools::host::Shell as _;

/// Between TERM and KILL when a person ends a program.
const END_GRACE_MS: u64 = 500;

/// Comment lines keep proxies from closing a silent stream (`docs/http-api.md`).
const PING: Duration = Duration::from_secs(15);

/// Routes below `/toft`.
pub(crate) fn router(shell: InitShell) -> Router {
    Router::new()
        .route("/processes", get(list))
        .route("/processes/{id}", delete(end))
        .route("/processes/{id}/output", get(output))
        .with_state(shell)
}

async fn list(State(shell): State<InitShell>) -> Result<Response, Refused> {
    let command = "list_processes";
    let mut all = shell.list().await.map_err(|err| Failure::machine(&err).of(command))?;
    all.retain(|e| !e.id.starts_with(terminals::ID_PREFIX));
    Ok(done(command, json!({ "processes": all })))
}

async fn end(State(shell): State<InitShell>, Named(id): Named) -> Result<Response, Refused> {
    let command = "end_process";
    let refused = |err| Failure::machine(&err).of(command);
    shell.kill(&id, END_GRACE_MS).await.map_err(refused)?;
    Ok(done(command, json!({})))
}

#[derive(Deserialize)]
struct Start {
    from: Option<u64>,
}

async fn output(
    State(shell): State<InitShell>,
    Named(id): Named,
    query: Asked<Start>,
) -> Result<Response, Refused> {
    let command = "follow_process";
    let Start { from } = asked::query(query).map_err(|failure| failure.of(command))?;
    let from = from.unwrap_or(0);
    let handle = shell.attach(&id, from).await.map_err(|err| Failure::machine(&err).of(command))?;
    let stream = Sse::new(events(handle, from)).keep_alive(KeepAlive::new().interval(PING));
    Ok(stream.into_response())
}

fn events(
    mut handle: ExecHandle,
    from: u64,
) -> impl futures_util::Stream<Item = Result<Event, Infallible>> {
    async_stream::stream! {
        let mut text = Text { at: from, rest: Vec::new() };
        loop {
            let event = match handle.next().await {
                Ok(Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes))) => text.take(&bytes),
                Ok(Some(ExecEvent::Gap(to))) => {
                    let skipped = text.end();
                    text.at = to;
                    skipped
                }
                Ok(Some(ExecEvent::Exit(exit))) => {
                    if let Some(last) = text.end() {
                        yield Ok(last);
                    }
                    yield Ok(Event::default().event("exit").data(json!(exit).to_string()));
                    return;
                }
                // Without an `exit` the client attaches again from where it is.
                Ok(None) | Err(_) => return,
            };
            if let Some(event) = event {
                yield Ok(event);
            }
        }
    }
}

/// Cuts bytes into text between characters.
struct Text {
    /// Position of the first byte that was not told.
    at: u64,
    /// Bytes of a character whose end has not come.
    rest: Vec<u8>,
}

impl Text {
    fn take(&mut self, bytes: &[u8]) -> Option<Event> {
        self.rest.extend_from_slice(bytes);
        let whole = whole_characters(&self.rest);
        self.tell(whole)
    }

    /// What is left is told as it is.
    fn end(&mut self) -> Option<Event> {
        self.tell(self.rest.len())
    }

    fn tell(&mut self, len: usize) -> Option<Event> {
        if len == 0 {
            return None;
        }
        let from = self.at;
        self.at += len as u64;
        let told: Vec<u8> = self.rest.drain(..len).collect();
        let data = json!({"text": String::from_utf8_lossy(&told), "from": from, "to": self.at});
        Some(Event::default().event("output").data(data.to_string()))
    }
}

/// How many bytes can be told: all but the beginning of a character at the end.
pub(crate) fn whole_characters(bytes: &[u8]) -> usize {
    let longest = bytes.len().min(3);
    for back in 1..=longest {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => return bytes.len(),
        };
        return if length > back { bytes.len() - back } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_is_never_cut() {
        for (bytes, whole) in [
            (&b"abc"[..], 3),
            ("a→".as_bytes(), 4),
            (&"a→".as_bytes()[..3], 1),
            (&"a→".as_bytes()[..2], 1),
            (&"😀".as_bytes()[..3], 0),
            (&[0x80, 0x80, 0x80, 0x80][..], 4),
            (&[0xff][..], 1),
            (&[][..], 0),
        ] {
            assert_eq!(whole_characters(bytes), whole, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn text_in_pieces_is_the_same_text(text in "\\PC{0,40}", cut in 1usize..7) {
            let mut cutter = Text { at: 0, rest: Vec::new() };
            let mut got = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                cutter.rest.extend_from_slice(piece);
                let whole = whole_characters(&cutter.rest);
                got.push(String::from_utf8(cutter.rest.drain(..whole).collect()).unwrap());
            }
            prop_assert!(cutter.rest.is_empty());
            prop_assert_eq!(got.concat(), text);
        }
    }
}
