//! `/v1/projects/{id}/limits`: what a machine may use. A field that is left out stays as it is.

use super::given::Given;
use crate::{
    api_error::ApiError,
    envelope::{Data, JsonBody},
    machines::settings,
    project::{Member, OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_model::{id::ProjectId, machine::Limits};

/// Limits to change. `null` takes one off.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    #[serde(default)]
    memory_bytes: Given<u64>,
    #[serde(default)]
    cpus: Given<f64>,
    #[serde(default)]
    pids: Given<u64>,
    #[serde(default)]
    disk_bytes: Given<u64>,
    #[serde(default)]
    log_bytes: Given<u64>,
}

impl Wish {
    fn apply(self, limits: &mut Limits) {
        limits.memory_bytes = self.memory_bytes.over(limits.memory_bytes);
        limits.cpus = self.cpus.over(limits.cpus);
        limits.pids = self.pids.over(limits.pids);
        limits.disk_bytes = self.disk_bytes.over(limits.disk_bytes);
        limits.log_bytes = self.log_bytes.over(limits.log_bytes);
    }
}

/// What a machine may use.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MachineLimits")]
pub(crate) struct Shown {
    limits: Limits,
    /// Names of those that are enforced here.
    enforced: Vec<String>,
}

fn shown(app: &App, id: &ProjectId, limits: Limits) -> Data<Shown> {
    Data(Shown { limits, enforced: settings::can(app, id).limits })
}

/// `GET …/limits`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
) -> Result<Data<Shown>, ApiError> {
    Ok(shown(&app, &project.id, settings::limits(&app, &project.id).await?))
}

/// `PUT …/limits`: in force at once.
pub(crate) async fn put(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Shown>, ApiError> {
    let limits = settings::set_limits(&app, &machine, |limits| wish.apply(limits)).await?;
    Ok(shown(&app, &machine.id, limits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_out_stays_and_null_takes_it_off() {
        let wish: Wish = serde_json::from_value(json!({"memoryBytes": null, "cpus": 2})).unwrap();
        let mut limits = Limits::default();
        wish.apply(&mut limits);
        let want = Limits { memory_bytes: None, cpus: Some(2.0), ..Limits::default() };
        assert_eq!(limits, want);
        for wrong in [json!({"memory": 1}), json!({"pids": -1}), json!({"pids": "many"})] {
            assert!(serde_json::from_value::<Wish>(wrong).is_err());
        }
    }
}
