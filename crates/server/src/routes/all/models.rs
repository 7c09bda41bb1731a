//! Routes of models and what they cost.

use crate::{
    auth::guard::Needs,
    openapi::{Failure, Says, says},
    routes::{
        budget, fallbacks, llm, model_limits, models, pricing, providers,
        table::{Table, get, passed, post, put},
        usage,
    },
};
use serde_json::{Map, Value};
use toft_model::provider::ModelList;

pub(super) fn routes(table: Table) -> Table {
    table
        .area("Models")
        .route("/v1/models", get(models::get, "What can be asked"))
        .route("/v1/providers", get(providers::list, "List providers"))
        .route("/v1/keys-file", get(providers::file, "The file that keys were found in"))
        .route(
            "/v1/models-file",
            get(providers::models_file, "The file of models and providers of one's own"),
        )
        .route(
            "/v1/providers/{id}/key",
            put(providers::put_key, "Set a provider's key")
                .delete(providers::delete_key, "Delete a provider's key"),
        )
        .route("/v1/providers/{id}/test", post(providers::test, "Try a provider's key"))
        .route(
            "/v1/fallbacks",
            get(fallbacks::get, "Models that stand in for others")
                .put(fallbacks::put, "Change them"),
        )
        .route(
            "/v1/projects/{id}/fallbacks",
            get(fallbacks::get_project, "Models that stand in for others in a project")
                .put(fallbacks::put_project, "Change them in a project"),
        )
        .route(
            "/v1/projects/{id}/model-limits",
            get(model_limits::get, "What a project may ask of models")
                .put(model_limits::put, "Change what it may ask"),
        )
        .area("Money")
        .route("/v1/usage", get(usage::all, "What model calls have used"))
        .route(
            "/v1/projects/{id}/usage",
            get(usage::of_project, "What a project's model calls have used"),
        )
        .route(
            "/v1/budget",
            get(budget::get_team, "What may be spent")
                .put(budget::put_team, "Change what may be spent"),
        )
        .route(
            "/v1/projects/{id}/budget",
            get(budget::get_project, "What may be spent in a project")
                .put(budget::put_project, "Change what may be spent in a project"),
        )
        .route("/v1/model-pricing", get(pricing::list, "List prices of models"))
        .route(
            "/v1/model-pricing/{provider}/{*model}",
            put(pricing::put, "Set a model's price")
                .delete(pricing::delete, "Delete a model's price"),
        )
        .area("Model gateway")
        .open("/llm/{*rest}", passed(llm::route))
        .passes(
            "GET",
            "/llm/models",
            Needs::Nothing,
            says("What can be asked").bare::<ModelList>().fails(Failure::Provider),
        )
        .passes("GET", "/llm/{provider}/{path}", Needs::Nothing, llm_passes("Ask a provider's API"))
        .passes(
            "POST",
            "/llm/{provider}/{path}",
            Needs::Nothing,
            llm_passes("Ask a model").takes::<Map<String, Value>>(),
        )
}

fn llm_passes(summary: &'static str) -> Says {
    says(summary)
        .note(
            "In the provider's own format, for its own programs: see \
            docs/http-api.md, \"Any model in any wire format\".",
        )
        .bytes("*/*")
        .fails(Failure::Provider)
}
