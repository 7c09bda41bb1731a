//! Skills in a conversation: named in the prompt, read on request, told when they are bad.

use super::bench::Bench;
use crate::session::QueuedAs;
use std::fs;
use toft_llm::testing::Prepared;
use toft_model::event::EventBody;

fn write(bench: &Bench, name: &str, text: &str) {
    let folder = bench.dir.path().join(".toft/skills").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("SKILL.md"), text).unwrap();
}

fn told(bench: &Bench, wanted: &str) -> Vec<String> {
    let events = bench.heard.events.lock().unwrap();
    let words = events.iter().filter_map(|event| match &event.body {
        EventBody::Error { code, message } if code == wanted => Some(message.clone()),
        _ => None,
    });
    words.collect()
}

#[tokio::test]
async fn skills_are_in_the_prompt_and_a_new_one_counts_from_the_next_prompt() {
    let bench = Bench::new([
        Prepared::call("c1", "step", "{}"),
        Prepared::text("one"),
        Prepared::text("two"),
        Prepared::text("three"),
    ]);
    write(
        &bench,
        "pdf",
        "---\nname: pdf\ndescription: Fill in forms.\n---\nThe whole art of forms.",
    );
    write(&bench, "bad", "no front matter");
    bench.run("go").await;
    bench.run_ends("again", 2).await;
    write(&bench, "new", "---\nname: new\ndescription: Comes later.\n---\n");
    bench.run_ends("and again", 3).await;
    let asked = bench.model.asked();
    assert!(
        asked[0].system.contains("- pdf: Fill in forms. (")
            && !asked[0].system.contains("The whole art")
    );
    assert!(asked[1..3].iter().all(|request| request.system == asked[0].system), "caches hit");
    assert!(asked[3].system.contains("- new: Comes later."));
    let faults = told(&bench, "bad_skill");
    assert!(faults.len() == 1 && faults[0].contains("bad/SKILL.md"), "told once: {faults:?}");
}

#[tokio::test]
async fn a_prompt_asks_for_a_skill_at_once_or_when_it_is_delivered() {
    let bench = Bench::new([
        Prepared::call("c1", "gate", "{}"),
        Prepared::text("one"),
        Prepared::text("two"),
        Prepared::text("three"),
    ]);
    write(&bench, "pdf", "---\nname: pdf\ndescription: Forms.\n---\nHow forms are filled in.");
    bench.prompt("/skill:pdf this one").await;
    bench.hear("tool_start", 1).await;
    bench.send("/skill:pdf later", QueuedAs::FollowUp).await.unwrap();
    let waiting = bench.handle.conversation().waiting().await;
    assert_eq!(waiting.follow_up, ["/skill:pdf later"], "people edit what they typed");
    bench.tools.gate.notify_one();
    bench.hear("agent_end", 1).await;
    let users: Vec<String> =
        bench.transcript().into_iter().filter(|line| line.starts_with("user: ")).collect();
    for (line, said) in users.iter().zip(["this one", "later"]) {
        assert!(line.starts_with("user: <skill name=\"pdf\" location=\""), "{line}");
        assert!(
            line.contains("\n\nHow forms are filled in.\n</skill>\n\n") && line.ends_with(said),
            "{line}"
        );
    }
    assert_eq!(users.len(), 2);
    bench.run_ends("/skill:nope x", 2).await;
    assert!(bench.transcript().contains(&"user: /skill:nope x".to_owned()));
    assert!(told(&bench, "unknown_skill")[0].contains("There are: pdf."));
}
