//! A session as a tree, over HTTP.

use super::{client::Client, hello, read, slow};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

async fn current(client: &Client) -> String {
    client.get("/sessions").await.1["data"]["current"].as_str().unwrap().to_owned()
}

async fn messages(client: &Client, session: &str) -> Vec<Value> {
    let (_, answer) = client.get(&format!("/messages?sessionId={session}")).await;
    answer["data"]["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_conversation_is_copied_named_and_moved_in() {
    let client = Client::new(hello()).await;
    client.work("go").await;
    client.work("more").await;
    let id = current(&client).await;
    let said = messages(&client, &id).await;
    assert_eq!(said.len(), 6);
    let of = |n: usize| said[n]["entryId"].as_str().unwrap().to_owned();
    let at = |what: &str| format!("/sessions/{id}/{what}");

    // At what was said: before it, and it is given back.
    let label = json!({"entryId": of(4), "label": " Second wish "});
    assert_eq!(client.data(&at("label"), label).await["label"], "Second wish");
    let seq = client.runtime.log().last_seq();
    let went = client.data(&at("navigate"), json!({"entryId": of(4)})).await;
    assert_eq!((&went["text"], &went["entryId"]), (&json!("more"), &json!(of(3))));
    assert_eq!(messages(&client, &id).await, said[..4]);
    let mut frames = client.events(&format!("?after={seq}"), None).await;
    assert_eq!(frames.next().await.event, "hello");
    let told = frames.next().await;
    assert_eq!((told.event.as_str(), &told.data["sessionId"]), ("navigated", &json!(id)));
    let moved = &told.data["sessions"][0];
    assert_eq!((&moved["sessionId"], &moved["toMessageId"]), (&json!(id), &json!(of(3))));

    // A copy of the branch that was left, beside it; its history is told to whoever follows.
    let made =
        client.data(&at("fork"), json!({"entryId": of(5), "name": "Copy", "current": false})).await;
    let copy = made["sessionId"].as_str().unwrap().to_owned();
    assert_eq!((&made["text"], current(&client).await), (&Value::Null, id.clone()));
    let copied = messages(&client, &copy).await;
    assert_eq!(copied, said, "the same entries");
    let mut ends = Vec::new();
    while ends.len() < said.len() {
        let frame = frames.next().await;
        if frame.data["sessionId"] == copy.as_str() && frame.event == "message_end" {
            ends.push(frame.data["entryId"].clone());
        }
    }
    assert_eq!(ends, said.iter().map(|m| m["entryId"].clone()).collect::<Vec<_>>());
    let (_, state) = client.get(&format!("/state?sessionId={copy}")).await;
    assert_eq!(state["data"]["sessionName"], "Copy");
    let (_, tree) = client.get(&format!("/sessions/{copy}/tree")).await;
    let parent = tree["data"]["parentSession"].as_str().unwrap();
    assert!(parent.ends_with(&format!("{id}.jsonl")), "{parent}");
    let named = tree["data"]["entries"].as_array().unwrap().iter();
    let named: Vec<&Value> = named.filter(|e| e["label"] == "Second wish").collect();
    assert_eq!((named.len(), &named[0]["id"]), (1, &json!(of(4))));
    client.leave().await;
}

#[tokio::test]
async fn a_tree_is_given_in_parts_that_together_are_all_of_it() {
    let client = Client::new(hello()).await;
    client.work("go").await;
    let id = current(&client).await;
    let said = messages(&client, &id).await;
    client.data(&format!("/sessions/{id}/navigate"), json!({"entryId": said[3]["entryId"]})).await;
    let (_, whole) = client.get(&format!("/sessions/{id}/tree")).await;
    let whole = &whole["data"];
    let entries = whole["entries"].as_array().unwrap();
    assert_eq!(whole["next"], Value::Null);
    assert_eq!(entries[0]["text"], "go");
    assert_eq!((&entries[0]["kind"], &entries[0]["role"]), (&json!("message"), &json!("user")));
    assert_eq!(entries[1]["text"], "bash {\"command\":\"echo hi\"}");
    assert!(entries.iter().all(|entry| entry["onPath"] == true));
    let mut found = Vec::new();
    let mut path = format!("/sessions/{id}/tree?limit=2");
    loop {
        let (_, part) = client.get(&path).await;
        let part = part["data"].clone();
        let list = part["entries"].as_array().unwrap();
        assert!(list.len() <= 2);
        found.extend(list.clone());
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/sessions/{id}/tree?limit=2&after={next}");
    }
    assert_eq!(found, *entries);
    client.leave().await;
}

#[tokio::test]
async fn while_it_works_it_can_be_copied_and_not_moved() {
    let client = Client::new(slow("never")).await;
    let mut frames = client.events("", None).await;
    client.data("/prompt", json!({"message": "go"})).await;
    while frames.next().await.event != "tool_start" {}
    let id = current(&client).await;
    let said = messages(&client, &id).await;
    let entry = said[0]["entryId"].clone();
    let (status, refused) = client
        .post(&format!("/sessions/{id}/navigate"), json!({"entryId": entry}).to_string())
        .await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("busy")));
    let made = client.data(&format!("/sessions/{id}/fork"), json!({})).await;
    let copy = made["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(current(&client).await, copy, "it is the current one");
    let copied = messages(&client, &copy).await;
    assert_eq!(copied[..2], said[..2]);
    assert_eq!(copied[2]["message"]["isError"], true, "its call is closed: {copied:?}");
    assert_eq!(copied[3]["message"]["stopReason"], "aborted");
    let (_, state) = client.get(&format!("/state?sessionId={copy}")).await;
    assert_eq!(state["data"]["status"], "idle");
    let (_, state) = client.get(&format!("/state?sessionId={id}")).await;
    assert_eq!(state["data"]["status"], "working", "the original goes on");
    client.data("/abort", json!({"sessionId": id})).await;
    client.leave().await;
}

#[tokio::test]
async fn a_page_is_a_file_to_keep() {
    let client = Client::new(hello()).await;
    client.work("<script>alert(1)</script>").await;
    let id = current(&client).await;
    let path = format!("/sessions/{id}/export.html");
    let response = client.send(Request::get(&path).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(
        header("content-disposition"),
        format!("attachment; filename=\"conversation-{id}.html\"")
    );
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !page.contains("<script"));
    assert!(page.contains("All of it is done now.") && page.contains("echo hi"));
    client.leave().await;
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_refused_with_a_reason() {
    let client = Client::new(hello()).await;
    client.work("go").await;
    let id = current(&client).await;
    let entry = messages(&client, &id).await[0]["entryId"].as_str().unwrap().to_owned();
    let long = "x".repeat(201);
    let cases = [
        ("nobody/tree", "", 404, "session_not_found"),
        ("nobody/export.html", "", 404, "session_not_found"),
        ("bad%20id/tree", "", 400, "invalid_argument"),
        (&format!("{id}/tree?limit=0"), "", 400, "invalid_argument"),
        (&format!("{id}/tree?limit=5001"), "", 400, "invalid_argument"),
        (&format!("{id}/tree?limit=x"), "", 400, "invalid_argument"),
        (&format!("{id}/tree?after=nobody"), "", 404, "not_found"),
        ("nobody/fork", "{}", 404, "session_not_found"),
        (&format!("{id}/fork"), r#"{"entryId":"nobody"}"#, 404, "not_found"),
        (&format!("{id}/fork"), &format!(r#"{{"name":"{long}"}}"#), 400, "invalid_argument"),
        (&format!("{id}/fork"), r#"{"name":"a\nb"}"#, 400, "invalid_argument"),
        (&format!("{id}/navigate"), "{}", 400, "invalid_argument"),
        (&format!("{id}/navigate"), r#"{"entryId":"nobody"}"#, 404, "not_found"),
        (&format!("{id}/label"), r#"{"entryId":"nobody","label":"x"}"#, 404, "not_found"),
        (
            &format!("{id}/label"),
            &format!(r#"{{"entryId":"{entry}","label":"{long}"}}"#),
            400,
            "invalid_argument",
        ),
        (
            &format!("{id}/label"),
            &format!(r#"{{"entryId":"{entry}","label":"a\u0007"}}"#),
            400,
            "invalid_argument",
        ),
    ];
    let files =
        || std::fs::read_dir(client.house.dir.path().join("home/sessions")).unwrap().count();
    let (before, seq) = (files(), client.runtime.log().last_seq());
    for (path, body, status, code) in cases {
        let path = format!("/sessions/{path}");
        let (got, answer) = if body.is_empty() {
            read(client.send(Request::get(&path).body(Body::empty()).unwrap()).await).await
        } else {
            client.post(&path, body.to_owned()).await
        };
        assert_eq!(
            (got.as_u16(), &answer["code"]),
            (status, &json!(code)),
            "{path} {body}: {answer}"
        );
        assert!(answer["error"].as_str().unwrap().len() > 10, "{path}: {answer}");
    }
    assert_eq!((files(), client.runtime.log().last_seq()), (before, seq), "nothing was done");
    client.leave().await;
}
