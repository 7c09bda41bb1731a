//! Routes over services: list, start, stop, restart, read the log.

use super::{Services, plan};
use crate::{
    answer::{Failure, Refused, done},
    asked::{self, Asked, Named},
};
use axum::{
    Router,
    extract::State,
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::Path as Folder, sync::Arc};
use toft_machine::service_log;
use toft_model::inspect::{Service, ServiceState};

/// Routes below `/toft`.
pub(crate) fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/services", get(list))
        .route("/services/{id}/start", post(start))
        .route("/services/{id}/stop", post(stop))
        .route("/services/{id}/restart", post(restart))
        .route("/services/{id}/log", get(log))
        .with_state(services)
}

/// A row with all its fields, absent ones as null.
fn told(row: &Service) -> Value {
    let mut value = json!(row);
    for field in ["command", "cwd", "env", "restart", "problem", "process"] {
        if value.get(field).is_none() {
            value[field] = Value::Null;
        }
    }
    value
}

async fn list(State(services): State<Arc<Services>>) -> Response {
    let rows = services.parts.db.now().await.services;
    let rows: Vec<Value> = rows.iter().map(told).collect();
    done("list_services", json!({ "services": rows }))
}

async fn start(
    State(services): State<Arc<Services>>,
    Named(id): Named,
) -> Result<Response, Refused> {
    let command = "start_service";
    let row = runnable(&services, &id, command).await?;
    let runs = row.process.is_some_and(|process| process.state == ServiceState::Running);
    order(&services, &id, "running", !runs, command).await
}

async fn stop(
    State(services): State<Arc<Services>>,
    Named(id): Named,
) -> Result<Response, Refused> {
    let command = "stop_service";
    runnable(&services, &id, command).await?;
    order(&services, &id, "stopped", true, command).await
}

async fn restart(
    State(services): State<Arc<Services>>,
    Named(id): Named,
) -> Result<Response, Refused> {
    let command = "restart_service";
    runnable(&services, &id, command).await?;
    order(&services, &id, "running", true, command).await
}

async fn runnable(
    services: &Services,
    id: &str,
    command: &'static str,
) -> Result<Service, Refused> {
    let row = services.row(id).await.ok_or_else(|| unknown().of(command))?;
    if plan::Plan::of(&row).is_none() {
        return Err(Failure::conflict(
            "this service has no command, so there is nothing to start or stop: set `command` in \
             its row of the inspect database",
        )
        .of(command));
    }
    Ok(row)
}

async fn order(
    services: &Services,
    id: &str,
    status: &str,
    anew: bool,
    command: &'static str,
) -> Result<Response, Refused> {
    if !services.order(id, status, anew).await {
        return Err(Failure::conflict(
            "the inspect database could not be written: another program may hold it, try again",
        )
        .of(command));
    }
    let row = services.row(id).await.ok_or_else(|| unknown().of(command))?;
    Ok(done(command, told(&row)))
}

#[derive(Deserialize)]
struct From {
    from: Option<u64>,
}

async fn log(
    State(services): State<Arc<Services>>,
    Named(id): Named,
    query: Asked<From>,
) -> Result<Response, Refused> {
    let command = "read_service_log";
    let From { from } = asked::query(query).map_err(|failure| failure.of(command))?;
    let (logs, key) = (services.logs().map(Folder::to_owned), service_log::key(&id));
    let read = tokio::task::spawn_blocking(move || match logs {
        Some(logs) => service_log::read(&logs, &key, from),
        None => Ok(None),
    });
    let page = read
        .await
        .unwrap_or_else(|err| Err(std::io::Error::other(err)))
        .map_err(|err| Failure::io("reading the log of a service", &err).of(command))?;
    match page {
        Some(page) => Ok(done(
            command,
            json!({
                "text": page.text, "from": page.from, "to": page.to,
                "first": page.first, "end": page.end,
            }),
        )),
        None if services.row(&id).await.is_some() => {
            Ok(done(command, json!({"text": "", "from": 0, "to": 0, "first": 0, "end": 0})))
        }
        None => Err(unknown().of(command)),
    }
}

fn unknown() -> Failure {
    Failure::not_found("there is no such service: `GET /toft/services` lists them")
}
