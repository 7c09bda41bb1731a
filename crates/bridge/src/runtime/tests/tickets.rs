//! Disks that went back or were grown from another, with the bridge killed between any two steps:
//! what an undisturbed one leaves, nothing gone on with, and no line of a trace lost.

use super::*;
use std::fs;
use tempfile::TempDir;
use toft_model::{
    checkpoint::{Place, SESSIONS_BEFORE, TICKET_PATH, Ticket},
    event::{Forked, Restored},
};

/// More steps and events than any of these starts has.
const STEPS_MAX: u64 = 200;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

fn own(home: &Path, path: &str) -> PathBuf {
    home.join(Path::new(path).file_name().unwrap())
}

/// A project with a checkpoint at rest and one in the middle of a tool, and what came after.
struct Lived {
    house: House,
    at_rest: TempDir,
    in_tool: TempDir,
    main: SessionId,
    side: SessionId,
}

fn answers() -> Vec<Vec<Block>> {
    vec![
        vec![Block::text("first")],
        vec![call("c1", "bash", r#"{"command":"while test -e go; do sleep 0.02; done"}"#)],
        vec![Block::text("never said")],
    ]
}

/// Its tool runs until the house is gone.
fn a_house() -> House {
    let house = House::new(answers());
    fs::write(house.dir.path().join("project/go"), "").unwrap();
    house
}

fn lived() -> Lived {
    let house = a_house();
    let (at_rest, in_tool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = house.dir.path().join("home");
    let ids = Mutex::new(Vec::new());
    let done = house.life(None, async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        let main = runtime.session(None).await.unwrap();
        say(&main, "one", QueuedAs::FollowUp).await;
        hear(&mut events, "agent_end").await;
        copy(&home, at_rest.path());
        say(&main, "two", QueuedAs::FollowUp).await;
        hear(&mut events, "tool_start").await;
        say(&main, "later", QueuedAs::FollowUp).await;
        copy(&home, in_tool.path());
        let side = runtime.create(Some("Side".into()), None).await.unwrap();
        say(&side, "beside", QueuedAs::FollowUp).await;
        hear(&mut events, "agent_end").await;
        for handle in [&main, &side] {
            ids.lock().unwrap().push(handle.conversation().id().clone());
        }
    });
    assert!(done);
    let mut ids = ids.into_inner().unwrap();
    let side = ids.pop().unwrap();
    Lived { house, at_rest, in_tool, main: ids.pop().unwrap(), side }
}

impl Lived {
    /// The disk after a restore, as the host prepares it.
    fn went_back(&self, to: &Path, ticket: &Ticket) -> House {
        let house = a_house();
        let home = house.dir.path().join("home");
        copy(to, &home);
        copy(&self.house.dir.path().join("home/sessions"), &own(&home, SESSIONS_BEFORE));
        copy(&self.house.dir.path().join("log"), &house.dir.path().join("log"));
        fs::write(own(&home, TICKET_PATH), serde_json::to_vec(ticket).unwrap()).unwrap();
        house
    }

    /// No line of the trace is lost or changed, and the ticket is gone with what came with it.
    fn check_trace(&self, house: &House, why: &str) {
        for id in [&self.main, &self.side] {
            let before = fs::read(session_file(&self.house, id)).unwrap();
            let now = fs::read(session_file(house, id)).unwrap();
            assert!(now.starts_with(&before), "{why}: {id}");
        }
        let home = house.dir.path().join("home");
        for path in [TICKET_PATH, SESSIONS_BEFORE] {
            assert!(!own(&home, path).exists(), "{why}: {path}");
        }
    }
}

/// The disk of a fork: a log of its own.
fn forked(from: &Path, ticket: &Ticket) -> House {
    let house = a_house();
    let home = house.dir.path().join("home");
    copy(from, &home);
    fs::write(own(&home, TICKET_PATH), serde_json::to_vec(ticket).unwrap()).unwrap();
    house
}

fn session_file(house: &House, id: &SessionId) -> PathBuf {
    let dir = house.dir.path().join("home/sessions");
    fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .find(|p| p.to_string_lossy().ends_with(&format!("{id}.jsonl")))
        .expect("a session never vanishes")
}

fn session(house: &House, id: &SessionId) -> Session {
    Session::open(&session_file(house, id)).unwrap()
}

/// What a model would be sent.
fn context(house: &House, id: &SessionId) -> Vec<String> {
    session(house, id).context().iter().map(brief).collect()
}

fn brief(message: &Message) -> String {
    match message {
        Message::User(m) => format!("user: {}", m.content.text()),
        Message::Assistant(m) => format!(
            "assistant: {}{}",
            toft_model::message::text_of(&m.content),
            m.error_message.as_deref().map(|e| format!("[{e}]")).unwrap_or_default()
        ),
        Message::ToolResult(m) => {
            format!("result: {}", toft_model::message::text_of(&m.content))
        }
        other => format!("{other:?}"),
    }
}

fn restore(place: Option<Place>) -> Ticket {
    Ticket::Restore {
        checkpoint_id: "c23456789bcd".parse().unwrap(),
        label: Some("good".into()),
        at: 2_000,
        taken_at: 1_000,
        place,
    }
}

fn fork() -> Ticket {
    Ticket::Fork {
        from: "a23456789bcd".parse().unwrap(),
        seq: 40,
        checkpoint_id: None,
        at: 2_000,
        place: None,
    }
}

/// Everything that was begun has its end, and nothing waits.
fn check_ends(events: &[Event], why: &str) {
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.seq, n as u64 + 1, "{why}");
    }
    let count = |kind: &str| events.iter().filter(|e| e.body.kind() == kind).count();
    assert_eq!(count("message_start"), count("message_end") + count("message_restarted"), "{why}");
    assert_eq!(count("tool_start"), count("tool_end"), "{why}");
    assert_eq!(count("agent_start"), count("agent_end"), "{why}");
    assert_eq!(count("turn_start"), count("turn_end"), "{why}");
    let waits = events.iter().rev().find_map(|e| match &e.body {
        EventBody::QueueUpdate(q) => Some(q.clone()),
        _ => None,
    });
    assert!(waits.is_none_or(|q| q.steering.is_empty() && q.follow_up.is_empty()), "{why}");
}

fn restored(events: &[Event]) -> Vec<Restored> {
    let told = events.iter().filter_map(|e| match &e.body {
        EventBody::Restored(restored) => Some(restored.clone()),
        _ => None,
    });
    told.collect()
}

/// Kills a bridge at every step and event of its start, lets the next one finish, and checks.
fn killed_anywhere(make: impl Fn() -> House, check: impl Fn(&House, &str)) {
    let calm = make();
    assert!(calm.life(None, async |_| {}));
    check(&calm, "undisturbed");
    for at in 1..STEPS_MAX {
        for after in [false, true] {
            let why = format!("killed {} step {at}", if after { "after" } else { "before" });
            let house = make();
            let told = AtomicU64::new(0);
            let fate = Arc::new(Fate { at, after, told, died: CancellationToken::new() });
            if house.life(Some(fate), async |_| {}) {
                assert!(at > 5, "a start has more steps");
                return;
            }
            assert!(house.life(None, async |_| {}), "{why}");
            check(&house, &why);
        }
    }
    panic!("a start has fewer steps");
}

#[test]
fn a_restore_moves_every_conversation_back_once_wherever_the_bridge_is_killed() {
    let lived = lived();
    let make = || lived.went_back(lived.at_rest.path(), &restore(None));
    killed_anywhere(make, |house, why| {
        lived.check_trace(house, why);
        let events = house.events();
        check_ends(&events, why);
        let [told] = &restored(&events)[..] else { panic!("{why}: told once: {events:?}") };
        assert_eq!(told.sessions.len(), 2, "{why}");
        for moved in &told.sessions {
            let at_start = moved.session_id == lived.side;
            assert_eq!(moved.to_entry_id.is_none(), at_start, "{why}");
            assert_eq!(moved.to_message_id.is_none(), at_start, "{why}");
            assert!(moved.from_entry_id.is_some(), "{why}");
        }
        assert_eq!(context(house, &lived.main), ["user: one", "assistant: first"], "{why}");
        assert_eq!(context(house, &lived.side), Vec::<String>::new(), "{why}");
        assert_eq!(session(house, &lived.side).name(), Some("Side"), "{why}");
        assert!(house.asked().is_empty(), "{why}: nothing is gone on with");
        let after = events.iter().position(|e| e.body.kind() == "restored").unwrap();
        let closed = events[..after].iter().rev().find(|e| e.body.kind() == "agent_end");
        let Some(EventBody::AgentEnd(end)) = closed.map(|e| &e.body) else { panic!("{why}") };
        assert!(matches!(end.reason.as_str(), "aborted" | "done"), "{why}");
    });
}

#[test]
fn after_a_restore_the_model_is_sent_what_the_checkpoint_had_and_nothing_else() {
    let lived = lived();
    let house = lived.went_back(lived.at_rest.path(), &restore(None));
    assert!(house.life(None, async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(None, None));
        let main = runtime.session(Some(&lived.main)).await.unwrap();
        say(&main, "three", QueuedAs::FollowUp).await;
        hear(&mut events, "tool_start").await;
        let side = runtime.session(Some(&lived.side)).await.unwrap();
        say(&side, "anew", QueuedAs::FollowUp).await;
        hear(&mut events, "agent_end").await;
    }));
    let asked: Vec<Vec<String>> =
        house.asked().iter().map(|m| m.iter().map(brief).collect()).collect();
    assert_eq!(asked[0], ["user: one", "assistant: first", "user: three"]);
    assert_eq!(asked[1], ["user: anew"]);
    // A life later it is still the same.
    let entries = session(&house, &lived.main).entries().len();
    assert!(entries > session(&lived.house, &lived.main).entries().len());
}

#[test]
fn work_that_a_checkpoint_cut_is_closed_and_says_so() {
    let lived = lived();
    let make = || lived.went_back(lived.in_tool.path(), &restore(None));
    killed_anywhere(make, |house, why| {
        lived.check_trace(house, why);
        check_ends(&house.events(), why);
        let sent = context(house, &lived.main);
        assert_eq!(sent.len(), 6, "{why}: {sent:#?}");
        assert_eq!(sent[2], "user: two", "{why}");
        for closed in &sent[4..] {
            assert!(
                closed.contains("Not finished") || closed.contains("Cut off"),
                "{why}: {closed}"
            );
        }
        assert!(house.asked().is_empty(), "{why}: nothing is gone on with");
        assert_eq!(session(house, &lived.main).step(), Step::Rest, "{why}");
        assert_eq!(restored(&house.events()).len(), 1, "{why}");
    });
}

#[test]
fn a_ticket_may_name_another_place_in_one_conversation() {
    let lived = lived();
    let first = session(&lived.house, &lived.main);
    let user_one = first
        .entries()
        .iter()
        .find(|e| matches!(&e.body, toft_agent::session::Body::Message(Message::User(_))));
    let place = Place {
        session_id: lived.main.clone(),
        leaf_entry_id: first.parent_id(user_one.unwrap()).map(str::to_owned),
    };
    let make = || lived.went_back(lived.at_rest.path(), &restore(Some(place.clone())));
    killed_anywhere(make, |house, why| {
        lived.check_trace(house, why);
        assert_eq!(context(house, &lived.main), Vec::<String>::new(), "{why}");
        let [told] = &restored(&house.events())[..] else { panic!("{why}") };
        let moved = told.sessions.iter().find(|m| m.session_id == lived.main).unwrap();
        assert_eq!(moved.to_entry_id, place.leaf_entry_id, "{why}");
    });
}

#[test]
fn a_damaged_trace_is_kept_beside_and_keeps_no_other_from_going_back() {
    let lived = lived();
    let house = lived.went_back(lived.at_rest.path(), &restore(None));
    let home = house.dir.path().join("home");
    fs::write(own(&home, SESSIONS_BEFORE).join("0_damaged.jsonl"), "no session\n").unwrap();
    assert!(house.life(None, async |_| {}));
    lived.check_trace(&house, "damaged");
    let beside = home.join("sessions/0_damaged.damaged");
    assert_eq!(fs::read_to_string(beside).unwrap(), "no session\n");
    assert_eq!(context(&house, &lived.main), ["user: one", "assistant: first"]);
}

#[test]
fn a_second_restore_after_the_first_is_told_too() {
    let lived = lived();
    let house = lived.went_back(lived.at_rest.path(), &restore(None));
    assert!(house.life(None, async |_| {}));
    let home = house.dir.path().join("home");
    let first = own(&home, SESSIONS_BEFORE);
    copy(&home.join("sessions"), &first);
    fs::remove_dir_all(home.join("sessions")).unwrap();
    copy(&lived.in_tool.path().join("sessions"), &home.join("sessions"));
    let ticket = Ticket::Restore {
        checkpoint_id: "c23456789bcd".parse().unwrap(),
        label: None,
        at: 3_000,
        taken_at: 1_500,
        place: None,
    };
    fs::write(own(&home, TICKET_PATH), serde_json::to_vec(&ticket).unwrap()).unwrap();
    assert!(house.life(None, async |_| {}));
    lived.check_trace(&house, "twice");
    let events = house.events();
    check_ends(&events, "twice");
    assert_eq!(restored(&events).len(), 2);
    assert_eq!(context(&house, &lived.main)[2], "user: two");
}

#[test]
fn a_fork_keeps_the_history_and_goes_on_with_nothing_wherever_the_bridge_is_killed() {
    let lived = lived();
    killed_anywhere(
        || forked(lived.in_tool.path(), &fork()),
        |house, why| {
            let events = house.events();
            check_ends(&events, why);
            let forked =
                Forked { from: "a23456789bcd".parse().unwrap(), seq: 40, checkpoint_id: None };
            assert_eq!((events[0].seq, &events[0].body), (1, &EventBody::Forked(forked)), "{why}");
            let news = events.iter().filter(|e| e.body.kind() == "message_end").count();
            assert_eq!(news, 0, "{why}: history is no news");
            let sent = context(house, &lived.main);
            assert_eq!(sent[..3], ["user: one", "assistant: first", "user: two"], "{why}");
            assert!(sent.last().unwrap().contains("this copy was made"), "{why}: {sent:?}");
            assert_eq!(sent.len(), 6, "{why}: {sent:#?}");
            assert!(house.asked().is_empty(), "{why}: nothing is gone on with");
            assert!(!own(&house.dir.path().join("home"), TICKET_PATH).exists(), "{why}");
        },
    );
}
