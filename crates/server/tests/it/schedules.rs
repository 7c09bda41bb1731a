//! Schedules: every slot is started once or recorded with the reason why not, whatever the clock,
//! the server and the machine do.

mod clocks;
mod killed;
mod rules;

use crate::{
    client::Call,
    world::{START_MS, World},
};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};
use toft_model::id::ProjectId;

/// A project with a schedule, and a file that its command writes a line to.
struct Stage {
    world: World,
    project: ProjectId,
    of: String,
    runs: PathBuf,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let project = world.project().await;
        let dir = tempfile::tempdir().unwrap();
        let of = format!("/v1/projects/{project}");
        Self { world, project, of, runs: dir.path().join("runs"), _dir: dir }
    }

    /// A command that writes down that it ran.
    fn run_and(&self, then: &str) -> Value {
        json!({"command": format!("echo ran >> '{}'; {then}", self.runs.display())})
    }

    fn ran(&self) -> usize {
        std::fs::read_to_string(&self.runs).unwrap_or_default().lines().count()
    }

    async fn ask(&self, call: Call) -> crate::client::Answer {
        self.world.ask(call).await
    }

    async fn add(&self, fields: Value) -> String {
        let mut body = json!({"name": "nightly", "when": {"everyS": 60}});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = self.ask(Call::post(&format!("{}/schedules", self.of), &body)).await.data();
        made["id"].as_str().unwrap().to_owned()
    }

    async fn firings(&self, id: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let path = format!("{}/schedules/{id}/firings", self.of);
        let all = self.world.eventually(&path, |data| fits(data["firings"].as_array().unwrap()));
        all.await["firings"].as_array().unwrap().clone()
    }

    /// Waits until a schedule has records with these outcomes, newest first.
    async fn outcomes(&self, id: &str, want: &[&str]) -> Vec<Value> {
        let of = |all: &[Value]| -> Vec<String> {
            all.iter().map(|f| f["outcome"].as_str().unwrap().to_owned()).collect()
        };
        self.firings(id, |all| of(all) == want).await
    }

    async fn sleep(&self) {
        let path = format!("{}/sleep", self.of);
        assert_eq!(self.ask(Call::post(&path, &json!({}))).await.data()["state"], "cold");
    }

    async fn machine(&self) -> Value {
        self.ask(Call::get(&format!("{}/machine", self.of))).await.data()
    }

    /// The worker has looked at the clock since: it does so every second, and at every change.
    async fn settled(&self) {
        let probe = json!({"name": format!("probe {}", rand()), "when": {"everyS": 1}, "do": {"command": "true"}});
        let path = format!("{}/schedules", self.of);
        let made = self.ask(Call::post(&path, &probe)).await.data();
        let id = made["id"].as_str().unwrap().to_owned();
        self.world.advance(1_000);
        self.firings(&id, |all| all.iter().any(|f| f["endedAt"].is_u64())).await;
        self.ask(Call::new("DELETE", &format!("{path}/{id}"))).await.data();
    }
}

fn rand() -> String {
    ProjectId::random().to_string()
}

fn reason(firing: &Value) -> &str {
    firing["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_due_slot_wakes_a_cold_machine_and_runs_once() {
    let s = Stage::new().await;
    let id = s.add(json!({"do": s.run_and("echo out; exit 0"), "name": "hourly"})).await;
    s.sleep().await;
    let shown = s.ask(Call::get(&format!("{}/schedules/{id}", s.of))).await.data();
    assert_eq!(shown["nextAt"], START_MS + 60_000);
    assert_eq!(shown["upcoming"][1], START_MS + 120_000);
    s.world.advance(60_000);
    let fired = s.outcomes(&id, &["fired"]).await;
    assert_eq!((&fired[0]["slot"], &fired[0]["exitCode"]), (&json!(START_MS + 60_000), &json!(0)));
    assert_eq!((&fired[0]["output"], &fired[0]["reason"]), (&json!("out\n"), &Value::Null));
    assert_eq!(s.ran(), 1);
    let machine = s.machine().await;
    assert_eq!(
        (&machine["state"], &machine["wakes"][0]["cause"]),
        (&json!("running"), &json!("schedule hourly"))
    );
    // The next one too, and a failing command says how it failed.
    let change = json!({"do": s.run_and("echo no; exit 3")});
    s.ask(Call::new("PATCH", &format!("{}/schedules/{id}", s.of)).json(&change)).await.data();
    s.world.advance(60_000);
    let fired = s.outcomes(&id, &["failed", "fired"]).await;
    assert_eq!((&fired[0]["exitCode"], &fired[0]["output"]), (&json!(3), &json!("no\n")));
    assert!(reason(&fired[0]).contains("exit code 3"), "{fired:?}");
    assert_eq!(s.ran(), 2);
    let listed = s.ask(Call::get(&format!("{}/schedules", s.of))).await.data();
    assert_eq!(listed["schedules"][0]["lastFiring"]["outcome"], "failed");
    s.world.end(true).await;
}

#[tokio::test]
async fn a_clock_set_forward_makes_one_late_and_the_rest_skipped() {
    let s = Stage::new().await;
    let latest = s.add(json!({"do": s.run_and("true")})).await;
    let none = s.add(json!({"do": s.run_and("true"), "name": "none", "catchUp": "none"})).await;
    s.world.advance(2 * 3_600_000 + 30_000);
    let all = s.outcomes(&latest, &["late", "skipped"]).await;
    assert_eq!((&all[0]["slot"], &all[1]["slots"]), (&json!(START_MS + 7_200_000), &json!(119)));
    assert!(reason(&all[0]).contains("30 s after its time"), "{all:?}");
    assert!(reason(&all[1]).contains("stands for it"), "{all:?}");
    let all = s.outcomes(&none, &["skipped"]).await;
    assert_eq!(all[0]["slots"], 120);
    assert!(reason(&all[0]).contains("does not catch up"), "{all:?}");
    assert_eq!(s.ran(), 1);
    s.world.end(true).await;
}

#[tokio::test]
async fn one_that_still_runs_is_not_overlapped_and_one_may_wait() {
    let s = Stage::new().await;
    let gate = s.runs.with_file_name("gate");
    let held = format!("while [ ! -e '{}' ]; do sleep 0.02; done", gate.display());
    let skip = s.add(json!({"do": s.run_and(&held), "name": "skip"})).await;
    let queue = s.add(json!({"do": s.run_and(&held), "name": "queue", "overlap": "queue"})).await;
    for _ in 0..4 {
        s.world.advance(60_000);
        s.settled().await;
    }
    let all = s.outcomes(&skip, &["suppressed", "running"]).await;
    assert_eq!(all[0]["slots"], 3, "in a row, for one reason");
    assert!(reason(&all[0]).contains("still ran"), "{all:?}");
    let all = s.outcomes(&queue, &["suppressed", "running", "running"]).await;
    assert_eq!((&all[0]["slots"], &all[1]["startedAt"]), (&json!(2), &Value::Null));
    assert_eq!((&all[1]["waiting"], &all[2]["waiting"]), (&json!(true), &json!(false)));
    assert_eq!(s.ran(), 2);
    std::fs::write(&gate, "").unwrap();
    s.outcomes(&skip, &["suppressed", "fired"]).await;
    let all = s.outcomes(&queue, &["suppressed", "late", "fired"]).await;
    assert!(reason(&all[1]).contains("waited for the end"), "{all:?}");
    assert_eq!(s.ran(), 3);
    s.world.end(true).await;
}

#[tokio::test]
async fn a_stopped_project_starts_nothing_and_a_broken_one_says_why() {
    let s = Stage::new().await;
    let id = s.add(json!({"do": s.run_and("true")})).await;
    s.ask(Call::post(&format!("{}/stop", s.of), &json!({}))).await.data();
    for _ in 0..2 {
        s.world.advance(60_000);
        s.firings(&id, |all| !all.is_empty()).await;
    }
    let all = s.firings(&id, |all| all[0]["slots"] == 2).await;
    assert_eq!((all.len(), &all[0]["outcome"]), (1, &json!("skipped")));
    assert!(reason(&all[0]).contains("stopped"), "{all:?}");
    assert_eq!(s.machine().await["state"], "stopped");
    // And by hand: the same.
    let run = format!("{}/schedules/{id}/run", s.of);
    let asked = s.ask(Call::post(&run, &json!({}))).await.data();
    assert_eq!((&asked["outcome"], &asked["byHand"]), (&json!("skipped"), &json!(true)));
    s.ask(Call::post(&format!("{}/start", s.of), &json!({}))).await.data();
    s.sleep().await;
    *s.world.machines.broken.lock().unwrap() = Some("no room for another machine".into());
    s.world.advance(60_000);
    let all = s.outcomes(&id, &["failed", "skipped", "skipped"]).await;
    assert!(reason(&all[0]).contains("no room for another machine"), "{all:?}");
    assert_eq!((s.ran(), &all[0]["startedAt"]), (0, &Value::Null));
    s.world.end(true).await;
}

#[tokio::test]
async fn a_server_that_ends_leaves_the_command_and_the_next_one_sees_its_end() {
    let mut s = Stage::new().await;
    let gate = s.runs.with_file_name("gate");
    let held = format!("while [ ! -e '{}' ]; do sleep 0.02; done; echo done", gate.display());
    let id = s.add(json!({"do": s.run_and(&held)})).await;
    s.world.advance(60_000);
    s.outcomes(&id, &["running"]).await;
    while s.ran() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    s.world = s.world.restart().await;
    s.outcomes(&id, &["running"]).await;
    std::fs::write(&gate, "").unwrap();
    let all = s.outcomes(&id, &["fired"]).await;
    assert_eq!((&all[0]["output"], s.ran()), (&json!("done\n"), 1));
    // A machine that ends in the middle takes the command with it, and that is said.
    std::fs::remove_file(&gate).unwrap();
    s.world.advance(60_000);
    s.outcomes(&id, &["running", "fired"]).await;
    while s.ran() == 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    s.world.machines.kill(&s.project);
    let all = s.outcomes(&id, &["failed", "fired"]).await;
    assert!(reason(&all[0]).contains("machine ended while the command ran"), "{all:?}");
    assert_eq!(s.ran(), 2);
    s.world.end(true).await;
}

#[tokio::test]
async fn a_secret_that_is_replaced_while_a_command_runs_is_in_no_record() {
    let s = Stage::new().await;
    let path = format!("{}/secrets", s.of);
    let set = async |value: &str| {
        let body = json!({"values": {"API_KEY": value}});
        s.ask(Call::post(&path, &body)).await.data();
    };
    set("first-value").await;
    let gate = s.runs.with_file_name("gate");
    let held = format!("while [ ! -e '{}' ]; do sleep 0.02; done", gate.display());
    let says = format!("{held}; echo first-value second-value");
    let id = s.add(json!({"do": s.run_and(&says)})).await;
    s.world.advance(60_000);
    while s.ran() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    set("second-value").await;
    std::fs::write(&gate, "").unwrap();
    let all = s.outcomes(&id, &["fired"]).await;
    assert_eq!(all[0]["output"], "[secret API_KEY] [secret API_KEY]\n");
    s.world.end(true).await;
}

#[tokio::test]
async fn a_time_limit_ends_a_command_and_deleting_its_schedule_too() {
    let s = Stage::new().await;
    let forever = s.run_and("echo before; sleep 600");
    let short = s.add(json!({"do": forever, "timeoutMs": 1_000})).await;
    let pid = s.runs.with_file_name("pid");
    let own = json!({"command": format!("echo $$ > '{}'; sleep 600", pid.display())});
    let other = s.add(json!({"do": own, "name": "other"})).await;
    s.world.advance(60_000);
    let all = s.outcomes(&short, &["failed"]).await;
    assert!(reason(&all[0]).contains("time limit of 1 s"), "{all:?}");
    assert_eq!(all[0]["output"], "before\n");
    s.outcomes(&other, &["running"]).await;
    s.ask(Call::new("DELETE", &format!("{}/schedules/{other}", s.of))).await.data();
    let path = format!("{}/schedules/{other}", s.of);
    s.ask(Call::get(&path)).await.failure(404, "not_found");
    let pid = std::fs::read_to_string(pid).unwrap();
    while std::path::Path::new("/proc").join(pid.trim()).exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    s.world.end(true).await;
}

#[tokio::test]
async fn a_prompt_is_said_in_the_conversation_that_was_named() {
    let s = Stage::new().await;
    let work = json!({"prompt": "look around", "sessionId": "s1"});
    let id = s.add(json!({"do": work})).await;
    s.sleep().await;
    s.world.advance(60_000);
    let all = s.outcomes(&id, &["fired"]).await;
    assert_eq!((&all[0]["sessionId"], &all[0]["exitCode"]), (&json!("s1"), &Value::Null));
    let said = s.ask(Call::get(&format!("{}/toft/messages?sessionId=s1", s.of))).await.text();
    assert_eq!(said.matches("look around").count(), 0, "the box keeps none: {said}");
    let mut events = Call::get(&format!("{}/toft/events?after=0", s.of))
        .key(crate::world::AGENT_KEY)
        .stream(s.world.addr)
        .await;
    let mut heard = String::new();
    while !heard.contains("agent_end") {
        let event = events.next().await.unwrap();
        heard.push_str(&event.kind);
        heard.push_str(&event.data);
    }
    assert_eq!(heard.matches("look around").count(), 1, "{heard}");
    s.world.end(true).await;
}

#[tokio::test]
async fn a_conversation_that_is_not_there_is_refused_and_one_that_went_away_is_told() {
    let s = Stage::new().await;
    let path = format!("{}/schedules", s.of);
    let made = |session: &str| {
        json!({"name": "gone", "when": {"everyS": 60},
            "do": {"prompt": "x", "sessionId": session}})
    };
    let kept = json!({"messageId": "e1", "entryId": "e1", "parentId": null,
        "message": {"role": "user", "content": "build a shop", "timestamp": 9}});
    s.world.machines.push(&s.project, "old", "message_end", &kept);
    s.world.copied(&s.project, 1).await;
    let id = s.add(json!({"do": s.run_and("true")})).await;
    let change = Call::new("PATCH", &format!("{path}/{id}"));
    let named = json!({"do": made("s9")["do"]});
    for is_cold in [false, true] {
        if is_cold {
            s.sleep().await;
        }
        let why = s.ask(Call::post(&path, &made("s9"))).await.failure(404, "not_found");
        assert!(why.contains("do.sessionId") && why.contains("s9"), "{why}");
        s.ask(change.clone().json(&named)).await.failure(404, "not_found");
        assert_eq!(s.machine().await["state"] == "cold", is_cold, "it is not woken for that");
        if !is_cold {
            // The copy has it, the machine has not: nothing more can be said in it.
            s.ask(Call::post(&path, &made("old"))).await.failure(404, "not_found");
        }
    }
    let all = s.ask(Call::get(&path)).await.data();
    assert_eq!(all["schedules"].as_array().unwrap().len(), 1, "{all}");
    // All that is known while the machine rests is that something was said in it.
    let gone = s.ask(Call::post(&path, &made("old"))).await.data();
    let one = format!("{path}/{}", gone["id"].as_str().unwrap());
    s.ask(Call::post(&format!("{one}/run"), &json!({}))).await.data();
    let all = s.outcomes(gone["id"].as_str().unwrap(), &["failed"]).await;
    assert!(reason(&all[0]).contains("old"), "{all:?}");
    // What stays as it was is not asked about again.
    let renamed = json!({"name": "other", "do": made("old")["do"]});
    s.ask(Call::new("PATCH", &one).json(&renamed)).await.data();
    s.world.end(true).await;
}

#[tokio::test]
async fn a_disabled_one_has_no_slots_and_can_be_run_by_hand() {
    let s = Stage::new().await;
    let id = s.add(json!({"do": s.run_and("true"), "enabled": false})).await;
    let path = format!("{}/schedules/{id}", s.of);
    assert_eq!(s.ask(Call::get(&path)).await.data()["nextAt"], Value::Null);
    s.world.advance(600_000);
    s.settled().await;
    s.outcomes(&id, &[]).await;
    s.ask(Call::post(&format!("{path}/run"), &json!({}))).await.data();
    let all = s.outcomes(&id, &["fired"]).await;
    assert_eq!((&all[0]["byHand"], s.ran()), (&json!(true), 1));
    // Enabled: from now on, on the same grid, and nothing of the past.
    let now = s.world.now.load(Ordering::SeqCst);
    let on = s.ask(Call::new("PATCH", &path).json(&json!({"enabled": true}))).await.data();
    let next = on["nextAt"].as_u64().unwrap();
    assert!(next > now && (next - START_MS).is_multiple_of(60_000), "{on}");
    let once = json!({"when": {"at": now + 5_000}, "name": "soon"});
    let changed = s.ask(Call::new("PATCH", &path).json(&once)).await.data();
    assert_eq!((&changed["nextAt"], &changed["name"]), (&json!(now + 5_000), &json!("soon")));
    s.world.advance(5_000);
    s.outcomes(&id, &["fired", "fired"]).await;
    assert_eq!(s.ask(Call::get(&path)).await.data()["nextAt"], Value::Null, "once is once");
    s.world.end(true).await;
}

#[tokio::test]
async fn what_is_no_schedule_is_refused() {
    let s = Stage::new().await;
    let path = format!("{}/schedules", s.of);
    let good = json!({"name": "n", "when": {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
        "do": {"command": "true"}});
    let made = s.ask(Call::post(&path, &good)).await.data();
    assert_eq!((&made["when"], &made["timeoutMs"]), (&good["when"], &json!(3_600_000)));
    s.ask(Call::post(&path, &good)).await.failure(409, "conflict");
    for (field, value) in [
        ("when", json!({"cron": "0 9 * *"})),
        ("when", json!({"cron": "0 0 31 2 *"})),
        ("when", json!({"cron": "0 9 * * *", "timezone": "Europe/Nowhere"})),
        ("when", json!({"everyS": 0})),
        ("when", json!({"at": 5})),
        ("when", json!({"every": "5m"})),
        ("do", json!({"command": " "})),
        ("do", json!({"command": "a", "prompt": "b"})),
        ("do", json!({"prompt": "a", "sessionId": "../x"})),
        ("do", json!({"command": "x".repeat(70_000)})),
        ("name", json!("a\nb")),
        ("name", json!("")),
        ("timeoutMs", json!(1)),
        ("catchUp", json!("some")),
        ("catchUpMax", json!(0)),
        ("catchUpMax", json!(101)),
        ("overlap", json!("replace")),
        ("jitter", json!(5)),
    ] {
        let mut bad = good.clone();
        bad["name"] = rand().into();
        bad[field] = value;
        s.ask(Call::post(&path, &bad)).await.failure(400, "invalid_argument");
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        let change = json!({field: bad[field]});
        s.ask(Call::new("PATCH", &one).json(&change)).await.failure(400, "invalid_argument");
    }
    s.ask(Call::post(&path, &json!({}))).await.failure(400, "invalid_argument");
    for nobody in ["abcdefghijkl", "x", "..%2f"] {
        s.ask(Call::get(&format!("{path}/{nobody}"))).await.failure(404, "not_found");
    }
    let other = s.world.project().await;
    let foreign = format!("/v1/projects/{other}/schedules/{}", made["id"].as_str().unwrap());
    s.ask(Call::get(&foreign)).await.failure(404, "not_found");
    s.world.send(Call::get(&path)).await.failure(401, "unauthenticated");
    // With the project they are gone.
    s.ask(Call::new("DELETE", &s.of)).await.data();
    s.ask(Call::get(&path)).await.failure(404, "not_found");
    s.world.end(true).await;
}
