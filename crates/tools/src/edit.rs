//! Tool `edit`: replaces parts of a file. How they are found is in `matching`.

use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused, renamed},
    effect::{Before, FILE_BYTES_MAX, change_one, diff_details},
    host::{Tool, ToolContext},
    locks::FileLocks,
    matching::{BOM, Replacement, replace},
    outcome::ToolOutcome,
    paths::{resolve, shown},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use toft_model::tool::ToolSpec;

/// See the module.
pub(crate) struct Edit {
    locks: Arc<FileLocks>,
}

impl Edit {
    pub(crate) fn new(locks: Arc<FileLocks>) -> Self {
        Self { locks }
    }
}

#[async_trait]
impl Tool for Edit {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "edit".into(),
            description:
                "Replace text in a file. Each oldText must occur exactly once in the file as it \
                          is now; edits must not overlap. Put all changes of one file into one call."
                    .into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string" },
                    "edits": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "oldText": { "type": "string" },
                                "newText": { "type": "string" }
                            },
                            "required": ["oldText", "newText"]
                        }
                    }
                },
                "required": ["path", "edits"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::path(arguments)
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let (path, edits) = match parse(arguments) {
            Ok(parsed) => parsed,
            Err(refused) => return refused.into(),
        };
        let path = resolve(ctx, &path);
        let name = shown(ctx, &path);
        change_one(ctx, "edit", &self.locks, &path, |before| plan(&name, &edits, before)).await
    }
}

/// `edits`, also as JSON in a text, or one edit as `oldText` and `newText` beside `path`.
fn parse(arguments: Value) -> Result<(String, Vec<Replacement>), Refused> {
    let mut args = Arguments::new("edit", &["path", "edits", "oldText", "newText"], arguments)?;
    let path = args.some_text("path", "the file to change")?;
    let mut edits = Vec::new();
    let listed = match args.take("edits") {
        None => Vec::new(),
        Some(value) => args.as_list("edits", value)?,
    };
    for (i, edit) in listed.into_iter().enumerate() {
        let edit = match edit {
            Value::Object(edit) => renamed(&["oldText", "newText"], edit),
            _ => serde_json::Map::new(),
        };
        let text = |key: &str| edit.get(key).and_then(Value::as_str).map(str::to_owned);
        let (Some(old), Some(new)) = (text("oldText"), text("newText")) else {
            return Err(Refused::new(format!(
                "edits[{i}] needs oldText and newText, both text. Nothing was done."
            )));
        };
        edits.push(Replacement { old, new });
    }
    if let Some(old) = args.optional_text("oldText")? {
        edits.push(Replacement { old, new: args.text("newText", "what replaces oldText")? });
    }
    if edits.is_empty() {
        return Err(Refused::new(
            "The argument `edits` of edit is missing: a list of {oldText, newText}. Nothing was done.",
        ));
    }
    Ok((path, edits))
}

fn plan(
    name: &str,
    edits: &[Replacement],
    before: Before,
) -> Result<(Vec<u8>, ToolOutcome), Refused> {
    let bytes = match before {
        Before::Content(bytes) => bytes,
        Before::Nothing => {
            return Err(Refused::new(format!(
                "{name} does not exist. Use write to make a new file."
            )));
        }
        Before::TooLarge(bytes) => {
            return Err(Refused::new(format!(
                "{name} has {bytes} bytes, more than the {FILE_BYTES_MAX} that edit takes. Use sed or \
                 a script."
            )));
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Refused::new(format!("{name} is no text file. Nothing was done.")));
    };
    let (bom, body) = match text.strip_prefix(BOM) {
        Some(body) => (BOM, body),
        None => ("", text.as_str()),
    };
    let replaced = replace(body, edits)
        .map_err(|reason| Refused::new(format!("{name}: {reason} Nothing was changed.")))?;
    if replaced.text == body {
        return Err(Refused::new(format!(
            "{name}: the edits change nothing, old and new text are the same."
        )));
    }
    let mut details = diff_details(name, body, &replaced.text);
    details.insert("edits".into(), edits.len().into());
    details.insert("fuzzy".into(), replaced.fuzzy.into());
    let times =
        if edits.len() == 1 { "1 edit".to_owned() } else { format!("{} edits", edits.len()) };
    let note = if replaced.fuzzy > 0 {
        " Not all matched exactly: spaces at line ends or typographic characters differed."
    } else {
        ""
    };
    let outcome =
        ToolOutcome::text(format!("Made {times} in {name}.{note}")).details(Value::Object(details));
    Ok((format!("{bom}{}", replaced.text).into_bytes(), outcome))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use serde_json::json;

    #[tokio::test]
    async fn all_edits_of_a_call_are_made_and_shown() {
        let bench = Bench::new();
        bench.write("f.txt", "one\ntwo\nthree\n");
        let outcome = bench
            .call(
                "edit",
                json!({"path": "f.txt", "edits": [
                {"oldText": "one", "newText": "1"}, {"oldText": "three", "newText": "3"}]}),
            )
            .await;
        assert_eq!(outcome.said(), "Made 2 edits in f.txt.");
        assert_eq!(bench.read("f.txt"), "1\ntwo\n3\n");
        let details = outcome.details.unwrap();
        assert_eq!(details["firstChangedLine"], 1);
        assert_eq!(details["addedLines"], 2);
        assert!(details["diff"].as_str().unwrap().contains("-one\n+1\n two"), "{details}");
    }

    #[tokio::test]
    async fn edits_are_taken_in_the_shapes_that_models_write() {
        for arguments in [
            json!({"path": "f", "oldText": "a", "newText": "b"}),
            json!({"path": "f", "edits": "[{\"oldText\":\"a\",\"newText\":\"b\"}]"}),
            json!({"path": "f", "edits": {"oldText": "a", "newText": "b"}}),
            json!({"file_path": "f", "old_string": "a", "new_string": "b"}),
            json!({"path": "f", "edits": [{"old_text": "a", "newString": "b"}]}),
        ] {
            let bench = Bench::new();
            bench.write("f", "\u{feff}a\r\n");
            let outcome = bench.call("edit", arguments.clone()).await;
            assert!(!outcome.is_error, "{arguments}: {}", outcome.said());
            assert_eq!(bench.read("f"), "\u{feff}b\r\n");
        }
    }

    #[tokio::test]
    async fn a_refused_edit_changes_nothing_and_says_why() {
        let bench = Bench::new();
        bench.write("f", "a\na\n");
        bench.write_bytes("b", &[0xff, 0]);
        let check = async |arguments, part: &str| {
            let outcome = bench.call("edit", arguments).await;
            assert!(outcome.is_error && outcome.said().contains(part), "{}", outcome.said());
            assert_eq!(bench.read("f"), "a\na\n");
        };
        check(json!({"path": "f", "oldText": "a", "newText": "b"}), "found 2 times").await;
        check(json!({"path": "f", "oldText": "z", "newText": "b"}), "was not found").await;
        check(json!({"path": "f", "oldText": "a\na", "newText": "a\na"}), "change nothing").await;
        check(json!({"path": "none", "oldText": "a", "newText": "b"}), "Use write").await;
        check(json!({"path": "b", "oldText": "a", "newText": "b"}), "no text file").await;
        check(json!({"path": "f"}), "`edits` of edit is missing").await;
        check(json!({"path": "f", "edits": [{"oldText": "a"}]}), "edits[0] needs").await;
        check(json!({"path": "f", "edits": 3}), "must be a list").await;
    }

    #[tokio::test]
    async fn calls_side_by_side_do_not_lose_each_others_edits() {
        let bench = Bench::new();
        let lines: Vec<String> = (0..20).map(|i| format!("line-{i}.\n")).collect();
        bench.write("f", &lines.concat());
        let calls = (0..20).map(|i| {
            bench.call("edit", json!({"path": "f", "oldText": format!("line-{i}."), "newText": format!("done-{i}.")}))
        });
        for outcome in futures_util::future::join_all(calls).await {
            assert!(!outcome.is_error, "{}", outcome.said());
        }
        assert!(!bench.read("f").contains("line"));
    }

    #[tokio::test]
    async fn a_call_repeated_after_a_crash_returns_the_same_and_edits_once() {
        let bench = Bench::new();
        let arguments = json!({"path": "f", "oldText": "a", "newText": "aa"});
        bench.write("f", "a");
        let first = bench.call_as("run1", "edit", arguments.clone()).await;
        assert_eq!(bench.read("f"), "aa");
        // Applied, result lost: the old text would be found twice now.
        assert_eq!(bench.call_as("run1", "edit", arguments.clone()).await, first);
        assert_eq!(bench.read("f"), "aa");
        // Recorded, not yet applied.
        bench.write("f", "a");
        assert_eq!(bench.call_as("run1", "edit", arguments).await, first);
        assert_eq!(bench.read("f"), "aa");
    }

    #[tokio::test]
    async fn a_file_that_changed_since_it_was_read_is_not_edited() {
        let bench = Bench::new();
        bench.write("f", "a\n");
        let edit = |run_id: &'static str| {
            bench.call_as(run_id, "edit", json!({"path": "f", "oldText": "a", "newText": "b"}))
        };
        bench.call("read", json!({"path": "f"})).await;
        bench.call("bash", json!({"command": "echo more >> f"})).await;
        let outcome = edit("e1").await;
        assert!(outcome.is_error && outcome.said().contains("Read it again"), "{}", outcome.said());
        bench.call("read", json!({"path": "f"})).await;
        assert!(!edit("e2").await.is_error);
        // What it wrote itself it knows; and a file that was only written anew is the same.
        bench.write("f", &bench.read("f"));
        let arguments = json!({"path": "f", "oldText": "b", "newText": "c"});
        assert!(!bench.call("edit", arguments).await.is_error);
        assert_eq!(bench.read("f"), "c\nmore\n");
        bench.write("f", "other\n");
        let outcome = bench.call("write", json!({"path": "f", "content": "x"})).await;
        assert!(
            outcome.is_error && outcome.said().contains("changed on disk"),
            "{}",
            outcome.said()
        );
    }

    #[tokio::test]
    async fn nothing_is_changed_when_the_intent_cannot_be_recorded() {
        let bench = Bench::new();
        bench.write("f", "a");
        bench.journal.fail_with("the disk is full");
        let outcome =
            bench.call("edit", json!({"path": "f", "oldText": "a", "newText": "b"})).await;
        assert!(
            outcome.is_error && outcome.said().contains("the disk is full"),
            "{}",
            outcome.said()
        );
        assert_eq!(bench.read("f"), "a");
    }
}
