//! `/v1/model-pricing`: what models cost, for the sums of runs.

use crate::{
    api_error::{ApiError, Code},
    auth::caller::Caller,
    envelope::{Data, JsonBody, Path},
    routes::given::Done,
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_model::time::rfc3339;
use toft_store::{ModelPrice, Role};

/// Billionths of a unit.
const NANOS: f64 = 1e9;
/// Dearer is a mistake: a unit of the currency for each token.
const PER_1K_MAX: f64 = 1_000.0;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 128;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Named {
    provider: String,
    model: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Put {
    input_cost_per_1k: f64,
    output_cost_per_1k: f64,
    cached_input_cost_per_1k: Option<f64>,
    reasoning_output_cost_per_1k: Option<f64>,
    currency: Option<String>,
    pricing_version: Option<String>,
    active: Option<bool>,
}

/// What a model costs, for 1,000 tokens.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ModelPrice")]
pub(crate) struct Shown {
    provider: String,
    model: String,
    currency: String,
    input_cost_per_1k: f64,
    output_cost_per_1k: f64,
    cached_input_cost_per_1k: Option<f64>,
    reasoning_output_cost_per_1k: Option<f64>,
    pricing_version: String,
    active: bool,
    /// RFC 3339.
    updated_at: String,
}

fn shown(price: &ModelPrice) -> Shown {
    #[expect(clippy::cast_precision_loss, reason = "money is shown, not added up here")]
    let units = |nanos: u64| nanos as f64 / NANOS;
    Shown {
        provider: price.provider.clone(),
        model: price.model.clone(),
        currency: price.currency.clone(),
        input_cost_per_1k: units(price.input),
        output_cost_per_1k: units(price.output),
        cached_input_cost_per_1k: price.cached_input.map(units),
        reasoning_output_cost_per_1k: price.reasoning_output.map(units),
        pricing_version: price.version.clone(),
        active: price.is_active,
        updated_at: rfc3339(price.updated_at),
    }
}

/// `GET /v1/model-pricing`.
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
) -> Result<Data<Vec<Shown>>, ApiError> {
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
    let is_name = !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.chars().any(char::is_control)
        && text.trim() == text;
    if !is_name {
        let wants = format!(
            "{what} is a name of 1 to {NAME_BYTES_MAX} bytes without control characters, and without blanks around it"
        );
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
) -> Result<Data<Shown>, ApiError> {
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
) -> Result<Data<Done>, ApiError> {
    caller.require(Role::Admin)?;
    if !app.store.delete_price(&named.provider, &named.model).await? {
        return Err(ApiError::new(
            Code::NotFound,
            "there is no price of this model: GET /v1/model-pricing lists them",
        ));
    }
    Ok(Data(Done {}))
}
