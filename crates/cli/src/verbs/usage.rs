//! `toft usage`: tokens and money. `toft model-limits`: how often models may be
//! asked. `toft budget`: what may be spent.

use crate::{
    amounts,
    args::{
        At,
        usage::{Budget, By, ModelLimits, Usage},
    },
    client::Client,
    output,
};
use anyhow::Result;
use clap::ValueEnum as _;
use serde_json::Value;
use std::fmt::Write as _;

/// Characters of a name in a table.
const NAME_CHARS_MAX: usize = 48;

pub(crate) async fn run(at: &At, verb: &Usage, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let mut path = client.path_of(verb.project.as_deref(), "usage").await?;
    let _ = write!(path, "?limit={}", verb.limit);
    let by = verb.by.as_ref().and_then(By::to_possible_value);
    let by = by.map(|value| value.get_name().to_owned());
    let days = [("from", verb.from), ("to", verb.to)];
    let days = days.into_iter().filter_map(|(name, day)| Some((name, day?.to_string())));
    for (name, value) in by.map(|by| ("by", by)).into_iter().chain(days) {
        let _ = write!(path, "&{name}={value}");
    }
    let usage = client.get(&path).await?;
    output::answer(&usage, as_json, show);
    Ok(())
}

/// `toft model-limits`: shows them, or changes what was given.
pub(crate) async fn limits(at: &At, verb: &ModelLimits, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let path = client.path_of(Some(&verb.project), "model-limits").await?;
    let given = [("callsAtOnce", verb.at_once), ("callsPerMinute", verb.per_minute)];
    let found = client.changed(&path, amounts::change(given)).await?;
    output::answer(&found, as_json, show_limits);
    Ok(())
}

fn show_limits(found: &Value) {
    for (label, field) in [("at once:", "callsAtOnce"), ("a minute:", "callsPerMinute")] {
        let value = found[field].as_u64().map_or_else(|| "no limit".to_owned(), |n| n.to_string());
        output::line(&format!("model calls {label:<10}{value}"));
    }
}

/// `toft budget`: shows it with what is spent, or changes what was given.
pub(crate) async fn budget(at: &At, verb: &Budget, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let path = client.path_of(verb.project.as_deref(), "budget").await?;
    let given = [("runUsd", verb.run), ("monthUsd", verb.month), ("totalUsd", verb.total)];
    let found = client.changed(&path, amounts::change(given)).await?;
    output::answer(&found, as_json, show_budget);
    Ok(())
}

fn show_budget(found: &Value) {
    let dollars = |value: &Value| value.as_f64().map(|dollars| format!("US$ {dollars:.2}"));
    let mut rows = vec![["BUDGET", "SPENT", "OF"].map(str::to_owned).to_vec()];
    for (label, field) in
        [("each run", "runUsd"), ("this month", "monthUsd"), ("all time", "totalUsd")]
    {
        rows.push(vec![
            label.to_owned(),
            dollars(&found["spent"][field]).unwrap_or_default(),
            dollars(&found[field]).unwrap_or_else(|| "no bound".to_owned()),
        ]);
    }
    output::table(&rows);
}

fn show(usage: &Value) {
    let span = format!("{} to {}", output::text(&usage["from"]), output::text(&usage["to"]));
    let rows = usage["rows"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        output::line(&format!("No model was called from {span} (days in UTC)."));
        return;
    }
    let by = output::text(&usage["by"]);
    let mut table = vec![
        [&by.to_uppercase(), "CALLS", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST"]
            .map(str::to_owned)
            .to_vec(),
    ];
    table.extend(rows.iter().map(|row| cells(name(&by, row), row)));
    table.push(cells("all".to_owned(), &usage["total"]));
    output::table(&table);
    let mut remarks = vec![format!("From {span}, days in UTC.")];
    if usage["truncated"] == true {
        remarks.push("There are more rows than are shown: see --limit.".to_owned());
    }
    match usage["total"]["unpriced"].as_u64() {
        Some(n) if n > 0 => remarks.push(format!(
            "The cost of {n} call{} is not known and in no sum.",
            if n == 1 { "" } else { "s" }
        )),
        Some(_) | None => {}
    }
    output::remark(&remarks.join(" "));
}

fn cells(name: String, row: &Value) -> Vec<String> {
    let of = |field: &str| output::text(&row[field]);
    let cached = row["cacheRead"].as_u64().unwrap_or(0) + row["cacheWrite"].as_u64().unwrap_or(0);
    vec![name, of("calls"), of("failed"), of("input"), cached.to_string(), of("output"), money(row)]
}

/// What a row stands for. Names come from people, and some from inside a machine.
fn name(by: &str, row: &Value) -> String {
    let key = row["key"].as_str();
    let named = row["name"].as_str();
    let text = match (by, key) {
        ("project" | "session" | "run", None) => {
            match row["projectName"].as_str().or(row["project"].as_str()) {
                Some(project) => format!("{project}, no conversation"),
                None => "programs outside".to_owned(),
            }
        }
        ("model", None) => format!("{}, model unknown", output::text(&row["provider"])),
        ("model", Some(model)) => format!("{}/{model}", output::text(&row["provider"])),
        (_, key) => {
            let deleted = if row["deleted"] == true { " (deleted)" } else { "" };
            format!("{}{deleted}", named.or(key).unwrap_or_default())
        }
    };
    text.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect()
}

/// Dollars with as many digits as they need; `+` where calls of unknown cost come on top.
fn money(row: &Value) -> String {
    let Some(dollars) = row["costUsd"].as_f64() else { return "not known".to_owned() };
    let digits = if dollars == 0.0 || dollars >= 1.0 { 2 } else { 6 };
    let plus = if row["unpriced"].as_u64().unwrap_or(0) > 0 { "+" } else { "" };
    format!("US$ {dollars:.digits$}{plus}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn money_is_never_invented() {
        for (row, want) in [
            (json!({"costUsd": null, "unpriced": 3}), "not known"),
            (json!({"costUsd": 0.0, "unpriced": 0}), "US$ 0.00"),
            (json!({"costUsd": 0.000_123, "unpriced": 0}), "US$ 0.000123"),
            (json!({"costUsd": 12.345, "unpriced": 1}), "US$ 12.35+"),
        ] {
            assert_eq!(money(&row), want);
        }
    }

    #[test]
    fn every_row_says_what_it_stands_for() {
        for (by, row, want) in [
            ("project", json!({"key": "abc", "name": "Shop", "deleted": true}), "Shop (deleted)"),
            ("project", json!({"key": null}), "programs outside"),
            ("run", json!({"key": null, "project": "abc"}), "abc, no conversation"),
            (
                "session",
                json!({"key": null, "project": "abc", "projectName": "Shop"}),
                "Shop, no conversation",
            ),
            ("run", json!({"key": "a1", "name": "Build\u{1b}[31m it"}), "Build[31m it"),
            ("session", json!({"key": "s1", "name": null}), "s1"),
            ("model", json!({"key": "m", "provider": "p"}), "p/m"),
            ("model", json!({"key": null, "provider": "p"}), "p, model unknown"),
            ("day", json!({"key": "2026-11-21"}), "2026-11-21"),
        ] {
            assert_eq!(name(by, &row), want);
        }
    }
}
