//! `toft fallback`: models that are asked while the provider of another is down.

use crate::{
    args::{At, fallback::Fallback},
    client::Client,
    output,
};
use anyhow::Result;
use http::Method;
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
    let found = if change.is_empty() {
        client.get("/v1/fallbacks").await?
    } else {
        client.call(Method::PUT, "/v1/fallbacks", Some(&Value::Object(change))).await?
    };
    if as_json {
        output::json(&found);
    } else {
        show(&found);
    }
    Ok(())
}

fn show(found: &Value) {
    let chains = found["chains"].as_object().into_iter().flatten();
    let mut table = vec![["MODEL", "WHILE IT IS DOWN", "SET BY"].map(str::to_owned).to_vec()];
    table.extend(chains.map(|(model, others)| row(model, others, &found["fromFile"])));
    if table.len() == 1 {
        output::line("No model has another to stand in for it.");
    } else {
        output::table(&table);
    }
    let first_byte = match found["firstByteS"].as_u64() {
        Some(0) | None => "as long as it takes".to_owned(),
        Some(seconds) => format!("{seconds} s"),
    };
    output::remark(&format!("First byte of a streamed answer: {first_byte}."));
}

fn row(model: &str, others: &Value, of_file: &Value) -> Vec<String> {
    let others: Vec<String> = others.as_array().into_iter().flatten().map(output::text).collect();
    let of_file = of_file.as_array().is_some_and(|names| names.iter().any(|name| name == model));
    let by = if of_file { "start of the server" } else { "Settings" };
    vec![model.to_owned(), others.join(", then "), by.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_is_asked_and_who_said_so() {
        let row = |file: Value| row("a/b", &json!(["c/d", "e/f"]), &file);
        assert_eq!(row(json!(["a/b"])), ["a/b", "c/d, then e/f", "start of the server"]);
        assert_eq!(row(json!([]))[2], "Settings");
    }
}
