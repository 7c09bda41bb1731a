//! What is declared becomes tools.

use crate::place::{DOT, Place, names, server};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::{mcp::McpState, message::Block};
use toft_tools::Toolbox;

#[tokio::test]
async fn a_servers_tools_are_the_agents_and_see_the_machines_variables() {
    let place = Place::new();
    place.bench.shell.set_env("GREETING", "hello");
    place.declare(&json!({ "f": server(&["do.it", "picture", "fail"]), "off": { "command": "x", "disabled": true } }));
    let tools = place.tools().await;
    assert_eq!(names(&tools), ["f__do_it", "f__picture", "f__fail"], "{:?}", place.told());
    let spec = &tools.specs()[0];
    assert_eq!(spec.parameters, json!({ "type": "object", "properties": {} }));
    let said = place.call(&tools, "f__do_it", json!({ "a": 1 })).await;
    assert!(!said.is_error && said.said().starts_with("hello arguments:{-a-:1}"), "{said:?}");
    let said = place.call(&tools, "f__picture", json!({})).await;
    assert!(said.said().starts_with("here\n\n[a picture of type image/png that cannot be shown."));
    // What it is decides, not what its server says; and one that is too large for models is scaled.
    let dot = Block::Image { data: DOT.into(), mime_type: "image/png".into() };
    assert_eq!(said.content[1], dot, "{said:?}");
    let Block::Image { data, mime_type } = &said.content[2] else { panic!("{said:?}") };
    assert_eq!((&**mime_type, said.content.len()), ("image/png", 3));
    let tall = image::load_from_memory(&BASE64_STANDARD.decode(data).unwrap()).unwrap();
    assert_eq!((tall.width(), tall.height()), (1, 2_000));
    assert!(place.call(&tools, "f__fail", json!({})).await.is_error);
    assert_eq!(names(&place.tools().await), names(&tools));
    let seen = place.servers.seen().await.servers;
    let of = |n: usize| (&*seen[n].name, seen[n].state, seen[n].tools.len(), seen[n].disabled);
    assert_eq!((of(0), of(1)), (("f", McpState::Ready, 3, false), ("off", McpState::Off, 0, true)));
    assert_eq!((&*seen[0].source, &*seen[0].tools[0].called_as), (".mcp.json", "f__do_it"));
    assert_eq!(place.states("f"), [McpState::Starting, McpState::Ready]);
    assert_eq!(
        (place.starts(), place.told()),
        (1, vec![]),
        "started once, and what it says on stderr is no fault"
    );
}

#[tokio::test]
async fn what_is_declared_counts_from_the_next_prompt_on() {
    let place = Place::new();
    place.bench.shell.set_env("GREETING", "hello");
    assert!(names(&place.tools().await).is_empty());
    place.declare(&json!({ "z": server(&["one"]) }));
    let planning = place.servers.add_to(Toolbox::of([]), false, |_| true).await;
    assert!(
        names(&planning).is_empty() && place.runs().await == 0,
        "nothing is started for a plan"
    );
    place.declare(&json!({ "a": server(&["one"]), "b": server(&["two"]) }));
    assert_eq!(names(&place.tools().await), ["a__one", "b__two"]);
    let planning = place.servers.add_to(Toolbox::of([]), false, |_| true).await;
    assert_eq!(names(&planning), ["a__one", "b__two"], "what is known stays");
    let some = place.servers.add_to(Toolbox::of([]), false, |name| name.starts_with("b__")).await;
    assert_eq!(names(&some), ["b__two"], "others may not be there");
    place.declare(&json!({ "a": server(&["other"]) }));
    assert_eq!(names(&place.tools().await), ["a__other"]);
    place.bench.write(
        ".toft/mcp.json",
        &json!({ "a": { "disabled": true }, "c": server(&["three"]) }).to_string(),
    );
    assert_eq!(names(&place.tools().await), ["c__three"]);
    let alone = async {
        while place.runs().await != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), alone).await.unwrap();
}

#[tokio::test]
async fn a_bad_declaration_is_told_once_and_spoils_no_other() {
    let place = Place::new();
    place.declare(&json!({
        "good": server(&["one"]), "bad name": {}, "none": {}, "both": { "command": "x", "url": "http://x" },
        "old": { "url": "http://x", "type": "sse" }, "mute": server(&["x"]), "gone": { "command": "/no/such/program" },
    }));
    place.bench.write(".toft/mcp.json", "{ SECRET");
    assert!(names(&place.tools().await).is_empty(), "GREETING is not set");
    let told = place.told();
    assert!(
        told.iter().any(|word| word.contains("`GREETING`") && word.contains("not set")),
        "{told:#?}"
    );
    assert!(told.iter().any(|word| word.contains("/no/such/program")), "{told:#?}");
    assert!(told.iter().any(|word| word.starts_with(".toft/mcp.json is no JSON")), "{told:#?}");
    assert!(!told.iter().any(|word| word.contains("SECRET")));
    assert_eq!(told.len(), 8, "{told:#?}");
}

#[tokio::test]
async fn a_server_that_ends_is_told_and_started_again() {
    let place = Place::new();
    place.bench.shell.set_env("GREETING", "hello");
    place.declare(&json!({ "f": server(&["crash", "go"]) }));
    let tools = place.tools().await;
    let said = place.call(&tools, "f__crash", json!({})).await;
    assert!(said.is_error, "{said:?}");
    let word = place.hears("has ended by itself").await;
    assert!(word.contains("exit status: 7") && word.contains("I give up"), "{word}");
    let said = place.call(&tools, "f__go", json!({})).await;
    assert!(said.said().starts_with("hello"), "{said:?}");
    assert_eq!(place.starts(), 2);
}

#[tokio::test]
async fn what_a_server_says_of_its_end_has_no_values_of_secrets() {
    let place = Place::new();
    let secret = "canary-".repeat(10);
    place.bench.secrets.set("KEY", &secret);
    place.bench.shell.set_env("KEY", &secret);
    let says = |words: &str| json!({ "command": "bash", "args": ["-c", format!("exec >&2; {words}; exit 3")] });
    place.declare(&json!({
        "plain": says("echo no such key: $KEY"),
        // What is kept of it begins in the middle of the value.
        "long": says("echo $KEY; printf '%01970d' 7"),
        // What it started keeps its standard error open.
        "parent": says("echo it ends; sleep 40 &"),
        // Names the address that it was given.
        "web": { "url": "http://127.0.0.1:1/mcp?key=$KEY" },
    }));
    place.tools().await;
    for name in ["plain", "long", "parent", "web"] {
        place.hears(&format!("`{name}` cannot be started")).await;
    }
    let seen = format!("{:?} {:?} {:?}", place.told(), place.changes(), place.servers.seen().await);
    assert!(seen.contains("no such key: [secret KEY]") && seen.contains("0007"), "{seen}");
    assert!(seen.contains("key=[secret KEY]"), "{seen}");
    assert!(!seen.contains("canary"), "{seen}");
}

#[tokio::test]
async fn a_long_result_is_bounded_and_kept_and_a_call_can_be_stopped() {
    let place = Place::new();
    place.bench.shell.set_env("GREETING", "hello");
    place.declare(&json!({ "f": server(&["flood", "slow"]) }));
    let tools = place.tools().await;
    let said = place.call(&tools, "f__flood", json!({})).await;
    let text = said.said();
    assert!(
        text.lines().count() < 2_010 && text.contains("[There is more. Full text: "),
        "{}",
        text.len()
    );
    let kept = said.details.unwrap()["fullOutputPath"].as_str().unwrap().to_owned();
    assert!(std::fs::read_to_string(&kept).unwrap().contains("5000"));
    std::fs::remove_file(kept).unwrap();
    let (ctx, _updates) = place.bench.context("stopped");
    let cancel = ctx.cancel.clone();
    let call = tools.run("f__slow", &ctx, json!({}));
    let (said, ()) = tokio::join!(call, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    });
    assert_eq!(said.details.unwrap()["cancelled"], true);
}

#[tokio::test]
async fn a_stopped_call_ends_its_server_with_all_that_it_started_unless_others_use_it() {
    let place = Place::new();
    place.bench.shell.set_env("GREETING", "hello");
    place.declare(&json!({ "f": server(&["slow", "do_it"]) }));
    let tools = place.tools().await;
    let (one, _one) = place.bench.context("one");
    let (two, _two) = place.bench.context("two");
    let calls = async {
        tokio::join!(tools.run("f__slow", &one, json!({})), async {
            let stopped = tools.run("f__slow", &two, json!({})).await;
            assert_eq!(stopped.details.unwrap()["cancelled"], true);
            assert_eq!(place.runs().await, 1, "the other call needs it");
            one.cancel.cancel();
        })
    };
    tokio::join!(calls, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        two.cancel.cancel();
    });
    assert_eq!(place.runs().await, 0);
    // It is not held up by what it was doing, nor by a wait after a failure.
    let said = place.call(&tools, "f__do_it", json!({})).await.said();
    assert!(said.starts_with("hello"), "{said}");
    assert_eq!((place.starts(), place.told()), (2, vec![]));
}

#[tokio::test]
async fn many_tools_stand_behind_a_search() {
    let place = Place::new();
    place.bench.shell.set_env("GREETING", "hello");
    let many: Vec<String> =
        (0..30).map(|n| format!("thing_{n}")).chain(["send_mail".into()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut big = server(&many);
    let mut list: Vec<Value> = serde_json::from_str(big["env"]["TOOLS"].as_str().unwrap()).unwrap();
    // A word in a name counts more than one in a description, whichever comes first.
    let by_hand =
        json!({ "name": "post", "description": "Puts mail in a box.", "inputSchema": {} });
    list.insert(0, by_hand);
    big["env"]["TOOLS"] = json!(list).to_string().into();
    place.declare(&json!({ "big": big }));
    let tools = place.tools().await;
    assert_eq!(names(&tools), ["mcp_search", "mcp_call"], "{:?}", place.told());
    let found = place.call(&tools, "mcp_search", json!({ "query": "mail" })).await.said();
    assert!(found.starts_with("big__send_mail: Does send_mail.\narguments: {"), "{found}");
    let all = place.call(&tools, "mcp_search", json!({ "query": "" })).await.said();
    assert_eq!(all.lines().count(), 32);
    let call = json!({ "tool": "big__send_mail", "arguments": { "to": "x" } });
    assert_eq!(
        tools.meant("mcp_call", call.clone()),
        ("big__send_mail".into(), json!({ "to": "x" }))
    );
    let said = place.call(&tools, "mcp_call", call).await;
    assert!(said.said().starts_with("hello arguments:{-to-:-x-}"), "{said:?}");
    assert!(
        place.call(&tools, "mcp_call", json!({ "tool": "nope", "arguments": {} })).await.is_error
    );
}
