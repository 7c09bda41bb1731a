//! What a killed server leaves of a firing, at each of its steps, and what the next one makes of it.

use super::{Stage, reason};
use crate::{client::Call, world::START_MS};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};
use toft_machine::{backend::Backend as _, init_client};
use toft_model::{event::Outcome, id::ProjectId, init::ExecSpec};
use toft_store::{
    Decided, Firing, Firings as _, Joined, NewServer, Schedules as _, Servers as _, SqliteStore,
    Step,
};

/// Where an earlier server was killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Killed {
    /// It had decided.
    Decided,
    /// It had written down that it asks.
    BeforeAsking,
    /// It had asked, and the machine had begun.
    AfterAsking,
    /// It had written down that the command runs.
    Running,
    /// The same, and the machine was started anew since.
    AskedOfAnotherBoot,
    RunningInAnotherBoot,
}

impl Killed {
    fn step(self) -> Step {
        match self {
            Self::Decided => Step::Due,
            Self::BeforeAsking | Self::AfterAsking | Self::AskedOfAnotherBoot => Step::Asked,
            Self::Running | Self::RunningInAnotherBoot => Step::Started,
        }
    }

    fn runs(self) -> bool {
        matches!(self, Self::AfterAsking | Self::Running)
    }

    fn boot(self) -> Option<u64> {
        match self {
            Self::Decided => None,
            // As the backend of these tests starts all of them.
            Self::BeforeAsking | Self::AfterAsking | Self::Running => Some(5),
            Self::AskedOfAnotherBoot | Self::RunningInAnotherBoot => Some(4),
        }
    }
}

/// Leaves a firing of a schedule as a killed server does; the server is down meanwhile.
fn leave(data: &std::path::Path, project: &ProjectId, edit: impl FnOnce(&mut Firing) + Send) {
    let path = data.join("toft.db");
    let work = async move {
        let store = SqliteStore::open(&path).await.unwrap();
        // Only the server that has the project's machine decides.
        let server = NewServer {
            id: std::fs::read_to_string(data.join("server.id")).unwrap().trim().to_owned(),
            place: "killed".into(),
            url: "http://killed".into(),
            version: "0".into(),
            shares: "keys".into(),
        };
        assert!(matches!(store.join(&server, START_MS).await.unwrap(), Joined::Yes));
        let schedule = store.schedules(project).await.unwrap().remove(0);
        let mut firing = Firing {
            id: "firing-left".into(),
            schedule: schedule.id.clone(),
            slot: START_MS + 60_000,
            last_slot: START_MS + 60_000,
            slots: 1,
            by_hand: false,
            outcome: Outcome::Running,
            reason: None,
            is_late: false,
            work: Some(schedule.work.clone()),
            step: Step::Due,
            boot: None,
            session: None,
            after_seq: None,
            entry: None,
            started_at: None,
            ended_at: None,
            exit_code: None,
            output: None,
            told: false,
        };
        let decided = Decided {
            schedule: &schedule.id,
            revision: schedule.revision,
            decided_at: firing.slot,
            next_at: Some(firing.slot + 60_000),
            firings: std::slice::from_ref(&firing),
        };
        assert_eq!(store.decide_slots(&decided).await.unwrap().unwrap().len(), 1);
        edit(&mut firing);
        store.update_firing(&firing).await.unwrap();
        toft_store::Store::close(&store).await;
    };
    std::thread::scope(|threads| {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        threads.spawn(move || runtime().unwrap().block_on(work)).join().unwrap();
    });
}

#[tokio::test]
async fn a_server_killed_at_any_step_starts_a_command_once_or_says_why_not() {
    for killed in [
        Killed::Decided,
        Killed::BeforeAsking,
        Killed::AfterAsking,
        Killed::Running,
        Killed::AskedOfAnotherBoot,
        Killed::RunningInAnotherBoot,
    ] {
        let mut s = Stage::new().await;
        let work = s.run_and("echo out");
        let id = s.add(json!({"do": work})).await;
        if killed.runs() {
            let line = work["command"].as_str().unwrap().to_owned();
            let spec = ExecSpec {
                id: Some("firing-left".into()),
                argv: vec!["bash".into(), "-lc".into(), line],
                detach: true,
                ..ExecSpec::default()
            };
            let stream = s.world.machines.connect_init(&s.project).await.unwrap();
            drop(init_client::exec(stream, spec).await.unwrap());
        }
        // It runs what the schedule had when it was due.
        let change = json!({"do": {"command": "exit 9"}});
        s.ask(Call::new("PATCH", &format!("{}/schedules/{id}", s.of)).json(&change)).await.data();
        s.world.advance(60_000);
        let project = s.project.clone();
        let work = serde_json::from_value(work).unwrap();
        s.world = s
            .world
            .restart_with(|config| {
                leave(&config.data_dir, &project, |firing| {
                    firing.work = Some(work);
                    firing.step = killed.step();
                    firing.boot = killed.boot();
                    firing.started_at = killed.boot().map(|_| START_MS + 60_000);
                });
            })
            .await;
        let all = s.firings(&id, |all| all[0]["endedAt"].is_u64()).await;
        assert_eq!(all.len(), 1, "{killed:?}: {all:?}");
        let (outcome, ran) = match killed {
            Killed::AskedOfAnotherBoot | Killed::RunningInAnotherBoot => ("failed", 0),
            _ => ("fired", 1),
        };
        assert_eq!((&all[0]["outcome"], s.ran()), (&json!(outcome), ran), "{killed:?}: {all:?}");
        match killed {
            Killed::AskedOfAnotherBoot => assert!(reason(&all[0]).contains("may have begun")),
            Killed::RunningInAnotherBoot => assert!(reason(&all[0]).contains("ended while")),
            _ => assert_eq!(all[0]["output"], "out\n", "{killed:?}"),
        }
        s.world.end(true).await;
    }
}

#[tokio::test]
async fn what_a_server_did_not_get_to_in_time_is_late_or_skipped_by_the_next() {
    for (catch_up, outcome, ran) in [("latest", "late", 1), ("none", "skipped", 0)] {
        let mut s = Stage::new().await;
        let id = s.add(json!({"do": s.run_and("true"), "catchUp": catch_up})).await;
        let project = s.project.clone();
        s.world.advance(90_000);
        s.world = s.world.restart_with(|config| leave(&config.data_dir, &project, |_| ())).await;
        let all = s.outcomes(&id, &[outcome]).await;
        assert!(reason(&all[0]).contains("before it was started"), "{all:?}");
        assert_eq!(s.ran(), ran);
        s.world.end(true).await;
    }
}

#[tokio::test]
async fn a_server_killed_while_it_says_a_prompt_says_it_once() {
    for (was_said, step) in [(false, Step::Asked), (true, Step::Asked), (true, Step::Started)] {
        let mut s = Stage::new().await;
        let id = s.add(json!({"do": {"prompt": "look around", "sessionId": "s1"}})).await;
        if was_said {
            let body =
                json!({"message": "look around", "sessionId": "s1", "entryId": "firing-left"});
            s.ask(Call::post(&format!("{}/toft/prompt", s.of), &body)).await;
            s.world.copied(&s.project, 4).await;
        }
        s.world.advance(60_000);
        let project = s.project.clone();
        s.world = s
            .world
            .restart_with(|config| {
                leave(&config.data_dir, &project, |firing| {
                    firing.step = step;
                    firing.session = Some("s1".parse().unwrap());
                    firing.after_seq = Some(0);
                    firing.started_at = Some(START_MS + 60_000);
                });
            })
            .await;
        s.outcomes(&id, &["fired"]).await;
        let log = s.world.machines.disk(&s.project).log.lock().unwrap().clone();
        let said = log.iter().filter(|(_, _, data)| data["message"]["content"] == "look around");
        assert_eq!(said.count(), 1, "{was_said} {step:?}");
        s.world.end(true).await;
    }
}

/// Lines of its log that say a prompt.
fn said(s: &Stage, prompt: &str) -> usize {
    let log = s.world.machines.disk(&s.project).log.lock().unwrap().clone();
    log.iter().filter(|(_, _, data)| data["message"]["content"] == prompt).count()
}

/// Until its machine was tried to be started a few times more, with no end recorded meanwhile.
async fn tried_again(s: &Stage, id: &str) {
    let starts = &s.world.machines.starts;
    let until = starts.load(Ordering::SeqCst) + 3;
    while starts.load(Ordering::SeqCst) < until {
        let all = s.firings(id, |all| !all.is_empty()).await;
        assert!(all[0]["endedAt"].is_null(), "{all:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_prompt_that_may_have_been_taken_is_asked_about_until_that_is_known() {
    let mut s = Stage::new().await;
    let id = s.add(json!({"do": {"prompt": "look around", "sessionId": "s1"}})).await;
    let disk = s.world.machines.disk(&s.project);
    disk.breaks_off.store(true, Ordering::SeqCst);
    s.world.advance(60_000);
    while said(&s, "look around") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    *s.world.machines.broken.lock().unwrap() = Some("no room for another machine".into());
    s.world.machines.kill(&s.project);
    tried_again(&s, &id).await;
    s.outcomes(&id, &["running"]).await;
    // Neither does the next server know.
    s.world = s.world.restart().await;
    tried_again(&s, &id).await;
    s.outcomes(&id, &["running"]).await;
    // Nor does it by a person's stop.
    s.ask(Call::post(&format!("{}/stop", s.of), &json!({}))).await.data();
    s.settled().await;
    s.outcomes(&id, &["running"]).await;
    disk.breaks_off.store(false, Ordering::SeqCst);
    *s.world.machines.broken.lock().unwrap() = None;
    s.ask(Call::post(&format!("{}/start", s.of), &json!({}))).await.data();
    let all = s.outcomes(&id, &["fired"]).await;
    assert_eq!((said(&s, "look around"), &all[0]["sessionId"]), (1, &json!("s1")), "{all:?}");
    s.world.end(true).await;
}
