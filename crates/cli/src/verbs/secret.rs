//! `toft secret …`: values go in by standard input or a prompt, and never come out.

use crate::{
    args::{At, secret::Secret},
    client::Client,
    hidden, output,
};
use anyhow::{Context as _, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Read as _};
use toft_model::secret::{VALUE_BYTES_MAX, check_name, check_value};

pub(crate) async fn run(at: &At, verb: &Secret, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    match verb {
        Secret::Set { project, name, broker, host, method, path, header, environment } => {
            // Before anybody types a value.
            check_name(name)?;
            let id = client.project(project).await?;
            let value = value(name)?;
            check_value(&value)?;
            let mut body = json!({"value": value});
            match (broker, environment) {
                (true, _) => body["kind"] = "brokered".into(),
                (false, true) => body["kind"] = "environment".into(),
                (false, false) => {}
            }
            if !host.is_empty() {
                body["binding"] =
                    json!({"hosts": host, "methods": method, "paths": path, "headers": header});
            }
            let url = format!("/v1/projects/{id}/secrets/{name}");
            let all = client.call(Method::PUT, &url, Some(&body)).await?;
            let row = secrets(&all).iter().find(|row| row["name"] == **name);
            let words = if row.is_some_and(|row| row["kind"] == "brokered") {
                let to = row.map(goes_to).unwrap_or_default();
                let now = "New processes have a placeholder for it.";
                format!("{name} is set, and goes to {to} alone. {}", in_force(&all, now))
            } else {
                let now = "New processes have it; what runs already does not.";
                format!("{name} is set. {}", in_force(&all, now))
            };
            told(&all, as_json, &words);
        }
        Secret::List { project } => {
            let id = client.project(project).await?;
            list(&client.get(&format!("/v1/projects/{id}/secrets")).await?, as_json);
        }
        Secret::Rm { project, name } => {
            check_name(name)?;
            let id = client.project(project).await?;
            let all = client
                .call(Method::DELETE, &format!("/v1/projects/{id}/secrets/{name}"), None)
                .await?;
            let now = "New processes no longer have it; what runs already does until it ends.";
            told(&all, as_json, &format!("{name} is deleted. {}", in_force(&all, now)));
        }
        Secret::Rotate { project } => {
            let path = match project {
                Some(project) => {
                    format!("/v1/projects/{}/rotate-secrets", client.project(project).await?)
                }
                None => "/v1/vault/rotate".to_owned(),
            };
            let done = client.post(&path, &json!({})).await?;
            told(&done, as_json, "Sealed with a new key.");
        }
    }
    Ok(())
}

fn told(answer: &Value, as_json: bool, words: &str) {
    if as_json {
        output::json(answer);
    } else {
        output::line(words);
    }
}

/// From when on it counts.
fn in_force(all: &Value, now: &'static str) -> &'static str {
    match all["inForce"].as_bool() {
        Some(true) => now,
        Some(false) => "The machine could not be told yet; Toft goes on trying.",
        None => "The machine rests: it counts from when that goes on or starts.",
    }
}

/// The value: what is piped in without its last line break, or what a person types.
pub(crate) fn value(name: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        return hidden::line(&format!("Value of {name} (it is not shown): "));
    }
    let mut text = String::new();
    // A line break at the end does not count.
    let most = VALUE_BYTES_MAX as u64 + 3;
    let read = std::io::stdin().take(most).read_to_string(&mut text);
    read.context("standard input is not UTF-8 text")?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        bail!("standard input is empty: pipe the value in, or run this on a terminal to type it");
    }
    Ok(text)
}

fn secrets(all: &Value) -> &[Value] {
    all["secrets"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Where a brokered one goes; that of others is the machine itself.
fn goes_to(secret: &Value) -> String {
    let Some(hosts) = secret["binding"]["hosts"].as_array() else { return "machine".to_owned() };
    hosts.iter().map(output::text).collect::<Vec<_>>().join(", ")
}

fn list(all: &Value, as_json: bool) {
    if as_json {
        output::json(all);
        return;
    }
    let secrets = secrets(all);
    if secrets.is_empty() {
        output::line("No secrets. `toft secret set PROJECT NAME` sets one.");
        return;
    }
    let mut rows = vec![["NAME", "GOES TO", "STATE", "SET", "BY"].map(str::to_owned).to_vec()];
    for secret in secrets {
        let at = secret["setAt"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        rows.push(vec![
            output::text(&secret["name"]),
            goes_to(secret),
            output::text(&secret["state"]),
            at.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default(),
            output::text(&secret["setBy"]),
        ]);
    }
    output::table(&rows);
    if all["inForce"] == false {
        output::line("The machine has older ones: Toft goes on telling it.");
    }
}
