//! `toft run` and `toft runs`: work that nobody watches.

use crate::{
    args::{
        At,
        run::{Run, Runs},
    },
    client::{Client, SseEvent},
    output,
    verbs::compare,
};
use anyhow::{Context as _, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::{fs::File, io::Write as _, path::Path};
use toft_model::id::random_hex;

/// Bytes of a key that names a request which has no name.
const KEY_BYTES: usize = 16;
/// Characters of a prompt in a list.
const PROMPT_CHARS_MAX: usize = 60;
/// Exit code of a run that did not complete.
const NOT_COMPLETED: i32 = 1;

/// `toft run`.
pub(crate) async fn run(at: &At, verb: &Run, as_json: bool) -> Result<i32> {
    let client = Client::find(at)?;
    let id = client.project(&verb.project).await?;
    let (route, text) = if verb.goes_on { ("messages", "content") } else { ("runs", "prompt") };
    let mut body = json!({ "approval": verb.approval, "priority": verb.priority });
    body[text] = verb.prompt.clone().into();
    if let Some(model) = &verb.model {
        let (provider, model) = named_model("--model", model)?;
        body["provider"] = provider.into();
        body["model"] = model.into();
    }
    if let Some(backend) = verb.backend {
        body["workspaceBackend"] = backend.word().into();
    }
    if let Some(n) = verb.n {
        body["n"] = n.into();
    }
    if !verb.models.is_empty() {
        let models = verb.models.iter().map(|model| {
            let (provider, model) = named_model("--models", model)?;
            Ok(json!({ "provider": provider, "model": model }))
        });
        body["models"] = Value::Array(models.collect::<Result<_>>()?);
    }
    let key = verb.key.clone().unwrap_or_else(|| random_hex(KEY_BYTES));
    let mut made = client.say(&format!("/v1/projects/{id}/{route}"), &body, &key).await?;
    if verb.n.is_some() || !verb.models.is_empty() {
        return compare::begun(&client, &id, &verb.project, &made, verb.follow, as_json).await;
    }
    let run = if verb.goes_on { made["run"].take() } else { made };
    let name = run["id"].as_str().context("the server named no run")?.to_owned();
    if !verb.follow {
        output::answer(&run, as_json, |run| {
            output::line(&format!(
                "run {} is queued: number {} of the project",
                name, run["runIndex"]
            ));
            output::remark(&format!("Follow it with: toft runs {} {name} --follow", verb.project));
        });
        return Ok(0);
    }
    follow(&client, &id, &name, as_json).await
}

/// Who is to answer, as a person names it.
fn named_model<'a>(flag: &str, given: &'a str) -> Result<(&'a str, &'a str)> {
    let named = given.split_once('/');
    named.with_context(|| {
        format!("{flag} takes PROVIDER/MODEL, for example anthropic/claude-sonnet-4-5")
    })
}

/// `toft runs`.
pub(crate) async fn runs(at: &At, verb: &Runs, as_json: bool) -> Result<i32> {
    let client = Client::find(at)?;
    let id = client.project(&verb.project).await?;
    let all = format!("/v1/projects/{id}/runs");
    let Some(given) = &verb.run else {
        let found = client.get(&format!("{all}?limit={}", verb.limit)).await?;
        output::answer(&found, as_json, table);
        return Ok(0);
    };
    let name = named(&client, &all, given).await?;
    if verb.follow {
        return follow(&client, &id, &name, as_json).await;
    }
    let path = format!("{all}/{name}");
    if let Some(file) = &verb.download {
        return download(&client, &path, file, as_json).await;
    }
    if verb.cancel {
        let done = client.post(&format!("{path}/cancel"), &json!({})).await?;
        output::answer(&done, as_json, |done| {
            let word =
                if done["cancelled"] == true { "is being ended" } else { "was not ended by this" };
            output::line(&format!("run {name} {word}; it is {}", output::text(&done["status"])));
        });
        return Ok(0);
    }
    if verb.restore {
        let done = client.post(&format!("{path}/restore"), &json!({ "force": verb.force })).await?;
        output::answer(&done, as_json, |done| {
            let text = |value: &Value| output::text(value);
            output::line(&format!("the project is as it was before run {name}"));
            output::remark(&format!(
                "How it was just now is checkpoint {}.",
                text(&done["before"]["id"])
            ));
        });
        return Ok(0);
    }
    let run = client.get(&path).await?;
    output::answer(&run, as_json, one);
    Ok(0)
}

/// The id of a run that was given by id or number.
async fn named(client: &Client, all: &str, given: &str) -> Result<String> {
    let Ok(number) = given.parse::<u64>() else { return Ok(given.to_owned()) };
    let mut offset = 0;
    loop {
        let page = client.get(&format!("{all}?limit=1000&offset={offset}")).await?;
        let page = page.as_array().map_or(&[][..], Vec::as_slice);
        if let Some(run) = page.iter().find(|run| run["runIndex"] == number) {
            return Ok(output::text(&run["id"]));
        }
        if page.is_empty() {
            bail!("the project has no run {number}");
        }
        offset += page.len();
    }
}

fn table(found: &Value) {
    let runs = found.as_array().map_or(&[][..], Vec::as_slice);
    let head = ["#", "ID", "STATUS", "CREATED", "MODEL", "PROMPT"].map(str::to_owned).to_vec();
    let rows = runs.iter().map(|run| {
        let waits = run["waitsFor"].as_str().map(|what| format!(" (waits for {what})"));
        let prompt = output::text(&run["prompt"]).replace(['\r', '\n', '\t'], " ");
        let cut: String = prompt.chars().take(PROMPT_CHARS_MAX).collect();
        let more = if cut.len() < prompt.len() { "…" } else { "" };
        vec![
            output::text(&run["runIndex"]),
            output::text(&run["id"]),
            format!("{}{}", output::text(&run["status"]), waits.unwrap_or_default()),
            output::text(&run["createdAt"]),
            output::text(&run["meta"]["model"]),
            output::shown(&format!("{cut}{more}")).into_owned(),
        ]
    });
    output::table(&[head].into_iter().chain(rows).collect::<Vec<_>>());
}

fn one(run: &Value) {
    for (name, value) in [
        ("run", &run["id"]),
        ("number", &run["runIndex"]),
        ("status", &run["status"]),
        ("waits for", &run["waitsFor"]),
        ("attempt", &run["meta"]["attempt"]),
        ("model", &run["meta"]["model"]),
        ("commit", &run["commitSha"]),
        ("tokens", &run["usage"]["totalTokens"]),
        ("cost", &run["cost"]["estimatedUsd"]),
        ("error", &run["error"]),
        ("output", &run["output"]),
    ] {
        if !value.is_null() {
            output::line(&format!("{name:<10} {}", output::shown(&output::text(value))));
        }
    }
}

/// Shows what a run tells until it is over.
async fn follow(client: &Client, project: &str, run: &str, as_json: bool) -> Result<i32> {
    let path = format!("/v1/projects/{project}/runs/{run}");
    let (mut last, mut end) = (0, None);
    while end.is_none() {
        let mut events =
            client.stream(Method::GET, &format!("{path}/stream?after={last}"), None).await?;
        while let Ok(Some(event)) = events.next().await {
            if event.name == "ping" {
                continue;
            }
            last = event.id.as_deref().and_then(|id| id.parse().ok()).unwrap_or(last);
            if as_json {
                output::line(&event.data.to_string());
            } else {
                show(&event);
            }
        }
        // A stream that broke before its end is taken up where it was.
        let now = client.get(&path).await?;
        let status = now["status"].as_str().unwrap_or_default();
        if !matches!(status, "queued" | "running") {
            end = Some(if status == "completed" { 0 } else { NOT_COMPLETED });
        }
    }
    Ok(end.unwrap_or(NOT_COMPLETED))
}

fn show(event: &SseEvent) {
    let data = &event.data["data"];
    let text = |field: &str| output::shown(data[field].as_str().unwrap_or_default()).into_owned();
    match event.name.as_str() {
        "token" => output::piece(&text("token")),
        "tool" if data["phase"] == "start" => {
            let input = output::shown(&data["input"].to_string()).into_owned();
            output::line(&output::dim(&format!("\n[{}] {input}", text("tool"))));
        }
        "tool" if data["phase"] == "error" => {
            output::line(&output::dim(&format!("\n{}", text("error"))));
        }
        "status" => {
            output::line(&output::dim(&format!("\n· {}", output::shown(&data.to_string()))));
        }
        "error" => output::line(&format!("\nfailed: {}", text("error"))),
        "done" => output::line(&output::dim("\ndone")),
        _ => {}
    }
}

async fn download(client: &Client, path: &str, file: &Path, as_json: bool) -> Result<i32> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    let beside = std::path::PathBuf::from(beside);
    let mut out = File::create(&beside).with_context(|| format!("writing {}", beside.display()))?;
    let mut size = 0_u64;
    let poured = client
        .pour(&format!("{path}/download.zip"), |piece| {
            size += piece.len() as u64;
            out.write_all(piece)
        })
        .await;
    let kept = poured.and_then(|()| {
        out.sync_all()?;
        std::fs::rename(&beside, file).with_context(|| format!("writing {}", file.display()))
    });
    if let Err(error) = kept {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    let told = json!({ "path": file.display().to_string(), "sizeBytes": size });
    output::answer(&told, as_json, |_| {
        output::line(&format!("{} bytes are in {}", size, file.display()));
    });
    Ok(0)
}
