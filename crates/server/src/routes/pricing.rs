//! `/v1/model-pricing`: what models cost, for the sums of runs.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    envelope::{Data, JsonBody, Path},
    state::App,
};
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use toft_model::time::rfc3339;
use toft_store::{ModelPrice, Role};

/// Billionths of a unit.
const NANOS: f64 = 1e9;
/// Dearer is a mistake: a unit of the currency for each token.
const PER_1K_MAX: f64 = 1_000.0;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
pub(crate) struct Named {
    provider: String,
    model: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Put {
    input_cost_per_1k: f64,
    output_cost_per_1k: f64,
    cached_input_cost_per_1k: Option<f64>,
    reasoning_output_cost_per_1k: Option<f64>,
    currency: Option<String>,
    pricing_version: Option<String>,
    active: Option<bool>,
}

fn shown(price: &ModelPrice) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "money is shown, not added up here")]
    let units = |nanos: u64| nanos as f64 / NANOS;
    json!({
        "provider": price.provider,
        "model": price.model,
        "currency": price.currency,
        "inputCostPer1k": units(price.input),
        "outputCostPer1k": units(price.output),
        "cachedInputCostPer1k": price.cached_input.map(units),
        "reasoningOutputCostPer1k": price.reasoning_output.map(units),
        "pricingVersion": price.version,
        "active": price.is_active,
        "updatedAt": rfc3339(price.updated_at),
    })
}

/// `GET /v1/model-pricing`.
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Data<Vec<Value>>, ApiError> {
    Ok(Data(app.store.prices().await?.iter().map(shown).collect()))
}

fn nanos(name: &str, units: f64) -> Result<u64, ApiError> {
    if !(0.0..=PER_1K_MAX).contains(&units) {
        let wants = format!("{name} is the price of 1,000 tokens, from 0 to {PER_1K_MAX}");
        return Err(ApiError::invalid(wants));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in its bounds"
    )]
    Ok((units * NANOS).round() as u64)
}

fn name(what: &str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let wants =
            format!("{what} is a name of 1 to {NAME_BYTES_MAX} bytes without control characters");
        return Err(ApiError::invalid(wants));
    }
    Ok(text.to_owned())
}

/// `PUT /v1/model-pricing/{provider}/{model}`: sets the price of a model.
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(named): Path<Named>,
    JsonBody(body): JsonBody<Put>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Admin)?;
    let optional =
        |name: &str, units: Option<f64>| units.map(|units| nanos(name, units)).transpose();
    let price = ModelPrice {
        provider: name("the provider", &named.provider)?,
        model: name("the model", &named.model)?,
        currency: body.currency.map_or(Ok("USD".to_owned()), |text| name("currency", &text))?,
        input: nanos("inputCostPer1k", body.input_cost_per_1k)?,
        output: nanos("outputCostPer1k", body.output_cost_per_1k)?,
        cached_input: optional("cachedInputCostPer1k", body.cached_input_cost_per_1k)?,
        reasoning_output: optional("reasoningOutputCostPer1k", body.reasoning_output_cost_per_1k)?,
        version: match body.pricing_version {
            Some(text) => name("pricingVersion", &text)?,
            None => format!("set:{}", &rfc3339(app.clock.now_ms())[..10]),
        },
        is_active: body.active.unwrap_or(true),
        updated_at: app.clock.now_ms(),
    };
    app.store.put_price(&price).await?;
    Ok(Data(shown(&price)))
}

/// `DELETE /v1/model-pricing/{provider}/{model}`: from then on nobody knows what it costs.
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Data<Value>, ApiError> {
    caller.require(Role::Admin)?;
    if !app.store.delete_price(&named.provider, &named.model).await? {
        return Err(ApiError::new(Code::NotFound, "there is no price of this model"));
    }
    Ok(Data(json!({})))
}
