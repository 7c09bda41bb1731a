//! The agent proposes where a secret is to go, a person agrees in the form or says otherwise, and programs
//! use what the machine never sees.

use crate::house::{Host, House};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_gateway::ProviderConfig;
use toft_stories::{
    browser::Driver,
    processes,
    provider::{Provider, Say, Script},
    scan,
    session::{self, Follow},
    toft::Start,
};

/// Asks for two with a proposal for each, first with one that nobody could agree to, and uses both.
fn script(port: u16) -> Script {
    Arc::new(move |said, turn| {
        let host = format!("API.Story.example:{port}");
        let ask = |hosts: &[&str]| {
            let binding = |name: &str| json!({"name": name, "hosts": hosts, "paths": ["/v1/*"]});
            let arguments = json!({
                "names": ["SHOP_KEY", "OTHER_KEY"],
                "reason": "The shop wants a key for each order, and another one for its files",
                "bindings": [binding("SHOP_KEY"), binding("OTHER_KEY")],
            });
            vec![("ask_secrets".to_owned(), arguments)]
        };
        let tools = match (said, turn) {
            ("ask", 0) => ask(&["localhost"]),
            ("ask", 1) => ask(&[&host]),
            ("ask", 2) => {
                let url = format!("https://api.story.example:{port}/v1/orders");
                let command = format!(
                    "curl -sS -H \"Authorization: Bearer $SHOP_KEY\" {url}; echo; echo other is ${{#OTHER_KEY}} long"
                );
                vec![("bash".to_owned(), json!({"command": command}))]
            }
            _ => vec![],
        };
        Say { text: "Well.".into(), tools }
    })
}

/// A house whose agent is the script.
async fn house() -> Result<Option<(House, Provider)>> {
    let Some(host) = Host::open("a proposed binding").await? else { return Ok(None) };
    let provider = Provider::start(Duration::ZERO, script(host.port())).await?;
    let known = json!({"id": "anthropic", "key": "sk-any", "base_url": format!("http://{}", provider.addr)});
    let known: ProviderConfig = serde_json::from_value(known)?;
    let start = Start { env: provider.env("sk-any"), ..Start::default() };
    Ok(Some((House::of(host, start, vec![known]).await?, provider)))
}

fn told(events: &[session::Seen]) -> Vec<Value> {
    let ends = events.iter().filter(|event| event.kind == "tool_end");
    ends.map(|event| event.data.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_proposes_is_judged_first_and_decided_by_a_person() -> Result<()> {
    let Some((mut house, provider)) = house().await? else { return Ok(()) };
    let id = house.project.clone();
    let mut follow = Follow::from(&house.toft, &id, 0).await?;
    session::prompt(&house.toft, &id, "ask").await?;
    let mut events = follow.until(|event| event.kind == "question").await?;
    let question = events.pop().context("a question")?.data;
    let refused = told(&events);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0]["isError"] == true && refused[0].to_string().contains("no public host"));
    let bound = format!("api.story.example:{}", house.port);
    let proposed = json!({
        "hosts": [bound], "methods": [], "paths": ["/v1/*"], "headers": ["authorization"],
    });
    assert_eq!(question["bindings"], json!({"SHOP_KEY": proposed, "OTHER_KEY": proposed}));

    // Neither a server nor a bridge that dies forgets what was proposed.
    house.toft.kill_server();
    house.toft.up().await?;
    processes::kill9(house.toft.bridge(&id).await?);
    let state = format!("/v1/projects/{id}/toft/state");
    let asks = |state: &Value| state["question"]["bindings"] == question["bindings"];
    house.toft.until(&state, asks).await?;

    // All of them or none: a wrong one among them changes nothing.
    let all = format!("/v1/projects/{id}/secrets");
    let brokered = json!({"value": house.value, "kind": "brokered", "binding": proposed});
    for wrong in [
        json!({"value": house.value, "kind": "brokered", "binding": {"hosts": ["10.0.0.1"]}}),
        json!({"value": "x", "kind": "brokered", "binding": proposed}),
        json!({"value": house.value, "binding": proposed, "extra": 1}),
        json!(["x"]),
    ] {
        let body = json!({"values": {"SHOP_KEY": brokered, "OTHER_KEY": wrong}});
        let (status, answer) = house.toft.request("POST", &all, Some(body)).await?;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_argument")));
        assert!(!answer.to_string().contains("canary"), "{answer}");
    }
    assert_eq!(house.toft.call("GET", &all, None).await?["secrets"], json!([]));
    // One as it was proposed, the other as a variable.
    let body =
        json!({"values": {"SHOP_KEY": brokered, "OTHER_KEY": "a plain value"}, "wake": true});
    house.toft.call("POST", &all, Some(body)).await?;
    let mut follow = Follow::from(&house.toft, &id, follow.last).await?;
    let ends = told(&follow.until_agent_end().await?);
    let details = &ends[0]["result"]["details"];
    assert_eq!(details["set"], json!(["SHOP_KEY", "OTHER_KEY"]), "{ends:?}");
    assert_eq!(details["brokered"], json!({ "SHOP_KEY": proposed }));
    let said = ends[0]["result"]["content"][0]["text"].as_str().context("words")?;
    assert!(said.contains("SHOP_KEY is brokered") && said.contains(&bound), "{said}");
    assert!(said.contains("OTHER_KEY is not brokered"), "{said}");
    assert!(ends[1].to_string().contains("other is 13 long"), "{ends:?}");
    assert!(!json!(ends).to_string().contains("canary"));
    assert!(!json!(provider.requests()).to_string().contains(&house.value));
    house.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chromium_a_person_agrees_and_the_host_gets_what_no_page_and_no_machine_shows()
-> Result<()> {
    let Some((house, provider)) = house().await? else { return Ok(()) };
    let host = format!("api.story.example:{}", house.port);
    let made = json!({"project": house.project, "canary": house.value, "host": host});
    Driver::start(&house.toft, "binding-story.mjs", made)?.done(&house.toft).await?;
    let asked = house.host.asked().pop().context("the host was asked")?;
    assert_eq!(asked.line, "GET /v1/orders");
    assert_eq!(asked.header("authorization"), format!("Bearer {}", house.value));
    let listed =
        house.toft.call("GET", &format!("/v1/projects/{}/secrets", house.project), None).await?;
    let shown = |row: &Value| {
        (row["name"].clone(), row["kind"].clone(), row["binding"]["hosts"][0].clone())
    };
    let shown: Vec<_> = listed["secrets"].as_array().context("a list")?.iter().map(shown).collect();
    assert_eq!(
        shown,
        [
            (json!("OTHER_KEY"), json!("environment"), Value::Null),
            (json!("SHOP_KEY"), json!("brokered"), json!(host)),
        ]
    );
    assert!(!json!(provider.requests()).to_string().contains(&house.value));
    assert_eq!(provider.faults(), Vec::<String>::new());
    let places = scan::places(&house.toft, &house.project, house.value.as_bytes())?;
    assert_eq!(places, Vec::<String>::new());
    house.toft.down()
}
