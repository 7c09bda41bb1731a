//! A machine that sleeps: reading wakes nothing, asking for something wakes it, and the request that
//! woke it is answered.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use toft_stories::{
    lane,
    session::{self, Follow},
    toft::{STEP_TIMEOUT, Start, Toft},
};

/// Where the control plane's routes stand.
const ROUTES: &str = include_str!("../../../server/src/routes.rs");
/// Where the bridge's do.
const CONTRACT: &str = include_str!("../../../../docs/http-api.md");

async fn asleep(toft: &Toft, name: &str) -> Result<(String, Value)> {
    let project = toft.new_project(name).await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    session::prompt(toft, &project, "run `echo hello`").await?;
    follow.until_agent_end().await?;
    let of = format!("/v1/projects/{project}");
    let machine = toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    assert_eq!(machine["state"], "cold");
    Ok((project, machine["wakes"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_wakes_nothing() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let (project, wakes) = asleep(&toft, "Reader").await?;
    let of = format!("/v1/projects/{project}");
    for again in [false, true] {
        for route in
            ["", "/machine", "/toft/messages", "/toft/state", "/toft/inspect", "/toft/sessions"]
        {
            let (status, body) = toft.request("GET", &format!("{of}{route}"), None).await?;
            assert_eq!(status, 200, "{route}: {body}");
        }
        let mut follow = Follow::from(&toft, &project, 0).await?;
        follow.until_agent_end().await?;
        let said = session::transcript(&toft, &project).await?;
        assert!(said.iter().any(|m| m.to_string().contains("hello")), "{said:?}");
        toft.call("GET", "/v1/projects", None).await?;
        let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
        assert_eq!((&machine["state"], &machine["wakes"]), (&json!("cold"), &wakes));
        assert!(toft.init_pid(&project).is_none(), "no process of it runs");
        if !again {
            toft.kill_server();
            toft.up().await?;
        }
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_the_app_wakes_it_and_is_answered() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let (project, before) = asleep(&toft, "App").await?;
    let of = format!("/v1/projects/{project}");
    // Many at once: it is woken once.
    let ask = || {
        toft.http()
            .get(format!("{}/", toft.base))
            .header("host", format!("{project}.localhost:{}", toft.port))
            .header("accept", "text/html")
            .bearer_auth(&toft.token)
            .send()
    };
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for answer in [one?, two?, three?] {
        // Nothing listens in this project: the page that says so is the bridge's own answer.
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["retry-after"], "2");
    }
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["state"], "running");
    let wakes = machine["wakes"].as_array().context("a list")?;
    assert_eq!(wakes.len(), before.as_array().map_or(0, Vec::len) + 1, "{wakes:?}");
    assert!(wakes[0]["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{wakes:?}");

    // A prompt does so too.
    toft.call("POST", &format!("{of}/sleep"), Some(json!({}))).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    follow.until_agent_end().await?;
    session::prompt(&toft, &project, "run `echo awake`").await?;
    let events = follow.until_agent_end().await?;
    assert!(events.iter().any(|e| e.kind == "tool_end" && e.data.to_string().contains("awake")));

    // A stopped one is woken by nobody but a person.
    toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    let refused = ask().await?;
    assert_eq!(refused.status(), 409);
    let machine = toft.call("GET", &format!("{of}/machine"), None).await?;
    assert_eq!(machine["state"], "stopped");
    toft.down()
}

/// `GET` routes below a project, as the server's own table and the contract of bridges have them.
fn get_routes() -> BTreeSet<String> {
    let own = ROUTES.split(".route(").skip(1).filter_map(|route| {
        let path = route.split('"').nth(1)?;
        let rest = path.strip_prefix("/v1/projects/{id}")?;
        route.split('"').nth(2)?.contains(" get(").then(|| rest.to_owned())
    });
    let section = CONTRACT.split("\n## ").find(|section| section.starts_with("2. Bridge"));
    let rows = section.unwrap_or_default().lines().filter(|line| line.starts_with("| `"));
    let bridges = rows.flat_map(|row| {
        let cell = row.split('|').nth(1).unwrap_or_default();
        cell.split('`')
            .filter_map(|name| name.strip_prefix("GET "))
            .map(|name| format!("/toft/{name}"))
    });
    own.chain(bridges).collect()
}

/// What a route is asked for here, and how it answers at rest.
fn asked<'a>(route: &'a str, ids: &[(&str, String)]) -> (String, &'a [u16]) {
    let mut path = route.to_owned();
    for (name, id) in ids {
        path = path.replace(&format!("{{{name}}}"), id);
    }
    let answers: &[u16] = match route {
        // What a program printed is in the memory of the machine's first process.
        "/toft/processes/{id}/output" => &[404, 409],
        // Known to the bridge alone.
        "/toft/extensions"
        | "/toft/mcp"
        | "/toft/skills"
        | "/toft/sessions/{id}/tree"
        | "/toft/sessions/{id}/plan"
        | "/toft/sessions/{id}/export.html" => &[409],
        "/toft/files/content" => {
            path.push_str("?path=f");
            &[200]
        }
        _ => &[200],
    };
    (path, answers)
}

/// A project with one of everything that can be read, and the ids of these things.
async fn furnished(toft: &Toft) -> Result<(String, Vec<(&'static str, String)>)> {
    let (project, _) = asleep(toft, "Furnished").await?;
    let of = format!("/v1/projects/{project}");
    let declared = toft
        .exec(
            &project,
            "echo text > f; python3 - <<'E'\n\
             import sqlite3\n\
             d = sqlite3.connect('/home/starter/inspect.db', timeout=5)\n\
             d.execute(\"INSERT INTO services(id,name,type,status,command) \
             VALUES('web','Web','app','running','echo up; exec sleep 1000')\")\n\
             d.commit()\nE",
        )
        .await?;
    ensure!(declared["exitCode"] == 0, "{declared}");
    let runs = |services: &Value| services["services"][0]["process"]["state"] == "running";
    toft.until(&format!("{of}/toft/services"), runs).await?;
    let checkpoint = toft.call("POST", &format!("{of}/checkpoints"), Some(json!({}))).await?;
    let body = json!({"name": "later", "when": {"everyS": 86400}, "do": {"command": "true"}});
    let schedule = toft.call("POST", &format!("{of}/schedules"), Some(body)).await?;
    let text = |value: &Value| value["id"].as_str().context("an id").map(str::to_owned);
    let ids = vec![("checkpoint", text(&checkpoint)?), ("sid", text(&schedule)?)];
    Ok((project, ids))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_get_route_of_a_project_that_rests_wakes_it() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let (project, mut ids) = furnished(&toft).await?;
    // Of the bridge's routes the only ones with an id are those of a service and of a program.
    ids.push(("id", "web".to_owned()));
    let of = format!("/v1/projects/{project}");
    let routes = get_routes();
    ensure!(routes.len() >= 24 && routes.contains("/toft/files"), "{routes:?}");
    let machine = async || toft.call("GET", &format!("{of}/machine"), None).await;
    let mut states = vec!["freeze", "sleep"];
    if machine().await?["can"]["freeze"] != true {
        lane::skip("a paused machine", "this host cannot pause one (no cgroup freezer)");
        states.remove(0);
    }
    for how in states {
        let rested = toft.call("POST", &format!("{of}/{how}"), Some(json!({}))).await?;
        let init = toft.init_pid(&project);
        for route in &routes {
            let (path, answers) = asked(route, &ids);
            for method in ["GET", "HEAD", "OPTIONS"] {
                let url = format!("{}{of}{path}", toft.base);
                let request = toft.http().request(method.parse()?, &url).bearer_auth(&toft.token);
                let status = request.timeout(STEP_TIMEOUT).send().await?.status().as_u16();
                let known = method == "OPTIONS" || answers.contains(&status);
                ensure!(known, "{how}: {method} {path} answered {status}");
                let now = machine().await?;
                ensure!(
                    (&now["state"], &now["wakes"]) == (&rested["state"], &rested["wakes"]),
                    "{method} {path} woke it: {now}"
                );
            }
        }
        assert_eq!(toft.init_pid(&project), init, "{how}");
    }
    toft.down()
}
