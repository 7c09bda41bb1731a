//! Asking a hook: a program below init gets one line of JSON on its standard input and answers with a JSON object, or
//! with nothing. It ends with the work that asked, with its time, or with the bridge: nothing is left behind.

use super::{
    config::{Extension, Hook},
    event::HookEvent,
    last_object,
};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{path::Path, sync::Arc, time::Duration};
use toft_model::{init::ExecSpec, mask::Mask};
use toft_tools::host::{Shell, ShellEvent, ShellRun};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Bytes that a hook may print: a whole tool result fits several times.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Bytes of one message to a program, far below the largest frame of init.
const INPUT_PIECE_BYTES: usize = 256 * 1024;

/// Bytes of what a failed hook printed that are told.
const TOLD_BYTES_MAX: usize = 1_000;

/// How long ending one may take: part of the second in which an abort must be over.
const KILL_TIMEOUT: Duration = Duration::from_millis(300);

/// What a hook says; all of it may be left out.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Answer {
    /// The call is not done, for this reason.
    pub(crate) block: Option<String>,
    /// The call is done with these arguments.
    pub(crate) input: Option<Map<String, Value>>,
    /// The model gets this text in place of the one that it was asked about.
    pub(crate) text: Option<String>,
    /// Whether the call counts as failed.
    pub(crate) is_error: Option<bool>,
    /// Added to the prompt.
    pub(crate) system_prompt: Option<String>,
    /// Said to the model.
    pub(crate) message: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// A person stopped the work.
    Aborted,
    /// In words.
    Why(String),
}

/// Where a hook is asked.
pub(crate) struct Place<'a> {
    pub(crate) shell: &'a Arc<dyn Shell>,
    pub(crate) cwd: &'a Path,
    pub(crate) mask: &'a Mask,
    pub(crate) read_only: bool,
    pub(crate) cancel: &'a CancellationToken,
}

/// Asks one. Values of secrets in its answer are names already.
pub(crate) async fn ask(
    place: &Place<'_>,
    extension: &Extension,
    hook: &Hook,
    question: &Value,
) -> Result<Answer, Failed> {
    let spec = ExecSpec {
        // Without a name it ends with our connection, and nothing is kept of it.
        id: None,
        argv: vec!["bash".into(), "-c".into(), hook.command.clone()],
        cwd: Some(place.cwd.display().to_string()),
        env: extension.env(),
        merge_stderr: true,
        stdin: true,
        read_only: place.read_only,
        label: Some(format!("Hook {} of {}", hook.event.name(), extension.name)),
        ..ExecSpec::default()
    };
    let mut id = None;
    let said = tokio::select! {
        said = timeout(hook.timeout, talk(place, spec, question, &mut id)) => {
            said.unwrap_or_else(|_| Err(Failed::Why(format!(
                "it gave no answer within {} ms, and was ended",
                hook.timeout.as_millis()
            ))))
        }
        () = place.cancel.cancelled() => Err(Failed::Aborted),
    };
    if said.is_err()
        && let Some(id) = id
    {
        // One that has ended is not known any more.
        let _ = timeout(KILL_TIMEOUT, place.shell.kill(&id, 0)).await;
    }
    let said = said.and_then(|said| answer(&said, hook.event, place.mask));
    said.map_err(|failed| match failed {
        Failed::Why(why) => Failed::Why(place.mask.text(&why).into_owned()),
        Failed::Aborted => Failed::Aborted,
    })
}

/// What a program printed that ended well.
async fn talk(
    place: &Place<'_>,
    spec: ExecSpec,
    question: &Value,
    id: &mut Option<String>,
) -> Result<String, Failed> {
    let shell = place.shell;
    let run = shell.start(spec).await;
    let run = run.map_err(|error| Failed::Why(format!("it cannot be run: {error}")))?;
    *id = Some(run.id.clone());
    let name = run.id.clone();
    let give = async {
        let line = format!("{question}\n");
        let mut pieces = line.as_bytes().chunks(INPUT_PIECE_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            // One that does not read, or has ended, has what it needs.
            if shell.input(&name, piece, pieces.peek().is_none()).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        said = listen(run, place.mask) => said,
        () = give => Err(Failed::Why("it could not be asked".into())),
    }
}

async fn listen(mut run: ShellRun, mask: &Mask) -> Result<String, Failed> {
    let mut bytes = Vec::new();
    let exit = loop {
        match run.events.next().await {
            Some(ShellEvent::Output(piece) | ShellEvent::Errors(piece)) => {
                bytes.extend_from_slice(&piece);
            }
            Some(ShellEvent::Exit(exit)) => break exit,
            Some(ShellEvent::Gap(_)) | None => {
                return Err(Failed::Why("its output was lost".into()));
            }
            Some(ShellEvent::Lost) => {
                sleep(KILL_TIMEOUT).await;
                return Err(Failed::Why("the connection to it was lost".into()));
            }
        }
        if bytes.len() > OUTPUT_BYTES_MAX {
            return Err(Failed::Why(format!("it printed more than {OUTPUT_BYTES_MAX} bytes")));
        }
    };
    let said = String::from_utf8_lossy(&bytes).into_owned();
    match (exit.code, exit.signal) {
        (Some(0), _) => Ok(said),
        (Some(code), _) => {
            Err(Failed::Why(format!("it ended with exit code {code}{}", told(&said, mask))))
        }
        (None, signal) => Err(Failed::Why(format!(
            "it was ended by signal {}{}",
            signal.unwrap_or_default(),
            told(&said, mask)
        ))),
    }
}

/// The end of what a program printed, behind other words. What is secret goes before anything is cut, so that no part
/// of it is left.
fn told(said: &str, mask: &Mask) -> String {
    let said = mask.text(said.trim());
    let from = said.ceil_char_boundary(said.len().saturating_sub(TOLD_BYTES_MAX));
    if said.is_empty() { String::new() } else { format!(": {}", &said[from..]) }
}

fn answer(said: &str, event: HookEvent, mask: &Mask) -> Result<Answer, Failed> {
    if said.trim().is_empty() {
        return Ok(Answer::default());
    }
    let Some(mut object) = last_object(said) else {
        return Err(Failed::Why(format!("it answered with no JSON object{}", told(said, mask))));
    };
    mask.json(&mut object);
    if let Some(fields) = object.as_object_mut() {
        // Some languages write what is not there.
        fields.retain(|_, value| !value.is_null());
        if let Some(other) = fields.keys().find(|name| !event.fields().contains(&name.as_str())) {
            return Err(Failed::Why(format!(
                "its answer has `{other}`, which says nothing here; there are {}",
                event.fields().join(", ")
            )));
        }
    }
    Answer::deserialize(object)
        .map_err(|error| Failed::Why(format!("its answer is not as it must be: {error}")))
}
