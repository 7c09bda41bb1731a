//! Script of plan mode: looks, and ends with a plan of what the other scripts carry out. Their words are chosen by
//! its own: what it says here picks the script once a person has approved it.

use super::{intro::LABEL, say::Say, turn::Turn};
use serde_json::{Value, json};

/// `repairs`: the prompt wants something mended.
pub(super) fn next(turn: &Turn<'_>, repairs: bool) -> Say {
    if turn.steps.is_empty() {
        return Say::text("I look at what is here, and change nothing.")
            .call("bash", json!({ "command": "ls -la; command -v python3 node" }));
    }
    let plan = if repairs { repair() } else { app() };
    let plan = serde_json::to_string_pretty(&plan).expect("it is plain JSON");
    // Nothing may follow the plan.
    Say::text(format!("{LABEL}\n\n```json\n{plan}\n```"))
}

fn app() -> Value {
    json!({
        "summary": "A small to-do app that keeps its tasks in a database",
        "todos": [
            {"id": "write", "title": "Write the app with what the machine has",
             "details": "A server, a page and a check in `todo/`, without any package.",
             "acceptanceCriteria": ["A task can be stored, read back and removed"]},
            {"id": "serve", "title": "Run it as a service of the machine",
             "acceptanceCriteria": ["It answers on its port", "It comes back after a restart"]},
            {"id": "tell", "title": "List it in the sidebar with a short description",
             "acceptanceCriteria": ["It opens from the sidebar"]}
        ]
    })
}

fn repair() -> Value {
    json!({
        "summary": "Fix the failing test",
        "todos": [
            {"id": "see", "title": "Run the test and read how it fails",
             "acceptanceCriteria": ["The mistake is found"]},
            {"id": "mend", "title": "Mend the mistake, and nothing else",
             "acceptanceCriteria": ["The test passes"]}
        ]
    })
}
