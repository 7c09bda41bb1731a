//! Usage: the gateway's journal is read once, whatever becomes of the server, and added up in every
//! way that is asked for. The journal is written here as a gateway writes it.

use crate::{
    client::Call,
    world::{START_MS, World},
};
use serde_json::{Value, json};
use std::{fs, io::Write as _, path::Path};

const OTHER: &str = "deadbeef0000";

fn write(data: &Path, lines: &[Value]) {
    let dir = data.join("usage");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("journal.jsonl");
    let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
}

/// A call of this project, and its end.
fn call(id: &str, project: Option<&str>, output: u64, cost: Option<u64>) -> [Value; 2] {
    let of = json!({"ts": START_MS, "project": project, "session": "s1", "run": "r1",
        "provider": "openai"});
    let mut granted = of.clone();
    granted["granted"] = id.into();
    let mut ended = of;
    let rest = json!({"id": id, "model": "gpt-5", "status": 200, "input": 10, "output": output,
        "cacheRead": 2, "cacheWrite": null, "cost": cost, "durationMs": 5, "firstByteMs": 1});
    ended.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    [granted, ended]
}

async fn get(world: &World, path: &str) -> Value {
    world.ask(Call::get(path)).await.data()
}

#[tokio::test]
async fn calls_are_added_up_once_however_often_the_server_ends() {
    let world = World::new().await;
    let project = world.project().await;
    let of = project.as_str().to_owned();
    write(world.data.path(), &[json!({"started": 1})]);
    write(world.data.path(), &call("a", Some(&of), 20, Some(1_500_000_000)));
    let total = get(&world, "/v1/usage").await["total"].clone();
    let want = json!({"calls": 1, "failed": 0, "input": 10, "output": 20, "cacheRead": 2,
        "cacheWrite": 0, "costUsd": 1.5, "unpriced": 0});
    assert_eq!(total, want);
    assert_eq!(get(&world, "/v1/usage").await["total"], want, "asked again");

    let world = world.restart().await;
    assert_eq!(get(&world, "/v1/usage").await["total"], want, "after a restart");
    // The gateway was killed with this one under way, and a torn line stands in the journal.
    write(world.data.path(), &call("b", Some(&of), 1, None)[..1]);
    assert_eq!(get(&world, "/v1/usage").await["total"], want, "it is under way");
    let journal = world.data.path().join("usage/journal.jsonl");
    fs::File::options().append(true).open(&journal).unwrap().write_all(b"{\"id\":\n").unwrap();
    write(world.data.path(), &[json!({"started": 2})]);
    let now = get(&world, "/v1/usage").await["total"].clone();
    assert_eq!(
        (&now["calls"], &now["failed"], &now["unpriced"], &now["costUsd"]),
        (&json!(2), &json!(1), &json!(1), &json!(1.5))
    );
    // A journal that was taken away and begun anew: what is known stays, what is new comes.
    fs::remove_file(&journal).unwrap();
    write(world.data.path(), &call("c", Some(&of), 5, Some(500_000_000)));
    let now = get(&world, "/v1/usage").await["total"].clone();
    assert_eq!((&now["calls"], &now["costUsd"]), (&json!(3), &json!(2.0)));
    world.end(true).await;
}

#[tokio::test]
async fn calls_are_told_by_project_run_model_and_day_and_outlive_their_project() {
    let world = World::new().await;
    let project = world.project().await;
    let of = project.as_str().to_owned();
    write(world.data.path(), &call("a", Some(&of), 20, Some(1_000_000)));
    write(world.data.path(), &call("b", Some(OTHER), 3, None));
    write(world.data.path(), &call("c", None, 4, None));

    let all = get(&world, "/v1/usage").await;
    assert_eq!((&all["by"], &all["truncated"]), (&json!("project"), &json!(false)));
    assert_eq!((&all["from"], &all["to"]), (&json!("2023-10-16"), &json!("2023-11-14")));
    let keys: Vec<_> = all["rows"].as_array().unwrap().iter().map(|r| &r["key"]).collect();
    assert_eq!(keys[0], &json!(of), "the dearest first");
    assert_eq!(all["rows"][0]["name"], "Shop");
    assert!(keys.contains(&&Value::Null) && keys.contains(&&json!(OTHER)), "{keys:?}");
    assert_eq!(all["rows"][2]["costUsd"], Value::Null);

    let own = format!("/v1/projects/{of}/usage");
    let days = get(&world, &own).await;
    assert_eq!(days["rows"][0]["key"], "2023-11-14");
    assert_eq!((&days["total"]["calls"], &days["total"]["costUsd"]), (&json!(1), &json!(0.001)));
    // What a machine calls a run is one when its conversation has the prompt.
    let path = format!("{own}?by=run");
    let runs = get(&world, &path).await["rows"][0].clone();
    assert_eq!((&runs["key"], &runs["session"]), (&Value::Null, &json!("s1")));
    let said = json!({"entryId": "r1", "message": {"role": "user", "content": "Build it"}});
    world.machines.push(&project, "s1", "message_end", &said);
    let runs = world.eventually(&path, |usage| usage["rows"][0]["key"] == "r1").await;
    let run = &runs["rows"][0];
    assert_eq!((&run["session"], &run["name"]), (&json!("s1"), &json!("Build it")));
    let models = get(&world, "/v1/usage?by=model").await["rows"][0].clone();
    assert_eq!((&models["key"], &models["provider"]), (&json!("gpt-5"), &json!("openai")));
    assert_eq!(get(&world, "/v1/usage?by=provider&limit=1").await["rows"][0]["calls"], 3);
    let one = get(&world, "/v1/usage?limit=1").await;
    assert_eq!((one["rows"].as_array().unwrap().len(), &one["truncated"]), (1, &json!(true)));
    assert_eq!(one["total"]["calls"], 3, "the total is of all");
    assert_eq!(get(&world, "/v1/usage?to=2023-11-13").await["total"]["calls"], 0);

    for bad in [
        "/v1/usage?by=moon",
        "/v1/usage?from=yesterday",
        "/v1/usage?from=2023-11-14&to=2023-11-13",
        "/v1/usage?limit=0",
        "/v1/usage?limit=1001",
        "/v1/usage?sum=all",
        &format!("{own}?project={of}"),
    ] {
        assert_eq!(world.ask(Call::get(bad)).await.status.as_u16(), 400, "{bad}");
    }
    for (path, want) in [("/v1/usage?project=nobody", 404), ("/v1/projects/nobody/usage", 404)] {
        assert_eq!(world.ask(Call::get(path)).await.status.as_u16(), want, "{path}");
    }
    assert_eq!(world.send(Call::get("/v1/usage")).await.status.as_u16(), 401);

    world.ask(Call::new("DELETE", &format!("/v1/projects/{of}"))).await.data();
    let rows = get(&world, "/v1/usage").await["rows"].clone();
    assert_eq!((&rows[0]["name"], &rows[0]["deleted"]), (&json!("Shop"), &json!(true)));
    let gone = get(&world, &format!("/v1/usage?project={of}&by=day")).await;
    assert_eq!(gone["total"]["calls"], 1);
    world.end(true).await;
}

#[tokio::test]
async fn what_a_project_may_ask_is_set_field_by_field_and_kept() {
    let world = World::new().await;
    let project = world.project().await;
    let path = format!("/v1/projects/{project}/model-limits");
    let put = |body: Value| world.ask(Call::new("PUT", &path).json(&body));
    assert_eq!(get(&world, &path).await, json!({"callsAtOnce": null, "callsPerMinute": null}));
    put(json!({"callsAtOnce": 2})).await.data();
    let both = put(json!({"callsPerMinute": 30})).await.data();
    assert_eq!(both, json!({"callsAtOnce": 2, "callsPerMinute": 30}));
    let one = json!({"callsAtOnce": null, "callsPerMinute": 30});
    assert_eq!(put(json!({"callsAtOnce": null})).await.data(), one);
    for bad in [
        json!({"callsAtOnce": 0}),
        json!({"callsAtOnce": 65}),
        json!({"callsPerMinute": 6001}),
        json!({"callsPerMinute": -1}),
        json!({"callsPerMinute": 1.5}),
        json!({"calls": 1}),
    ] {
        assert_eq!(put(bad.clone()).await.status.as_u16(), 400, "{bad}");
    }
    assert_eq!(world.send(Call::new("PUT", &path).json(&one)).await.status.as_u16(), 401);
    let world = world.restart().await;
    assert_eq!(get(&world, &path).await, one);
    world.end(true).await;
}

#[tokio::test]
async fn budgets_are_set_in_dollars_and_told_with_what_is_spent() {
    let world = World::new().await;
    let project = world.project().await;
    let own = format!("/v1/projects/{project}/budget");
    let put = |path: &str, body: Value| {
        let call = Call::new("PUT", path).json(&body);
        async { world.ask(call).await }
    };
    let none = json!({"runUsd": null, "monthUsd": null, "totalUsd": null,
        "spent": {"monthUsd": 0.0, "totalUsd": 0.0}});
    assert_eq!(get(&world, &own).await, none);
    put(&own, json!({"monthUsd": 5, "runUsd": 0.25})).await.data();
    write(world.data.path(), &call("a", Some(project.as_str()), 20, Some(1_500_000_000)));
    write(world.data.path(), &call("b", None, 20, Some(100_000_000)));
    let now = put(&own, json!({"runUsd": null, "totalUsd": 20.5})).await.data();
    assert_eq!(
        now,
        json!({"runUsd": null, "monthUsd": 5.0, "totalUsd": 20.5,
        "spent": {"monthUsd": 1.5, "totalUsd": 1.5}})
    );
    // Another month by the server's clock: what was spent before is of all time only.
    world.advance(40 * 86_400_000);
    assert_eq!(get(&world, &own).await["spent"], json!({"monthUsd": 0.0, "totalUsd": 1.5}));
    let team = put("/v1/budget", json!({"totalUsd": 100})).await.data();
    assert_eq!((&team["totalUsd"], &team["spent"]["totalUsd"]), (&json!(100.0), &json!(1.6)));
    for bad in [json!({"monthUsd": -1}), json!({"monthUsd": 1_000_001}), json!({"dayUsd": 1})] {
        assert_eq!(put(&own, bad.clone()).await.status.as_u16(), 400, "{bad}");
    }
    assert_eq!(world.send(Call::get("/v1/budget")).await.status.as_u16(), 401);
    // A journal that cannot be read keeps no budget from coming into force.
    let journal = world.data.path().join("usage/journal.jsonl");
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    let raised = put("/v1/budget", json!({"totalUsd": 200})).await.data();
    assert_eq!(raised["totalUsd"], 200.0);
    assert_eq!(world.ask(Call::get("/v1/budget")).await.status.as_u16(), 500);
    fs::remove_dir(&journal).unwrap();

    let world = world.restart().await;
    assert_eq!(get(&world, "/v1/budget").await["totalUsd"], 200.0);
    world.end(true).await;
}
