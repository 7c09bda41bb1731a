//! What a bridge lists of processes, for machines whose bridge cannot be asked: of a paused one as
//! it was, of one that does not run nothing. Never wakes anything.

use super::{Machine, copy, machine::Lists, reply};
use crate::api_error::ApiError;
use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use toft_model::machine::{Activity, MachineState};
use toft_store::Store;

fn listed(machine: &Machine, which: impl FnOnce(&Lists) -> &Option<Value>) -> Option<Response> {
    let view = machine.view();
    let list = which(view.lists.as_deref()?).as_ref()?;
    Some(Json(list).into_response())
}

/// `GET processes`.
pub(super) fn processes(machine: &Machine) -> Response {
    let none = || reply::response("list_processes", json!({"processes": []}));
    listed(machine, |lists| &lists.processes).unwrap_or_else(none)
}

/// `GET terminals`.
pub(super) fn terminals(machine: &Machine) -> Response {
    let none = || reply::response("list_terminals", json!({"terminals": []}));
    listed(machine, |lists| &lists.terminals).unwrap_or_else(none)
}

/// `GET services`: the rows as they were last, without processes. What ran then does not any more.
pub(super) async fn services(store: &dyn Store, machine: &Machine) -> Result<Response, ApiError> {
    if let Some(listed) = listed(machine, |lists| &lists.services) {
        return Ok(listed);
    }
    let mut services = copy::service_rows(store, machine).await?;
    for service in &mut services {
        for field in ["command", "cwd", "env", "restart", "problem"] {
            if service.get(field).is_none() {
                service[field] = Value::Null;
            }
        }
        service["process"] = Value::Null;
        if machine.state() != MachineState::Frozen && service["status"] == "running" {
            service["status"] = "stopped".into();
        }
    }
    Ok(reply::response("list_services", json!({"services": services})))
}

/// `GET activity`: nothing works.
pub(super) fn activity() -> Response {
    reply::response("get_activity", Activity::default())
}
