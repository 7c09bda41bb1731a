//! `toft services PROJECT …`: what the machine keeps running, orders by hand, and logs.

use crate::{
    args::{
        At,
        services::{Ask, Services, Which},
    },
    client::Client,
    output,
};
use anyhow::Result;
use serde_json::{Value, json};
use std::{fmt::Write as _, time::Duration};

/// How often a log that is followed is asked for more.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) async fn run(at: &At, verb: &Services, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(&verb.project).await?;
    let all = format!("/v1/projects/{id}/toft/services");
    match &verb.ask {
        None => list(&client.get(&all).await?, as_json),
        Some(Ask::Start(which)) => order(&client, &all, which, "start", as_json).await?,
        Some(Ask::Stop(which)) => order(&client, &all, which, "stop", as_json).await?,
        Some(Ask::Restart(which)) => order(&client, &all, which, "restart", as_json).await?,
        Some(Ask::Log { which, from, follow }) => {
            log(&client, &path(&all, which, "log"), *from, *follow, as_json).await?;
        }
    }
    Ok(())
}

fn path(all: &str, which: &Which, what: &str) -> String {
    // The id is whatever the agent chose.
    let id: String = which.id.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    });
    format!("{all}/{id}/{what}")
}

fn list(found: &Value, as_json: bool) {
    if as_json {
        output::json(found);
        return;
    }
    let services = found["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    if services.is_empty() {
        output::line(
            "No services. The agent declares them, or a row of the inspect database does.",
        );
        return;
    }
    let head = ["ID", "NAME", "STATUS", "PORT", "PID", "RESTARTS", "PROBLEM"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    for service in services {
        let process = &service["process"];
        rows.push(vec![
            output::text(&service["id"]),
            output::text(&service["name"]),
            output::text(&service["status"]),
            output::text(&service["port"]),
            output::text(&process["pid"]),
            output::text(&process["restarts"]),
            problem(service),
        ]);
    }
    output::table(&rows);
}

/// What stands in its way: its row, or what its process met; or what it does not know yet.
fn problem(service: &Value) -> String {
    let process = &service["process"];
    let told = [&service["problem"], &process["problem"]];
    match told.into_iter().find_map(Value::as_str) {
        Some(told) => told.to_owned(),
        None if process["restartToApply"] == true => {
            "it has older secrets: restart to apply".to_owned()
        }
        None => String::new(),
    }
}

async fn order(client: &Client, all: &str, which: &Which, what: &str, as_json: bool) -> Result<()> {
    let row = client.post(&path(all, which, what), &json!({})).await?;
    if as_json {
        output::json(&row);
    } else {
        let problem = problem(&row);
        let colon = if problem.is_empty() { "" } else { ": " };
        output::line(&format!("{}{colon}{problem}", output::text(&row["status"])));
    }
    Ok(())
}

async fn log(
    client: &Client,
    path: &str,
    mut from: Option<u64>,
    follow: bool,
    as_json: bool,
) -> Result<()> {
    // Without a place to begin and nothing to follow one page is what is asked for.
    let one_page = from.is_none() && !follow;
    loop {
        let page = match from {
            Some(from) => client.get(&format!("{path}?from={from}")).await?,
            None => client.get(path).await?,
        };
        let text = page["text"].as_str().unwrap_or_default();
        if as_json {
            if !text.is_empty() || !follow {
                output::line(&page.to_string());
            }
        } else {
            output::piece(text);
        }
        let at_end = page["to"] == page["end"];
        if one_page || (at_end && !follow) {
            return Ok(());
        }
        from = page["to"].as_u64();
        if at_end {
            tokio::time::sleep(LOOK).await;
        }
    }
}
