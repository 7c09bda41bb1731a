//! `toft checkpoint`, `checkpoints`, `diff`, `restore` and `fork`.

use crate::{
    args::{At, Before, Copies},
    client::Client,
    output,
    verbs::logs::first_line,
};
use anyhow::Result;
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;
use toft_model::{text::plain, time::rfc3339};

pub(crate) async fn run(at: &At, verb: &Copies, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    match verb {
        Copies::Checkpoint { project, label } => {
            let id = client.project(project).await?;
            let path = format!("/v1/projects/{id}/checkpoints");
            let taken = client.post(&path, &json!({"label": label})).await?;
            show(&taken, as_json, |taken| output::line(&output::text(&taken["id"])));
        }
        Copies::Checkpoints { project, rm: None, rule } => {
            let id = client.project(project).await?;
            let change = rule.change();
            if !change.is_empty() {
                let path = format!("/v1/projects/{id}/checkpoint-rule");
                client.call(Method::PUT, &path, Some(&Value::Object(change))).await?;
            }
            let all = client.get(&listed(&id)).await?;
            show(&all, as_json, list);
        }
        Copies::Checkpoints { project, rm: Some(checkpoint), rule: _ } => {
            let id = client.project(project).await?;
            let checkpoint = client.checkpoint(&id, checkpoint).await?;
            let path = format!("/v1/projects/{id}/checkpoints/{checkpoint}");
            let gone = client.call(Method::DELETE, &path, None).await?;
            show(&gone, as_json, |gone| {
                output::line(&format!("Deleted {}.", output::text(&gone["id"])));
            });
        }
        Copies::Diff { project, checkpoint, to, path } => {
            let id = client.project(project).await?;
            let checkpoint = client.checkpoint(&id, checkpoint).await?;
            let to = match to.as_deref() {
                None | Some("now") => "now".to_owned(),
                Some(to) => client.checkpoint(&id, to).await?,
            };
            let mut url = format!("/v1/projects/{id}/checkpoints/{checkpoint}/diff?to={to}");
            if let Some(path) = path {
                let _ = write!(url, "&path={}", segment(path));
            }
            let found = client.get(&url).await?;
            show(&found, as_json, if path.is_some() { file } else { changes });
        }
        Copies::Restore { project, checkpoint, before, force } => {
            let id = client.project(project).await?;
            let mut body = json!({"force": force});
            let path = if let Some(checkpoint) = checkpoint {
                let checkpoint = client.checkpoint(&id, checkpoint).await?;
                format!("/v1/projects/{id}/checkpoints/{checkpoint}/restore")
            } else {
                message(&client, &id, before, &mut body).await?;
                format!("/v1/projects/{id}/restore-message")
            };
            let done = client.post(&path, &body).await?;
            show(&done, as_json, restored);
        }
        Copies::Fork { project, from, before, count, name, secrets } => {
            let id = client.project(project).await?;
            let mut body = json!({"count": count, "name": name});
            match from {
                Some(from) => body["checkpointId"] = client.checkpoint(&id, from).await?.into(),
                None => message(&client, &id, before, &mut body).await?,
            }
            match secrets.as_slice() {
                [] => {}
                [all] if all == "all" => body["secrets"] = json!("all"),
                names => body["secrets"] = json!(names),
            }
            let made = client.post(&format!("/v1/projects/{id}/fork"), &body).await?;
            show(&made, as_json, |made| {
                for project in made["projects"].as_array().into_iter().flatten() {
                    let of = |field: &str| plain(&output::text(&project[field]));
                    output::line(&format!("{}  {}  {}", of("id"), of("name"), of("url")));
                }
            });
        }
    }
    Ok(())
}

/// The list of checkpoints with how their messages begin.
fn listed(project: &str) -> String {
    format!("/v1/projects/{project}/checkpoints?prompts=true")
}

/// Says in a request which message is meant, if one is. Whoever reads its id in the list need not know its
/// conversation.
async fn message(client: &Client, project: &str, before: &Before, body: &mut Value) -> Result<()> {
    let Before { message: Some(entry), session } = before else { return Ok(()) };
    let session = match session {
        Some(session) => session.clone(),
        None => said_in(client, project, entry).await?,
    };
    body["sessionId"] = session.into();
    body["entryId"] = entry.as_str().into();
    Ok(())
}

/// The conversation of the checkpoint that was taken before a message; the current one when none was.
async fn said_in(client: &Client, project: &str, entry: &str) -> Result<String> {
    let all = client.get(&format!("/v1/projects/{project}/checkpoints")).await?;
    let mut messages =
        all["checkpoints"].as_array().into_iter().flatten().map(|one| &one["message"]);
    if let Some(message) = messages.find(|message| message["leafEntryId"] == entry) {
        return Ok(output::text(&message["sessionId"]));
    }
    let said = client.get(&format!("/v1/projects/{project}/toft/messages")).await?;
    Ok(output::text(&said["sessionId"]))
}

fn show(value: &Value, as_json: bool, people: impl FnOnce(&Value)) {
    if as_json {
        output::json(value);
    } else {
        people(value);
    }
}

/// A text as a part of a URL.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn list(all: &Value) {
    let head = ["ID", "TAKEN", "WHY", "LABEL", "BEFORE THE MESSAGE"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for one in all["checkpoints"].as_array().into_iter().flatten() {
        let entry = output::text(&one["message"]["leafEntryId"]);
        rows.push(vec![
            output::text(&one["id"]),
            rfc3339(one["createdAt"].as_u64().unwrap_or(0)),
            output::text(&one["cause"]),
            output::text(&one["label"]),
            format!("{entry}  {}", first_line(&output::text(&one["prompt"]))).trim().to_owned(),
        ]);
    }
    if rows.len() == 1 {
        output::line("No checkpoints yet. `toft checkpoint PROJECT` takes one.");
    } else {
        output::table(&rows);
    }
    output::remark(&kept(all));
    if let Some(why) = all["why"].as_str() {
        // Some reasons are sentences.
        output::remark(&format!("Note: {}.", why.trim_end_matches('.')));
    }
}

/// The rule in a sentence.
fn kept(all: &Value) -> String {
    let rule = &all["rule"];
    let n = |name: &str| rule[name].as_u64().filter(|n| *n > 0);
    let plural = |n: u64| if n == 1 { "" } else { "s" };
    let parts: Vec<String> = [
        n("last").map(|n| format!("the last {n}")),
        n("hourly").map(|n| format!("one an hour for {n} hour{}", plural(n))),
        n("daily").map(|n| format!("one a day for {n} day{}", plural(n))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let kept = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
    let before = if all["automatic"] == true { "taken" } else { "not taken" };
    format!(
        "One is {before} before every prompt. Kept of those taken by themselves: {kept}. Change it with \
         --keep-last, --keep-hourly, --keep-daily, --automatic."
    )
}

fn changes(found: &Value) {
    for change in found["changes"].as_array().into_iter().flatten() {
        let sign = match change["kind"].as_str() {
            Some("added") => '+',
            Some("removed") => '-',
            _ => '~',
        };
        output::line(&format!("{sign} {}", plain(&output::text(&change["path"]))));
    }
    if found["truncated"] == true {
        output::remark("There are more changes than are shown.");
    }
    told(found);
}

fn file(found: &Value) {
    match found["note"].as_str() {
        Some(note) => output::remark(note),
        None => output::piece(found["unified"].as_str().unwrap_or_default()),
    }
}

fn restored(done: &Value) {
    output::line(&format!(
        "Went back to {}. How it was before is {}. The machine is {}.",
        output::text(&done["checkpoint"]["id"]),
        output::text(&done["before"]["id"]),
        output::text(&done["machine"]["state"]),
    ));
    told(done);
}

/// The conversations whose place differs.
fn told(found: &Value) {
    for one in found["affectedSessions"].as_array().into_iter().flatten() {
        output::remark(&format!(
            "Conversation {:?}: {} messages after it.",
            one["name"].as_str().unwrap_or_default(),
            one["messagesAfter"]
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_rule_is_told_on_one_line() {
        let all = |rule| json!({"rule": rule, "automatic": true});
        let some = super::kept(&all(json!({"last": 3, "hourly": 0, "daily": 2})));
        assert!(some.contains(": the last 3, one a day for 2 days. Change"), "{some}");
        let none = super::kept(&all(json!({"last": 0, "hourly": 0, "daily": 0})));
        assert!(none.contains(": none. Change"), "{none}");
    }

    #[test]
    fn a_path_is_one_part_of_a_url() {
        assert_eq!(super::segment("/home/a b&c=ä"), "%2Fhome%2Fa%20b%26c%3D%C3%A4");
    }
}
