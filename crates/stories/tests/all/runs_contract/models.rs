//! Who answers a run is who it names, whatever its conversation had before: told once, and priced.

use super::started;
use crate::runs::stream;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toft_stories::toft::Toft;

/// Has a run done; which models were told of, and the run.
async fn run(
    toft: &Toft,
    project: &str,
    key: &str,
    message: bool,
    model: Value,
) -> Result<(Vec<Value>, Value)> {
    let (route, text) = if message { ("messages", "content") } else { ("runs", "prompt") };
    let mut body = model;
    body[text] = "hello".into();
    let path = format!("/v1/projects/{project}/{route}");
    let (status, answer) = crate::runs::send(toft, "POST", &path, Some(key), Some(body)).await?;
    ensure!(status == 200, "{status}: {answer}");
    let made = if message { &answer["data"]["run"] } else { &answer["data"] };
    let at = format!("/v1/projects/{project}/runs/{}", made["id"].as_str().context("an id")?);
    let told = stream(toft, &at, None).await?.into_iter().map(|(_, _, data)| data);
    let resolved = told.filter(|data| data["status"] == "model_resolved").collect();
    Ok((resolved, toft.call("GET", &at, None).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_answered_and_priced_by_the_model_that_it_names() -> Result<()> {
    let (toft, provider) = started(&[("MAX_JOB_ATTEMPTS", "1")]).await?;
    let project = toft.new_project("Models").await?;
    let price = json!({"inputCostPer1k": 0.5, "outputCostPer1k": 2});
    for model in ["one", "two"] {
        let path = format!("/v1/model-pricing/anthropic/{model}");
        toft.call("PUT", &path, Some(price.clone())).await?;
    }
    // Each in a conversation of its own that begins with the project's model; then in one, which changes.
    for (n, message) in [false, false, false, true, true, true].into_iter().enumerate() {
        let model = ["one", "two"][n % 2];
        let asked = json!({"provider": "anthropic", "model": model});
        let (resolved, run) = run(&toft, &project, &n.to_string(), message, asked).await?;
        assert_eq!(run["status"], "completed", "{run}");
        let expected = json!({
            "status": "model_resolved", "provider": "anthropic", "model": model, "source": "request",
        });
        assert_eq!(resolved, [expected], "run {n}");
        assert_eq!(
            (&run["meta"]["model"], &run["meta"]["modelSource"], &run["meta"]["pricingSource"]),
            (&json!(model), &json!("request"), &json!("model_pricing_table")),
            "{run}"
        );
        ensure!(run["cost"]["estimatedUsd"].as_f64() > Some(0.0), "{run}");
    }

    // Where it cannot be asked, nobody else is told to have been.
    let (resolved, run) = run(&toft, &project, "no", false, json!({"provider": "mistral"})).await?;
    assert_eq!((&run["status"], &run["meta"]["provider"]), (&json!("error"), &json!("mistral")));
    ensure!(resolved.iter().all(|told| told["provider"] == "mistral"), "{resolved:?}");
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}
