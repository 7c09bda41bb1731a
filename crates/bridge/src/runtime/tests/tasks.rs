//! Tasks whose bridge is killed at every event, of their own and of the conversation that they belong to.

use super::*;

fn order(id: &str, prompt: &str) -> Block {
    call(id, "task", &format!(r#"{{"description":"{prompt}","prompt":"{prompt}"}}"#))
}

fn house() -> House {
    let answers = vec![
        vec![order("t1", "count"), order("t2", "write")],
        vec![call("c1", "bash", r#"{"command":"echo after >> ran.txt"}"#)],
        vec![Block::text("Both are done.")],
    ];
    let count = vec![
        vec![call(
            "k1",
            "bash",
            r#"{"command":"echo counted >> counted.txt; sleep 0.01; echo 7"}"#,
        )],
        vec![Block::text("There are seven.")],
    ];
    let write = vec![
        vec![call("k1", "write", r#"{"path":"a.txt","content":"red\n"}"#)],
        vec![call("k2", "read", r#"{"path":"a.txt"}"#)],
        vec![Block::text("It is written.")],
    ];
    House::with_tasks(answers, HashMap::from([("count".into(), count), ("write".into(), write)]))
}

/// Prompts once and waits until its own conversation has ended; ends of tasks are none of that.
async fn patient(runtime: Arc<AgentRuntime>) {
    let mut events = Box::pin(runtime.log().follow(Some(0), None));
    let handle = runtime.session(None).await.unwrap();
    say(&handle, "build it", QueuedAs::FollowUp).await;
    let own = handle.conversation().id().clone();
    while let Some(event) = events.next().await {
        let ended = matches!(event.body, EventBody::AgentEnd(_));
        if ended && event.session.as_ref() == Some(&own) {
            return;
        }
    }
}

/// All conversations without times and ids, by how they begin.
fn stories(house: &House) -> BTreeMap<String, Vec<String>> {
    let sessions = house.dir.path().join("home/sessions");
    let mut all = BTreeMap::new();
    for file in std::fs::read_dir(sessions).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let session = Session::open(&path).unwrap();
        let lines: Vec<String> = session
            .transcript()
            .map(|(_, _, message)| {
                let mut value = serde_json::to_value(&*message).unwrap();
                value.as_object_mut().unwrap().remove("timestamp");
                value.as_object_mut().unwrap().remove("details");
                value.to_string()
            })
            .collect();
        let begins = lines.first().cloned().unwrap_or_default();
        assert!(all.insert(begins, lines).is_none(), "a conversation was made twice");
    }
    all
}

/// Everything that began in a conversation has its end there, once.
fn check(house: &House, why: &str) {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for (n, event) in house.events().iter().enumerate() {
        assert_eq!(event.seq, n as u64 + 1, "{why}");
        let key = match &event.body {
            EventBody::MessageEnd(m) => format!("message {}", m.message_id),
            EventBody::ToolStart(t) => format!("tool {}", t.tool_call_id),
            EventBody::ToolEnd(t) => format!("tool end {}", t.tool_call_id),
            EventBody::SessionCreated(_) => "session".into(),
            EventBody::AgentStart {} => "start".into(),
            EventBody::AgentEnd(_) => "end".into(),
            _ => continue,
        };
        let session = event.session.as_ref().map(ToString::to_string).unwrap_or_default();
        *counts.entry(format!("{session} {key}")).or_default() += 1;
    }
    for (key, count) in &counts {
        assert_eq!(*count, 1, "{why}: {key}");
    }
    let all = |end: &str| counts.keys().filter(|key| key.ends_with(end)).count();
    assert_eq!((all(" session"), all(" start"), all(" end")), (3, 3, 3), "{why}: {counts:#?}");
}

#[test]
fn tasks_of_a_killed_bridge_go_on_where_they_were() {
    let calm = house();
    assert!(calm.life(None, patient));
    check(&calm, "undisturbed");
    let expected = stories(&calm);
    let lengths: Vec<usize> = expected.values().map(Vec::len).collect();
    assert_eq!(lengths.iter().sum::<usize>(), 7 + 4 + 6, "{expected:#?}");
    let events = calm.events().len() as u64;
    assert!(events > 80, "{events}");
    // Every other point of the middle: three conversations have many events.
    for (at, after) in points(events).filter(|(at, after)| *after == (at % 2 == 0)) {
        let why = format!("killed {} event {at}", if after { "after" } else { "before" });
        let house = house();
        let told = AtomicU64::new(0);
        let fate = Arc::new(Fate { at, after, told, died: CancellationToken::new() });
        house.life(Some(fate), patient);
        assert!(house.life(None, patient), "{why}");
        assert_eq!(stories(&house), expected, "{why}");
        check(&house, &why);
        for (file, text) in
            [("counted.txt", "counted\n"), ("ran.txt", "after\n"), ("a.txt", "red\n")]
        {
            let found =
                std::fs::read_to_string(house.dir.path().join("project").join(file)).unwrap();
            assert_eq!(found, text, "{why}: {file} was written once");
        }
    }
}

#[test]
fn a_task_with_a_model_that_is_not_there_is_refused_and_makes_nothing() {
    let wrong = r#"{"description":"x","prompt":"count","model":"nobody/best"}"#;
    let house = House::new(vec![vec![call("t1", "task", wrong)], vec![Block::text("A pity.")]]);
    assert!(house.life(None, patient));
    let found = story(&house);
    assert!(found[2].contains("The task was not begun: There are: demo/script."), "{found:#?}");
}

#[test]
fn a_list_of_conversations_has_those_of_tasks_only_when_asked() {
    let house = house();
    let look = async |runtime: Arc<AgentRuntime>| {
        patient(Arc::clone(&runtime)).await;
        let listed = runtime.list().await.unwrap();
        let tasks: Vec<_> = listed.iter().filter_map(|one| one.task.clone()).collect();
        let current = runtime.current().await.unwrap();
        assert_eq!((listed.len(), tasks.len()), (3, 2));
        assert!(tasks.iter().all(|task| task.parent == current));
        let mut calls: Vec<&str> = tasks.iter().map(|task| task.call_id.as_str()).collect();
        calls.sort_unstable();
        assert_eq!(calls, ["t1", "t2"]);
    };
    assert!(house.life(None, look));
}

#[test]
fn tasks_of_a_stopped_prompt_stay_stopped_wherever_the_bridge_is_killed() {
    let house = || {
        let answers = vec![vec![order("t1", "sleep")], vec![Block::text("never said")]];
        let sleep = vec![
            vec![call("k1", "bash", r#"{"command":"sleep 60"}"#)],
            vec![Block::text("never said either")],
        ];
        House::with_tasks(answers, HashMap::from([("sleep".into(), sleep)]))
    };
    let stopping_person = async |runtime: Arc<AgentRuntime>| {
        let mut events = Box::pin(runtime.log().follow(Some(0), None));
        let handle = runtime.session(None).await.unwrap();
        say(&handle, "begin", QueuedAs::FollowUp).await;
        hear(&mut events, "tool_start").await;
        hear(&mut events, "tool_start").await;
        if handle.conversation().last_stop() != Some(StopReason::Aborted) {
            let _ = handle.ask(|reply| Command::Abort { clear_queue: true, reply }).await;
        }
        // The task may take a moment more than its call.
        loop {
            let listed = runtime.list().await.unwrap();
            let mut rests = true;
            for one in listed {
                let Ok(handle) = runtime.session(Some(&one.id)).await else { return };
                let conversation = handle.conversation();
                rests &= conversation.session().step() == Step::Rest && !conversation.is_working();
            }
            if rests {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let calm = house();
    assert!(calm.life(None, stopping_person));
    let events = calm.events().len() as u64;
    for (at, after) in points(events) {
        let why = format!("killed {} event {at}", if after { "after" } else { "before" });
        let house = house();
        let told = AtomicU64::new(0);
        let fate = Arc::new(Fate { at, after, told, died: CancellationToken::new() });
        house.life(Some(fate), stopping_person);
        assert!(house.life(None, stopping_person), "{why}");
        for (begins, lines) in stories(&house) {
            let last = lines.last().unwrap();
            assert!(last.contains(r#""stopReason":"aborted""#), "{why}: {begins} ends with {last}");
        }
        let programs = house.init.block_on(house.shell.list()).unwrap();
        assert!(programs.iter().all(|p| p.exit.is_some()), "{why}: nothing runs on");
    }
}
