//! What routes of `/v1` take and give: JSON bodies, and data in the envelope. Not what is in them.

use crate::{
    answer,
    api_error::{ApiError, Code},
};
use axum::{
    body::Body,
    extract::{
        FromRequest, FromRequestParts, Request,
        path::ErrorKind,
        rejection::{PathRejection, QueryRejection},
    },
    http::{header, request::Parts},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use toft_model::misfit;

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
        answer::success(self.0)
    }
}

/// A JSON body. An empty one is `{}`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(req: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read_body(req.into_body(), JSON_BYTES_MAX).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        // Looked at alone: what is no JSON must not depend on which field comes first.
        check_json(text)?;
        // An array would be taken for the fields in their order.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(ApiError::invalid("the body must be a JSON object: {\"name\": …}"));
        }
        misfit::read(text)
            .map(Self)
            .map_err(|told| ApiError::invalid(format!("the body does not fit: {told}")))
    }
}

/// A body that says nothing to the route. What claims to be JSON and is none is refused: its sender
/// did not mean what is done here.
pub(crate) struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = ApiError;

    async fn from_request(req: Request, _: &S) -> Result<Self, ApiError> {
        let kind = req.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let is_json = kind.eq_ignore_ascii_case("application/json");
        let bytes = read_body(req.into_body(), JSON_BYTES_MAX).await?;
        if is_json && !bytes.is_empty() {
            check_json(&bytes)?;
        }
        Ok(Self)
    }
}

fn check_json(text: &[u8]) -> Result<(), ApiError> {
    if std::str::from_utf8(text).is_err() {
        return Err(ApiError::new(
            Code::InvalidJson,
            "the body is not valid JSON: it is no UTF-8 text",
        ));
    }
    serde_json::from_slice::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|e| ApiError::new(Code::InvalidJson, format!("the body is not valid JSON: {e}")))
}

/// Parts of the path, refused in the envelope.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(found)) => Ok(Self(found)),
            Err(refused) => Err(path_refused(&refused)),
        }
    }
}

fn path_refused(refused: &PathRejection) -> ApiError {
    let PathRejection::FailedToDeserializePathParams(refused) = refused else {
        return ApiError::invalid("the path has not the parts that this route takes");
    };
    ApiError::invalid(match refused.kind() {
        ErrorKind::InvalidUtf8InPathParam { key } => {
            format!("`{key}` in the path is not UTF-8 text when it is unescaped")
        }
        _ => "a part of the path is not of the kind that this route takes".to_owned(),
    })
}

/// The query, refused in the envelope.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(found)) => Ok(Self(found)),
            Err(refused) => Err(query_refused(&refused)),
        }
    }
}

fn query_refused(refused: &QueryRejection) -> ApiError {
    ApiError::invalid(format!("the query does not fit: {}", misfit::of_query(refused)))
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
