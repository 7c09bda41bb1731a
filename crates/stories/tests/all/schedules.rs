//! Schedules wake machines: every slot runs once or is recorded with the reason why not, however
//! often the server is killed and wherever its clock is set.

mod clocks;
mod killed;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};
use toft_stories::{
    lane,
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Writes down which firing it is.
pub(super) const MARK: &str = r#"echo "$TOFT_FIRING" >> ~/fired.txt"#;

pub(super) async fn add(toft: &Toft, project: &str, body: Value) -> Result<String> {
    let path = format!("/v1/projects/{project}/schedules");
    let made = toft.call("POST", &path, Some(body)).await?;
    Ok(made["id"].as_str().context("a schedule has an id")?.to_owned())
}

async fn firings(toft: &Toft, project: &str, schedule: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/projects/{project}/schedules/{schedule}/firings?limit=200");
    let found = toft.call("GET", &path, None).await?;
    found["firings"].as_array().cloned().context("a list of firings")
}

/// Waits until the firings are as wanted.
pub(super) async fn until(
    toft: &Toft,
    project: &str,
    schedule: &str,
    wanted: impl Fn(&[Value]) -> bool,
) -> Result<Vec<Value>> {
    let path = format!("/v1/projects/{project}/schedules/{schedule}/firings?limit=200");
    let list = |found: &Value| found["firings"].as_array().cloned().unwrap_or_default();
    Ok(list(&toft.until(&path, |found| wanted(&list(found))).await?))
}

/// Switches a schedule off and waits for the end of what it started.
async fn ended(toft: &Toft, project: &str, schedule: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/projects/{project}/schedules/{schedule}");
    toft.call("PATCH", &path, Some(json!({"enabled": false}))).await?;
    until(toft, project, schedule, |all| all.iter().all(is_over)).await
}

/// The same for the only one of a project, an interval of [`MARK`]: every slot has its record, and
/// nothing ran twice.
pub(super) async fn ended_whole(
    toft: &Toft,
    project: &str,
    schedule: &str,
    every_ms: u64,
) -> Result<Vec<Value>> {
    let all = ended(toft, project, schedule).await?;
    check_gapless(&all, every_ms)?;
    check_once(&all, &runs(toft, project).await?)?;
    Ok(all)
}

fn fired(all: &[Value]) -> usize {
    all.iter().filter(|f| f["outcome"] == "fired").count()
}

pub(super) fn is_over(firing: &Value) -> bool {
    firing["endedAt"].is_u64()
}

/// How often each firing's command ran.
async fn runs(toft: &Toft, project: &str) -> Result<HashMap<String, usize>> {
    let out = toft.exec(project, "cat ~/fired.txt || true").await?;
    let mut runs = HashMap::new();
    for line in out["stdout"].as_str().unwrap_or_default().lines() {
        *runs.entry(line.to_owned()).or_insert(0) += 1;
    }
    Ok(runs)
}

/// Every slot of an interval has exactly one record, from the first to the last that there is.
fn check_gapless(all: &[Value], every_ms: u64) -> Result<()> {
    let mut next = None;
    for firing in all.iter().rev().filter(|f| f["byHand"] == false) {
        let at = |field: &str| firing[field].as_u64().with_context(|| format!("{field}: {firing}"));
        let (first, last, slots) = (at("slot")?, at("lastSlot")?, at("slots")?);
        ensure!(next.is_none_or(|next| next == first), "a slot before {firing} has no record");
        ensure!(last == first + (slots - 1) * every_ms, "{firing} does not add up");
        next = Some(last + every_ms);
    }
    Ok(())
}

/// What ran, ran once; what did not, has a reason.
fn check_once(all: &[Value], runs: &HashMap<String, usize>) -> Result<()> {
    for firing in all {
        let id = firing["id"].as_str().unwrap_or_default();
        let ran = runs.get(id).copied().unwrap_or(0);
        match firing["outcome"].as_str() {
            Some("fired" | "late") => ensure!(ran == 1, "{firing} ran {ran} times"),
            Some("skipped" | "suppressed") => {
                ensure!(ran == 0 && firing["reason"].is_string(), "{firing} ran {ran} times");
            }
            Some("failed") => {
                ensure!(ran <= 1 && firing["reason"].is_string(), "{firing} ran {ran} times");
            }
            other => ensure!(false, "{other:?}: {firing}"),
        }
    }
    for (id, ran) in runs {
        ensure!(*ran == 1, "{id} ran {ran} times");
        ensure!(all.iter().any(|f| f["id"] == id.as_str()), "{id} ran and has no record");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_wakes_a_cold_machine_for_every_slot_and_runs_it_once() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Scheduled").await?;
    let of = format!("/v1/projects/{project}");
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let body = json!({"name": "second", "when": {"everyS": 1}, "do": {"command": MARK}});
    let every = add(&toft, &project, body).await?;
    until(&toft, &project, &every, |all| fired(all) >= 3).await?;
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["wakes"][0]["cause"], "schedule second", "{machine}");
    let all = ended_whole(&toft, &project, &every, 1_000).await?;

    // Once, to a machine that sleeps again; with what the command printed.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let head = all[0]["lastSlot"].as_u64().context("a slot")?;
    let at = head.max(now_ms()) + 1_500;
    let body = json!({"name": "once", "when": {"at": at},
        "do": {"command": "echo $TOFT_SLOT; pwd; exit 4"}});
    let once = add(&toft, &project, body).await?;
    let all = until(&toft, &project, &once, |all| all.iter().any(is_over)).await?;
    assert_eq!((all.len(), &all[0]["slot"]), (1, &json!(at)));
    assert_eq!((&all[0]["outcome"], &all[0]["exitCode"]), (&json!("failed"), &json!(4)));
    let output = all[0]["output"].as_str().unwrap_or_default();
    assert!(output.starts_with(&format!("{at}\n/")), "{output:?}");
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["wakes"][0]["cause"], "schedule once", "{machine}");

    // The project's own log has it.
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let told = follow.until(|e| e.kind == "schedule" && e.data["name"] == "once").await?;
    let told = &told.last().context("an event")?.data;
    assert_eq!((&told["slot"], &told["outcome"]), (&json!(at), &json!("failed")));
    toft.down()
}

pub(super) fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("some millennia left")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_not_put_away_while_a_command_of_a_schedule_runs() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Idle").await?;
    let of = format!("/v1/projects/{project}");
    let rule = json!({"freezeAfterS": 1, "coldAfterS": 2});
    toft.call("PUT", &format!("{of}/idle"), Some(rule)).await?;
    let work = json!({"command": "sleep 5; echo whole"});
    let body = json!({"name": "long", "when": {"at": now_ms() + 1_500}, "do": work});
    let long = add(&toft, &project, body).await?;
    let all = until(&toft, &project, &long, |all| all.iter().any(is_over)).await?;
    assert_eq!((&all[0]["outcome"], &all[0]["output"]), (&json!("fired"), &json!("whole\n")));
    // Afterwards it is; what is due next wakes it, and one that is only paused goes on.
    let machine = format!("{of}/machine");
    toft.until(&machine, |m| m["state"] == "cold").await?;
    let run = format!("{of}/schedules/{long}/run");
    toft.call(
        "PUT",
        &format!("{of}/idle"),
        Some(json!({"freezeAfterS": null, "coldAfterS": null})),
    )
    .await?;
    for can in ["sleep", "freeze"] {
        let shown = toft.call("GET", &machine, None).await?;
        if can == "freeze" {
            if shown["can"]["freeze"] != true {
                lane::skip("a paused machine goes on for a schedule", "this host cannot pause");
                break;
            }
            toft.call("POST", &format!("{of}/freeze"), Some(json!({}))).await?;
        }
        let firing = toft.call("POST", &run, Some(json!({}))).await?;
        let fired =
            |all: &[Value]| all.iter().any(|f| f["id"] == firing["id"] && f["outcome"] == "fired");
        until(&toft, &project, &long, fired).await?;
        let shown = toft.call("GET", &machine, None).await?;
        assert_eq!(shown["wakes"][0]["cause"], "schedule long", "{can}: {shown}");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_of_a_schedule_is_said_once_and_the_current_conversation_stays() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Prompted").await?;
    let of = format!("/v1/projects/{project}");
    let mut follow = Follow::from(&toft, &project, 0).await?;
    let mine = session::prompt(&toft, &project, "run `echo mine`").await?;
    follow.until_agent_end().await?;
    let work = json!({"prompt": "run `echo nightly`"});
    let body = json!({"name": "nightly", "when": {"at": now_ms() + 86_400_000}, "do": work});
    let nightly = add(&toft, &project, body).await?;
    let run = format!("{of}/schedules/{nightly}/run");
    for kill_after_ms in [0u64, 20, 60, 150, 400] {
        toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
        toft.call("POST", &run, Some(json!({}))).await?;
        tokio::time::sleep(Duration::from_millis(kill_after_ms)).await;
        toft.kill_server();
        toft.up().await?;
        until(&toft, &project, &nightly, |all| all.iter().all(is_over)).await?;
    }
    let all = firings(&toft, &project, &nightly).await?;
    assert_eq!(all.len(), 5, "{all:?}");
    for firing in &all {
        assert!(matches!(firing["outcome"].as_str(), Some("fired" | "late")), "{firing}");
        let session = firing["sessionId"].as_str().context("a conversation")?;
        let path = format!("{of}/toft/messages?sessionId={session}");
        let said = toft.call("GET", &path, None).await?;
        let list = said["messages"].as_array().context("messages")?;
        let users: Vec<_> = list.iter().filter(|m| m["message"]["role"] == "user").collect();
        assert_eq!(users.len(), 1, "{firing}: {said}");
    }
    let sessions = toft.call("GET", &format!("{of}/toft/sessions"), None).await?;
    assert_eq!(sessions["current"], mine.as_str());
    let named = sessions["sessions"].as_array().context("sessions")?.iter();
    let named = named.filter(|s| s["name"].as_str().is_some_and(|n| n.starts_with("nightly · ")));
    assert_eq!(named.count(), 5, "one each: {sessions}");

    // Before each there is a way back, where such copies are taken at all.
    let copies = toft.call("GET", &format!("{of}/checkpoints"), None).await?;
    if copies["automatic"] == true {
        let of_message = |session: &Value| {
            let mut all = copies["checkpoints"].as_array().into_iter().flatten();
            all.any(|c| c["cause"] == "prompt" && c["message"]["sessionId"] == *session)
        };
        assert!(all.iter().any(|f| of_message(&f["sessionId"])), "{copies}");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_made_and_looked_at_from_the_command_line() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Typed").await?;
    let run = |args: &[&str]| -> Result<(i32, String, String)> {
        let all = [&["schedule", &project], args].concat();
        let out = toft.cli(&all)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr)))
    };
    let cron =
        ["add", "work", "--cron", "0 9 * * 1-5", "--timezone", "Europe/Berlin", "--", "exit 3"];
    assert_eq!(run(&cron)?.0, 0);
    assert_eq!(run(&["add", "ask", "--every", "15m", "--prompt", "look", "--disabled"])?.0, 0);
    let (code, list, _) = run(&["list"])?;
    assert_eq!(code, 0);
    for part in ["0 9 * * 1-5 Europe/Berlin", "$ exit 3", "every 15m", "> look", "disabled"] {
        assert!(list.contains(part), "{list}");
    }
    assert_eq!(run(&["run", "work", "--wait"])?.0, 3);
    assert!(run(&["firings", "work"])?.1.contains("failed"));
    let firings: Value = serde_json::from_str(&run(&["firings", "work", "--json"])?.1)?;
    assert_eq!(firings["firings"][0]["exitCode"], 3);
    assert_eq!(run(&["enable", "ask"])?.0, 0);
    assert_eq!(run(&["disable", "work"])?.0, 0);
    assert_eq!(run(&["rm", "ask"])?.0, 0);
    let (code, _, error) = run(&["run", "ask"])?;
    assert!(code == 1 && error.contains("no schedule"), "{code} {error}");
    let (code, _, error) = run(&["add", "bad", "--cron", "0 9 * *", "--", "true"])?;
    assert!(code == 1 && error.contains("five fields"), "{code} {error}");
    assert_eq!(run(&["add", "bad", "--every", "1m", "--at", "2030-01-01", "--", "true"])?.0, 2);
    toft.down()
}
