//! Schedules wake machines: every slot runs once or is recorded with the reason why not, however
//! often the server is killed and wherever its clock is set.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{collections::HashMap, path::Path, time::Duration};
use toft_stories::{
    lane,
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Writes down which firing it is.
const MARK: &str = r#"echo "$TOFT_FIRING" >> /home/starter/fired.txt"#;

async fn add(toft: &Toft, project: &str, body: Value) -> Result<String> {
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
async fn until(
    toft: &Toft,
    project: &str,
    schedule: &str,
    wanted: impl Fn(&[Value]) -> bool,
) -> Result<Vec<Value>> {
    let path = format!("/v1/projects/{project}/schedules/{schedule}/firings?limit=200");
    let list = |found: &Value| found["firings"].as_array().cloned().unwrap_or_default();
    Ok(list(&toft.until(&path, |found| wanted(&list(found))).await?))
}

/// How often each firing's command ran.
async fn runs(toft: &Toft, project: &str) -> Result<HashMap<String, usize>> {
    let out = toft.exec(project, "cat /home/starter/fired.txt || true").await?;
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
    let fired = |all: &[Value]| all.iter().filter(|f| f["outcome"] == "fired").count();
    until(&toft, &project, &every, |all| fired(all) >= 3).await?;
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["wakes"][0]["cause"], "schedule second", "{machine}");
    let change = json!({"enabled": false});
    toft.call("PATCH", &format!("{of}/schedules/{every}"), Some(change)).await?;
    let all =
        until(&toft, &project, &every, |all| all.iter().all(|f| f["endedAt"].is_u64())).await?;
    check_gapless(&all, 1_000)?;
    check_once(&all, &runs(&toft, &project).await?)?;

    // Once, to a machine that sleeps again; with what the command printed.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let head = all[0]["lastSlot"].as_u64().context("a slot")?;
    let at = head.max(now_ms()) + 1_500;
    let body = json!({"name": "once", "when": {"at": at},
        "do": {"command": "echo $TOFT_SLOT; pwd; exit 4"}});
    let once = add(&toft, &project, body).await?;
    let ended =
        until(&toft, &project, &once, |all| all.iter().any(|f| f["endedAt"].is_u64())).await?;
    assert_eq!((ended.len(), &ended[0]["slot"]), (1, &json!(at)));
    assert_eq!((&ended[0]["outcome"], &ended[0]["exitCode"]), (&json!("failed"), &json!(4)));
    let output = ended[0]["output"].as_str().unwrap_or_default();
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

fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("some millennia left")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_moment_of_a_firing_runs_nothing_twice() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Killed").await?;
    let of = format!("/v1/projects/{project}");
    let slow = json!({"command": format!("{MARK}; sleep 0.7; echo whole")});
    let body = json!({"name": "second", "when": {"everyS": 1}, "do": slow, "overlap": "queue"});
    let every = add(&toft, &project, body).await?;
    // Moments spread over a second, so that each step of a firing is met.
    let kills: u64 = if lane::deep() { 60 } else { 12 };
    for kill in 0..kills {
        let after = firings(&toft, &project, &every).await?.len();
        until(&toft, &project, &every, |all| all.len() > after).await?;
        tokio::time::sleep(Duration::from_millis(kill * 997 % 1_000)).await;
        toft.kill_server();
        if kill == kills / 2 {
            // Long enough that what was missed is late.
            tokio::time::sleep(Duration::from_secs(7)).await;
        }
        toft.up().await?;
    }
    let change = json!({"enabled": false});
    toft.call("PATCH", &format!("{of}/schedules/{every}"), Some(change)).await?;
    let all =
        until(&toft, &project, &every, |all| all.iter().all(|f| f["endedAt"].is_u64())).await?;
    check_gapless(&all, 1_000)?;
    check_once(&all, &runs(&toft, &project).await?)?;
    let of_outcome = |word: &str| all.iter().filter(|f| f["outcome"] == word).count();
    ensure!(of_outcome("fired") + of_outcome("late") > 0, "{all:?}");
    ensure!(of_outcome("failed") == 0, "the machine never ended: {all:?}");
    ensure!(of_outcome("skipped") > 0, "slots of the pause have their record: {all:?}");
    let whole = all.iter().filter(|f| f["output"] == "whole\n").count();
    assert_eq!(whole, of_outcome("fired") + of_outcome("late"), "each was seen to its end");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_meets_what_became_of_the_command_before_it_while_no_server_ran() -> Result<()> {
    for (takes, still_runs) in [("sleep 2", false), ("sleep 600", true)] {
        let mut toft = Toft::start(Start::default()).await?;
        let project = toft.new_project("Between").await?;
        let work = json!({"command": format!("{MARK}; {takes}; echo whole")});
        let body = json!({"name": "six", "when": {"everyS": 6}, "do": work});
        let id = add(&toft, &project, body).await?;
        let first = until(&toft, &project, &id, |all| {
            all.iter().any(|f| f["startedAt"].is_u64() && f["endedAt"].is_null())
        })
        .await?;
        let slot = first[0]["slot"].as_u64().context("a slot")?;
        // It has begun when its mark is there.
        while runs(&toft, &project).await?.is_empty() {}
        toft.kill_server();
        // The next slot comes due while no server runs.
        while now_ms() < slot + 6_500 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        toft.up().await?;
        let path = format!("/v1/projects/{project}/schedules/{id}");
        let decided =
            |all: &[Value]| all.iter().any(|f| f["lastSlot"].as_u64() >= Some(slot + 6_000));
        until(&toft, &project, &id, decided).await?;
        toft.call("PATCH", &path, Some(json!({"enabled": false}))).await?;
        if still_runs {
            let all = firings(&toft, &project, &id).await?;
            let next = all.iter().find(|f| f["slot"] == slot + 6_000).context("the next slot")?;
            assert_eq!(next["outcome"], "suppressed", "{all:?}");
            assert!(next["reason"].to_string().contains("still ran"), "{next}");
            assert_eq!(all.last().context("the first")?["outcome"], "running", "{all:?}");
            assert_eq!(runs(&toft, &project).await?.len(), 1);
        } else {
            let ended = |all: &[Value]| all.iter().all(|f| f["endedAt"].is_u64());
            let all = until(&toft, &project, &id, ended).await?;
            check_gapless(&all, 6_000)?;
            check_once(&all, &runs(&toft, &project).await?)?;
            let next = all.iter().find(|f| f["slot"] == slot + 6_000).context("the next slot")?;
            assert!(matches!(next["outcome"].as_str(), Some("fired" | "late")), "{all:?}");
            assert_eq!(all.last().context("the first")?["output"], "whole\n", "{all:?}");
        }
        toft.down()?;
    }
    Ok(())
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
    let ended = |all: &[Value]| all.iter().any(|f| f["endedAt"].is_u64());
    let all = until(&toft, &project, &long, ended).await?;
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
        let is_over =
            |all: &[Value]| all.iter().any(|f| f["id"] == firing["id"] && f["outcome"] == "fired");
        until(&toft, &project, &long, is_over).await?;
        let shown = toft.call("GET", &machine, None).await?;
        assert_eq!(shown["wakes"][0]["cause"], "schedule long", "{can}: {shown}");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_server_starts_the_latest_or_nothing_as_the_schedule_says() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Late").await?;
    let at = now_ms() + 1_500;
    let once = |name: &str, catch_up: &str| json!({"name": name, "when": {"at": at}, "do": {"command": MARK}, "catchUp": catch_up});
    let latest = add(&toft, &project, once("latest", "latest")).await?;
    let none = add(&toft, &project, once("none", "none")).await?;
    toft.call("POST", &format!("/v1/projects/{project}/sleep"), Some(json!({}))).await?;
    toft.kill_server();
    while now_ms() < at + 6_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    toft.up().await?;
    let ended = |all: &[Value]| all.iter().any(|f| f["endedAt"].is_u64());
    let late = until(&toft, &project, &latest, ended).await?;
    assert_eq!((late.len(), &late[0]["outcome"]), (1, &json!("late")), "{late:?}");
    let skipped = until(&toft, &project, &none, ended).await?;
    assert_eq!((skipped.len(), &skipped[0]["outcome"]), (1, &json!("skipped")), "{skipped:?}");
    let runs = runs(&toft, &project).await?;
    check_once(&late, &runs)?;
    check_once(&skipped, &HashMap::new())?;
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
        let ended = |all: &[Value]| all.iter().all(|f| f["endedAt"].is_u64());
        until(&toft, &project, &nightly, ended).await?;
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

/// Where Debian's `libfaketime` lies, on the architectures that it exists for.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// A server whose wall clock is as far from the host's as a file says.
struct Clocked {
    toft: Toft,
    offset: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Clocked {
    /// `None`: not in this lane, or not on this host, which is said.
    async fn start(test: &str) -> Result<Option<Self>> {
        if !lane::deep() {
            lane::skip(test, "it belongs to the long lane");
            return Ok(None);
        }
        if lane::as_user() {
            lane::skip(
                test,
                "libfaketime shares a semaphore, which another user of this host may own",
            );
            return Ok(None);
        }
        let given = std::env::var("TOFT_FAKETIME").ok();
        let known = FAKETIME.iter().map(|path| (*path).to_owned());
        let Some(library) = given.into_iter().chain(known).find(|path| Path::new(path).exists())
        else {
            lane::skip(test, "the package `libfaketime` is not installed");
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let offset = folder.path().join("offset");
        std::fs::write(&offset, "+0\n")?;
        let env = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().context("a path of text")?),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let toft = Toft::start(Start { env, ..Start::default() }).await?;
        Ok(Some(Self { toft, offset, _folder: folder }))
    }

    /// Sets its clock so many seconds off, at once for who reads the file.
    fn set(&self, seconds: i64) -> Result<()> {
        let beside = self.offset.with_extension("new");
        std::fs::write(&beside, format!("{seconds:+}\n"))?;
        Ok(std::fs::rename(beside, &self.offset)?)
    }
}

fn fired(all: &[Value]) -> usize {
    all.iter().filter(|f| f["outcome"] == "fired").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_two_hours_fires_nothing_twice() -> Result<()> {
    const TEST: &str = "a_clock_that_jumps_two_hours_fires_nothing_twice";
    let Some(clocked) = Clocked::start(TEST).await? else { return Ok(()) };
    let toft = &clocked.toft;
    let project = toft.new_project("Jumps").await?;
    let body = json!({"name": "second", "when": {"everyS": 2}, "do": {"command": MARK}});
    let every = add(toft, &project, body).await?;
    let minutes = json!({"name": "day", "when": {"cron": "* * * * *"}, "do": {"command": MARK}});
    let day = add(toft, &project, minutes).await?;
    until(toft, &project, &every, |all| fired(all) >= 2).await?;
    clocked.set(7_200)?;
    let all = until(toft, &project, &every, |all| fired(all) >= 4).await?;
    let skipped =
        all.iter().find(|f| f["outcome"] == "skipped").context("slots were jumped over")?;
    ensure!(skipped["slots"].as_u64() > Some(3_000), "{skipped}");
    // Back, and further back than it ever was: what goes by real time goes on.
    for seconds in [0, -7_200] {
        let before = fired(&firings(toft, &project, &every).await?);
        clocked.set(seconds)?;
        until(toft, &project, &every, |all| fired(all) >= before + 3).await?;
    }
    clocked.set(7_230)?;
    let before = fired(&firings(toft, &project, &every).await?);
    until(toft, &project, &every, |all| fired(all) >= before + 3).await?;
    let ended = |all: &[Value]| all.iter().all(|f| f["endedAt"].is_u64());
    let mut both = Vec::new();
    for id in [&every, &day] {
        let path = format!("/v1/projects/{project}/schedules/{id}");
        toft.call("PATCH", &path, Some(json!({"enabled": false}))).await?;
        let all = until(toft, &project, id, ended).await?;
        let mut slots: Vec<_> = all.iter().map(|f| f["slot"].as_u64()).collect();
        slots.sort_unstable();
        slots.dedup();
        ensure!(slots.len() == all.len(), "a slot has two records: {all:?}");
        if *id == day {
            check_gapless(&all, 60_000)?;
        }
        both.extend(all);
    }
    check_once(&both, &runs(toft, &project).await?)?;
    clocked.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_days_on_which_clocks_are_set_by_law_each_time_is_started_once() -> Result<()> {
    const TEST: &str = "on_the_days_on_which_clocks_are_set_by_law_each_time_is_started_once";
    let Some(clocked) = Clocked::start(TEST).await? else { return Ok(()) };
    let toft = &clocked.toft;
    let project = toft.new_project("Law").await?;
    // Line, zone, and the moment of UTC at which it is due, in Unix seconds: left out by the law, or
    // brought twice.
    let days = [
        ("30 2 * * *", "America/New_York", 1_772_953_200), // 2026-03-08T07:00Z
        ("30 1 * * *", "America/New_York", 1_793_511_000), // 2026-11-01T05:30Z
        ("15 2 * * *", "Australia/Lord_Howe", 1_791_041_400), // 2026-10-03T15:30Z
        ("0 0 * * *", "America/Sao_Paulo", 1_541_300_400), // 2018-11-04T03:00Z
    ];
    for (line, zone, due) in days {
        let now = i64::try_from(now_ms() / 1_000)?;
        clocked.set(due - 4 - now)?;
        let body = json!({"name": zone.to_owned() + line, "when": {"cron": line, "timezone": zone},
            "do": {"command": MARK}});
        let id = add(toft, &project, body).await?;
        let all = until(toft, &project, &id, |all| fired(all) == 1).await?;
        assert_eq!(
            (all.len(), &all[0]["slot"]),
            (1, &json!(due * 1_000)),
            "{line} {zone}: {all:?}"
        );
        // Not a second time: an hour on, and back over the same moment.
        for off in [3_600, -60] {
            let now = i64::try_from(now_ms() / 1_000)?;
            clocked.set(due + off - now)?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            let all = firings(toft, &project, &id).await?;
            assert_eq!(all.len(), 1, "{line} {zone}: {all:?}");
        }
        let path = format!("/v1/projects/{project}/schedules/{id}");
        toft.call("DELETE", &path, None).await?;
    }
    assert_eq!(runs(toft, &project).await?.len(), days.len());
    clocked.toft.down()
}
