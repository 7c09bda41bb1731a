//! `GET /v1/models`: what the gateway can call.

use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::Data,
    routes::providers::{gateway_failed, no_gateway},
    state::App,
};
use axum::extract::State;
use toft_model::provider::ModelList;

pub(crate) async fn get(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Data<ModelList>, ApiError> {
    let gateway = app.gateway.get().await.ok_or_else(no_gateway)?;
    gateway.models().await.map(Data).map_err(|e| gateway_failed(&e))
}
