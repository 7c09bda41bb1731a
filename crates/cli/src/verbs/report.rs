//! `toft doctor` and `toft link`: what the host can do, and a way in.

use crate::{
    args::At,
    client::Client,
    output,
    refused::{Refused, UNREACHABLE},
};
use anyhow::Result;
use jiff::Timestamp;
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
    let backends = report["backends"].as_array().map(Vec::as_slice).unwrap_or_default();
    match backends {
        // Of a server of an earlier version.
        [] => show_backend(&report),
        [one] => show_backend(one),
        _ => {}
    }
    for one in backends.iter().filter(|_| backends.len() > 1) {
        output::line(&format!("Backend {}", output::text(&one["name"])));
        show_backend(one);
    }
    for sink in report["traces"].as_array().map(Vec::as_slice).unwrap_or_default() {
        output::line(&traces_line(sink));
    }
    Ok(())
}

fn show_backend(one: &Value) {
    if let Some(problem) = one["problem"].as_str() {
        output::line(&format!("  cannot be had: {problem}"));
        return;
    }
    output::line(&format!("Storage: {}", output::text(&one["storage"])));
    for ability in one["abilities"].as_array().map(Vec::as_slice).unwrap_or_default() {
        output::line(&ability_line(ability));
        if let Some(remedy) = ability["remedy"].as_str() {
            output::line(&format!("        {remedy}"));
        }
    }
}

async fn ask(at: &At) -> Result<Value> {
    Client::find(at)?.get("/v1/doctor?all=true").await
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|r| r.code == UNREACHABLE)
}

fn ability_line(ability: &Value) -> String {
    let mark = if ability["enforced"] == true { "yes" } else { "no " };
    format!("  {mark}  {}: {}", output::text(&ability["name"]), output::text(&ability["how"]))
}

/// Whether traces go out to a place, and how far behind it is.
fn traces_line(sink: &Value) -> String {
    let moment = |ms: &Value| {
        let at = Timestamp::from_millisecond(ms.as_i64()?).ok()?;
        Some(at.strftime("%Y-%m-%d %H:%M:%S").to_string())
    };
    let mut parts = vec![format!(
        "Traces to {} ({}): {} spans taken",
        output::text(&sink["sink"]),
        output::text(&sink["endpoint"]),
        sink["spansAccepted"]
    )];
    if let Some(at) = moment(&sink["lastAcceptedAt"]) {
        parts.push(format!(", the last at {at} UTC"));
    }
    for (count, what) in [("spansRejected", "rejected"), ("spansLeftOut", "left out")] {
        if sink[count].as_u64() > Some(0) {
            parts.push(format!(", {} {what}", sink[count]));
        }
    }
    if let Some(why) = sink["problem"]["message"].as_str() {
        parts.push(format!("\n        {why}"));
        if let Some(since) = moment(&sink["waitingSince"]) {
            parts.push(format!(" What ended since {since} UTC waits."));
        }
    }
    parts.concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_stands_with_traces_is_one_line_and_the_problem_another() {
        let mut sink = json!({"sink": "otlp", "endpoint": "http://c/v1/traces", "spansAccepted": 0,
            "spansRejected": 0, "spansLeftOut": 0, "lastAcceptedAt": null, "waitingSince": null,
            "problem": null});
        assert_eq!(traces_line(&sink), "Traces to otlp (http://c/v1/traces): 0 spans taken");
        sink["spansAccepted"] = 7.into();
        sink["spansRejected"] = 2.into();
        sink["lastAcceptedAt"] = 1_000.into();
        sink["waitingSince"] = 2_000.into();
        sink["problem"] = json!({"at": 3_000, "code": "busy", "message": "It is away."});
        assert_eq!(
            traces_line(&sink),
            "Traces to otlp (http://c/v1/traces): 7 spans taken, the last at 1970-01-01 00:00:01 UTC, \
             2 rejected\n        It is away. What ended since 1970-01-01 00:00:02 UTC waits."
        );
    }
}
