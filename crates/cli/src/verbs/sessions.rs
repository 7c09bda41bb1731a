//! `toft sessions PROJECT …`: conversations as the trees that they are.

use crate::{
    args::{
        At,
        sessions::{Ask, Of, Sessions},
    },
    client::Client,
    output,
};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{collections::HashMap, fs, io::Write as _, path::Path};
use toft_model::time::rfc3339;

/// Entries asked for at once: the most that is given.
const PAGE_ENTRIES: usize = 5_000;

/// Longest piece of what an entry says, in characters.
const TEXT_CHARS_MAX: usize = 72;

/// Columns that a branch moves its entries to the right, at most: deeper ones stay below each other.
const DEPTH_MAX: usize = 16;

pub(crate) async fn run(at: &At, verb: &Sessions, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(&verb.project).await?;
    let base = format!("/v1/projects/{id}/toft");
    let asked = Asked { client, base, as_json };
    match &verb.ask {
        None => asked.list().await,
        Some(Ask::Switch { session }) => {
            let body = json!({ "sessionId": session });
            asked.post("sessions/switch", &body, |_| output::line("It is the current one.")).await
        }
        Some(Ask::Tree { of }) => asked.tree(of).await,
        Some(Ask::Fork { entry, name, beside, of }) => {
            let body = json!({"entryId": entry, "name": name, "current": !beside});
            let path = format!("{}/fork", asked.path(of).await?);
            asked
                .post(&path, &body, |made| {
                    output::line(&output::text(&made["sessionId"]));
                    say_anew(made);
                })
                .await
        }
        Some(Ask::Navigate { entry, summarize, instructions, of }) => {
            let body = json!({
                "entryId": entry, "summarize": summarize, "customInstructions": instructions,
            });
            let path = format!("{}/navigate", asked.path(of).await?);
            asked
                .post(&path, &body, |arrived| {
                    output::line(&match arrived["entryId"].as_str() {
                        Some(entry) => format!("The conversation stands at {entry}."),
                        None => "The conversation stands before its first entry.".to_owned(),
                    });
                    say_anew(arrived);
                })
                .await
        }
        Some(Ask::Label { entry, label, of }) => {
            let body = json!({"entryId": entry, "label": label});
            let path = format!("{}/label", asked.path(of).await?);
            asked
                .post(&path, &body, |named| {
                    output::line(match named["label"].as_str() {
                        Some(_) => "Named.",
                        None => "It has no name any more.",
                    });
                })
                .await
        }
        Some(Ask::Rename { name, of }) => {
            let body = json!({"sessionName": name, "sessionId": of.session});
            asked.post("config", &body, |_| output::line("Named.")).await
        }
        Some(Ask::Compact { instructions, of }) => {
            let body = json!({"customInstructions": instructions, "sessionId": of.session});
            asked
                .post("sessions/compact", &body, |done| {
                    output::line(&output::text(&done["summary"]));
                })
                .await
        }
        Some(Ask::Export { output, of }) => asked.export(of, output.as_deref()).await,
    }
}

/// What a person said where it stands now.
fn say_anew(answer: &Value) {
    let text = output::text(&answer["text"]);
    if !text.is_empty() {
        output::remark("Said there before, to be said anew:");
        output::line(&text);
    }
}

/// A project's agent.
struct Asked {
    client: Client,
    base: String,
    as_json: bool,
}

impl Asked {
    async fn post(&self, path: &str, body: &Value, show: impl FnOnce(&Value)) -> Result<()> {
        let answer = self.client.post(&format!("{}/{path}", self.base), body).await?;
        output::answer(&answer, self.as_json, show);
        Ok(())
    }

    /// The path of the conversation that was named, or of the current one.
    async fn path(&self, of: &Of) -> Result<String> {
        let id = if let Some(id) = &of.session {
            id.clone()
        } else {
            let all = self.client.get(&format!("{}/sessions", self.base)).await?;
            all["current"].as_str().context("there is no conversation yet")?.to_owned()
        };
        Ok(format!("sessions/{id}"))
    }

    async fn list(&self) -> Result<()> {
        let found = self.client.get(&format!("{}/sessions", self.base)).await?;
        output::answer(&found, self.as_json, |found| {
            let sessions = found["sessions"].as_array().map_or(&[][..], Vec::as_slice);
            let head = ["", "ID", "NAME", "MESSAGES", "STATUS", "CHANGED"].map(str::to_owned);
            let mut rows = vec![head.to_vec()];
            for session in sessions {
                let mark = if session["id"] == found["current"] { "*" } else { "" };
                let name = [&session["name"], &session["firstMessage"]];
                let name = name.into_iter().find_map(Value::as_str).unwrap_or_default();
                rows.push(vec![
                    mark.to_owned(),
                    output::text(&session["id"]),
                    head_of(name),
                    output::text(&session["messageCount"]),
                    output::text(&session["status"]),
                    session["updatedAt"].as_u64().map(rfc3339).unwrap_or_default(),
                ]);
            }
            output::table(&rows);
        });
        Ok(())
    }

    async fn tree(&self, of: &Of) -> Result<()> {
        let path = format!("{}/{}/tree?limit={PAGE_ENTRIES}", self.base, self.path(of).await?);
        let mut tree = self.client.get(&path).await?;
        while let Some(after) = tree["next"].as_str() {
            let mut more = self.client.get(&format!("{path}&after={after}")).await?;
            tree["next"] = more["next"].take();
            if let (Some(all), Some(more)) =
                (tree["entries"].as_array_mut(), more["entries"].as_array_mut())
            {
                all.append(more);
            }
        }
        output::answer(&tree, self.as_json, |tree| {
            for line in lines(tree) {
                output::line(&line);
            }
        });
        Ok(())
    }

    async fn export(&self, of: &Of, file: Option<&Path>) -> Result<()> {
        let path = format!("{}/{}/export.html", self.base, self.path(of).await?);
        let Some(file) = file else {
            return self
                .client
                .pour(&path, |piece| {
                    output::bytes(piece);
                    Ok(())
                })
                .await;
        };
        // One that breaks off is not taken for a whole one.
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = Path::new(&part);
        let failed = || format!("writing {}", file.display());
        let mut out = fs::File::create(part).with_context(failed)?;
        let poured = self.client.pour(&path, |piece| out.write_all(piece)).await;
        let done = poured.and_then(|()| Ok(fs::rename(part, file)?)).with_context(failed);
        if done.is_err() {
            let _ = fs::remove_file(part);
        }
        done?;
        if self.as_json {
            output::json(&json!({ "file": file }));
        } else {
            output::line(&format!("Written to {}.", file.display()));
        }
        Ok(())
    }
}

/// One line for each entry: moved to the right where a branch begins.
fn lines(tree: &Value) -> Vec<String> {
    let entries = tree["entries"].as_array().map_or(&[][..], Vec::as_slice);
    let mut children: HashMap<&str, usize> = HashMap::new();
    let mut depths: HashMap<&str, usize> = HashMap::new();
    let mut out = Vec::with_capacity(entries.len());
    for entry in entries {
        let parent = entry["parentId"].as_str().unwrap_or_default();
        // The first child goes on below its parent, others are branches.
        let nth = children.entry(parent).or_default();
        let depth = depths.get(parent).copied().unwrap_or_default() + usize::from(*nth > 0);
        *nth += 1;
        let depth = depth.min(DEPTH_MAX);
        let id = entry["id"].as_str().unwrap_or_default();
        depths.insert(id, depth);
        let mark = if tree["leafId"] == id {
            '*'
        } else if entry["onPath"] == true {
            '|'
        } else {
            ' '
        };
        let who = entry["role"].as_str().or(entry["kind"].as_str()).unwrap_or_default();
        let label = entry["label"].as_str().map(|label| format!(" [{label}]")).unwrap_or_default();
        let text = head_of(entry["text"].as_str().unwrap_or_default());
        let line = format!("{mark} {}{id}  {who}{label}  {text}", "  ".repeat(depth));
        out.push(toft_model::text::plain(line.trim_end()));
    }
    out
}

fn head_of(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_moved_to_the_right_and_the_place_is_marked() {
        let entry = |id: &str, parent: Option<&str>, on: bool, text: &str| {
            json!({"id": id, "parentId": parent, "kind": "message", "role": "user", "text": text,
                   "label": (id == "b").then_some("good"), "onPath": on})
        };
        let tree = json!({"leafId": "d", "entries": [
            entry("a", None, true, "one\ntwo"),
            entry("b", Some("a"), false, "left \u{1b}[31m"),
            entry("c", Some("b"), false, &"x".repeat(99)),
            entry("d", Some("a"), true, "stays"),
        ]});
        let long = format!("  c  user  {}…", "x".repeat(72));
        let found = lines(&tree);
        assert_eq!(found[0], "| a  user  one");
        assert!(found[1].starts_with("  b  user [good]  left ") && !found[1].contains('\u{1b}'));
        assert_eq!(found[2..], [long, "*   d  user  stays".to_owned()]);
    }
}
