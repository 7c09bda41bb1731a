//! What the fuzzer feeds (`.ci/fuzz`): texts of models, of people's files and of other agents' session files,
//! each with the rules that hold whatever they are. Nothing of this is in what ships.

use crate::{
    permission::{self, Places, Verdict},
    plan::{self, STEPS_MAX},
    session::{Body, Extra, Session},
    skills::front_matter,
};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process,
};
use toft_model::{
    message::{Message, UserContent, UserMessage},
    permission::{Action, Rule},
};
use toft_tools::About;

/// A name, and what reads the bytes.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// Each target by the name of its seeds' folder.
pub const TARGETS: &[Fuzzed] = &[
    ("session_lines", session_lines),
    ("plans", plans),
    ("front_matter", matter),
    ("command_lines", command_lines),
];

/// A session file, Pi's or ours: opened, shown, and gone on with, it is the same when it is opened again.
fn session_lines(bytes: &[u8]) {
    let name = std::env::temp_dir().join(format!("toft-fuzz-{}-{:p}", process::id(), bytes));
    let mut file = File::create(&name).expect("the folder of temporary files can be written to");
    // Reached by its descriptor from here on: nothing is left behind, whatever happens.
    fs::remove_file(&name).expect("it was just made");
    file.write_all(bytes).expect("there is room");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let Ok(mut session) = Session::open(&path) else { return };
    assert!(session.ancestors().count() <= session.entries().len(), "no circle");
    let nodes = session.nodes(0, usize::MAX);
    assert_eq!(nodes.len(), session.entries().len());
    let _ = (session.context(), session.name(), session.model(), session.thinking_level());
    let _ = session.step();
    // Files of others may have an id twice, or name parents that are not there.
    for entry in session.entries() {
        let id = Some(entry.id.as_str());
        let _ = (session.branch_to(id), session.left_behind(id), session.message_at(id));
    }
    let said = UserMessage { content: UserContent::Text("we go on".into()), timestamp: 1 };
    let id = session.fresh_id();
    let body = Body::Message(Message::User(said));
    session.append(id.clone(), body, Extra::default(), 1).expect("there is room");
    let again = Session::open(&path).expect("it was one");
    assert_eq!(again.entries(), session.entries());
    assert_eq!((again.lines(), again.context()), (session.lines(), session.context()));
    assert_eq!(again.leaf().map(|leaf| &leaf.id), Some(&id));
}

/// An answer that should hold a plan.
fn plans(bytes: &[u8]) {
    let answer = String::from_utf8_lossy(bytes);
    let Some((plan, _)) = plan::read(&answer) else {
        assert!(answer.trim().is_empty());
        return;
    };
    assert!(!plan.todos.is_empty() && plan.todos.len() <= STEPS_MAX);
    let ids: HashSet<&str> = plan.todos.iter().map(|todo| todo.id.as_str()).collect();
    assert_eq!(ids.len(), plan.todos.len(), "ids are unique");
    assert!(plan.todos.iter().all(|todo| !todo.title.is_empty() && !todo.id.is_empty()));
}

/// The head of a `SKILL.md`.
fn matter(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Some((matter, body)) = front_matter::split(&text) else { return };
    assert!(matter.len() + body.len() < text.len());
    for value in front_matter::fields(matter).values() {
        assert!(value.len() <= matter.len());
    }
}

/// A command line under a rule that forbids a command, and whether more around it hides that.
fn command_lines(bytes: &[u8]) {
    let rule = |argument: &str, action| Rule {
        tool: "bash".into(),
        argument: Some(argument.into()),
        action,
        reason: None,
    };
    let rules = [rule("rm *", Action::Deny), rule("*", Action::Allow)];
    let places = Places { cwd: Path::new("/p"), home: "/home/starter".into() };
    let judge = |line: String| {
        permission::judge(&rules, |_| false, &["bash"], &About::Command(line), &places)
    };
    let text = String::from_utf8_lossy(bytes);
    judge(text.clone().into_owned());
    // On a line of its own in front it is one command more.
    let with = judge(format!("rm -r x\n{text}"));
    assert!(!matches!(with, Verdict::Allow), "what is forbidden is hidden by what follows");
    // And behind it. Twice: the first may be the end of a document.
    let behind = judge(format!("{text}\nrm -r x\nrm -r x"));
    let goes_on = text.ends_with('\\');
    assert!(goes_on || !matches!(behind, Verdict::Allow), "it is hidden by what comes before");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzers_seeds_and_changes_of_them_hold() {
        toft_lane::seeds::feed(super::TARGETS);
    }
}
