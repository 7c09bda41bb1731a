//! `toft fallback`: models that are asked while the provider of another is down.

use crate::{
    args::{At, fallback::Fallback},
    client::Client,
    output,
};
use anyhow::Result;
use serde_json::{Map, Value, json};

/// Shows them, or changes what was given.
pub(crate) async fn run(at: &At, verb: &Fallback, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let mut change = Map::new();
    if let Some(model) = &verb.model {
        let others = match (verb.unset, verb.none || !verb.others.is_empty()) {
            (true, _) => Some(Value::Null),
            (false, true) => Some(json!(verb.others)),
            (false, false) => None,
        };
        if let Some(others) = others {
            change.insert("chains".to_owned(), json!({model: others}));
        }
    }
    if let Some(wait) = verb.first_byte {
        change.insert("firstByteS".to_owned(), json!(wait.get().unwrap_or(0)));
    }
    let path = client.path_of(verb.project.as_deref(), "fallbacks").await?;
    let found = client.changed(&path, change).await?;
    output::answer(&found, as_json, show);
    Ok(())
}

fn show(found: &Value) {
    let mut table = vec![["MODEL", "WHILE IT IS DOWN", "SET BY"].map(str::to_owned).to_vec()];
    table.extend(rows(found));
    if table.len() == 1 {
        output::line("No model has another to stand in for it.");
    } else {
        output::table(&table);
    }
    if let Some(seconds) = found["firstByteS"].as_u64() {
        let first_byte = match seconds {
            0 => "as long as it takes".to_owned(),
            seconds => format!("{seconds} s"),
        };
        output::remark(&format!("First byte of a streamed answer: {first_byte}."));
    }
    let unlisted = texts(&found["unlisted"]);
    if !unlisted.is_empty() {
        let names = unlisted.join(", ");
        output::remark(&format!(
            "Not in the list of models, so look at how it is written: {names}"
        ));
    }
}

/// Those of a project first, where it is one's; what holds for all has no other field.
fn rows(found: &Value) -> Vec<Vec<String>> {
    let of_project = found["inherited"].is_object();
    let of_file = texts(&found["fromFile"]);
    let by = |model: &String| match (of_project, of_file.contains(model)) {
        (true, _) => "this project",
        (false, true) => "start of the server",
        (false, false) => "Settings",
    };
    let chains = |field: &str| found[field].as_object().cloned().unwrap_or_default();
    let own = chains("chains").into_iter().map(|(model, others)| row(&model, &others, by(&model)));
    let inherited = chains("inherited").into_iter();
    own.chain(inherited.map(|(model, others)| row(&model, &others, "all projects"))).collect()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(output::text).collect()
}

fn row(model: &str, others: &Value, by: &str) -> Vec<String> {
    let others = texts(others);
    let others = if others.is_empty() { "nobody".to_owned() } else { others.join(", then ") };
    let (provider, own_name) = model.split_once('/').unwrap_or(("", model));
    let model = if own_name == "*" { format!("all of {provider}") } else { model.to_owned() };
    vec![model, others, by.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_is_asked_and_who_said_so() {
        let chains = json!({"a/*": ["c/d", "e/f"], "a/b": []});
        let of_all = json!({"chains": chains, "firstByteS": 9, "fromFile": ["a/b"]});
        assert_eq!(
            rows(&of_all),
            [["all of a", "c/d, then e/f", "Settings"], ["a/b", "nobody", "start of the server"]]
        );
        let of_project = json!({"chains": chains, "inherited": {"g/h": ["c/d"]}});
        let by: Vec<String> = rows(&of_project).into_iter().map(|mut row| row.remove(2)).collect();
        assert_eq!(by, ["this project", "this project", "all projects"]);
    }
}
