//! Servers that end, are killed, flood, change their minds, list too much, or ask for what is not theirs.

use crate::place::{Place, names, server, tool};
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::mcp::McpState;
use toft_tools::mcp::{NoRestart, Pace};

/// A server that keeps what it hears in `heard`, and reads what it lists from the file `list`.
const CURIOUS: &str = r#"
echo $$ >> pids
trap 'echo term >> heard' TERM
while IFS= read -r line; do
  printf '%s\n' "$line" >> heard
  id=$(sed -n 's/.*"id":\([0-9]*\).*/\1/p' <<<"$line")
  say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
  case $line in
    *'"initialize"'*) say '{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"c","version":"1"}}' ;;
    *'"tools/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":' "$id"; cat list; printf '}\n' ;;
    *'"name":"hang"'*) ;;
    *'"name":"flood"'*) yes 'no JSON at all' | head -c 8000000; head -c 20000000 /dev/zero | tr '\0' x; echo; say '{"content":[{"type":"text","text":"after the flood"}]}' ;;
    *'"name":"other"'*) printf '{"tools":[{"name":"new","inputSchema":{"type":"object"}}]}' > list
      echo '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'; say '{"content":[]}' ;;
    *'"name":"ask"'*)
      echo '{"jsonrpc":"2.0","id":901,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":10}}'
      echo '{"jsonrpc":"2.0","id":902,"method":"elicitation/create","params":{"message":"Password?","requestedSchema":{"type":"object","properties":{}}}}'
      echo '{"jsonrpc":"2.0","id":903,"method":"roots/list"}'
      echo '{"jsonrpc":"2.0","id":904,"method":"no/such","params":{}}'
      say '{"content":[{"type":"text","text":"asked"}]}' ;;
    *'"tools/call"'*) say '{"content":[{"type":"text","text":"done"}]}' ;;
  esac
done
"#;

fn curious(place: &Place, tools: &[Value]) {
    place.bench.write("curious.sh", CURIOUS);
    place.bench.write("list", &json!({ "tools": tools }).to_string());
    place.bench.write("heard", "");
    place.declare(&json!({ "c": { "command": "bash", "args": ["curious.sh"] } }));
}

fn plain(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| tool(name)).collect()
}

#[tokio::test]
async fn a_server_that_nobody_uses_ends_and_is_started_by_the_next_call() {
    let place = Place::at(Pace {
        idle_max: Duration::from_millis(300),
        idle_look: Duration::from_millis(20),
        ..Pace::default()
    });
    curious(&place, &plain(&["go"]));
    let tools = place.tools().await;
    assert_eq!(names(&tools), ["c__go"], "{:?}", place.told());
    place.until("c", McpState::Off).await;
    // Its memory is given back.
    place.until_none_runs().await;
    let said = place.call(&tools, "c__go", json!({})).await;
    assert_eq!(said.said(), "done");
    let seen = place.servers.seen().await.servers;
    assert_eq!((seen[0].restarts, &seen[0].error), (1, &None));
    assert!(place.told().is_empty(), "nothing of it is a fault: {:?}", place.told());
}

#[tokio::test]
async fn a_start_that_is_stopped_with_its_call_leaves_the_server_off() {
    let place = Place::at(Pace {
        idle_max: Duration::from_millis(100),
        idle_look: Duration::from_millis(20),
        ..Pace::default()
    });
    place.bench.write("once.sh", "[ -e started ] && exec sleep 60\n: > started\n. ./server.sh");
    place.bench.shell.set_env("GREETING", "hello");
    let mut once = server(&["go"]);
    once["args"] = json!(["once.sh"]);
    place.declare(&json!({ "f": once }));
    let tools = place.tools().await;
    assert_eq!(names(&tools), ["f__go"], "{:?}", place.told());
    place.until("f", McpState::Off).await;
    let (ctx, _updates) = place.bench.context("call");
    let stop = async {
        place.until("f", McpState::Starting).await;
        ctx.cancel.cancel();
    };
    let (said, ()) = tokio::join!(tools.run("f__go", &ctx, json!({})), stop);
    assert!(said.is_error);
    assert_eq!(place.states("f").last(), Some(&McpState::Off));
}

#[tokio::test]
async fn a_killed_server_fails_its_open_call_and_comes_back_later_each_time() {
    let place = Place::at(Pace { again_first: Duration::from_secs(3), ..Pace::default() });
    curious(&place, &plain(&["hang", "go"]));
    let tools = place.tools().await;
    let killed = async {
        place.until_is(|| place.bench.read("heard").contains("\"hang\"")).await;
        let pid = place.bench.read("pids").trim().to_owned();
        assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    };
    let (said, ()) = tokio::join!(place.call(&tools, "c__hang", json!({})), killed);
    assert!(said.is_error && said.said().contains("signal: 9"), "{said:?}");
    place.until("c", McpState::Failed).await;
    assert!(place.hears("has ended by itself").await.contains("signal: 9"));
    place.until_none_runs().await;
    // It is waited for, and comes.
    let said = place.call(&tools, "c__go", json!({})).await;
    assert_eq!(said.said(), "done");
    assert_eq!(place.bench.read("pids").lines().count(), 2);
    let expected = [
        McpState::Starting,
        McpState::Ready,
        McpState::Failed,
        McpState::Starting,
        McpState::Ready,
    ];
    assert_eq!(place.states("c"), expected);
}

#[tokio::test]
async fn failures_in_a_row_are_told_and_a_person_can_have_it_started_at_once() {
    let place = Place::at(Pace { again_first: Duration::from_mins(1), ..Pace::default() });
    place.bench.write("bad.sh", "echo 'no licence' >&2; exit 3");
    place.declare(&json!({ "c": { "command": "bash", "args": ["bad.sh"] } }));
    assert!(names(&place.tools().await).is_empty());
    let seen = place.servers.seen().await.servers;
    let error = seen[0].error.clone().unwrap();
    assert!(seen[0].state == McpState::Failed && error.contains("no licence"), "{error}");
    // The next prompt does not try again before its time; a person does.
    assert!(names(&place.tools().await).is_empty());
    assert_eq!(place.states("c"), [McpState::Starting, McpState::Failed]);
    place.bench.write("bad.sh", CURIOUS);
    place.bench.write("list", &json!({ "tools": plain(&["go"]) }).to_string());
    place.servers.restart("c").await.unwrap();
    place.until("c", McpState::Ready).await;
    assert_eq!(names(&place.tools().await), ["c__go"]);
    assert_eq!(place.servers.restart("d").await, Err(NoRestart::Unknown));
    place.declare(&json!({ "c": { "disabled": true } }));
    assert_eq!(place.servers.restart("c").await, Err(NoRestart::Disabled));
}

#[tokio::test]
async fn a_server_that_will_not_end_is_ended_when_it_is_not_declared_any_more() {
    let place = Place::new();
    curious(&place, &plain(&["hang"]));
    let tools = place.tools().await;
    let gone = async {
        place.until_is(|| place.bench.read("heard").contains("\"hang\"")).await;
        place.declare(&json!({}));
        place.tools().await;
    };
    let (said, ()) = tokio::join!(place.call(&tools, "c__hang", json!({})), gone);
    assert!(said.is_error, "{said:?}");
    place.until_none_runs().await;
    assert!(place.servers.seen().await.servers.is_empty());
}

#[tokio::test]
async fn a_list_that_changes_counts_from_the_next_prompt_on() {
    let place = Place::new();
    curious(&place, &plain(&["other"]));
    let tools = place.tools().await;
    assert!(!place.call(&tools, "c__other", json!({})).await.is_error);
    assert_eq!(names(&place.tools().await), ["c__new"]);
    assert_eq!(place.bench.read("pids").lines().count(), 1, "it is asked, not started again");
}

#[tokio::test]
async fn a_flood_on_its_output_costs_the_server_its_words_and_nothing_else() {
    let place = Place::new();
    curious(&place, &plain(&["flood", "go"]));
    let tools = place.tools().await;
    assert_eq!(place.call(&tools, "c__flood", json!({})).await.said(), "after the flood");
    assert_eq!(place.call(&tools, "c__go", json!({})).await.said(), "done");
    assert_eq!(place.bench.read("pids").lines().count(), 1);
}

#[tokio::test]
async fn ten_thousand_tools_are_found_and_fill_no_prompt() {
    let place = Place::new();
    let many: Vec<Value> = (0..10_050)
        .map(|n| json!({ "name": format!("thing_{n}"), "description": format!("Does the {n}th thing."), "inputSchema": { "type": "object" } }))
        .collect();
    curious(&place, &many);
    let tools = place.tools().await;
    assert_eq!(names(&tools), ["mcp_search", "mcp_call"], "{:?}", place.told());
    let found = place.call(&tools, "mcp_search", json!({ "query": "9999th" })).await.said();
    assert!(found.starts_with("c__thing_9999: Does the 9999th thing."), "{found}");
    let all = place.call(&tools, "mcp_search", json!({ "query": "" })).await.said();
    assert!(all.len() < 8_000 && all.ends_with("[9800 more: search by words]"), "{}", all.len());
    let call = json!({ "tool": "c__thing_9999", "arguments": {} });
    assert_eq!(place.call(&tools, "mcp_call", call).await.said(), "done");
    let seen = place.servers.seen().await.servers;
    assert_eq!((seen[0].tool_count, seen[0].tools.len()), (10_000, 200));
}

#[tokio::test]
async fn any_name_becomes_one_that_providers_take_and_calls_the_right_tool() {
    let place = Place::new();
    let long = "x".repeat(200);
    curious(
        &place,
        &plain(&[
            "späti/öffnen 🥐",
            "a.b",
            "a_b",
            "a b",
            "",
            &long,
            "a.b",
            &format!("{long}y"),
            "go",
            "go",
        ]),
    );
    let tools = place.tools().await;
    let names = names(&tools);
    assert_eq!(names.len(), 8, "of two with one name the first counts: {names:?}");
    for name in &names {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        assert!(name.len() <= 64 && name.bytes().all(fits), "{name}");
        assert!(!place.call(&tools, name, json!({})).await.is_error, "{name}");
    }
    let different: std::collections::HashSet<&String> = names.iter().collect();
    assert_eq!(different.len(), names.len());
    for name in ["späti/öffnen 🥐", "a.b", "a_b", "a b", &long] {
        let called = format!("\"name\":{}", json!(name));
        assert_eq!(place.bench.read("heard").matches(&called).count(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_call_that_is_stopped_is_called_off_at_the_server() {
    let place = Place::new();
    curious(&place, &plain(&["hang", "go"]));
    let tools = place.tools().await;
    let (ctx, _updates) = place.bench.context("stopped");
    let cancel = ctx.cancel.clone();
    let stop = async {
        place.until_is(|| place.bench.read("heard").contains("\"hang\"")).await;
        cancel.cancel();
    };
    let (said, ()) = tokio::join!(tools.run("c__hang", &ctx, json!({})), stop);
    assert_eq!(said.details.unwrap()["cancelled"], true);
    place.until_is(|| place.bench.read("heard").contains("notifications/cancelled")).await;
    let id = |what: &str| {
        let heard = place.bench.read("heard");
        let line = heard.lines().find(|line| line.contains(what)).unwrap().to_owned();
        let message: Value = serde_json::from_str(&line).unwrap();
        message.get("id").or(message["params"].get("requestId")).cloned().unwrap()
    };
    assert_eq!(id("\"hang\""), id("notifications/cancelled"));
    assert_eq!(place.call(&tools, "c__go", json!({})).await.said(), "done", "it goes on");
}

#[tokio::test]
async fn what_a_server_asks_for_is_declined_in_a_valid_way() {
    let place = Place::new();
    curious(&place, &plain(&["ask"]));
    let tools = place.tools().await;
    assert_eq!(place.call(&tools, "c__ask", json!({})).await.said(), "asked");
    let answer = |id: u64| {
        let heard = place.bench.read("heard");
        heard
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|message| message["id"] == id && message.get("method").is_none())
    };
    place.until_is(|| (901..=904).all(|id| answer(id).is_some())).await;
    assert_eq!(answer(901).unwrap()["error"]["code"], -32601, "no model is lent");
    assert_eq!(answer(902).unwrap()["result"]["action"], "decline", "nobody is asked");
    assert_eq!(answer(903).unwrap()["result"]["roots"], json!([]));
    assert_eq!(answer(904).unwrap()["error"]["code"], -32601);
    let hello: Value =
        serde_json::from_str(place.bench.read("heard").lines().next().unwrap()).unwrap();
    assert_eq!(hello["params"]["capabilities"], json!({}), "nothing is offered");
}

#[tokio::test]
async fn two_servers_may_call_their_tools_alike() {
    let place = Place::new();
    place.bench.shell.set_env("GREETING", "hello");
    place.declare(&json!({ "a.b": server(&["go"]), "a_b": server(&["go"]) }));
    let tools = place.tools().await;
    let names = names(&tools);
    assert!(
        names.len() == 2 && names[0] == "a_b__go" && names[1].starts_with("a_b__go_"),
        "{names:?}"
    );
    for name in &names {
        assert!(!place.call(&tools, name, json!({})).await.is_error);
    }
}
