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
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;

/// The shortest passphrase: what is behind it is worth the trouble of guessing.
const PASSPHRASE_CHARS_MIN: usize = 12;
/// Pieces that wait for a slow reader.
const WAITING: usize = 16;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Wish {
    /// At least 12 characters: what reads the backup again.
    passphrase: String,
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
    let (out, bytes) = mpsc::channel(WAITING);
    let (making, ends) = (app.clone(), app.stop.token().clone());
    app.tasks.spawn(ends.run_until_cancelled_owned(async move {
        backup::make(making, wish.passphrase, out).await;
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
    Ok(answer)
}
