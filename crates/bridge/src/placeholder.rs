//! The page that stands where the app will be: shown while nothing listens, replaced by the app as
//! soon as something does. Quiet, self-contained, loads nothing from elsewhere.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Says that an answer is this page and not the app's own 503.
const MARK: HeaderName = HeaderName::from_static("x-toft-placeholder");

/// Seconds until it is worth asking again (`docs/http-api.md`).
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");

/// The answer while nothing listens on `port`.
pub(crate) fn page(port: u16, request: &HeaderMap) -> Response {
    let accepts_html = request
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("text/html"));
    let (kind, body) = if accepts_html {
        ("text/html; charset=utf-8", PAGE.replace("{port}", &port.to_string()))
    } else {
        ("text/plain; charset=utf-8", format!("Nothing listens on port {port} yet.\n"))
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::RETRY_AFTER, RETRY_AFTER),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (MARK, HeaderValue::from_static("1")),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>No app yet</title>
<noscript><meta http-equiv="refresh" content="2"></noscript>
<style>
  :root { color-scheme: light dark; --page: oklch(98% .004 85); --ink: oklch(28% .01 85);
    --quiet: oklch(48% .01 85); --moss: oklch(52% .09 135) }
  @media (prefers-color-scheme: dark) { :root { --page: oklch(20% .003 85);
    --ink: oklch(92% .006 85); --quiet: oklch(70% .008 85); --moss: oklch(72% .1 135) } }
  html { height: 100% }
  body { margin: 0; min-height: 100%; display: grid; place-content: center; justify-items: center;
    gap: 12px; background: var(--page); color: var(--ink); text-align: center; padding: 24px;
    box-sizing: border-box; font: 14px/1.55 ui-sans-serif, system-ui, sans-serif }
  h1 { font-size: 14px; font-weight: 600; margin: 0 }
  p { margin: 0; color: var(--quiet); max-width: 44ch }
  code { font: 13px ui-monospace, monospace; color: var(--ink) }
  svg { width: 40px; height: 40px; color: var(--moss) }
</style>
<body>
<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true">
<path d="M6 14H2V2h12v12h-4"/></svg>
<h1>No app on port {port} yet</h1>
<p>Ask the agent to build and start one. As soon as something listens on
<code>{port}</code>, it opens here by itself.</p>
<script>
  const look = async () => {
    try {
      // Says that only a page looks: a machine that sleeps stays asleep.
      const headers = { 'x-toft-placeholder': '1' }
      const answer = await fetch(location.href, { method: 'HEAD', cache: 'no-store', headers })
      if (!answer.headers.has('x-toft-placeholder')) return location.reload()
    } catch { /* the machine sleeps or restarts: ask again */ }
    setTimeout(look, document.hidden ? 10000 : 2000)
  }
  setTimeout(look, 2000)
</script>
"#;
