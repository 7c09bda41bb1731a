//! The page that people get instead of an app. Holds nothing that came with the request.

use crate::{api_error::ApiError, page};
use axum::{http::StatusCode, response::Response};

/// What a preview host answers to a person who may not, or cannot, see the app.
pub(crate) fn error(dashboard: &str, error: &ApiError) -> Response {
    let title = match error.status() {
        StatusCode::UNAUTHORIZED => "This preview is closed",
        StatusCode::NOT_FOUND => "Nothing is here",
        StatusCode::CONFLICT => "This project does not run",
        _ => "The preview cannot be shown",
    };
    page::say(error.status(), title, &error.message, dashboard)
}
