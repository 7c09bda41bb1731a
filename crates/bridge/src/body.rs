//! JSON bodies of commands, with errors that say what to do. Not what is in them.

use crate::answer::Failure;
use axum::{
    body::Bytes,
    extract::{FromRequest as _, Request, rejection::BytesRejection},
};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toft_model::misfit;

/// Bytes of a command's body: the same as for the server's `/v1`.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// Bytes of a prompt's body: ten images of the size that providers take (5 MiB), in base64.
pub(crate) const PROMPT_BYTES_MAX: usize = 64 << 20;

/// Reads a JSON object; an empty body counts as `{}`. How long it may be is the route's
/// `DefaultBodyLimit`.
pub(crate) async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Failure> {
    let bytes = match Bytes::from_request(request, &()).await {
        Ok(bytes) => bytes,
        Err(rejection) => return Err(unread(&rejection)),
    };
    let bytes: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(
            StatusCode::BAD_REQUEST,
            "invalid_json",
            format!("The body is not valid JSON: {error}. Send a JSON object."),
        )
    })?;
    if !value.is_object() {
        return Err(Failure::invalid("The body must be a JSON object."));
    }
    misfit::read(bytes).map_err(|told| Failure::invalid(format!("the body does not fit: {told}")))
}

fn unread(rejection: &BytesRejection) -> Failure {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            format!(
                "The body is too large: at most {} MiB for a prompt with images, {} MiB otherwise.",
                PROMPT_BYTES_MAX >> 20,
                BODY_BYTES_MAX >> 20
            ),
        );
    }
    Failure::invalid(format!("The body could not be read: {rejection}."))
}
