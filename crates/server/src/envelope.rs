//! The envelope of `/v1` answers, and reading JSON bodies. Not what is in them.

use crate::{
    api_error::{ApiError, Code},
    clock::Clock,
};
use axum::{
    Json,
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use toft_model::time::rfc3339;

/// JSON bodies: as the Platform Agent's document has it.
pub(crate) const JSON_BYTES_MAX: usize = 1 << 20;

/// Bytes of a refused body that are still taken: more than a client sends by mistake.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// Time that they may take.
const DRAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// A successful answer: `{"ok":true,"data":…,"meta":…}`.
pub(crate) struct Data<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        let body = json!({"ok": true, "data": self.0, "meta": meta()});
        respond(StatusCode::OK, &body)
    }
}

/// `{"ok":false,"error":{"code","message"},"meta":…}`.
pub(crate) fn failure(error: &ApiError) -> Response {
    let body = json!({
        "ok": false,
        "error": {"code": error.code_text(), "message": error.message},
        "meta": meta(),
    });
    respond(error.status(), &body)
}

fn meta() -> serde_json::Value {
    json!({"apiVersion": "v1", "ts": rfc3339(Clock::system().now_ms())})
}

fn respond(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut answer = (status, Json(body)).into_response();
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A JSON body. An empty one is `{}`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(req: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read_body(req.into_body(), JSON_BYTES_MAX).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|e| {
            if e.is_data() {
                ApiError::invalid(format!("the body does not fit: {e}"))
            } else {
                ApiError::new(Code::InvalidJson, format!("the body is not valid JSON: {e}"))
            }
        })
    }
}

async fn read_body(mut body: Body, bytes_max: usize) -> Result<bytes::Bytes, ApiError> {
    match Limited::new(&mut body, bytes_max).collect().await {
        Ok(all) => Ok(all.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => {
            drain(body).await;
            Err(too_large(bytes_max))
        }
        Err(e) => Err(ApiError::invalid(format!("the body could not be read: {e}"))),
    }
}

/// Takes the rest of a body that is refused. A connection that is closed over unread bytes is reset,
/// and then the client may never see the answer that says why.
async fn drain(mut body: Body) {
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
            if bytes > DRAIN_BYTES_MAX {
                return;
            }
        }
    };
    // Who sends slower than that has a cut connection for an answer.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, all).await;
}

pub(crate) fn too_large(bytes_max: usize) -> ApiError {
    ApiError::new(
        Code::PayloadTooLarge,
        format!(
            "the body is larger than {} KiB: send less, or use the file routes",
            bytes_max >> 10
        ),
    )
}
