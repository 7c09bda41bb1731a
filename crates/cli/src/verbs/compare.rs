//! `toft compare`: several runs of one prompt, side by side; one is kept, or all are dropped.

use crate::{
    args::{At, run::Compare},
    client::Client,
    output,
    verbs::{copies::segment, logs::first_line},
};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// Between two looks at runs that work.
const LOOK: Duration = Duration::from_secs(1);
/// Exit code when no candidate completed.
const NONE_COMPLETED: i32 = 1;

/// `toft compare`.
pub(crate) async fn run(at: &At, verb: &Compare, as_json: bool) -> Result<i32> {
    let client = Client::find(at)?;
    let project = client.project(&verb.project).await?;
    let all = format!("/v1/projects/{project}/comparisons");
    let Some(id) = &verb.comparison else {
        let found = client.get(&all).await?;
        output::answer(&found, as_json, list);
        return Ok(0);
    };
    let path = format!("{all}/{id}");
    if verb.follow {
        return follow(&client, &path, as_json).await;
    }
    if let Some(number) = verb.diff {
        let candidate = format!("{path}/candidates/{}/diff", run_of(&client, &path, number).await?);
        match &verb.path {
            Some(file) => {
                let found = client.get(&format!("{candidate}?path={}", segment(file))).await?;
                output::answer(&found, as_json, |found| match found["note"].as_str() {
                    Some(note) => output::remark(note),
                    None => output::piece(&output::text(&found["unified"])),
                });
            }
            None => output::answer(&client.get(&candidate).await?, as_json, changes),
        }
        return Ok(0);
    }
    let done = if let Some(number) = verb.keep {
        let run = run_of(&client, &path, number).await?;
        client.post(&format!("{path}/keep"), &json!({ "runId": run })).await?
    } else if verb.drop {
        client.post(&format!("{path}/drop"), &json!({})).await?
    } else {
        let found = client.get(&path).await?;
        show(&client, &path, &found, as_json).await?;
        return Ok(0);
    };
    output::answer(&done, as_json, |done| match done["status"].as_str() {
        Some("kept") => output::line(
            "The project has that candidate's state now. How it was before is its newest checkpoint; the candidates \
             are deleted.",
        ),
        _ => output::line("The candidates are deleted. The project is as it was."),
    });
    Ok(0)
}

/// What follows on a comparison that was asked for.
pub(crate) async fn begun(
    client: &Client,
    id: &str,
    project: &str,
    made: &Value,
    follows: bool,
    as_json: bool,
) -> Result<i32> {
    let name = made["id"].as_str().context("the server named no comparison")?;
    if follows {
        return follow(client, &format!("/v1/projects/{id}/comparisons/{name}"), as_json).await;
    }
    output::answer(made, as_json, |made| {
        let n = made["candidates"].as_array().map_or(0, Vec::len);
        output::line(&format!("comparison {name}: {n} runs, each in a fork of its own"));
        output::remark(&format!(
            "See them side by side with: toft compare {project} {name} --follow"
        ));
    });
    Ok(0)
}

/// The run of a candidate, by its number.
async fn run_of(client: &Client, path: &str, number: u64) -> Result<String> {
    let found = client.get(path).await?;
    let one = candidates(&found).iter().find(|one| one["number"] == number);
    let Some(one) = one else { bail!("the comparison has no candidate {number}") };
    Ok(output::text(&one["runId"]))
}

fn candidates(found: &Value) -> &[Value] {
    found["candidates"].as_array().map_or(&[][..], Vec::as_slice)
}

/// Until all runs are over, or the candidates are gone.
async fn follow(client: &Client, path: &str, as_json: bool) -> Result<i32> {
    loop {
        let found = client.get(path).await?;
        let works = |one: &Value| matches!(status(one), "queued" | "running" | "");
        let waits = match found["status"].as_str() {
            Some("making") => true,
            Some("open") => candidates(&found).iter().any(works),
            _ => false,
        };
        if waits {
            sleep(LOOK).await;
            continue;
        }
        show(client, path, &found, as_json).await?;
        let completed = candidates(&found).iter().any(|one| status(one) == "completed");
        return Ok(if completed { 0 } else { NONE_COMPLETED });
    }
}

/// Of its run, or of what is left of it. A fork that a person has deleted has neither.
fn status(one: &Value) -> &str {
    let told = one["run"]["status"].as_str().or(one["outcome"]["status"].as_str());
    told.unwrap_or(if one["projectId"].is_null() { "gone" } else { "" })
}

fn list(found: &Value) {
    let all = found.as_array().map_or(&[][..], Vec::as_slice);
    let head = ["ID", "STATUS", "RUNS", "CREATED", "PROMPT"].map(str::to_owned).to_vec();
    let rows = all.iter().map(|one| {
        vec![
            output::text(&one["id"]),
            output::text(&one["status"]),
            candidates(one).len().to_string(),
            output::text(&one["createdAt"]),
            first_line(&output::text(&one["prompt"])),
        ]
    });
    output::table(&[head].into_iter().chain(rows).collect::<Vec<_>>());
}

/// The candidates as rows, with what each has changed where that can still be seen.
async fn show(client: &Client, path: &str, found: &Value, as_json: bool) -> Result<()> {
    let mut rows = vec![
        ["#", "RUN", "STATUS", "MODEL", "FILES", "LINES", "CHECKS", "COST", "TIME", "PREVIEW"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut whole = found.clone();
    for (place, one) in candidates(found).iter().enumerate() {
        let run = &one["run"];
        let is_over = !matches!(status(one), "queued" | "running" | "" | "gone");
        let diff = if one["projectId"].is_null() || !is_over {
            Value::Null
        } else {
            // A candidate that cannot be compared is shown all the same.
            let diff = format!("{path}/candidates/{}/diff", output::text(&one["runId"]));
            client.get(&diff).await.unwrap_or_default()
        };
        let of = if run.is_null() { &one["outcome"] } else { run };
        let model = [&run["meta"]["model"], &of["model"], &one["model"]];
        let model = model.into_iter().find(|model| !model.is_null());
        let lines = match (diff["added"].as_u64(), diff["removed"].as_u64()) {
            (Some(added), Some(removed)) => format!("+{added} -{removed}"),
            _ => String::new(),
        };
        let kept = if one["kept"] == true { " (kept)" } else { "" };
        rows.push(vec![
            output::text(&one["number"]),
            output::text(&one["runId"]),
            format!("{}{kept}", status(one)),
            output::text(model.unwrap_or(&Value::Null)),
            diff["changes"].as_array().map(|all| all.len().to_string()).unwrap_or_default(),
            lines,
            checks(&one["checks"]),
            of["cost"]["estimatedUsd"]
                .as_f64()
                .map(|cost| format!("{cost:.4}"))
                .unwrap_or_default(),
            took(one),
            output::text(&one["url"]),
        ]);
        whole["candidates"][place]["diff"] = diff;
    }
    output::answer(&whole, as_json, |found| {
        let status = output::text(&found["status"]);
        let error = found["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
        output::line(&format!("{status}{}", output::shown(&error)));
        output::table(&rows);
    });
    Ok(())
}

/// `2 passed`, `1 of 2 failed`.
fn checks(told: &Value) -> String {
    let all = told.as_array().map_or(&[][..], Vec::as_slice);
    let failed = all.iter().filter(|check| check["result"] == "failed").count();
    match (all.len(), failed) {
        (0, _) => String::new(),
        (all, 0) => format!("{all} passed"),
        (all, failed) => format!("{failed} of {all} failed"),
    }
}

fn took(one: &Value) -> String {
    let ms = one["durationMs"].as_u64();
    #[expect(clippy::cast_precision_loss, reason = "seconds are shown, not added up")]
    ms.map(|ms| format!("{:.1} s", ms as f64 / 1000.0)).unwrap_or_default()
}

fn changes(found: &Value) {
    let all = found["changes"].as_array().map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        output::line("Nothing differs.");
        return;
    }
    let rows = all.iter().map(|change| {
        let lines = match (change["added"].as_u64(), change["removed"].as_u64()) {
            (Some(added), Some(removed)) => format!("+{added} -{removed}"),
            _ => String::new(),
        };
        vec![output::text(&change["kind"]), lines, output::text(&change["path"])]
    });
    let head = ["CHANGE", "LINES", "PATH"].map(str::to_owned).to_vec();
    output::table(&[head].into_iter().chain(rows).collect::<Vec<_>>());
    if found["truncated"] == true {
        output::remark("There are more.");
    }
}
