//! The bridge's own routes, `/toft/*`, wherever they are asked: below a project, or on its preview's host.
//! Reading is answered from the server's copy or the machine's disk where it can be, and wakes nothing;
//! everything else goes to the bridge.

mod prompt;

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    headers::keep_known,
    hosts,
    machines::{
        Machine,
        files_at_rest::{self, What},
        read::{self, Reading},
        receipts, service_log,
        stream::{self, Wish},
    },
    proxy::{self, Target},
    state::App,
};
use axum::{
    extract::Request,
    http::{Method, request::Parts},
    response::Response,
};
use std::sync::Arc;
use toft_store::Role;

/// The body of a file that is put; other bodies are as long as a prompt may be.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Answers a request for `/toft/{rest}` of a project.
pub(crate) async fn serve(
    app: &App,
    caller: &Caller,
    machine: &Arc<Machine>,
    rest: &str,
    req: Request,
) -> Result<Response, ApiError> {
    if rest == "observed" {
        // What the host has seen, only the server says.
        return Err(ApiError::no_route(req.method(), req.uri().path()));
    }
    if is_for_workers(rest, req.method()) {
        let message =
            "runs are ordered and ended with POST /v1/projects/{id}/runs and …/runs/{run}/cancel";
        return Err(ApiError::new(Code::Forbidden, message));
    }
    // A terminal is opened by an upgrade, which is more than reading.
    let reads = hosts::only_reads(req.method(), req.headers());
    let (asked, body) = req.into_parts();
    if reads {
        if let Some(answer) = look(app, caller, machine, rest, &asked).await? {
            return Ok(answer);
        }
    } else {
        caller.require(Role::Member)?;
    }
    let req = Request::from_parts(asked, body);
    let query = req.uri().query();
    // The path as it was sent: what is escaped stays escaped.
    let raw = below_toft(req.uri().path()).unwrap_or(rest);
    let path = match query {
        Some(query) => format!("/toft/{raw}?{query}"),
        None => format!("/toft/{raw}"),
    };
    let route = prompt::Route::named(rest).filter(|_| req.method() == Method::POST);
    let mut answer = if let Some(route) = route {
        prompt::send(app, caller, machine, route, &path, req).await?
    } else {
        let is_file = rest == "files/content" && req.method() == Method::PUT;
        let cause = format!("{} {rest}", req.method());
        let target = Target {
            machine,
            path: &path,
            port: None,
            body_bytes_max: if is_file { FILE_BYTES_MAX } else { prompt::BODY_BYTES_MAX },
            cause: (!reads).then_some(&cause),
        };
        proxy::forward(app, caller, target, req).await?
    };
    keep_known(answer.headers_mut());
    Ok(answer)
}

/// Answers what can be read whether the machine runs or not; nothing for what its bridge alone knows.
async fn look(
    app: &App,
    caller: &Caller,
    machine: &Arc<Machine>,
    rest: &str,
    asked: &Parts,
) -> Result<Option<Response>, ApiError> {
    let (method, headers, query) = (&asked.method, &asked.headers, asked.uri.query());
    if *method != Method::OPTIONS {
        if rest == "events" {
            let wish = Wish::read(query, headers)?;
            return stream::events(app, machine, caller, wish).await.map(Some);
        }
        let path = match query {
            Some(query) => format!("/toft/{rest}?{query}"),
            None => format!("/toft/{rest}"),
        };
        let parsed = || path.parse().map_err(|_| ApiError::invalid("the query is not valid"));
        if let Some(what) = Reading::named(rest) {
            return read::read(app, machine, what, &parsed()?).await.map(Some);
        }
        if rest == "receipts" {
            return receipts::answer(app, machine, &parsed()?).await.map(Some);
        }
        if let Some(id) = service_log::named(rest) {
            return service_log::answer(app, machine, id, query).await.map(Some);
        }
        if let Some(what) = What::named(rest) {
            let request = files_at_rest::Request { what, method, path: &parsed()?, headers };
            return files_at_rest::read(app, machine, request).await.map(Some);
        }
    }
    if machine.answers() {
        return Ok(None);
    }
    // Looking wakes nothing, also where nothing can be seen at rest.
    Err(ApiError::new(
        Code::Unavailable,
        "only a running machine can answer this, and a look does not wake it: wake or start it first",
    ))
}

/// What only the worker asks of a bridge: its orders carry fences, which others do not know.
fn is_for_workers(rest: &str, method: &Method) -> bool {
    let Some(run) = rest.strip_prefix("runs/") else { return false };
    *method == Method::PUT || (*method == Method::POST && run.ends_with("/cancel"))
}

/// What follows `/v1/projects/{id}/toft/`, or on a preview host `/toft/` or `/starter/`; never what
/// follows a second one further on.
fn below_toft(path: &str) -> Option<&str> {
    match path.strip_prefix("/v1/projects/") {
        Some(project) => project.split_once('/')?.1.strip_prefix("toft/"),
        None => path.strip_prefix("/toft/").or_else(|| path.strip_prefix("/starter/")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bridge_gets_the_path_after_the_first_root_only() {
        for (path, rest) in [
            ("/v1/projects/a23456789bcd/toft/files%2Fx", Some("files%2Fx")),
            ("/v1/projects/toft/toft/state", Some("state")),
            ("/starter/toft/state", Some("toft/state")),
            ("/toft/starter/state", Some("starter/state")),
            ("/toft", None),
        ] {
            assert_eq!(super::below_toft(path), rest, "{path}");
        }
    }
}
