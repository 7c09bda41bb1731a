//! `POST /v1/backup`: all that the server holds, encrypted; for the CLI of whoever the data folder belongs to.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    backup,
    envelope::JsonBody,
    routes::auth::only_cli,
    state::App,
};
use axum::{body::Body, extract::State, response::Response};
use http::{HeaderName, HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt::Write as _;
use toft_model::id::ProjectId;
use tokio::sync::mpsc;

/// The shortest passphrase: what is behind it is worth the trouble of guessing.
const PASSPHRASE_CHARS_MIN: usize = 12;
/// What is not in it: a JSON array of sentences.
const LEFT_OUT: HeaderName = HeaderName::from_static("x-toft-left-out");
/// Pieces that wait for a slow reader.
const WAITING: usize = 16;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    /// At least 12 characters: what reads the backup again.
    passphrase: String,
    /// Projects whose files stay out of it: without that, those that cannot be had end it before it begins.
    #[serde(default)]
    leave_out: Vec<ProjectId>,
}

pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Response, ApiError> {
    // It holds the master key: nobody gets it who could not read it anyway.
    only_cli(&caller)?;
    if wish.passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
        return Err(ApiError::invalid(format!(
            "the passphrase needs {PASSPHRASE_CHARS_MIN} characters: it protects all secrets of this server"
        )));
    }
    let Ok(turn) = app.backup.clone().try_lock_owned() else {
        let message = "a backup is just being made: wait until it is done";
        return Err(ApiError::new(Code::Unavailable, message));
    };
    if let Some(unknown) = wish.leave_out.iter().find(|id| app.machines.get(id).is_none()) {
        return Err(ApiError::invalid(format!(
            "leaveOut names no project of this server: {unknown}"
        )));
    }
    let left_out = backup::left_out(&app, &wish.leave_out).await?;
    let told: String = serde_json::to_string(&left_out).unwrap_or_default();
    let told = HeaderValue::from_str(&ascii(&told))
        .map_err(|error| ApiError::internal("the backup was not begun", &error))?;
    let (out, bytes) = mpsc::channel(WAITING);
    let (making, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(async move {
        backup::make(making, wish.passphrase, wish.leave_out, out).await;
        drop(turn);
    }));
    let bytes = futures_util::stream::unfold(bytes, async |mut bytes| {
        let piece: std::io::Result<bytes::Bytes> = bytes.recv().await?;
        Some((piece, bytes))
    });
    let mut answer = Response::new(Body::from_stream(bytes));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/age-encryption"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LEFT_OUT, told);
    Ok(answer)
}

/// JSON in characters that a header takes.
fn ascii(json: &str) -> String {
    let mut all = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && c != '\u{7f}' {
            all.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(all, "\\u{unit:04x}");
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_the_json_says() {
        let words = ["in /srv/Bücher 𝄞", "\n\"\u{7f}"];
        let said = ascii(&serde_json::to_string(&words).unwrap());
        assert!(HeaderValue::from_str(&said).is_ok(), "{said}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&said).unwrap(), words);
    }
}
