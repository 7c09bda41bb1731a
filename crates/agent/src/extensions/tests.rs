//! Declarations, and answers of programs.

use super::{Extensions, HookEvent, Loaded, last_object};
use serde_json::json;
use std::{fs, path::Path};
use toft_tools::Toolbox;

fn write(cwd: &Path, folder: &str, text: &str) {
    let folder = cwd.join(".toft/extensions").join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("extension.json"), text).unwrap();
}

#[test]
fn an_extension_is_what_its_file_declares() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{
        "description": "Keeps watch.", "systemPrompt": "Be careful.",
        "hooks": {"tool_call": {"command": "python3 guard.py", "tools": ["bash", "mcp_*"]},
                  "agent_end": {"command": "true", "timeoutMs": 500}},
        "tools": [{"name": "weather", "description": "Of a town.", "command": "./weather",
                   "parameters": {"properties": {"town": {"type": "string"}}}}],
        "mcpServers": {"docs": {"command": "python3", "args": ["$TOFT_EXTENSION/docs.py", "$OTHER"]}}
    }"#;
    write(dir.path(), "guard", text);
    write(dir.path(), "off", r#"{"disabled": true, "systemPrompt": "Not this."}"#);
    fs::create_dir_all(dir.path().join(".toft/extensions/none")).unwrap();
    let found = Extensions::new(dir.path(), Toolbox::standard()).find();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|one| one.fault.is_none()), "{:?}", found[0].fault);
    let guard = &found[0];
    assert_eq!((guard.name.as_str(), guard.description.as_str()), ("guard", "Keeps watch."));
    assert_eq!(guard.tools[0].spec.parameters["type"], "object");
    let folder = guard.folder.display().to_string();
    assert_eq!(guard.tools[0].env, [("TOFT_EXTENSION".to_owned(), folder.clone())]);
    let args = &guard.servers["docs"]["args"];
    assert_eq!(*args, json!([format!("{folder}/docs.py"), "$OTHER"]));
    let loaded = Loaded::new(found);
    assert!(loaded.prompt().contains("Be careful.") && !loaded.prompt().contains("Not this."));
    for (tools, asked) in [(&["bash"][..], 1), (&["mcp_call", "x__y"], 1), (&["read"], 0)] {
        assert_eq!(loaded.hooks(HookEvent::ToolCall, tools).len(), asked, "{tools:?}");
    }
    assert_eq!(loaded.hooks(HookEvent::AgentEnd, &[]).len(), 1);
    assert!(!loaded.has(HookEvent::ToolResult));
    assert!(loaded.add_to(Toolbox::standard()).get("weather").is_some());
}

#[test]
fn what_is_wrong_is_said_once_and_nothing_of_it_is_used() {
    for (text, words) in [
        ("{", "is not as it must be"),
        (r#"{"hook": {}}"#, "unknown field `hook`"),
        (r#"{"hooks": {"tool_calls": {"command": "x"}}}"#, "unknown variant `tool_calls`"),
        (r#"{"hooks": {"tool_call": {"command": " "}}}"#, "is empty"),
        (r#"{"hooks": {"tool_call": {"command": "x", "timeoutMs": 60001}}}"#, "1 to 60000"),
        (r#"{"hooks": {"tool_call": {"command": "x", "timeoutMs": 0}}}"#, "1 to 60000"),
        (r#"{"hooks": {"input": {"command": "x", "tools": ["bash"]}}}"#, "no meaning"),
        (r#"{"name": "a b"}"#, "Its name"),
        (
            r#"{"tools": [{"name": "Bad", "description": "d", "command": "x"}]}"#,
            "no name of a tool",
        ),
        (
            r#"{"tools": [{"name": "a__b", "description": "d", "command": "x"}]}"#,
            "no name of a tool",
        ),
        (
            r#"{"tools": [{"name": "bash", "description": "d", "command": "x"}]}"#,
            "another tool `bash`",
        ),
        (r#"{"tools": [{"name": "a", "description": "", "command": "x"}]}"#, "needs a description"),
        (
            r#"{"tools": [{"name": "a", "description": "d", "command": "x", "parameters": {"type": "array"}}]}"#,
            "of an object",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bad", text);
        let extensions = Extensions::new(dir.path(), Toolbox::standard());
        let found = extensions.find();
        let fault = found[0].fault.clone().unwrap_or_default();
        assert!(fault.contains(words), "{text}: {fault}");
        assert_eq!(extensions.untold(&found).len(), 1);
        assert_eq!(extensions.untold(&found).len(), 0);
        assert!(!Loaded::new(found).has(HookEvent::ToolCall));
    }
}

#[test]
fn of_two_with_one_name_the_first_counts() {
    let dir = tempfile::tempdir().unwrap();
    let tool = r#"{"tools": [{"name": "same", "description": "d", "command": "x"}]}"#;
    write(dir.path(), "a", tool);
    write(dir.path(), "b", tool);
    write(dir.path(), "c", r#"{"name": "a"}"#);
    let found = Extensions::new(dir.path(), Toolbox::standard()).find();
    let used: Vec<bool> = found.iter().map(super::Extension::is_used).collect();
    assert_eq!(used, [true, false, false]);
    assert!(found[1].fault.as_deref().unwrap().contains("another tool `same`"));
    assert!(found[2].fault.as_deref().unwrap().contains("has the same name"));
}

#[test]
fn an_answer_is_the_last_object_among_what_a_program_prints() {
    for (said, answer) in [
        ("{\"a\": 1}\n", Some(json!({"a": 1}))),
        ("{\n  \"a\": 1\n}", Some(json!({"a": 1}))),
        ("Warning: old\n{\"a\": 1}\nand more\n", Some(json!({"a": 1}))),
        ("{\"a\": 1}\n{\"a\": 2}\n[3]\n", Some(json!({"a": 2}))),
        ("ok", None),
        ("", None),
    ] {
        assert_eq!(last_object(said), answer, "{said}");
    }
}
