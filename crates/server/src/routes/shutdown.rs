//! `POST /v1/shutdown`: ends the server, for the CLI on this computer.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody},
    routes::{auth::only_cli, given::Done},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wish {
    #[serde(default)]
    stop_machines: bool,
}

pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Done>, ApiError> {
    only_cli(&caller)?;
    tracing::info!(machines = wish.stop_machines, "told to end");
    // Connections finish the request that they are in: this answer still goes out.
    app.stop.stop(wish.stop_machines);
    Ok(Data(Done {}))
}
