//! `toft receipts PROJECT`: what the agent had run, as the machine's init saw it.

use crate::{
    args::{At, receipts::Receipts},
    client::Client,
    output,
};
use anyhow::Result;
use serde_json::Value;
use std::fmt::Write as _;
use toft_model::time::rfc3339;

/// Longest piece of a command, in characters.
const COMMAND_CHARS_MAX: usize = 60;

pub(crate) async fn run(at: &At, verb: &Receipts, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(&verb.project).await?;
    let mut path = format!("/v1/projects/{id}/toft/receipts?limit={}", verb.limit);
    if let Some(session) = &verb.session {
        let _ = write!(path, "&sessionId={session}");
    }
    if let Some(after) = verb.after {
        let _ = write!(path, "&after={after}");
    }
    let found = client.get(&path).await?;
    output::answer(&found, as_json, |found| {
        let receipts = found["receipts"].as_array().map_or(&[][..], Vec::as_slice);
        let head = ["#", "ENDED", "EXIT", "TOOK", "CHECK", "FILES", "COMMAND"].map(str::to_owned);
        let rows = receipts.iter().map(row);
        output::table(&[head.to_vec()].into_iter().chain(rows).collect::<Vec<_>>());
        if found["more"] == true {
            let which = if verb.after.is_some() { "newer" } else { "older" };
            output::remark(&format!("There are {which} ones: see --after and --limit."));
        }
    });
    Ok(())
}

fn row(receipt: &Value) -> Vec<String> {
    let exit = match (receipt["exitCode"].as_i64(), receipt["signal"].as_i64()) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => String::new(),
    };
    let ms = |field: &str| receipt[field].as_u64().unwrap_or(0);
    let took = ms("endedAt").saturating_sub(ms("startedAt"));
    vec![
        output::text(&receipt["number"]),
        rfc3339(ms("endedAt")),
        exit,
        format!("{}.{} s", took / 1_000, took % 1_000 / 100),
        checks(receipt),
        files(receipt).to_owned(),
        command(receipt),
    ]
}

/// Kinds, with a `?` where the exit code does not tell how it went.
fn checks(receipt: &Value) -> String {
    let checks = receipt["checks"].as_array().map_or(&[][..], Vec::as_slice);
    let one = |check: &Value| {
        let mark = if check["decides"] == true { "" } else { "?" };
        format!("{}{mark}", output::text(&check["kind"]))
    };
    checks.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What became of the files that it ran on.
fn files(receipt: &Value) -> &'static str {
    match (receipt["stale"].as_bool(), receipt["stamp"].as_str()) {
        (Some(true), _) => "changed since",
        (Some(false), _) => "unchanged",
        (None, Some("pending")) => "being read",
        (None, Some("failed")) => "not read",
        (None, Some("taken")) => "not known",
        (None, _) => "",
    }
}

/// The command of a shell that was given one, else all arguments.
fn command(receipt: &Value) -> String {
    let argv: Vec<String> =
        receipt["argv"].as_array().into_iter().flatten().map(output::text).collect();
    let whole = match argv.as_slice() {
        [_, flag, command] if flag == "-c" => command.clone(),
        argv => argv.join(" "),
    };
    let mut line = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > COMMAND_CHARS_MAX {
        line = line.chars().take(COMMAND_CHARS_MAX - 1).collect();
        line.push('…');
    }
    line
}
