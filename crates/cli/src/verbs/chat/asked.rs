//! How a terminal shows a question for secrets: with the command that sets each. What the machine says
//! becomes part of a command only when it was understood.

use serde_json::Value;
use toft_model::{binding::Binding, secret::check_name, text::plain};
use toft_policy::Bound;

/// Lines for the secrets that a question asks for.
pub(super) fn secrets(question: &Value, project: &str) -> Vec<String> {
    let names = question["secrets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = names.iter().filter_map(Value::as_str).filter(|name| check_name(name).is_ok());
    let mut lines = Vec::new();
    for name in names {
        let set = format!("toft secret set {} {name}", quoted(project));
        match proposed(&question["bindings"][name]) {
            Some(binding) => {
                lines.push(format!("  - {name}: the agent proposes that only requests to {} carry it, and the machine never sees it:", binding.hosts.join(", ")));
                lines.push(format!("      {set} --broker{}", options(&binding)));
                lines.push(format!("    or, as a variable that programs can read: {set}"));
            }
            None => lines.push(format!("  - {name}: {set}")),
        }
    }
    if !lines.is_empty() {
        lines.push(
            "  Run that in another terminal, or use the dashboard. Do not type a value here: the model \
             would read it"
                .to_owned(),
        );
    }
    lines
}

/// A proposal as it is understood; what cannot be is none.
fn proposed(given: &Value) -> Option<Binding> {
    let binding: Binding = serde_json::from_value(given.clone()).ok()?;
    Bound::new(&binding).ok().map(|bound| bound.plain())
}

fn options(binding: &Binding) -> String {
    let Binding { hosts, methods, paths, headers } = binding;
    let lists = [("host", hosts), ("method", methods), ("path", paths), ("header", headers)];
    let mut said = String::new();
    for (option, list) in lists {
        for one in list {
            said += &[" --", option, " ", &quoted(one)].concat();
        }
    }
    said
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let word = plain(word);
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
    if !word.is_empty() && word.bytes().all(is_safe) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_secret_has_the_command_that_sets_it() {
        let question = json!({
            "secrets": ["SENT", "PLAIN"],
            "bindings": {"SENT": {"hosts": ["*.Example.com"], "methods": ["get"], "paths": ["/it's/*"]}},
        });
        let lines = secrets(&question, "My shop").join("\n");
        let sent = r"toft secret set 'My shop' SENT --broker --host '*.example.com' --method GET --path '/it'\''s/*' --header authorization";
        assert!(lines.contains(&format!("      {sent}\n")), "{lines}");
        assert!(lines.contains("  - PLAIN: toft secret set 'My shop' PLAIN\n"), "{lines}");
    }

    #[test]
    fn what_a_machine_says_is_no_part_of_a_command_unless_it_is_understood() {
        let bindings = json!({"A": {"hosts": ["a.example.com; reboot"]}, "B; reboot": {}});
        let question = json!({"secrets": ["A", "B; reboot", 1], "bindings": bindings});
        let lines = secrets(&question, "p").join("\n");
        assert!(lines.contains("  - A: toft secret set p A\n"), "{lines}");
        assert!(!lines.contains("reboot") && !lines.contains("--broker"), "{lines}");
        assert!(secrets(&json!({"question": "Which?"}), "p").is_empty());
    }
}
