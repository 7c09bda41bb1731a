//! Secrets of a project: in the environment of what is started from then on, nowhere else; asked for by
//! the agent without its seeing them; handed to a fork by grant; kept through every cut rotation.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    browser::Driver,
    lane, processes,
    provider::{Provider, Say},
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Made at run time, so that this program's own text does not hold it.
fn canary(of: &str) -> String {
    format!("{of}-{}-canary", std::process::id() * 7919)
}

async fn value(toft: &Toft, project: &str, name: &str) -> Result<String> {
    let ran = toft.exec(project, &format!("printf %s \"${{{name}-none}}\"")).await?;
    Ok(ran["stdout"].as_str().context("a command has output")?.to_owned())
}

async fn put(toft: &Toft, project: &str, name: &str, value: &str) -> Result<Value> {
    let path = format!("/v1/projects/{project}/secrets/{name}");
    toft.call("PUT", &path, Some(json!({"value": value}))).await
}

/// No file of the data folder, no log, no environment and no arguments of init and bridge have it.
fn lies_nowhere(toft: &Toft, project: &str, canary: &str) -> Result<()> {
    let found = processes::files_holding(&toft.data, canary.as_bytes());
    ensure!(found.is_empty(), "it lies in {found:?}");
    ensure!(!toft.log().contains(canary), "it is in the server's log");
    let init = toft.init_pid(project).context("the machine runs")?;
    let bridge = toft.bridge_pid(project).context("a bridge")?;
    for pid in [init, bridge, toft.gateway_pid().context("there is a gateway")?] {
        for file in ["environ", "cmdline"] {
            let Ok(bytes) = std::fs::read(format!("/proc/{pid}/{file}")) else {
                lane::skip("environment of init and bridge", "reading it needs root");
                continue;
            };
            ensure!(!String::from_utf8_lossy(&bytes).contains(canary), "{pid} {file}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_next_process_and_lies_nowhere() -> Result<()> {
    let (first, second) = (canary("first"), canary("second"));
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Secret").await?;
    let all = format!("/v1/projects/{project}/secrets");
    assert_eq!(toft.call("GET", &all, None).await?["secrets"], json!([]));
    let set = put(&toft, &project, "API_KEY", &first).await?;
    assert_eq!((&set["inForce"], &set["revision"]), (&json!(true), &json!(1)));
    assert_eq!(
        (&set["secrets"][0]["name"], &set["secrets"][0]["state"]),
        (&json!("API_KEY"), &json!("set"))
    );
    assert_eq!(value(&toft, &project, "API_KEY").await?, first);

    // One that runs has what it was started with; the next one has the new value.
    let runs =
        "(while [ ! -e go ]; do sleep 0.05; done; [ \"$API_KEY\" = \"$1\" ] && touch kept) &";
    let started = toft.exec(&project, &format!("set -- \"$API_KEY\"; {runs}")).await?;
    assert_eq!(started["exitCode"], 0, "{started}");
    put(&toft, &project, "API_KEY", &second).await?;
    assert_eq!(value(&toft, &project, "API_KEY").await?, second);
    let kept = toft.exec(&project, "touch go; while [ ! -e kept ]; do sleep 0.05; done").await?;
    assert_eq!(kept["exitCode"], 0, "{kept}");

    // What is refused quotes nothing of what was sent.
    for (method, path, body) in [
        ("PUT", format!("{all}/API_KEY"), json!({"value": [second]})),
        ("PUT", format!("{all}/API_KEY"), json!({"value": "x", "extra": second})),
        ("PUT", format!("{all}/{second}"), json!({"value": "x"})),
        ("PUT", format!("{all}/PATH"), json!({"value": second})),
        ("POST", all.clone(), json!({"values": second})),
        ("POST", all.clone(), json!({"values": {"API_KEY": {"a": second}}})),
        ("POST", all.clone(), json!({"values": {second.clone(): "x"}})),
        ("PUT", format!("{all}/API_KEY"), json!({"value": format!("{second}\0")})),
        ("PUT", format!("{all}/API_KEY"), json!({"value": ""})),
    ] {
        let (status, answer) = toft.request(method, &path, Some(body)).await?;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!("invalid_argument")),
            "{answer}"
        );
        assert!(!answer.to_string().contains("canary"), "{answer}");
    }

    // Through a new server, a stop, a sleep and a pause.
    toft.kill_server();
    toft.up().await?;
    assert_eq!(value(&toft, &project, "API_KEY").await?, second);
    toft.call("POST", &format!("/v1/projects/{project}/sleep"), None).await?;
    let asleep = put(&toft, &project, "OTHER", &first).await?;
    assert_eq!(asleep["inForce"], Value::Null);
    assert_eq!(value(&toft, &project, "OTHER").await?, first, "it was woken with it");
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    if machine["can"]["freeze"] == true {
        toft.call("POST", &format!("/v1/projects/{project}/freeze"), None).await?;
        let paused = put(&toft, &project, "OTHER", &second).await?;
        assert_eq!(paused["inForce"], Value::Null);
        assert_eq!(value(&toft, &project, "OTHER").await?, second, "it goes on with it");
    } else {
        lane::skip("secrets of a paused machine", "nothing can pause a machine here");
    }

    // What a schedule's command prints is kept, with the name in the value's place.
    let schedules = format!("/v1/projects/{project}/schedules");
    let wish =
        json!({"name": "Prints", "when": {"everyS": 86400}, "do": {"command": "env | grep OTHER"}});
    let made = toft.call("POST", &schedules, Some(wish)).await?;
    let one = format!("{schedules}/{}", made["id"].as_str().context("an id")?);
    toft.call("POST", &format!("{one}/run"), None).await?;
    let ran = |found: &Value| found["firings"][0]["output"].is_string();
    let found = toft.until(&format!("{one}/firings"), ran).await?;
    // Another one has the same value.
    assert_eq!(found["firings"][0]["output"], "OTHER=[secret API_KEY]\n", "{found}");
    lies_nowhere(&toft, &project, &first)?;
    lies_nowhere(&toft, &project, &second)?;
    // The search finds what does lie there.
    toft.exec(&project, "printf %s \"$OTHER\" > planted; sync").await?;
    assert!(lies_nowhere(&toft, &project, &second).is_err(), "a control");
    toft.exec(&project, "rm planted").await?;

    // Names are listed, one is deleted, the command line reads its value from standard input only.
    let listed = toft.cli(&["secret", "list", &project])?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        text.contains("API_KEY") && text.contains("OTHER") && !text.contains("canary"),
        "{text}"
    );
    let gone = toft.cli(&["secret", "rm", &project, "API_KEY"])?;
    assert!(gone.status.success(), "{gone:?}");
    assert_eq!(value(&toft, &project, "API_KEY").await?, "none");
    let again = toft.cli(&["secret", "rm", &project, "API_KEY"])?;
    assert!(!again.status.success());
    let empty = toft.cli(&["secret", "set", &project, "EMPTY"])?;
    assert!(
        String::from_utf8_lossy(&empty.stderr).contains("standard input is empty"),
        "{empty:?}"
    );
    toft.down()
}

/// Uses a secret, prints it, and asks for one that is missing.
fn script() -> toft_stories::provider::Script {
    Arc::new(|said, turn| {
        let bash = |command: &str| vec![("bash".to_owned(), json!({"command": command}))];
        let tools = match (said, turn) {
            ("print", 0) => bash(
                "env | grep KEY; printf 'in two '; printf %.9s \"$API_KEY\"; sleep 0.2; \
                                  printf '%s\\n' \"${API_KEY#?????????}\"; printf %s \"$API_KEY\" > leak",
            ),
            ("print", 1) => vec![("read".to_owned(), json!({"path": "leak"}))],
            ("ask", 0) => vec![(
                "ask_secrets".to_owned(),
                json!({"names": ["API_KEY", "NEW_KEY"], "reason": "To reach the shop"}),
            )],
            ("ask", 1) => bash("[ -n \"$NEW_KEY\" ] && echo has it"),
            _ => vec![],
        };
        Say { text: "Well.".into(), tools }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_asks_for_secrets_and_sees_none() -> Result<()> {
    let (shown, given) = (canary("shown"), canary("given"));
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-any"), ..Start::default() }).await?;
    let project = toft.new_project("Asks").await?;
    let all = format!("/v1/projects/{project}/secrets");
    toft.call("POST", &all, Some(json!({"values": {"API_KEY": shown}}))).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;

    // What a tool prints of it is masked, however it comes.
    session::prompt(&toft, &project, "print").await?;
    let events = follow.until_agent_end().await?;
    let told = |kind: &str| -> String {
        events.iter().filter(|e| e.kind == kind).map(|e| e.data.to_string()).collect()
    };
    for kind in ["tool_update", "tool_end"] {
        let text = told(kind);
        assert!(text.contains("[secret API_KEY]") && !text.contains("canary"), "{kind}: {text}");
    }
    let asked = json!(provider.requests()).to_string();
    assert!(asked.contains("[secret API_KEY]") && !asked.contains(&shown), "{asked}");
    toft.exec(&project, "rm leak").await?;

    // Missing ones are asked for by name; the form's values go past the conversation.
    session::prompt(&toft, &project, "ask").await?;
    let question = follow.until(|e| e.kind == "question").await?.pop().context("a question")?;
    assert_eq!(question.data["secrets"], json!(["NEW_KEY"]));
    assert_eq!(question.data["question"], "To reach the shop");
    let state = toft.call("GET", &format!("/v1/projects/{project}/toft/state"), None).await?;
    assert_eq!(state["question"]["secrets"], json!(["NEW_KEY"]));
    // A server that dies meanwhile changes nothing, nor does a bridge.
    toft.kill_server();
    toft.up().await?;
    processes::kill9(toft.bridge(&project).await?);
    let body = json!({"values": {"NEW_KEY": given}, "wake": true});
    let set = toft.call("POST", &all, Some(body)).await?;
    assert_eq!(set["inForce"], true, "{set}");
    let mut follow = Follow::from(&toft, &project, follow.last).await?;
    let events = follow.until_agent_end().await?;
    assert_eq!(events.iter().filter(|e| e.kind == "question").count(), 0, "asked once");
    let ends: Vec<String> = events
        .iter()
        .filter(|e| e.kind == "tool_end")
        .map(|e| e.data["result"]["content"][0]["text"].to_string())
        .collect();
    assert!(ends[0].contains("Set: API_KEY, NEW_KEY") && ends[1].contains("has it"), "{ends:?}");
    let asked = json!(provider.requests()).to_string();
    assert!(!asked.contains(&given) && !asked.contains(&shown));
    assert_eq!(provider.faults(), Vec::<String>::new());
    lies_nowhere(&toft, &project, &given)?;
    lies_nowhere(&toft, &project, &shown)?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_for_secrets_is_answered_in_words_and_survives_sleep() -> Result<()> {
    let given = canary("given");
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-any"), ..Start::default() }).await?;
    let project = toft.new_project("Asks").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "ask").await?;
    let question = follow.until(|e| e.kind == "question").await?.pop().context("a question")?;
    let answer = json!({"toolCallId": question.data["toolCallId"], "answer": "not now"});
    toft.call("POST", &format!("/v1/projects/{project}/toft/answer"), Some(answer)).await?;
    let events = follow.until_agent_end().await?;
    let told: Vec<&Value> =
        events.iter().filter(|e| e.kind == "tool_end").map(|e| &e.data).collect();
    assert!(told[0].to_string().contains("Not set: API_KEY, NEW_KEY"), "{told:?}");

    session::prompt(&toft, &project, "ask").await?;
    follow.until(|e| e.kind == "question").await?;
    toft.call("POST", &format!("/v1/projects/{project}/sleep"), None).await?;
    let values = json!({"API_KEY": given, "NEW_KEY": given});
    let body = json!({"values": values, "wake": true});
    toft.call("POST", &format!("/v1/projects/{project}/secrets"), Some(body)).await?;
    let events = follow.until_agent_end().await?;
    let told: String = events.iter().map(|e| e.data.to_string()).collect();
    assert!(told.contains("Set: API_KEY, NEW_KEY") && !told.contains("canary"));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_chromium_a_form_answers_the_agent_and_a_panel_lists_names() -> Result<()> {
    let given = canary("given");
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-any"), ..Start::default() }).await?;
    let project = toft.new_project("Asks").await?;
    let made = json!({"project": "Asks", "canary": given});
    Driver::start(&toft, "secrets-story.mjs", made)?.done(&toft).await?;
    let asked = json!(provider.requests()).to_string();
    assert!(asked.contains("has it") && !asked.contains(&given));
    assert_eq!(value(&toft, &project, "API_KEY").await?, given);
    assert_eq!(value(&toft, &project, "NEW_KEY").await?, "none");
    lies_nowhere(&toft, &project, &given)?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_set_it_at_once_the_machine_has_what_is_stored() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Crowd").await?;
    let set = (0..24).map(|n| {
        let (toft, project) = (&toft, &project);
        async move { put(toft, project, "KEY", &format!("value {n}")).await }
    });
    for done in futures_util::future::join_all(set).await {
        done?;
    }
    let all = format!("/v1/projects/{project}/secrets");
    let found = toft.call("GET", &all, None).await?;
    assert_eq!((&found["revision"], &found["inForce"]), (&json!(24), &json!(true)), "{found}");
    let running = value(&toft, &project, "KEY").await?;
    // Asleep it has nothing but what is stored.
    toft.call("POST", &format!("/v1/projects/{project}/sleep"), None).await?;
    assert_eq!(value(&toft, &project, "KEY").await?, running);
    let (status, answer) = toft
        .request("POST", &all, Some(json!({"values": {"BIG": "x".repeat((32 << 10) + 1)}})))
        .await?;
    assert_eq!(status, 400, "{answer}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_gets_names_and_values_by_grant() -> Result<()> {
    let (mine, theirs) = (canary("mine"), canary("theirs"));
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Origin").await?;
    let values = json!({"values": {"MINE": mine, "THEIRS": theirs}});
    toft.call("POST", &format!("/v1/projects/{project}/secrets"), Some(values)).await?;
    let fork = async |body: Value| -> Result<String> {
        let path = format!("/v1/projects/{project}/fork");
        let made = toft.call("POST", &path, Some(body)).await?;
        Ok(made["projects"][0]["id"].as_str().context("an id")?.to_owned())
    };
    let states = async |project: &str| -> Result<String> {
        let found = toft.call("GET", &format!("/v1/projects/{project}/secrets"), None).await?;
        let rows = found["secrets"].as_array().context("a list")?.iter();
        let rows: Vec<String> =
            rows.map(|row| format!("{}={}", row["name"], row["state"])).collect();
        Ok(rows.join(" "))
    };
    let bare = fork(json!({})).await?;
    assert_eq!(states(&bare).await?, r#""MINE"="missing" "THEIRS"="missing""#);
    assert_eq!(value(&toft, &bare, "THEIRS").await?, "none");
    let granted = fork(json!({"secrets": ["THEIRS"]})).await?;
    assert_eq!(states(&granted).await?, r#""MINE"="missing" "THEIRS"="set""#);
    assert_eq!(value(&toft, &granted, "THEIRS").await?, theirs);
    assert_eq!(value(&toft, &granted, "MINE").await?, "none");
    let whole = fork(json!({"secrets": "all"})).await?;
    assert_eq!(value(&toft, &whole, "MINE").await?, mine);
    let by_hand = toft.cli(&["fork", &project, "--secrets", "MINE,THEIRS", "--name", "By hand"])?;
    let made = String::from_utf8_lossy(&by_hand.stdout).into_owned();
    let made = made.split_whitespace().next().context("it prints an id")?;
    assert_eq!(value(&toft, made, "THEIRS").await?, theirs);
    // What the fork sets is its own.
    put(&toft, &bare, "MINE", "their own value").await?;
    assert_eq!(value(&toft, &bare, "MINE").await?, "their own value");
    assert_eq!(value(&toft, &project, "MINE").await?, mine);
    let path = format!("/v1/projects/{project}/fork");
    let (status, _) = toft.request("POST", &path, Some(json!({"secrets": ["NONE"]}))).await?;
    assert_eq!(status, 400);
    lies_nowhere(&toft, &project, &theirs)?;
    toft.down()
}

/// kill -9 of the server where a step was done; the next server has everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_rotation_loses_nothing() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Rotates").await?;
    let of = format!("/v1/projects/{project}");
    put(&toft, &project, "KEPT", "value 0").await?;
    let key = json!({"key": "sk-0123456789-kept"});
    toft.call("PUT", "/v1/providers/openai/key", Some(key)).await?;
    let master = || std::fs::read(toft_key(&toft.data)).unwrap_or_default();
    let mut masters = vec![master()];
    for (round, step) in toft_machine::steps::OF_SECRETS.iter().enumerate() {
        toft.kill_server();
        toft.up_with("TOFT_KILL_AT", &format!("{step}:1")).await?;
        let before = format!("value {round}");
        let (method, path, body) = match *step {
            "secret.recorded" => ("PUT", format!("{of}/secrets/KEPT"), json!({"value": "value 1"})),
            "secret.rekeyed" => ("POST", format!("{of}/rotate-secrets"), json!({})),
            _ => ("POST", "/v1/vault/rotate".to_owned(), json!({})),
        };
        let cut = toft.request(method, &path, Some(body)).await;
        assert!(cut.is_err(), "{step} is not come by: {cut:?}");
        toft.await_end()?;
        toft.up().await?;
        let now = value(&toft, &project, "KEPT").await?;
        let wanted = if *step == "secret.recorded" { "value 1" } else { before.as_str() };
        assert_eq!(now, if round == 0 { wanted } else { "value 1" }, "{step}");
        let found = toft.call("GET", &format!("{of}/secrets"), None).await?;
        assert_eq!(
            (&found["inForce"], &found["secrets"][0]["state"]),
            (&json!(true), &json!("set"))
        );
        let providers = toft.call("GET", "/v1/providers", None).await?;
        let hint = providers.as_array().and_then(|all| {
            all.iter().find(|one| one["id"] == "openai").map(|one| one["keyHint"].clone())
        });
        assert_eq!(hint, Some(json!("…kept")), "{step}");
        assert!(!toft.log().contains("cannot be"), "{step}: {}", toft.log());
        assert!(!toft.data.join("master.key.next").exists(), "{step} leaves nothing");
        masters.push(std::fs::read(toft_key(&toft.data))?);
    }
    masters.dedup();
    assert_eq!(masters.len(), 3, "two of the three cuts came after everything was sealed anew");
    // Not cut, and after that it can still be set.
    toft.call("POST", "/v1/vault/rotate", Some(json!({}))).await?;
    put(&toft, &project, "KEPT", "last").await?;
    assert_eq!(value(&toft, &project, "KEPT").await?, "last");

    // Another master key opens nothing, says so, and puts nothing into the machine.
    toft.kill_server();
    std::fs::write(toft_key(&toft.data), [7u8; 32])?;
    toft.up().await?;
    let found = toft.call("GET", &format!("{of}/secrets"), None).await?;
    assert_eq!(found["secrets"][0]["state"], "unreadable");
    assert!(toft.log().contains("another one than the database was sealed with"));
    let (status, refused) =
        toft.request("PUT", &format!("{of}/secrets/NEW"), Some(json!({"value": "x"}))).await?;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("conflict")), "{refused}");
    toft.call("DELETE", &format!("{of}/secrets/KEPT"), None).await?;
    put(&toft, &project, "NEW", "begins anew").await?;
    assert_eq!(value(&toft, &project, "NEW").await?, "begins anew");
    toft.down()
}

fn toft_key(data: &std::path::Path) -> std::path::PathBuf {
    data.join("master.key")
}
