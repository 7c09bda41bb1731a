//! The page that people get instead of an app. Holds nothing that came with the request.

use crate::api_error::ApiError;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};

/// What a preview host answers to a person who may not, or cannot, see the app.
pub(crate) fn error(dashboard: &str, error: &ApiError) -> Response {
    let title = match error.status() {
        StatusCode::UNAUTHORIZED => "This preview is closed",
        StatusCode::NOT_FOUND => "Nothing is here",
        StatusCode::CONFLICT => "This project does not run",
        _ => "The preview cannot be shown",
    };
    let message = escape(&error.message);
    let dashboard = escape(dashboard);
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;\
         padding:0 1rem;color:#1f2328;background:#fff}}\
         @media(prefers-color-scheme:dark){{body{{color:#e6e6e6;background:#16181c}}a{{color:#9cf}}}}\
         </style><h1>{title}</h1><p>{message}</p>\
         <p><a href=\"{dashboard}\" target=_top rel=noopener>Open the dashboard</a></p></html>"
    );
    let mut answer = (error.status(), page).into_response();
    let out = answer.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    answer
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(super::escape("<a b=\"&\">"), "&lt;a b=&quot;&amp;&quot;&gt;");
    }
}
