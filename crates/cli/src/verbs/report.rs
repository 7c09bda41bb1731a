//! `toft doctor` and `toft link`: what the host can do, and a way in.

use crate::{
    args::At,
    client::Client,
    output,
    refused::{Refused, UNREACHABLE},
};
use anyhow::Result;
use serde_json::{Value, json};

/// What a host can enforce, as the running server found it.
pub(crate) async fn doctor(at: &At, as_json: bool) -> Result<()> {
    let report = match ask(at).await {
        // Without a server the host itself is asked.
        Err(error) if at.url.is_none() && is_unreachable(&error) => super::up::probe(at).await?,
        asked => asked?,
    };
    if as_json {
        output::json(&report);
        return Ok(());
    }
    output::line(&format!("Storage: {}", output::text(&report["storage"])));
    for ability in report["abilities"].as_array().map(Vec::as_slice).unwrap_or_default() {
        output::line(&ability_line(ability));
        if let Some(remedy) = ability["remedy"].as_str() {
            output::line(&format!("        {remedy}"));
        }
    }
    Ok(())
}

async fn ask(at: &At) -> Result<Value> {
    Client::find(at)?.get("/v1/doctor").await
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|r| r.code == UNREACHABLE)
}

fn ability_line(ability: &Value) -> String {
    let mark = if ability["enforced"] == true { "yes" } else { "no " };
    format!("  {mark}  {}: {}", output::text(&ability["name"]), output::text(&ability["how"]))
}

pub(crate) async fn link(at: &At, as_json: bool) -> Result<()> {
    let made = Client::find(at)?.post("/v1/sign-in-links", &json!({})).await?;
    if as_json {
        output::json(&made);
    } else {
        output::line(&output::text(&made["url"]));
    }
    Ok(())
}
