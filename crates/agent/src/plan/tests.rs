//! Answers as models give them.

use super::*;
use proptest::prelude::*;

fn titles(plan: &Plan) -> Vec<&str> {
    plan.todos.iter().map(|todo| todo.title.as_str()).collect()
}

#[track_caller]
fn check(answer: &str, source: PlanSource, summary: &str, steps: &[&str]) -> Plan {
    let (plan, found) = read(answer).unwrap();
    assert_eq!(
        (found, plan.summary.as_str(), &*titles(&plan)),
        (source, summary, steps),
        "{answer}"
    );
    plan
}

#[test]
fn the_json_that_was_asked_for() {
    let answer = r#"I looked at the code.

```json
{"summary": "Add a login.", "todos": [
  {"id": "a", "title": "Table of users", "details": "In db.sql.", "acceptanceCriteria": ["migrates", "is empty"]},
  {"id": "b", "title": "Form"}
]}
```
Shall I?"#;
    let plan = check(answer, PlanSource::Json, "Add a login.", &["Table of users", "Form"]);
    assert_eq!(plan.todos[0].id, "a");
    assert_eq!(plan.todos[0].details.as_deref(), Some("In db.sql."));
    assert_eq!(plan.todos[0].acceptance_criteria, ["migrates", "is empty"]);
    assert_eq!(plan.todos[1].details, None);
}

#[test]
fn other_names_for_the_same() {
    for (answer, summary) in [
        (r#"{"overview": "S", "tasks": [{"task": "one"}, {"todo": "two"}]}"#, "S"),
        (r#"{"plan": "S", "steps": [{"name": "one"}, {"step": "two"}]}"#, "S"),
        (r#"{"plan": {"summary": "S", "todos": ["one", "two"]}}"#, "S"),
        (r#"{"summary": "S", "plan": [{"title": "one"}, {"title": "two"}]}"#, "S"),
        (r#"{"Summary": "S", "Todos": [{"Title": "one"}, {"Title": "two"}]}"#, "S"),
        (r#"[{"title": "one"}, {"description": "no title"}, {"title": "two"}]"#, ""),
        (r#"{"plan": {"plan": {"summary": "S", "steps": ["one", "two"]}}}"#, "S"),
        (
            r#"{"summary": "S", "todos": [null, 7, "one", {"title": ""}, {"title": "two"}, []]}"#,
            "S",
        ),
    ] {
        check(answer, PlanSource::Json, summary, &["one", "two"]);
    }
}

#[test]
fn json_that_is_not_quite_json() {
    for answer in [
        "{\"summary\": \"S\", \"todos\": [\"one\", \"two\",],}",
        "```\n{\"summary\": \"S\", // why\n \"todos\": [\n\"one\",\n\"two\", // last\n]}\n```",
        "~~~json\n{\"summary\": \"S\", \"todos\": [\"one\", \"two\"]}\n~~~",
        // The answer ended before the fence did.
        "```json\n{\"summary\": \"S\", \"todos\": [\"one\", \"two\"]}",
        "Here it is: {\"summary\": \"S\", \"todos\": [\"one\", \"two\"]} as you wished.",
        "```js\nconst a = {b: [1, 2]};\n```\n```json\n{\"summary\": \"S\", \"todos\": [\"one\", \"two\"]}\n```\n",
        // The last one counts.
        "```json\n{\"todos\": [\"old\"]}\n```\nNo, better:\n```json\n{\"summary\": \"S\", \"todos\": [\"one\", \"two\"]}\n```",
    ] {
        check(answer, PlanSource::Json, "S", &["one", "two"]);
    }
    let tricky = r#"{"summary": "a, ] and // b", "todos": ["x,]", "y \" }",]}"#;
    check(tricky, PlanSource::Json, "a, ] and // b", &["x,]", "y \" }"]);
}

#[test]
fn json_that_is_no_plan_is_none() {
    check(
        "```json\n{\"port\": 3000}\n```\n\n1. one\n2. two\n",
        PlanSource::List,
        "",
        &["one", "two"],
    );
    check(
        "Set `{\"a\": [1, 2]}` in it",
        PlanSource::Text,
        "Set `{\"a\": [1, 2]}` in it",
        &["Set `{\"a\": [1, 2]}` in it"],
    );
    check(
        "{\"summary\": \"only words\"}",
        PlanSource::Text,
        "{\"summary\": \"only words\"}",
        &["{\"summary\": \"only words\"}"],
    );
}

#[test]
fn details_criteria_and_ids_in_other_shapes() {
    let answer = r#"{"todos": [
        {"id": 1, "title": "one", "description": "how", "criteria": "holds"},
        {"id": 1, "title": "two", "steps": ["a", {"title": "b"}]},
        {"title": "three", "acceptance_criteria": ["x", "", null, 5]}
    ]}"#;
    let plan = check(answer, PlanSource::Json, "", &["one", "two", "three"]);
    let ids: Vec<&str> = plan.todos.iter().map(|todo| todo.id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(plan.todos[0].details.as_deref(), Some("how"));
    assert_eq!(plan.todos[0].acceptance_criteria, ["holds"]);
    assert_eq!(plan.todos[1].details.as_deref(), Some("- a\n- b"));
    assert_eq!(plan.todos[2].acceptance_criteria, ["x", "5"]);
}

#[test]
fn a_list_in_words() {
    let answer = "# Login\n\nWe add a login\nwith sessions.\n\n## Files\n\n- a.rs\n- b.rs\n- c.rs\n\n## Steps\n\n\
                  1. **Table**: users\n   - with a hash\n   and a name\n2. [ ] Form\n3) `Logout`\n\nThat is all.\n";
    let plan = check(
        answer,
        PlanSource::List,
        "We add a login with sessions.",
        &["Table", "Form", "`Logout`"],
    );
    assert_eq!(plan.todos[0].details.as_deref(), Some("users\n- with a hash\nand a name"));
    check("- one\n- two", PlanSource::List, "", &["one", "two"]);
    check("* one\n\n* two", PlanSource::List, "", &["one", "two"]);
    check("+ one\n• two", PlanSource::List, "", &["one", "two"]);
    check("- a\n- b\n- c\n\nThen\n\n1. one\n2. two", PlanSource::List, "", &["one", "two"]);
    check("```\n- no\n```\n- one\n- two", PlanSource::List, "", &["one", "two"]);
    check("- a — b\n-no\n1.5 is no item", PlanSource::List, "", &["a — b"]);
}

#[test]
fn words_are_one_step() {
    let plan = check(
        "## Rename the *thing*\nin a.rs",
        PlanSource::Text,
        "## Rename the *thing*\nin a.rs",
        &["Rename the *thing*"],
    );
    assert_eq!(plan.todos[0].details.as_deref(), Some("in a.rs"));
    assert_eq!(read(" \n\t "), None);
    assert_eq!(read(""), None);
}

#[test]
fn a_plan_has_bounds() {
    let long = "ä".repeat(10_000);
    let many: Vec<_> = (0..1_000)
        .map(|n| serde_json::json!({"id": "same", "title": format!("{n} {long}"), "details": long, "criteria": vec![long.clone(); 50]}))
        .collect();
    let answer = serde_json::json!({"summary": long, "todos": many[..3]}).to_string();
    assert!(answer.len() > ANSWER_BYTES_MAX, "only its end is read");
    within_bounds(&read(&answer).unwrap().0);
    let short: Vec<_> = (0..1_000).map(|n| format!("{n}")).collect();
    let (plan, _) = read(&serde_json::json!({ "todos": short }).to_string()).unwrap();
    assert_eq!(plan.todos.len(), STEPS_MAX);
    within_bounds(&plan);
    // Too deep for a parser that goes down with it.
    let deep = format!("{}{}", "{\"plan\":".repeat(100_000), "1");
    within_bounds(&read(&deep).unwrap().0);
    let open = "[{".repeat(100_000);
    within_bounds(&read(&open).unwrap().0);
}

#[test]
fn what_a_person_wrote_is_taken_whole_or_refused() {
    let step = |title: &str| PlanTodo { title: title.into(), ..PlanTodo::default() };
    let plan = |todos: Vec<PlanTodo>| Plan { summary: "S ".into(), todos };
    let kept = checked(&plan(vec![step("one "), step("two")])).unwrap();
    assert_eq!((kept.summary.as_str(), titles(&kept)), ("S", vec!["one", "two"]));
    assert_eq!(kept.todos[1].id, "2");
    assert!(checked(&plan(vec![])).is_err());
    assert!(checked(&plan(vec![step("one"), step(" ")])).unwrap_err().contains("todos[1]"));
    assert!(checked(&plan(vec![step(&"x".repeat(501))])).is_err());
    assert!(checked(&plan(vec![step("x"); 101])).is_err());
    let much = PlanTodo { acceptance_criteria: vec!["x".into(); 21], ..step("x") };
    assert!(checked(&plan(vec![much])).is_err());
}

#[test]
fn an_order_says_all_of_it() {
    let todo = PlanTodo {
        id: "a".into(),
        title: "Table".into(),
        details: Some("users\nroles".into()),
        acceptance_criteria: vec!["migrates".into()],
    };
    let plan = Plan { summary: "A login.".into(), todos: vec![todo] };
    assert_eq!(
        order(&plan),
        "Carry out this plan. It is approved.\n\nA login.\n\n1. Table\n   users\n   roles\n   - Done when: migrates\n"
    );
}

#[track_caller]
fn within_bounds(plan: &Plan) {
    assert!(!plan.todos.is_empty() && plan.todos.len() <= STEPS_MAX);
    assert!(plan.summary.len() <= TEXT_BYTES_MAX);
    let mut ids: Vec<&str> = plan.todos.iter().map(|todo| todo.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), plan.todos.len(), "ids are unique");
    for todo in &plan.todos {
        assert!(!todo.title.is_empty() && todo.title.len() <= TITLE_BYTES_MAX);
        assert!(!todo.id.is_empty() && todo.id.len() <= ID_BYTES_MAX);
        assert!(
            todo.details
                .as_ref()
                .is_none_or(|text| !text.is_empty() && text.len() <= TEXT_BYTES_MAX)
        );
        assert!(todo.acceptance_criteria.len() <= CRITERIA_MAX);
        assert!(
            todo.acceptance_criteria
                .iter()
                .all(|text| !text.is_empty() && text.len() <= TITLE_BYTES_MAX)
        );
    }
}

/// Texts that look like parts of plans.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("```json\n".to_owned()),
        Just("```\n".to_owned()),
        Just("{\"todos\": [".to_owned()),
        Just("{\"title\": \"".to_owned()),
        Just("\\\"".to_owned()),
        Just("\"}, ]}".to_owned()),
        Just("\n- ".to_owned()),
        Just("\n 1. **".to_owned()),
        Just("\n# ".to_owned()),
        Just("// ".to_owned()),
        ".{0,12}",
        "[\\[\\]{}\",:\\\\ \n\u{e4}\u{1F600}-]{0,12}",
    ]
}

proptest! {
    #[test]
    fn whatever_an_answer_is_it_is_read_within_bounds(pieces in prop::collection::vec(piece(), 0..40)) {
        let answer = pieces.concat();
        match read(&answer) {
            // A line may be nothing but marks: then there is no step.
            Some((plan, _)) if plan.todos.is_empty() => prop_assert!(false, "no steps: {answer:?}"),
            Some((plan, _)) => within_bounds(&plan),
            None => prop_assert!(answer.trim().is_empty()),
        }
    }

    #[test]
    fn a_plan_that_was_put_as_asked_comes_back(
        summary in "[a-zA-Z \u{e4},.{}\"\\\\`\\[-]{0,60}",
        titles in prop::collection::vec("[a-z\u{e4}][a-zA-Z ,.{}\"\\\\`\\[-]{0,39}[a-z]", 1..12),
        fenced: bool,
    ) {
        let todos = titles.iter().enumerate().map(|(n, title)| PlanTodo {
            id: format!("t{n}"), title: title.clone(), ..PlanTodo::default()
        });
        let plan = Plan { summary: summary.trim().to_owned(), todos: todos.collect() };
        let json = serde_json::to_string_pretty(&plan).unwrap();
        let answer = if fenced { format!("Look:\n```json\n{json}\n```\nDone.") } else { json };
        let (got, source) = read(&answer).unwrap();
        prop_assert_eq!(source, PlanSource::Json);
        prop_assert_eq!(got, plan);
    }
}

#[test]
fn sample_data_is_no_plan_and_the_last_plan_counts() {
    let sample = r#"The tables are [{"name": "users"}, {"name": "orders"}]."#;
    assert!(read(sample).is_none_or(|(_, source)| source != PlanSource::Json));
    let two = r#"First {"todos": ["no"]}, but better {"todos": ["yes"]}."#;
    let (plan, _) = read(two).unwrap();
    assert_eq!(plan.todos[0].title, "yes");
}
