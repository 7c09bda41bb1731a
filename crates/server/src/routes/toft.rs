//! `/v1/projects/{id}/toft/*`: the bridge's own routes. Reading is answered from the server's copy
//! where it can be; everything else goes to the bridge.

mod prompt;

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::Path,
    hosts,
    machines::{
        Machine,
        read::{self, Reading},
        stream::{self, Wish},
    },
    proxy::{self, Target},
    routes::find,
    state::App,
};
use axum::{
    extract::{Request, State},
    http::Method,
    response::Response,
};
use std::sync::Arc;
use toft_store::Role;

/// JSON bodies: a prompt may carry images in base64.
const BODY_BYTES_MAX: usize = 32 << 20;
/// A file.
const FILE_BYTES_MAX: usize = 64 << 20;

pub(crate) async fn route(
    State(app): State<App>,
    caller: Caller,
    Path((id, rest)): Path<(String, String)>,
    req: Request,
) -> Result<Response, ApiError> {
    let (_, machine) = find(&app, &id).await?;
    serve(&app, &caller, &machine, &rest, req).await
}

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
    let query = req.uri().query();
    // A terminal is opened by an upgrade, which is more than reading.
    if hosts::only_reads(req.method(), req.headers()) {
        if rest == "events" && req.method() == Method::GET {
            let wish = Wish::read(query, req.headers())?;
            return stream::events(app, machine, caller, wish).await;
        }
        if let Some(what) = Reading::named(rest).filter(|_| req.method() == Method::GET) {
            let path = match query {
                Some(query) => format!("/toft/{rest}?{query}"),
                None => format!("/toft/{rest}"),
            };
            let path = path.parse().map_err(|_| ApiError::invalid("the query is not valid"))?;
            return read::read(app, machine, what, &path).await;
        }
    } else {
        caller.require(Role::Member)?;
    }
    // The path as it was sent: what is escaped stays escaped.
    let raw = below_toft(req.uri().path()).unwrap_or(rest);
    let path = match query {
        Some(query) => format!("/toft/{raw}?{query}"),
        None => format!("/toft/{raw}"),
    };
    let is_file = rest == "files/content" && req.method() == Method::PUT;
    let cause = format!("{} {rest}", req.method());
    let target = Target {
        machine,
        path: &path,
        port: None,
        body_bytes_max: if is_file { FILE_BYTES_MAX } else { BODY_BYTES_MAX },
        cause: Some(&cause),
    };
    let is_prompt = rest == "prompt" && req.method() == Method::POST;
    let mut answer = if is_prompt {
        prompt::send(app, caller, target, req).await?
    } else {
        proxy::forward(app, caller, target, req).await?
    };
    proxy::keep_known(answer.headers_mut());
    Ok(answer)
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
