//! What a service printed, read from the machine's log folder on the host: the same words as its bridge
//! has, whether the machine runs, is paused or is cold. Wakes nothing and is no use of a machine.

use super::{Machine, copy, read, reply};
use crate::{api_error::ApiError, state::App};
use axum::{
    extract::Query,
    http::{StatusCode, Uri},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;
use std::{fmt::Write as _, sync::Arc};
use toft_machine::service_log;

const COMMAND: &str = "read_service_log";

#[derive(Deserialize)]
struct From {
    from: Option<u64>,
}

/// The id of the service whose log this is, if it is one: what follows `/toft/`, decoded.
pub(crate) fn named(rest: &str) -> Option<&str> {
    rest.strip_prefix("services/")?.strip_suffix("/log").filter(|id| !id.is_empty())
}

/// Path and query for the bridge; the id is whatever the agent chose.
fn path(id: &str, query: Option<&str>) -> String {
    let id: String = id.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    });
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("/toft/services/{id}/log{query}")
}

/// `GET services/{id}/log`.
pub(crate) async fn answer(
    app: &App,
    machine: &Arc<Machine>,
    id: &str,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let path = path(id, query);
    let path: Uri = path.parse().map_err(|_| ApiError::invalid("the query is not valid"))?;
    let asked = Query::<From>::try_from_uri(&path);
    let Query(From { from }) = asked.map_err(|e| ApiError::invalid(e.body_text()))?;
    let (logs, key) = (app.backend.log_dir(&machine.id), service_log::key(id));
    let read = tokio::task::spawn_blocking(move || service_log::read(&logs, &key, from));
    let page = read
        .await
        .unwrap_or_else(|e| Err(std::io::Error::other(e)))
        .map_err(|e| ApiError::internal("the log of a service could not be read", &e))?;
    if let Some(page) = page {
        return Ok(reply::response(
            COMMAND,
            json!({
                "text": page.text, "from": page.from, "to": page.to,
                "first": page.first, "end": page.end,
            }),
        ));
    }
    // It has printed nothing, or there is no such service.
    let rows = copy::service_rows(&*app.store, machine).await?;
    if rows.iter().any(|row| row["id"] == id) {
        let nothing = json!({"text": "", "from": 0, "to": 0, "first": 0, "end": 0});
        return Ok(reply::response(COMMAND, nothing));
    }
    // Declared a moment ago, it is known inside only.
    match read::of_running(app, machine, &path).await? {
        Some(answer) => Ok(answer),
        None => Ok(reply::failure(
            COMMAND,
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such service: `GET /toft/services` lists them",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{named, path};

    #[test]
    fn the_log_of_a_service_is_told_from_other_routes() {
        for (rest, id) in [
            ("services/web/log", Some("web")),
            ("services/a b/c/log", Some("a b/c")),
            ("services//log", None),
            ("services/log", None),
            ("services/web/log/", None),
            ("services/web/start", None),
            ("files/content", None),
        ] {
            assert_eq!(named(rest), id, "{rest}");
        }
        assert_eq!(path("a b/ü", Some("from=5")), "/toft/services/a%20b%2F%C3%BC/log?from=5");
    }
}
