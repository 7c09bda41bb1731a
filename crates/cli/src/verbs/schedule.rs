//! `toft schedule PROJECT …`.

use crate::{
    amounts,
    args::{
        At,
        schedule::{Add, Ask, CatchUp, Overlap, Schedule},
    },
    client::Client,
    output,
    refused::Refused,
};
use anyhow::{Context as _, Result, anyhow, bail};
use http::Method;
use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::time::rfc3339;

/// How often one that runs is asked about.
const LOOK: Duration = Duration::from_millis(300);

/// Runs the verb; its exit code is a command's own where one was waited for.
pub(crate) async fn run(at: &At, verb: &Schedule, as_json: bool) -> Result<i32> {
    let client = Client::find(at)?;
    let id = client.project(&verb.project).await?;
    let all = format!("/v1/projects/{id}/schedules");
    match &verb.ask {
        Ask::Add(add) => {
            let made = client.post(&all, &body(add)?).await?;
            show(&made, as_json, |made| {
                output::line(&format!(
                    "{}  next {}",
                    output::text(&made["id"]),
                    time(&made["nextAt"])
                ));
            });
        }
        Ask::List => {
            let found = client.get(&all).await?;
            show(&found, as_json, list);
        }
        Ask::Rm(which) => {
            let path = path(&client, &all, &which.schedule).await?;
            let gone = client.call(Method::DELETE, &path, None).await?;
            show(&gone, as_json, |gone| {
                output::line(&format!("Deleted {}.", output::text(&gone["id"])));
            });
        }
        Ask::Enable(which) | Ask::Disable(which) => {
            let enabled = matches!(verb.ask, Ask::Enable(_));
            let path = path(&client, &all, &which.schedule).await?;
            let body = json!({"enabled": enabled});
            let changed = client.call(Method::PATCH, &path, Some(&body)).await?;
            show(&changed, as_json, |changed| {
                output::line(&if changed["enabled"] == true {
                    format!("Enabled; next {}.", time(&changed["nextAt"]))
                } else {
                    "Disabled.".to_owned()
                });
            });
        }
        Ask::Run { which, wait } => {
            let path = path(&client, &all, &which.schedule).await?;
            let mut firing = client.post(&format!("{path}/run"), &json!({})).await?;
            while *wait && firing["outcome"] == "running" {
                tokio::time::sleep(LOOK).await;
                firing = again(&client, &path, &firing).await?;
            }
            show(&firing, as_json, ran);
            return Ok(exit_code(&firing));
        }
        Ask::Firings { which, limit } => {
            let path = path(&client, &all, &which.schedule).await?;
            let found = client.get(&format!("{path}/firings?limit={limit}")).await?;
            show(&found, as_json, firings);
        }
    }
    Ok(0)
}

fn show(data: &Value, as_json: bool, people: impl FnOnce(&Value)) {
    if as_json { output::json(data) } else { people(data) }
}

/// The route of a schedule that was given by id or name.
async fn path(client: &Client, all: &str, given: &str) -> Result<String> {
    let found = client.get(all).await?;
    let list = || found["schedules"].as_array().into_iter().flatten();
    let by = |field: &str| list().find(|s| s[field] == given).and_then(|s| s["id"].as_str());
    let id = by("id").or_else(|| by("name")).ok_or_else(|| {
        anyhow!(Refused {
            code: "not_found".to_owned(),
            message: format!(
                "there is no schedule {given:?}: `toft schedule PROJECT list` shows them"
            ),
        })
    })?;
    Ok(format!("{all}/{id}"))
}

fn body(add: &Add) -> Result<Value> {
    let zone = add.timezone.as_deref();
    let when = match (&add.when.cron, add.when.every, &add.when.at) {
        (Some(line), _, _) => match zone {
            Some(zone) => json!({"cron": line, "timezone": zone}),
            None => json!({"cron": line}),
        },
        (_, Some(every), _) => {
            json!({"everyS": every.get().context("--every never is no schedule")?})
        }
        (_, _, Some(at)) => json!({"at": moment(at, zone)?}),
        (None, None, None) => bail!("say when: --cron, --every or --at"),
    };
    let work = match &add.prompt {
        Some(prompt) => match &add.session {
            Some(session) => json!({"prompt": prompt, "sessionId": session}),
            None => json!({"prompt": prompt}),
        },
        None => json!({"command": shell_line(&add.command)}),
    };
    let mut body = json!({
        "name": add.name,
        "when": when,
        "do": work,
        "catchUp": match add.catch_up {
            CatchUp::Latest => "latest",
            CatchUp::None => "none",
            CatchUp::All => "all",
        },
        "overlap": match add.overlap {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Cancel => "cancel",
            Overlap::Allow => "allow",
        },
        "enabled": !add.disabled,
    });
    if let Some(max) = add.catch_up_max {
        body["catchUpMax"] = max.into();
    }
    if let Some(timeout) = add.timeout {
        let seconds = timeout.get().context("--timeout never: everything ends within 24h")?;
        body["timeoutMs"] = seconds.saturating_mul(1_000).into();
    }
    Ok(body)
}

/// One argument is a shell line, several are a program and its arguments.
fn shell_line(words: &[String]) -> String {
    if let [line] = words {
        return line.clone();
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&b);
    let quoted = words.iter().map(|word| {
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Unix milliseconds of a moment: with its offset, or as a clock in the zone shows it.
fn moment(text: &str, zone: Option<&str>) -> Result<i64> {
    if let Ok(exact) = text.parse::<Timestamp>() {
        return Ok(exact.as_millisecond());
    }
    let shown: DateTime = text.parse().map_err(|_| {
        anyhow!("{text:?} is no moment: write it as 2026-12-24 18:00, or with Z or an offset")
    })?;
    let zone = match zone {
        Some(name) => TimeZone::get(name).map_err(|_| {
            anyhow!("there is no time zone {name:?}: use a name such as Europe/Berlin")
        })?,
        None => TimeZone::try_system().unwrap_or(TimeZone::UTC),
    };
    let at = instant(shown, &zone).with_context(|| format!("{text:?} is no moment there"))?;
    Ok(at.as_millisecond())
}

/// When a clock in the zone shows this, by the rule for cron lines: the first of two times, and for one
/// that is jumped over the moment right after the jump.
fn instant(shown: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let at = zone.to_ambiguous_timestamp(shown);
    if !matches!(at.offset(), AmbiguousOffset::Gap { .. }) {
        return at.earlier().ok();
    }
    let beyond = at.later().ok()?.checked_add(SignedDuration::from_millis(1)).ok()?;
    Some(zone.preceding(beyond).next()?.timestamp())
}

fn list(found: &Value) {
    let all = found["schedules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        output::line("No schedules yet. `toft schedule PROJECT add NAME …` makes one.");
        return;
    }
    let head = ["ID", "NAME", "WHEN", "NEXT", "LAST", "DOES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for schedule in all {
        rows.push(vec![
            output::text(&schedule["id"]),
            output::text(&schedule["name"]),
            when(&schedule["when"]),
            if schedule["enabled"] == true { time(&schedule["nextAt"]) } else { "disabled".into() },
            output::text(&schedule["lastFiring"]["outcome"]),
            does(&schedule["do"]),
        ]);
    }
    output::table(&rows);
}

fn when(when: &Value) -> String {
    if let Some(line) = when["cron"].as_str() {
        return format!("{line} {}", when["timezone"].as_str().unwrap_or("UTC"));
    }
    match when["everyS"].as_u64() {
        Some(seconds) => format!("every {}", amounts::shown_time(seconds)),
        None => format!("once {}", time(&when["at"])),
    }
}

/// Characters of a command or prompt in a list.
const DOES_CHARS_MAX: usize = 60;

fn does(work: &Value) -> String {
    let (kind, text) = match work["command"].as_str() {
        Some(command) => ("$", command),
        None => (">", work["prompt"].as_str().unwrap_or_default()),
    };
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(DOES_CHARS_MAX).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{kind} {cut}{more}")
}

fn firings(found: &Value) {
    let head = ["SLOT", "OUTCOME", "SLOTS", "EXIT", "REASON"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for firing in found["firings"].as_array().into_iter().flatten() {
        rows.push(vec![
            time(&firing["slot"]),
            output::text(&firing["outcome"]),
            output::text(&firing["slots"]),
            output::text(&firing["exitCode"]),
            output::text(&firing["reason"]),
        ]);
    }
    output::table(&rows);
}

fn ran(firing: &Value) {
    if let Some(text) = firing["output"].as_str() {
        output::piece(text);
    }
    let reason = firing["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    output::remark(&format!("{}{reason}", output::text(&firing["outcome"])));
}

async fn again(client: &Client, path: &str, firing: &Value) -> Result<Value> {
    let before = firing["slot"].as_u64().unwrap_or(u64::MAX).saturating_add(1);
    let found = client.get(&format!("{path}/firings?limit=20&before={before}")).await?;
    let mut list = found["firings"].as_array().into_iter().flatten();
    list.find(|f| f["id"] == firing["id"]).cloned().context("the firing is gone with its schedule")
}

/// A command's own; 1 for what did not run well otherwise.
fn exit_code(firing: &Value) -> i32 {
    match (firing["outcome"].as_str(), firing["exitCode"].as_i64()) {
        (Some("fired" | "late" | "running"), _) => 0,
        (_, Some(code)) => i32::try_from(code).unwrap_or(1),
        (_, None) => 1,
    }
}

fn time(ms: &Value) -> String {
    ms.as_u64().map_or_else(|| "never".to_owned(), rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_shell_line_and_several_are_a_program() {
        let line =
            |words: &[&str]| shell_line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["make test && echo $HOME"]), "make test && echo $HOME");
        assert_eq!(line(&["make", "test"]), "make test");
        assert_eq!(line(&["echo", "a b", "it's", "$HOME", ""]), r"echo 'a b' 'it'\''s' '$HOME' ''");
    }

    #[test]
    fn moments_are_read_in_their_zone() {
        let check = |text: &str, zone, want: &str| {
            let ms = u64::try_from(moment(text, zone).unwrap()).unwrap();
            assert_eq!(rfc3339(ms), want, "{text}");
        };
        check("2026-12-24 18:00", Some("Europe/Berlin"), "2026-12-24T17:00:00.000Z");
        check("2026-07-24T18:00", Some("Europe/Berlin"), "2026-07-24T16:00:00.000Z");
        check("2026-12-24T18:00:00Z", Some("Europe/Berlin"), "2026-12-24T18:00:00.000Z");
        check("2026-12-24T18:00:00+02:00", None, "2026-12-24T16:00:00.000Z");
        // Where summer time begins there is no half past two, where it ends there are two.
        check("2026-03-29 02:30", Some("Europe/Berlin"), "2026-03-29T01:00:00.000Z");
        check("2026-03-29 02:00", Some("Europe/Berlin"), "2026-03-29T01:00:00.000Z");
        check("2026-03-29 03:00", Some("Europe/Berlin"), "2026-03-29T01:00:00.000Z");
        check("2026-10-25 02:30", Some("Europe/Berlin"), "2026-10-25T00:30:00.000Z");
        check("2026-10-04 02:15", Some("Australia/Lord_Howe"), "2026-10-03T15:30:00.000Z");
        assert!(moment("tomorrow", None).is_err());
        assert!(moment("2026-12-24 18:00", Some("Nowhere")).is_err());
    }
}
