//! Preview origins: a project's app on a host of its own, behind a cookie that is good for nothing
//! else. The app sees no credential of ours, and its page none of the control plane's.

mod jar;
pub(crate) mod listeners;
pub(crate) mod origin;
mod page;
pub(crate) mod ports;
pub(crate) mod sign;

use crate::{
    agent_api,
    api_error::{ApiError, Code},
    auth::{
        Key,
        caller::{Caller, HeaderKey, header_key},
        cookie,
        guard::{self, Needs},
        pass::Pass,
    },
    headers::PLACEHOLDER,
    hosts::{self, Label, Place},
    machines::Machine,
    preview::{origin::Origin, sign::Grant},
    proxy::{self, Target},
    state::App,
};
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use std::sync::Arc;
use toft_model::machine::MachineState;

/// How long the cookie is good: a working day.
const COOKIE_MS: u64 = 12 * 3600 * 1000;
/// Cookies of a preview's name that are looked at. Browsers keep some 180 per host, and a look is one
/// hash.
const SAME_NAME_MAX: usize = 200;
/// How long a signed entry URL is good.
pub(crate) const ENTRY_MS: u64 = 60 * 1000;
/// Paths of ours on a preview origin.
const OWN_PATHS: &str = "/.toft/";
/// Where a signed entry URL leads.
pub(crate) const ENTRY_PATH: &str = "/.toft/enter";
/// What may be sent to an app: a large upload, not a full disk.
const APP_BODY_BYTES_MAX: usize = 1 << 30;
/// Who may load an answer into a page (Fetch, section 3.7).
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Answers a request to a preview.
pub(crate) async fn handle(app: &App, origin: Origin, req: Request) -> Response {
    let host = hosts::host_of(&req).unwrap_or_default().to_ascii_lowercase();
    let wants_page = crate::assets::wants_page(req.method(), req.headers());
    let path = req.uri().path();
    let inside = is_below(path, "/toft") || is_below(path, "/starter");
    let answer = if path.starts_with(OWN_PATHS) {
        let (head, _) = req.into_parts();
        enter(app, &origin, &head).await
    } else if inside {
        api_by_key(app, &origin.label, req).await
    } else {
        show(app, &origin, &host, req).await
    };
    // Only a preview by port has a bare address for a host.
    let address = origin.port.and_then(|_| app.hosts.bare_address(&host));
    match answer {
        Ok(answer) => framed(app, address.as_deref(), answer),
        Err(error) if wants_page && !inside => {
            let dashboard = match &address {
                Some(address) => app.hosts.control_at(address),
                None => app.hosts.control_url(),
            };
            framed(app, address.as_deref(), page::error(&dashboard, &error))
        }
        Err(error) => error.into_response(),
    }
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Only the dashboard (and the app itself) may put a preview in a frame.
fn framed(app: &App, address: Option<&str>, mut answer: Response) -> Response {
    let dashboard = match address {
        Some(address) => app.hosts.control_source_at(address),
        None => app.hosts.control_sources(),
    };
    let policy = format!("frame-ancestors 'self' {dashboard}");
    if let Ok(value) = HeaderValue::from_str(&policy) {
        // A second policy beside the app's own: both must agree.
        answer.headers_mut().append(header::CONTENT_SECURITY_POLICY, value);
    }
    answer
}

/// The signed URL: sets the cookie and leads on.
async fn enter(app: &App, origin: &Origin, req: &Parts) -> Result<Response, ApiError> {
    if req.uri.path() != ENTRY_PATH || req.method != Method::GET {
        return Err(ApiError::no_route(&req.method, req.uri.path()));
    }
    let bound_to = origin.bound_to();
    let now = app.clock.now_ms();
    let entry = Grant::from_query(req.uri.query().unwrap_or_default())
        .filter(|grant| app.signer.is_entry(&bound_to, grant, now));
    let value = match entry {
        Some(grant) if app.signer.use_once(&grant, now) => {
            still_signed_in(app, &grant).await?;
            Some(app.signer.cookie(&bound_to, now + COOKIE_MS, &grant.sign_in))
        }
        // A frame that loads its address again has its cookie already.
        Some(_) | None => {
            still_signed_in(app, &cookie_of(app, origin, &req.headers, now)?).await?;
            None
        }
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let out = answer.headers_mut();
    out.insert(header::LOCATION, HeaderValue::from_static("/"));
    if let Some(value) = value {
        let cookie = match origin.port {
            None => cookie::preview(&value, COOKIE_MS / 1000),
            Some(_) => cookie::preview_at_port(&origin.cookie_name(), &value, COOKIE_MS / 1000),
        };
        out.insert(header::SET_COOKIE, cookie);
    }
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    out.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(answer)
}

/// The valid cookie of this very preview. Others of its name may have been tossed in.
fn cookie_of(app: &App, origin: &Origin, headers: &HeaderMap, now: u64) -> Result<Grant, ApiError> {
    let bound_to = origin.bound_to();
    cookie::values(headers, &origin.cookie_name())
        .take(SAME_NAME_MAX)
        .filter_map(Grant::from_cookie)
        .find(|grant| app.signer.is_cookie(&bound_to, grant, now))
        .ok_or_else(closed)
}

fn closed() -> ApiError {
    ApiError::new(
        Code::Unauthenticated,
        "this preview is open to its team only: open it from the dashboard, or with `toft open`",
    )
}

async fn still_signed_in(app: &App, grant: &Grant) -> Result<(), ApiError> {
    if Pass::named(grant.pass()).lives(app).await? { Ok(()) } else { Err(closed()) }
}

/// The agent's API on a preview host: with a key in a header only. A page that the agent wrote runs
/// on this origin, so its cookie must not open it.
async fn api_by_key(app: &App, label: &Label, req: Request) -> Result<Response, ApiError> {
    let HeaderKey::Ours(key) = header_key(app, req.headers()) else {
        return Err(ApiError::new(
            Code::Unauthenticated,
            "the agent's API wants a key here: send X-Agent-Api-Key or Authorization: Bearer",
        ));
    };
    guard::may(&key, guard::scope(Needs::ByMethod, req.method(), req.headers()))?;
    guard::in_project(&key, Some(&label.project))?;
    let machine = machine_of(app, label).await?;
    let path = req.uri().path().to_owned();
    let rest = path.strip_prefix("/toft").or_else(|| path.strip_prefix("/starter"));
    let rest = rest.unwrap_or_default().trim_start_matches('/').to_owned();
    agent_api::serve(app, &Caller::Program(key), &machine, &rest, req).await
}

/// The app.
async fn show(app: &App, origin: &Origin, host: &str, req: Request) -> Result<Response, ApiError> {
    let (mut head, body) = req.into_parts();
    let label = &origin.label;
    let caller = visitor(app, origin, host, &head).await?;
    let machine = machine_of(app, label).await?;
    if machine.state() == MachineState::Stopped {
        return Err(crate::machines::life::stopped());
    }
    let path = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
    tell_origin(app, &mut head.headers, host);
    let hidden = origin.port.map(|port| (port, jar::unpack(&mut head.headers, port)));
    // What the page that waits for an app asks by itself is no visit.
    let is_look = head.headers.contains_key(PLACEHOLDER) && head.method == Method::HEAD;
    if is_look && !machine.answers() {
        return Ok(no_app_yet());
    }
    let cause = format!("a visit to {label}");
    let target = Target {
        machine: &machine,
        path: &path,
        port: label.port,
        body_bytes_max: APP_BODY_BYTES_MAX,
        cause: (!is_look).then_some(&cause),
    };
    let req = Request::from_parts(head, body);
    let mut answer = proxy::forward(app, &caller, target, req).await?;
    cookie::strip_set(answer.headers_mut(), host);
    if let Some((port, names)) = hidden {
        jar::pack(answer.headers_mut(), port, &names);
        // Over plain HTTP browsers do not say which page asked. So the answer says who may have it.
        answer.headers_mut().entry(RESOURCE_POLICY).or_insert(SAME_ORIGIN);
    }
    Ok(answer)
}

/// The answer to a look at a machine that sleeps: go on waiting.
fn no_app_yet() -> Response {
    let mut answer = StatusCode::SERVICE_UNAVAILABLE.into_response();
    answer.headers_mut().insert(PLACEHOLDER, HeaderValue::from_static("1"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Who visits: a key of ours, or the cookie of this very preview.
async fn visitor(app: &App, origin: &Origin, host: &str, req: &Parts) -> Result<Caller, ApiError> {
    // An `Authorization` that is not ours may be the app's own: the cookie decides then.
    if let HeaderKey::Ours(key) = header_key(app, &req.headers) {
        // What a GET does in an app, only the app knows.
        guard::may(&key, guard::scope(Needs::Admin, &req.method, &req.headers))?;
        guard::in_project(&key, Some(&origin.label.project))?;
        return Ok(Caller::Program(key));
    }
    let grant = cookie_of(app, origin, &req.headers, app.clock.now_ms())?;
    still_signed_in(app, &grant).await?;
    from_own_page(app, origin, host, req)?;
    match Pass::named(grant.pass()) {
        Pass::Always => Ok(Caller::Program(Key::Agent)),
        Pass::Key(id) => {
            app.auth.made(&id).map(|made| Caller::Program(Key::Made(made))).ok_or_else(closed)
        }
        Pass::SignIn(id) => {
            let found = app.store.session_by_id(&id).await?.ok_or_else(closed)?;
            Ok(Caller::Person { user: found.user, session: found.id })
        }
    }
}

/// The cookie comes along in frames on other sites, so another project's page could use it. It is
/// good for pages of the same project, and for opening a page from anywhere.
fn from_own_page(app: &App, origin: &Origin, host: &str, req: &Parts) -> Result<(), ApiError> {
    let headers = &req.headers;
    let mode = headers.get("sec-fetch-mode").and_then(|v| v.to_str().ok());
    let same = hosts::origin_is(headers, host) || same_project(app, origin, host, headers);
    let reads = hosts::only_reads(&req.method, headers);
    let ours = match (headers.contains_key(header::ORIGIN), hosts::fetch_site(headers)) {
        (true, _) => same,
        (false, None | Some("same-origin" | "none")) => true,
        (false, Some(_)) => reads && mode == Some("navigate"),
    };
    if ours {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        "this request came from another site's page: open the preview itself",
    ))
}

/// Whether `Origin` is a preview of the same project (another port of it).
fn same_project(app: &App, origin: &Origin, host: &str, headers: &HeaderMap) -> bool {
    let from = headers.get(header::ORIGIN).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let Some((scheme, authority)) = from.split_once("://") else { return false };
    if origin.port.is_none() {
        return match app.hosts.place(authority) {
            Place::Preview(other) => other.project == origin.label.project,
            Place::Control | Place::Foreign => false,
        };
    }
    let (Some((name, Some(port))), Some((own, _))) =
        (hosts::split_port(&authority.to_ascii_lowercase()), hosts::split_port(host))
    else {
        return false;
    };
    scheme == "http"
        && name == own
        && app.ports.project(port).is_some_and(|project| project == origin.label.project)
}

async fn machine_of(app: &App, label: &Label) -> Result<Arc<Machine>, ApiError> {
    if let Some(machine) = app.machines.get(&label.project) {
        machine.settled().await;
        return Ok(machine);
    }
    // It may be another server's.
    let found = crate::project::find(app, label.project.as_str()).await;
    found.map(|(_, machine)| machine).map_err(|error| match error.code {
        Code::NotFound => {
            ApiError::new(Code::NotFound, "there is no such project: it may have been deleted")
        }
        _ => error,
    })
}

/// What an app behind a proxy is told, whoever sent the same headers before.
fn tell_origin(app: &App, headers: &mut HeaderMap, host: &str) {
    let tls = app.hosts.preview_origin("x").starts_with("https:");
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-port", "x-real-ip"] {
        headers.remove(name);
    }
    let proto = if tls { "https" } else { "http" };
    headers.insert("x-forwarded-proto", HeaderValue::from_static(proto));
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert("x-forwarded-host", host);
    }
}
