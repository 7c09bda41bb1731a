//! `toft egress`: what a machine may reach, and what it tried.

use crate::{
    args::{
        At,
        egress::{Ceiling, EgressOf, Level},
    },
    client::Client,
    output,
};
use anyhow::{Result, bail};
use http::Method;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use toft_model::machine::EgressName;

/// How long one question for news may stay open.
const WAIT_MS: u64 = 20_000;

pub(crate) async fn run(at: &At, order: &EgressOf, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let path = client.path_of(Some(&order.project), "egress").await?;
    if order.log {
        return log(&client, &path, order.follow, as_json).await;
    }
    let mut found = client.get(&path).await?;
    let change = change(order, &found)?;
    if !change.is_empty() {
        found = client.call(Method::PUT, &path, Some(&Value::Object(change))).await?;
    }
    output::answer(&found, as_json, show);
    Ok(())
}

/// What a project is to be made with; `None`: what the server has.
pub(crate) fn first(level: Option<Level>, rules: &[String]) -> Option<Value> {
    let mut body = Map::new();
    if let Some(level) = level {
        body.insert("level".into(), json!(EgressName::from(level)));
    }
    if !rules.is_empty() {
        body.insert("rules".into(), json!(rules));
    }
    (!body.is_empty()).then_some(Value::Object(body))
}

fn change(order: &EgressOf, found: &Value) -> Result<Map<String, Value>> {
    let mut change = Map::new();
    if let Some(level) = order.level {
        change.insert("level".into(), json!(EgressName::from(level)));
    }
    match order.ceiling {
        None => {}
        Some(Ceiling::Default) => drop(change.insert("ceiling".into(), Value::Null)),
        Some(Ceiling::Own(level)) => {
            change.insert("ceiling".into(), json!(EgressName::from(level)));
        }
    }
    if order.allow.is_empty() && order.remove.is_empty() {
        return Ok(change);
    }
    let mut rules: Vec<String> = serde_json::from_value(found["rules"].clone())?;
    for gone in &order.remove {
        let before = rules.len();
        rules.retain(|rule| !rule.eq_ignore_ascii_case(gone.trim()));
        if rules.len() == before {
            bail!("the allow-list has no rule {gone:?}: `toft egress {}` shows it", order.project);
        }
    }
    rules.extend(order.allow.iter().cloned());
    change.insert("rules".into(), json!(rules));
    Ok(change)
}

fn show(found: &Value) {
    let rules = found["rules"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    let (level, held) = (text("level"), text("inForce"));
    let meaning = match held {
        "none" => "nothing but models",
        "allow-list" => "the hosts below, and models",
        _ => "every public host, and models",
    };
    output::line(&format!("{held}: {meaning}"));
    for rule in rules {
        let unused = if held == "allow-list" { "" } else { "  (for the level allow-list)" };
        output::line(&format!("  {}{unused}", output::text(rule)));
    }
    if held != level {
        output::line(&format!("It is set to {level}; the ceiling holds."));
    }
    let whose = if found["ceilingIsDefault"] == true { "the server's" } else { "its own" };
    output::line(&format!("Ceiling: {} ({whose})", text("ceiling")));
    if found["enforced"] == false {
        output::line("Not enforced: this backend lets programs go out past the gateway.");
    }
    match found["cut"].as_u64() {
        None | Some(0) => {}
        Some(1) => output::line("1 open connection was no longer allowed and was cut."),
        Some(n) => {
            output::line(&format!("{n} open connections were no longer allowed and were cut."));
        }
    }
}

async fn log(client: &Client, path: &str, follow: bool, as_json: bool) -> Result<()> {
    let mut page = client.get(&format!("{path}/log")).await?;
    loop {
        // Newest first, as they come; a log is read downwards.
        for line in page["lines"].as_array().into_iter().flatten().rev() {
            output::line(&if as_json { line.to_string() } else { told(line) });
        }
        if !follow {
            return Ok(());
        }
        let end = page["end"].as_u64().unwrap_or(0);
        page = client.get(&format!("{path}/log?after={end}&waitMs={WAIT_MS}")).await?;
    }
}

fn told(line: &Value) -> String {
    let text = |field: &str| output::text(&line[field]);
    // Null: several hosts in one line.
    let host = if line["host"].is_null() { "(other hosts)".to_owned() } else { text("host") };
    let port = line["port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default();
    let bytes = |field: &str| line[field].as_u64().unwrap_or(0);
    let mut said =
        format!("{}  {:<5}  {host}{port}  [{}]", text("at"), text("verdict"), text("rule"));
    if let Some(count @ 2..) = line["count"].as_u64() {
        let _ = write!(said, "  {count} times until {}", text("lastAt"));
    }
    // Writing to a text cannot fail.
    if bytes("bytesIn") + bytes("bytesOut") > 0 {
        let _ = write!(said, "  {} bytes in, {} out", bytes("bytesIn"), bytes("bytesOut"));
    }
    let secrets = line["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !secrets.is_empty() {
        let names: Vec<String> = secrets.iter().map(output::text).collect();
        let _ = write!(said, "  with {}", names.join(", "));
    }
    for field in ["reason", "error"].into_iter().filter(|field| !line[field].is_null()) {
        let _ = write!(said, "  {}", text(field));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(level: Option<Level>, allow: &[&str], remove: &[&str]) -> EgressOf {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        EgressOf {
            project: "shop".into(),
            level,
            allow: texts(allow),
            remove: texts(remove),
            ceiling: None,
            log: false,
            follow: false,
        }
    }

    #[test]
    fn only_what_was_given_is_changed() {
        let found = json!({"level": "open", "rules": ["a.test", "b.test:22"]});
        let check = |order: EgressOf, expected: Value| {
            assert_eq!(Value::Object(change(&order, &found).unwrap()), expected);
        };
        check(order(None, &[], &[]), json!({}));
        check(order(Some(Level::None), &[], &[]), json!({"level": "none"}));
        check(order(None, &["c.test"], &["A.test"]), json!({"rules": ["b.test:22", "c.test"]}));
        let own = EgressOf { ceiling: Some(Ceiling::Own(Level::None)), ..order(None, &[], &[]) };
        check(own, json!({"ceiling": "none"}));
        let default = EgressOf { ceiling: "default".parse().ok(), ..order(None, &[], &[]) };
        check(default, json!({"ceiling": null}));
        assert!("wide".parse::<Ceiling>().is_err());
        let unknown = change(&order(None, &[], &["x.test"]), &found).unwrap_err().to_string();
        assert!(unknown.contains("x.test"), "{unknown}");
    }
}
