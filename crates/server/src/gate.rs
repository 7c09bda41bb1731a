//! The first thing every request meets: which host it is for, and what every answer must carry. Not
//! who asks: that is `auth`.

use crate::{
    api_error::{ApiError, Code},
    auth::cookie,
    hosts::{self, Place},
    preview::{self, origin::Origin},
    state::App,
};
use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tower::ServiceExt as _;

/// Answers one request.
pub(crate) async fn answer(app: &App, control: Router, mut req: Request) -> Response {
    let host = hosts::host_of(&req).map(str::to_owned);
    let place = host.as_deref().map_or(Place::Foreign, |host| app.hosts.place(host));
    match place {
        Place::Preview(label) => preview::handle(app, Origin::named(label), req).await,
        Place::Foreign => {
            let error = ApiError::new(
                Code::Misdirected,
                "this server does not answer for that host: open it by the address that \
                 `toft up` printed, or start it with --domain",
            );
            secured(app, "", false, error.into_response())
        }
        Place::Control => {
            let host = host.unwrap_or_default();
            let path = req.uri().path();
            let is_api = path.starts_with("/v1") || path.starts_with("/llm/");
            if let Some(origin) = cross_origin_upgrade(app, &req, &host) {
                tracing::warn!(origin, "an upgrade from another site's page was refused");
                let error = ApiError::new(
                    Code::Forbidden,
                    "WebSockets are open to the dashboard's own pages, and to keys",
                );
                return secured(app, &host, is_api, error.into_response());
            }
            if is_api && would_run(req.headers()) {
                let error = ApiError::new(
                    Code::Forbidden,
                    "answers of the API are data: no page may run them as its code",
                );
                return secured(app, &host, is_api, error.into_response());
            }
            // An absolute request target was compared with `Host`; routing wants the path.
            if let Some(path) = req.uri().path_and_query().cloned() {
                *req.uri_mut() = path.into();
            }
            let tossed = tossed_at(&req);
            let mut answer = match control.oneshot(req).await {
                Ok(answer) => answer,
                Err(never) => match never {},
            };
            if answer.status() == StatusCode::UNAUTHORIZED
                && let Some(path) = tossed
            {
                for removed in cookie::remove_tossed(&path) {
                    answer.headers_mut().append(header::SET_COOKIE, removed);
                }
            }
            secured(app, &host, is_api, answer)
        }
    }
}

/// The path of a request that carries more sign-ins than the one that we set: if it is refused, the
/// others go.
fn tossed_at(req: &Request) -> Option<String> {
    let several = cookie::values(req.headers(), cookie::SESSION).nth(1).is_some();
    several.then(|| req.uri().path().to_owned())
}

/// The foreign `Origin` of an upgrade, whatever credential it carries: pages that we did not serve
/// have no business with our sockets. Programs send none.
fn cross_origin_upgrade(app: &App, req: &Request, host: &str) -> Option<String> {
    let headers = req.headers();
    let foreign = headers.contains_key(header::UPGRADE)
        && headers.contains_key(header::ORIGIN)
        && !app.hosts.is_own_origin(headers, host)
        && hosts::fetch_site(headers) != Some("same-origin");
    foreign.then(|| {
        let origin = headers.get(header::ORIGIN).and_then(|v| v.to_str().ok()).unwrap_or("?");
        origin.chars().take(100).collect()
    })
}

/// Whether a page asks for code: a file that an agent wrote would become the dashboard's own, if
/// anything got a script tag or a worker into its page.
fn would_run(headers: &HeaderMap) -> bool {
    let dest = headers.get("sec-fetch-dest").and_then(|v| v.to_str().ok());
    dest.is_some_and(|dest| CODE_DESTS.contains(&dest))
}

/// Destinations whose answer a browser runs or gives to a plug-in (Fetch Metadata).
const CODE_DESTS: [&str; 10] = [
    "audioworklet",
    "embed",
    "object",
    "paintworklet",
    "script",
    "serviceworker",
    "sharedworker",
    "style",
    "worker",
    "xslt",
];

/// Headers of every answer of the control plane.
fn secured(app: &App, host: &str, is_api: bool, mut answer: Response) -> Response {
    let is_pdf = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/pdf"));
    let policy = match (is_api, is_pdf) {
        (false, _) => page_policy(app, host),
        // Files out of machines come through here: nothing in them may run.
        (true, false) => "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; \
                          frame-ancestors 'self'; sandbox"
            .to_owned(),
        // The browser's own viewer does not work in a sandbox.
        (true, true) => {
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'".to_owned()
        }
    };
    let headers = answer.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::REFERRER_POLICY, "no-referrer");
    set(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(headers, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if is_api && !headers.contains_key(header::CACHE_CONTROL) {
        set(headers, header::CACHE_CONTROL, "no-store");
    }
    answer
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// What the dashboard's page may load. Styles may be inline (panels and terminals set them), scripts
/// never; images come from here only, so that what an agent writes cannot call home.
fn page_policy(app: &App, host: &str) -> String {
    // The host was checked, but only plain ones go into a header.
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b));
    let sockets = if plain && !host.is_empty() {
        format!(" ws://{host} wss://{host}")
    } else {
        String::new()
    };
    format!(
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'{sockets}; \
         worker-src 'self' blob:; frame-src 'self' blob: {}; object-src 'none'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
        app.hosts.frame_sources(host)
    )
}
